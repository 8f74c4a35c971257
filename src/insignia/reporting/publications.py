"""What was uploaded to a hub, as a document, and what a verb that also uploads adds to its own."""

from typing import TYPE_CHECKING

from insignia.reporting.base import Document, Table
from insignia.terminal import size

if TYPE_CHECKING:
    from insignia.publishing.upload import Publication

__all__ = ["publication_report", "with_publication"]

_SHOWN = 16  # hexadecimal digits; --json has them all


def publication_report(found: "Publication") -> Document:
    """The files with their kinds, sizes and the beginnings of their digests."""
    rows = [[file.name, file.kind, size(file.bytes), file.digest.removeprefix("sha256:")[:_SHOWN]] for file in found.files]
    table = Table.of(found.heading, ("file", "kind", "size", f"SHA-256, first {_SHOWN}"), rows, left=True)
    deleted = [f"Deleted there, weights of an earlier upload: {', '.join(found.deleted)}"] if found.deleted else []
    where = [found.url] if found.url else []
    return Document(found.heading, (table, *deleted, *where), found.model_dump(mode="json"))


def with_publication(document: Document, found: "Publication | None") -> Document:
    """The document, and what was uploaded."""
    if found is None:
        return document
    told = publication_report(found)
    return document._replace(blocks=(*document.blocks, *told.blocks), data={**document.data, "published": told.data})
