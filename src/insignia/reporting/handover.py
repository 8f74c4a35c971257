"""The page that is handed over: what several files come to, first in short and then with every number."""

import hashlib
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from insignia.errors import InputError
from insignia.evidence.judge import Judge
from insignia.evidence.standard import Standard
from insignia.reporting.base import Block, Bullets, Document, Heading, Table
from insignia.reporting.chapters import Chapter
from insignia.reporting.readers import PageOptions, Source, read_source
from insignia.terminal import counted, size

__all__ = ["hand_over"]


def hand_over(files: Sequence[Path], page: PageOptions, judge: Judge, standard: Standard) -> Document:
    """One page of these files, in their order.

    Raises:
        InputError, FormatError, EvidenceError: as ``read_source``; or a file is named twice.
    """
    if len({file.resolve() for file in files}) < len(files):
        raise InputError("a file is named twice; name each once")
    read = [read_source(file, page, judge, standard) for file in files]
    chapters = [chapter for _, found in read for chapter in found]
    several = len(chapters) > 1
    blocks: list[Block] = []
    if several:
        blocks.append(Table.of("", ("result", "in short"), [[each.title, each.answer.title] for each in chapters], left=True))
    blocks.append(Heading("In short", 2))
    for chapter in chapters:
        blocks += [*_opening(chapter, several=several), chapter.answer, *_below(chapter.short, several=several)]
    blocks.append(Heading("For experts", 2))
    for chapter in chapters:
        blocks += [*_opening(chapter, several=several), *_below(chapter.full, several=several)]
    blocks += _about([source for source, _ in read], page)
    title = page.title or (f"{counted(len(chapters), 'result')} of insignia" if several else chapters[0].title)
    results = [{"title": each.title, "answer": each.answer.title, "result": each.data} for each in chapters]
    return Document(title, tuple(blocks), {"results": results})


def _opening(chapter: Chapter, *, several: bool) -> list[Block]:
    return [Heading(chapter.title, 3)] if several else []


def _below(blocks: Sequence[Block], *, several: bool) -> list[Block]:
    """The blocks but empty lists, with headings one level lower where the chapter's title stands above them."""
    full = [block for block in blocks if block != Bullets(())]
    return [block._replace(level=4) if several and isinstance(block, Heading) else block for block in full]


def _about(sources: Sequence[Source], page: PageOptions) -> list[Block]:
    rows = [[each.path.name, size(len(each.content)), hashlib.sha256(each.content).hexdigest()] for each in sources]
    secrecy = (
        "It shows the keys and responses that a bundle opens: keep it as you keep the bundle."
        if page.show_keys
        else "It shows no key and no response."
    )
    return [
        Heading("About this page", 2),
        (
            f"insignia {version('insignia')} made this page from the files below. {secrecy} It is a copy: whoever wants to be "
            "sure repeats what is said under 'To repeat it'."
        ),
        Table.of("", ("file", "size", "SHA-256"), rows, left=True),
    ]
