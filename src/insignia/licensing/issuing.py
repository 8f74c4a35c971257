"""Issuing: a licensee's own copy, stamped in one pass over the model's files."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from pydantic import Field

from insignia.errors import InputError
from insignia.evidence.publication import owner_rng
from insignia.files import refuse_existing
from insignia.keyring.kept_set import KeptSet
from insignia.licensing.book import open_book
from insignia.licensing.codes import MAX_COLLUDERS
from insignia.progress import AUTO, Progress
from insignia.records import Displayed, Record
from insignia.terminal import counted, size

if TYPE_CHECKING:
    from insignia.modeling.cards import CardOptions
    from insignia.modeling.sources import Source

__all__ = ["IssueOptions", "IssueReport", "digests", "issue"]


class IssueOptions(Record):
    """How a copy is made."""

    again: bool = False
    """Make a further copy for a licensee who has one. It has the same blocks."""
    colluders: Annotated[int, Field(ge=1, le=MAX_COLLUDERS)] | None = None
    """Size of the coalitions that the code is best for; fixed by the first copy, then 2 by default."""
    scale: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0
    """Factor of the blocks, for a sibling that needs more."""
    unrelated: bool = False
    """Go on although the weights show that the model does not come from the blocks' base."""


class IssueReport(Displayed):
    """What was issued. Which blocks a copy has is not told: it is the owner's secret."""

    licensee: str
    out: str
    bytes: int
    """Size of the written tensors, in bytes."""
    licensees: int
    """Licensees in the book, this one included."""
    lineage_similarity: float
    """Lowest similarity of a layer to the blocks' base."""
    weights: dict[str, str]
    """File name -> BLAKE3 digest of each safetensors file of the copy."""
    seconds: float

    @property
    def heading(self) -> str:
        """Whose copy it is."""
        return f"{self.out}: the copy of {self.licensee}, {size(self.bytes)}; safe to hand over"

    def summary(self) -> list[tuple[str, str]]:
        """What it took."""
        return [
            ("in the book", counted(self.licensees, "licensee")),
            ("least similarity of a layer to the base", f"{self.lineage_similarity:.4f}"),
            ("time", f"{self.seconds:.2f} s"),
        ]


def issue(
    kept: KeptSet,
    licensee: str,
    *,
    model: "Source",
    vector: str | Path,
    out: str | Path,
    options: IssueOptions | None = None,
    card: "CardOptions | None" = None,
    force: bool = False,
    progress: Progress = AUTO,
) -> IssueReport:
    """Write a licensee's copy of a model: the model with the blocks of their code word.

    ``model`` is the one that the blocks were made for, or a sibling; ``vector`` is the folder that ``vector --factors`` made of
    the blocks. The book says that a copy is begun before it is written, and its digests afterwards.

    Raises:
        InputError: the licensee has a copy, the vector has no blocks or more than the set has keys, or as ``stamp``.
        OutputError: ``out`` exists and ``force`` is off, or cannot be written.
    """
    from insignia.vectors import FingerprintVector, stamp

    options, out = options or IssueOptions(), Path(out)
    refuse_existing(out, force=force)
    started, rng = time.perf_counter(), owner_rng(kept.prints)
    with FingerprintVector(vector) as every:
        blocks = every.file.blocks
    if blocks is None or blocks > len(kept.prints):
        raise InputError(
            f"{vector} has {blocks or 'no'} blocks, and the set {counted(len(kept.prints), 'fingerprint')}; expected what"
            " 'insignia vector BASE MARKED --factors FILE' made of a model that method 'blocks' marked with this set"
        )
    with open_book(kept, blocks=blocks, colluders=options.colluders) as book:
        book.begin(licensee, again=options.again)
        theirs = book.code.words(rng, [licensee])[0].nonzero()[0].tolist()
        chosen, scale, unrelated = FingerprintVector(vector, blocks=theirs), options.scale, options.unrelated
        report = stamp(model, chosen, out=out, scale=scale, unrelated=unrelated, card=card, force=force, progress=progress)
        book.finish(licensee, report.weights)
    return IssueReport(
        licensee=licensee,
        out=str(out),
        bytes=report.bytes,
        licensees=len(book.copies),
        lineage_similarity=report.lineage_similarity,
        weights=report.weights,
        seconds=round(time.perf_counter() - started, 3),
    )


def digests(folder: Path) -> dict[str, str]:
    """File name -> BLAKE3 digest of each safetensors file in a model's folder."""
    from blake3 import blake3

    files = sorted(folder.glob("*.safetensors"))
    return {file.name: f"blake3:{blake3(max_threads=blake3.AUTO).update_mmap(file).hexdigest()}" for file in files}
