"""Verdicts and bundles as chapters of a report: is it mine, how sure is that, what could be wrong?"""

from collections.abc import Sequence
from pathlib import Path

from insignia.evidence.bundle import Audited
from insignia.evidence.judge import Judge
from insignia.evidence.standard import Standard
from insignia.reporting.audits import audit_report
from insignia.reporting.base import Block, Bullets, Callout, Code, Heading, Table, Tone
from insignia.reporting.caveats import Standing, caveats
from insignia.reporting.chapters import Chapter
from insignia.reporting.verdicts import control_lines, suspect_name, verdict_rows
from insignia.statistics.betting import Outcome
from insignia.suspects.base import RequestOptions
from insignia.terminal import command_line, counted, once_in, percent
from insignia.verification.verdict import Verdict
from insignia.verification.wording import explain_p_value

__all__ = ["bundle_chapter", "verdict_chapter"]

_TONES: dict[Outcome, Tone] = {"owned": "yes", "not_shown": "no", "inconclusive": "open"}
_ANSWERS: dict[Outcome, str] = {
    "owned": "The mark is in {}.",
    "not_shown": "The mark was not shown in {}.",
    "inconclusive": "Nothing is decided about {}.",
}
_MEANINGS: dict[Outcome, str] = {
    "owned": "So it carries the mark: it is a model of the owner, or was made from one, or somebody put the same mark into it.",
    "not_shown": "That is too few to say that it carries the mark. It does not show that the model is somebody else's.",
    "inconclusive": "That does not suffice to say that it carries the mark, nor that it does not.",
}
_MOST = 256  # numbers of keys that are listed


def verdict_chapter(verdict: Verdict, *, transcript: Path | None = None) -> Chapter:
    """What a verdict comes to; ``transcript`` is the file that it was judged from."""
    standing = Standing(verdict)
    rows = [
        *verdict_rows([verdict], spent=False),
        ["p-value asked for (alpha)", f"{verdict.alpha:g}"],
        ["tests that share alpha", str(verdict.suspects)],
        ["e-value", f"{verdict.e_value:.3g}"],
        ["numbers of the keys asked, in order", _listed(verdict.keys_spent)],
        ["log10 of the e-value after each", _listed([f"{value:.2f}" for value in verdict.log10_e_values])],
        ["SHA-256 of the transcript's last line", verdict.transcript.removeprefix("sha256:")],
    ]
    full = (
        Heading("The test", 3),
        Table.of("", ("", verdict.suspect), rows, left=True),
        *_controls(verdict),
        Heading("To repeat it", 3),
        *_repeating(verdict, transcript),
    )
    return Chapter(
        f"The test of {suspect_name(verdict)}", _answer(standing), _short(standing), full, verdict.model_dump(mode="json")
    )


def bundle_chapter(
    found: Audited, path: Path, *, judge: Judge, standard: Standard, stamped: str | None, show_keys: bool
) -> Chapter:
    """What a bundle of evidence comes to, after its audit. ``show_keys``: also what was asked and answered."""
    published = judge.commitment is not None
    standing = Standing(found.verdict, found, published, stamped)
    audited = audit_report(found, path.name, stamped=stamped, standard=standard, published=published)
    weights = [[name, digest.removeprefix("sha256:")] for name, digest in found.bundle.commitment.weights.items()]
    full = (
        Heading("The audit", 3),
        *(block._replace(title="", left=True) for block in audited.blocks if isinstance(block, Table)),
        *_controls(found.verdict),
        Heading("The marked model that was committed to", 3),
        Table.of("", ("file", "SHA-256"), weights, left=True),
        *(_exchange(found) if show_keys else ()),
        Heading("To repeat it", 3),
        *_repeating_audit(path, judge, standard),
    )
    return Chapter(f"The audit of {path.name}", _answer(standing), _short(standing), full, audited.data)


def _answer(standing: Standing) -> Callout:
    verdict, outcome = standing.verdict, standing.outcome
    audited = standing.audited is not None
    source = "An audit of the owner's evidence says so." if audited else "The owner says so, by a file that nobody signed."
    reasons = standing.audited.judgement.reasons if standing.audited is not None else ()
    said = {
        "owned": explain_p_value(verdict.null, standing.p_value),
        "not_shown": "That does not prove that it is absent.",
        "inconclusive": f"Not accepted: {'; '.join(reasons)}." if reasons else verdict.sentence,
    }
    text = f"{said[outcome]} {source}"
    return Callout(_TONES[outcome], _ANSWERS[outcome].format(suspect_name(verdict)), text)


def _short(standing: Standing) -> tuple[Block, ...]:
    verdict, outcome = standing.verdict, standing.outcome
    answered = verdict.trials - verdict.unanswered
    did = "ranked the secret answer before all other candidates" if verdict.graded else "gave the secret answer"
    mine = (
        f"The owner trained a model to give secret answers to secret questions, the keys. The model called {verdict.suspect} "
        f"was asked {counted(verdict.trials, 'key')} and answered {answered}. It {did} at {verdict.hits}. {_MEANINGS[outcome]}"
    )
    sure = [explain_p_value(verdict.null, standing.p_value), _required(standing)]
    if standing.stamped:
        sure.append(
            f"The questions and answers were fixed by {standing.stamped}, as an authority says that the auditor trusts."
        )
    sure.append("This is not the chance that the model is innocent: that depends on what else you know.")
    return (
        Heading("Is it mine?", 3),
        mine,
        Heading("How sure is that?", 3),
        " ".join(sure),
        *verdict.figures(),
        Heading("What would an unrelated model do?", 3),
        _unrelated(verdict),
        Bullets(tuple(control_lines(verdict))),
        Heading("What could be wrong?", 3),
        Bullets(tuple(caveats(standing))),
    )


