"""What licensing found, as documents: the book, traces, and how many blocks it takes."""

from collections.abc import Sequence
from pathlib import Path

from insignia.licensing.book import Book
from insignia.licensing.findings import TraceReport
from insignia.reporting.base import Document, Table, report_of
from insignia.statistics.collusion import TracingPlan
from insignia.terminal import counted, percent

__all__ = ["book_report", "trace_status", "traces_report", "tracing_plan_report"]


def book_report(prints: Path, book: Book) -> Document:
    """Who was given a copy, and when."""
    rows = [
        (name, str(len(copies)), copies[-1].time if copies else "begun, not finished") for name, copies in book.copies.items()
    ]
    title = f"{prints}: {counted(len(rows), 'licensee')}, {counted(book.code.blocks, 'block')}"
    listed = [
        {"licensee": name, "copies": [copy.model_dump(mode="json", include={"time", "weights"}) for copy in copies]}
        for name, copies in book.copies.items()
    ]
    data = {"code": book.code.model_dump(mode="json"), "licensees": listed}
    return Document(title, (Table.of(title, ("licensee", "copies", "last"), rows),), data)


def traces_report(reports: Sequence[TraceReport]) -> Document:
    """What each suspect's trace found."""
    if len(reports) == 1:
        return report_of(reports[0])
    documents = [report_of(report) for report in reports]
    blocks = tuple(block for document in documents for block in document.blocks)
    return Document("traces", blocks, [document.data for document in documents])


def trace_status(reports: Sequence[TraceReport]) -> int:
    """The exit status: 0 if somebody is named, else 3."""
    return 0 if any(report.named for report in reports) else 3


def tracing_plan_report(made: TracingPlan) -> Document:
    """How many blocks and keys it takes to trace a leak."""
    who = "a single leaker" if made.colluders == 1 else f"a coalition of {made.colluders}"
    title = f"To trace {who} among {counted(made.licensees, 'licensee')}, at alpha {made.alpha:g}"
    rows = [
        ("blocks to embed, at least", str(made.blocks)),
        ("fingerprints to make, at least", f"{made.keys}: {made.per_block} in each block"),
        ("blocks after which half of such leaks are traced", str(made.median)),
        ("chance that a leaker is named", percent(made.power)),
        ("strategy that takes the most blocks", made.strategy.replace("_", " ")),
    ]
    how = f"--method blocks --blocks {made.blocks}"
    after = f"Make them with --num-fingerprints {made.keys}, embed with {how}, issue with --colluders {made.colluders}."
    return Document(title, (Table.of(title, ("", ""), rows), after), made.model_dump(mode="json") | {"keys": made.keys})
