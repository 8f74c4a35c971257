"""What licensing found, as documents: the book, traces, and how many blocks it takes."""

from collections.abc import Sequence
from pathlib import Path

from insignia.licensing.accusation import AuditedAccusation
from insignia.licensing.book import Book
from insignia.licensing.findings import TraceReport
from insignia.reporting.base import Document, Table, report_of
from insignia.statistics.collusion import TracingPlan
from insignia.terminal import counted, percent

__all__ = ["accusation_report", "book_report", "trace_status", "traces_report", "tracing_plan_report"]


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


def accusation_report(found: AuditedAccusation, name: str, *, published: bool) -> Document:
    """What an accusation comes to; ``published``: both commitments are those that the judge holds."""
    made, proof = found.accusation, found.proof
    who = made.accused.licensee
    title = f"{name}: everything holds"
    rows = [
        ("accused", f"{who}, number {made.accused.number + 1} of {counted(made.codes.size, 'licensee')}"),
        ("code word", "committed to, and drawn by the law of the code"),
        ("commitment to code words, signed at, as the owner says", made.codes.created),
        ("suspect, as the owner says", found.suspect),
        ("keys asked, left out by the owner", f"{len(made.openings)}, {proof.left_out}"),
        ("p-value, for all licensees and the owner's choices", f"{proof.p_value:.3g}"),
        ("controls, which are nobody's copy", str(len(found.controls)) if found.controls else "none was asked"),
    ]
    said = {
        "owned": f"{found.suspect} comes from the copy of {who}. The owner has this copy, too: who leaked it is not proven.",
        "not_shown": f"It is not shown that {found.suspect} comes from the copy of {who}.",
        "inconclusive": "Nothing is decided.",
    }
    lines = [said[found.outcome], *(f"Reason: {reason}." for reason in found.reasons)]
    if not published:
        lines.append("Compare both commitments with those that were published before the leak (--commitment, --codes).")
    if not found.controls:
        lines.append("Without a control, responses that the model without blocks gives anyway could have been written down.")
    data = proof._asdict() | {
        "outcome": found.outcome,
        "accused": who,
        "suspect": found.suspect,
        "reasons": list(found.reasons),
        "root": made.codes.root,
        "public_key": made.public_key,
        "controls": [each._asdict() for each in found.controls],
    }
    return Document(title, (Table.of(title, ("", ""), rows), *lines), data)


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
