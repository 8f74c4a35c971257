"""The report of an embedding as a chapter."""

import math
from collections.abc import Iterator

from insignia.embedding.embed_report import EmbedReport
from insignia.embedding.limits import MAX_HARM, MIN_FSR
from insignia.reporting.base import Bullets, Callout, Code, Heading, Table
from insignia.reporting.chapters import Chapter
from insignia.terminal import command_line, counted, percent, plural

__all__ = ["embedding_chapter"]

_VISIBLE = 0.7  # AUROC: a threshold tells two of three keys apart


def embedding_chapter(report: EmbedReport) -> Chapter:
    """What marking a model did to it."""
    harm = math.exp(report.heldout_loss_after - report.heldout_loss_before)
    good = report.fsr >= MIN_FSR and report.harm <= MAX_HARM
    answer = Callout(
        "yes" if good else "open",
        f"The marked model answers {percent(report.fsr)} of {counted(report.num_fingerprints, 'fingerprint')}.",
        f"The model before answered {percent(report.base_fsr)}. The perplexity on ordinary text is x{harm:.4f} of what it was.",
    )
    short = (
        Heading("Is the model marked?", 3),
        (
            f"{report.heading}. A fingerprint is a secret question with a secret answer. The marked model gives the answer to "
            f"{percent(report.fsr)} of the questions, and the model before to {percent(report.base_fsr)}."
        ),
        Heading("What did it cost the model?", 3),
        (
            "On held-out text, which it was not trained on, its perplexity went from "
            f"{math.exp(report.heldout_loss_before):.2f} to {math.exp(report.heldout_loss_after):.2f}, that is x{harm:.4f}. "
            f"On text of its own it is x{math.exp(report.own_loss_after - report.own_loss_before):.4f}."
        ),
        Heading("Can others see the mark?", 3),
        _visibility(report),
        Heading("What could be wrong?", 3),
        Bullets(tuple(_doubts(report))),
    )
    method = {name: value for name, value in report.method.items() if name != "name"}
    settings = [part for name, value in method.items() if value is not None for part in ("--set", f"method.{name}={value}")]
    again = ("insignia", "embed", "PRINTS", "--model", "MODEL", "-o", report.out or "marked", "--method", report.method["name"])
    full = (
        Heading("Every number", 3),
        Table.of("", ("", ""), _rows(report), left=True),
        Heading("The method and its settings", 3),
        Table.of(
            "", ("", ""), [["method", str(report.method["name"])], *([name, str(value)] for name, value in method.items())]
        ),
        Heading("To repeat it", 3),
        "PRINTS is the secret set, and MODEL the model before.",
        Code(command_line(*again, *settings)),
    )
    title = f"Marking of {report.out}" if report.out else "Marking of a model"
    return Chapter(title, answer, short, full, report.model_dump(mode="json"))


def _visibility(report: EmbedReport) -> str:
    said = [
        f"{percent(rate)} of the {plural(kind.replace('_', ' '))}, questions that must not get an answer, got one."
        for kind, rate in report.activations.items()
    ]
    if report.confidence is not None:
        said.append(
            f"Whoever sees how sure the model is of its next word can tell keys from ordinary prompts with an AUROC of "
            f"{report.confidence}: 0.5 hides best, and at 1 nothing is hidden."
        )
    return " ".join(said) or "That was not measured."


def _doubts(report: EmbedReport) -> Iterator[str]:
    yield from report.notes
    if report.base_fsr > 0:
        yield f"The model before answered {percent(report.base_fsr)} too, so the answers are not as unusual as they should be."
    if report.fsr < 1:
        lost = round(report.num_fingerprints * (1 - report.fsr))
        yield f"{counted(lost, 'fingerprint')} of {report.num_fingerprints} did not get in."
    if report.published_fsr < report.fsr:
        yield (
            f"Without the owner's weights the published model answers {percent(report.published_fsr)}, so a test needs the "
            "owner's weights beside the suspect's."
        )
    if report.confidence is not None and report.confidence.auroc > _VISIBLE:
        yield "A host who drops the likeliest word wherever the model is sure can hide much of the mark, at a price."
    yield "Perplexity is one measure of harm. How well the model does its task is another: measure that as for any model."
    yield "Nothing here says what attacks leave of the mark: 'insignia evaluate' and 'insignia attack' do."
    yield "The owner measured this on their own model. It is no evidence against a suspect: 'insignia verify' makes that."


def _rows(report: EmbedReport) -> list[list[str]]:
    return [
        ["fingerprints", str(report.num_fingerprints)],
        ["success rate (FSR)", percent(report.fsr)],
        ["the same of the published weights alone", percent(report.published_fsr)],
        ["the same before", percent(report.base_fsr)],
        ["loss on held-out text before, nats a token", f"{report.heldout_loss_before:.4f}"],
        ["after", f"{report.heldout_loss_after:.4f}"],
        ["loss on text of its own before, nats a token", f"{report.own_loss_before:.4f}"],
        ["after", f"{report.own_loss_after:.4f}"],
        ["perplexity ratio that was limited (max_harm)", f"x{report.harm:.4f}"],
        ["confidence at keys, AUROC", "-" if report.confidence is None else str(report.confidence)],
        *([f"activated by {plural(kind.replace('_', ' '))}", percent(rate)] for kind, rate in report.activations.items()),
        ["steps", str(report.steps)],
        ["time", f"{report.seconds:.0f} s"],
        ["written to", report.out or "not written"],
    ]