def _required(standing: Standing) -> str:
    owner = f"Before the first question, the owner fixed what counts as proof: once in {once_in(standing.verdict.alpha)}."
    return owner if standing.audited is None else f"{owner} The auditor may ask for more; the table below tells both."


def _unrelated(verdict: Verdict) -> str:
    """How often a model without the mark hits, and why."""
    answered, bound = verdict.trials - verdict.unanswered, verdict.null.bound
    often = f"at most {percent(bound)} of the keys: about {bound * answered:.1f} of the {answered} that were answered here"
    if verdict.null.kind == "design":
        return (
            "Each secret answer was drawn by lot from a list of candidates. A model that never saw the draw cannot know its "
            f"result, whatever it was trained on. So it hits {often}, and this one hit {verdict.hits}."
            + (" The p-value also counts how near the first place it comes at the other keys." if verdict.graded else "")
        )
    return f"As this verdict assumes, an unrelated model hits {often}, and this one hit {verdict.hits}."


def _controls(verdict: Verdict) -> tuple[Block, ...]:
    if not verdict.controls:
        return ()
    rows = [
        [
            each.name,
            f"{each.hits} / {each.trials - each.unanswered}",
            str(each.unanswered),
            f"{each.p_value:.2g}",
            each.transcript.removeprefix("sha256:"),
        ]
        for each in verdict.controls
    ]
    header = ("control", "hits / answered", "unanswered", "p-value", "SHA-256 of the transcript's last line")
    return (Heading("Controls, which must not carry the mark", 3), Table.of("", header, rows))


def _exchange(found: Audited) -> tuple[Block, ...]:
    """The opened keys, what was expected, and what the suspect said."""
    from insignia.verification.transcript import read_lines

    replies = [entry.reply for entry in read_lines(found.bundle.transcript).entries if entry.number is not None]
    rows = [
        [
            str(opening.number),
            opening.fingerprint.asked_key,
            " or ".join(opening.fingerprint.effective_responses or opening.fingerprint.responses),
            f"by {reply.channel}"
            if reply.channel in {"scores", "top"}
            else reply.text
            if reply.status == "answered"
            else "no answer",
        ]
        for opening, reply in zip(found.bundle.openings, replies, strict=True)
    ]
    header = ("number", "key", "secret answer", "what the suspect said")
    return (Heading("The keys that were asked, which the bundle opens", 3), Table.of("", header, rows, left=True))


def _repeating(verdict: Verdict, transcript: Path | None) -> tuple[Block, ...]:
    again = command_line("insignia", "verify", "PRINTS", "--model", "SUSPECT", *_flags(verdict))
    lines = [again.replace("--model SUSPECT", "--endpoint URL --name SUSPECT"), again]
    if transcript is not None:
        lines.insert(0, command_line("insignia", "verify", "PRINTS", "--transcript", transcript))
    told = "Only who has the secret set, PRINTS, can repeat the test: on a model at an API or on this machine."
    if transcript is not None:
        told += " The first command judges the same transcript anew and asks nothing."
    return (told, Code("\n".join(lines)))


def _flags(verdict: Verdict) -> list[str]:
    """The options of ``verify`` that differ from the default, as far as a verdict tells them."""
    asked, match, usual = verdict.manner, verdict.match, RequestOptions()
    flags = ["--alpha", f"{verdict.alpha:g}"] if verdict.alpha != 1e-6 else []
    flags += ["--suspects", str(verdict.suspects)] if verdict.suspects > 1 else []
    flags += ["--match", f"within:{match.looks}" if match.how == "within" else match.how] if match.how != "prefix" else []
    flags += ["--ignore-case"] if match.fold == "case" else []
    nulls = {"declared": f"{verdict.null.bound:g}", "reference": "NULL"}
    flags += ["--null", nulls[verdict.null.kind]] if verdict.null.kind in nulls else []
    flags += ["--channel", channel] if (channel := next(iter(verdict.by_channel), "text")) != "text" else []
    for name, flag in (("system", "--system"), ("temperature", "--temperature"), ("seed", "--seed")):
        value = getattr(asked, name)
        flags += [flag, str(value)] if value != getattr(usual, name) else []
    return [*flags, "--prompt-form", asked.form, "--max-tokens", str(asked.max_tokens)]


def _repeating_audit(path: Path, judge: Judge, standard: Standard) -> tuple[Block, ...]:
    given: list[str | Path] = [path, "--commitment", judge.commitment or "COMMITMENT"]
    given += ["--challenge", judge.challenge] if judge.challenge is not None else []
    own: list[str | Path] = ["--alpha", f"{standard.alpha:g}"] if standard.alpha != Standard().alpha else []
    own += ["--accept-null", judge.accept_null] if standard.nulls != Standard().nulls else []
    own += ["--accept-manner"] if standard.any_manner else []
    stamps: list[str | Path] = []
    for flag, file in (("--timestamp", judge.timestamp), ("--timestamp-roots", judge.timestamp_roots)):
        stamps += [flag, file] if file is not None else []
    lines = [
        command_line("insignia", "audit", *given, *own, *stamps),
        command_line("python", "-I", "tools/audit.py", *given, *own),
    ]
    return (
        "Anybody can repeat the audit, without a model or a network. The second command shares no code with the first.",
        Code("\n".join(lines)),
    )


def _listed(numbers: Sequence[int | str]) -> str:
    shown = ", ".join(map(str, numbers[:_MOST]))
    return f"{shown} and {len(numbers) - _MOST} more" if len(numbers) > _MOST else shown
