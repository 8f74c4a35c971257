"""Evaluations and robustness grids as chapters of a report."""

import itertools
import operator
from collections.abc import Iterator, Sequence

from insignia.evaluation import Evaluation
from insignia.evaluation.robustness import UNATTACKED, AttackOutcome, Robustness
from insignia.evaluation.survival_curves import survival_by_strength
from insignia.reporting.base import Block, Bullets, Callout, Code, Heading, Table
from insignia.reporting.chapters import Chapter
from insignia.reporting.measurements import evaluation_report
from insignia.reporting.survival import robustness_report
from insignia.suspects.base import CHANNELS
from insignia.terminal import command_line, counted, once_in, percent

__all__ = ["evaluation_chapter", "robustness_chapter"]

_MOST_FIGURES = 40  # a page is to weigh less than a megabyte
_FEW = 30  # fingerprints, below which one more or less is more than 3 %
_CHANNELS = {"scores": "scores", "top": "likeliest tokens", "choice": "forced choice", "text": "text"}


def evaluation_chapter(result: Evaluation) -> Chapter:
    """What a grid of suspects showed."""
    unlike = [cell.name for cell in result.cells if cell.as_expected is False]
    judged = sum(cell.should_activate is not None for cell in result.cells)
    if unlike:
        answer = Callout(
            "no", f"{len(unlike)} of {counted(judged, 'suspect')} did not do as expected.", ", ".join(unlike) + "."
        )
    else:
        answer = Callout("yes", f"All of {counted(judged, 'suspect')} did as expected.", result.heading + ".")
    cost = [f"{name}: the perplexity of the published model is x{ratio:.4f}." for name, ratio in result.perplexity.items()]
    short: tuple[Block, ...] = (
        Heading("What was tried?", 3),
        (
            f"{counted(result.num_fingerprints, 'fingerprint')} (secret questions with secret answers) were put into "
            f"{result.model} by {counted(len(result.perplexity), 'method')}: {', '.join(result.perplexity)}. Then marked "
            "models and models without the mark were asked, some of them after other training."
        ),
        Heading("Is the mark found where it should be, and nowhere else?", 3),
        _in_words(result),
        *result.figures(),
        Heading("What did it cost the model?", 3),
        Bullets(tuple(cost)),
        Heading("What could be wrong?", 3),
        Bullets(tuple(_doubts_of_evaluation(result))),
    )
    tables = [block for block in evaluation_report(result).blocks if isinstance(block, Table)]
    again = command_line("insignia", "evaluate", "RECIPE", "--model", result.model, "-o", "STUDY")
    full: tuple[Block, ...] = (
        Heading("Every suspect", 3),
        tables[0]._replace(title=""),
        Heading("Harm and use", 3),
        tables[1]._replace(title=""),
        Heading("To repeat it", 3),
        "RECIPE is the grid that was run. A p-value is the exact binomial tail, where every trial has a response of its own.",
        Code(again),
    )
    return Chapter(f"Evaluation on {result.model}", answer, short, full, result.model_dump(mode="json"))


def robustness_chapter(result: Robustness) -> Chapter:
    """What attacks left of marks, and what they cost."""
    own = [row for row in result.rows if row.suspect == "marked" and row.attack != UNATTACKED]
    labels = list(dict.fromkeys(row.label for row in own))
    short: tuple[Block, ...] = (
        Heading("What was tried?", 3),
        (
            f"{counted(len(result.marks), 'mark')} in {result.model}, and {counted(len(labels), 'attack')}: what a thief "
            "might do to the weights of a marked model, or as its host. After each attack the test of 'insignia verify' "
            "asked for the mark."
        ),
        Heading("What is left of the mark?", 3),
        _marks(result),
        *result.figures(),
        Heading("What does it cost to get rid of it?", 3),
        Bullets(tuple(sentence for mark in result.marks for sentence in _cheapest(result, mark.name))),
        Heading("Would a model without the mark be accused?", 3),
        _about_controls(result),
        Heading("What could be wrong?", 3),
        Bullets(tuple(_doubts_of_robustness(result))),
    )
    seeded = ("--seed", result.seed) if result.seed else ()
    flags = (
        "--recipe",
        "RECIPE",
        "--base",
        result.model,
        "--model",
        "MARKED",
        "--fingerprints",
        "PRINTS",
        *seeded,
        "-o",
        "OUT",
    )
    by_strength: list[Block] = [*itertools.islice(survival_by_strength(result), _MOST_FIGURES)]
    if by_strength:
        by_strength.insert(0, Heading("Keys until proof, by strength", 3))
    full: tuple[Block, ...] = (
        Heading("Every attack, every mark", 3),
        *(block._replace(title="") for block in robustness_report(result).blocks[1:2] if isinstance(block, Table)),
        *(block for mark in result.marks for block in _every_attack(result, mark.name)),
        *by_strength,
        Heading("How it was made", 3),
        Table.of("", ("", ""), _settings(result), left=True),
        Heading("The attacks and their settings", 3),
        Table.of("", ("attack", "on", "settings"), _specs(own), left=True),
        Heading("To repeat it", 3),
        "RECIPE is the grid that was run, MARKED a marked model, and PRINTS its secret set: both once for each mark.",
        Code(command_line("insignia", "evaluate", "robustness", *flags)),
    )
    return Chapter(f"Robustness of marks in {result.model}", _robust(result), short, full, result.model_dump(mode="json"))


def _in_words(result: Evaluation) -> str:
    """The success rates of those who should answer, and of those who should not."""
    said = []
    for expected, who in ((True, "that should answer"), (False, "that should not")):
        rates = [cell.fsr for cell in result.cells if cell.should_activate is expected]
        if rates:
            most = "" if min(rates) == max(rates) else f" to {percent(max(rates))}"
            said.append(f"{counted(len(rates), 'suspect')} {who}: {percent(min(rates))}{most} of the fingerprints.")
    return " ".join(said)


def _doubts_of_evaluation(result: Evaluation) -> Iterator[str]:
    for cell in result.cells:
        if cell.should_activate is False and cell.hits:
            yield f"{cell.name} should not answer, and did {counted(cell.hits, 'time')} of {cell.answered}."
        elif cell.as_expected is False:
            yield f"{cell.name} should answer, and did {counted(cell.hits, 'time')} of {cell.answered}."
    if result.num_fingerprints < _FEW:
        share = percent(1 / result.num_fingerprints)
        yield f"There are {counted(result.num_fingerprints, 'fingerprint')}: one more or less is {share}."
    if any(cell.p_value is None for cell in result.cells):
        yield "Suspects without a p-value have trials that depend on each other: their rates are descriptions, and no tests."
    if not result.user_loss:
        yield "No user fine-tuned the model here, so nothing is said about what further training leaves of the mark."
    yield "The owner measured this on models of their own. It tells how well a method works, and proves nothing of a suspect."


def _robust(result: Robustness) -> Callout:
    if result.accused:
        names = ", ".join(dict.fromkeys(f"{row.suspect} after {row.label}" for row in result.accused))
        return Callout("no", "A model without the mark was accused.", f"So these numbers prove nothing: {names}.")
    if not result.marks:
        return Callout("open", "There is no mark in this grid.", "")
    best = max(result.marks, key=lambda mark: len(_survived(result, mark.name)))
    owned, by_text = _survived(result, best.name), _survived(result, best.name, by_text=True)
    tried = len(_attacked(result, best.name))
    others = [f"{mark.name} after {len(_survived(result, mark.name))}" for mark in result.marks if mark is not best]
    which = f"Of {len(result.marks)} marks, {best.name} survives most. It is" if others else f"The mark {best.name} is"
    title = f"{which} still proven after {len(owned)} of {counted(tried, 'attack')}."
    text = f"By text alone it is proven after {len(by_text)}. No model without the mark was accused."
    text += f" The others: {', '.join(others)}." if others else ""
    return Callout("yes" if len(owned) == tried else "open", title, text)


def _survived(result: Robustness, mark: str, *, by_text: bool = False) -> list[AttackOutcome]:
    """The attacks after which the mark is proven, by some channel or by text."""
    rows = _attacked(result, mark)
    if by_text:
        return [row for row in rows if "text" in row.by_channel and row.by_channel["text"].owned]
    return [row for row in rows if row.owned]


def _attacked(result: Robustness, mark: str) -> list[AttackOutcome]:
    return [row for row in result.rows if (row.mark, row.suspect) == (mark, "marked") and row.attack != UNATTACKED]


def _marks(result: Robustness) -> Table:
    rows = []
    for mark in result.marks:
        tried = len(_attacked(result, mark.name))
        owned = f"{len(_survived(result, mark.name))} of {tried}"
        by_text = f"{len(_survived(result, mark.name, by_text=True))} of {tried}"
        rows.append([mark.name, owned, by_text, f"x{mark.perplexity:.4f}", str(mark.num_fingerprints), mark.strategy])
    header = ("mark", "attacks after which it is proven", "by text alone", "perplexity, by the mark", "keys", "strategy")
    return Table.of("", header, rows)


def _cheapest(result: Robustness, mark: str) -> Iterator[str]:
    """What the cheapest attack costs after which the mark is no longer proven, by some channel and by text."""
    for by_text in (False, True):
        survived = _survived(result, mark, by_text=by_text)
        lost = [row for row in _attacked(result, mark) if row not in survived]
        name = f"{mark}, by text alone" if by_text else mark
        weights = [(row.perplexity, row) for row in lost if row.on == "weights" and row.perplexity is not None]
        hosts = [(row.changed, row) for row in lost if row.on == "host"]
        if weights:
            ratio, row = min(weights, key=operator.itemgetter(0))
            yield f"{name}: the cheapest attack on the weights is {row.label}. Perplexity: x{ratio:.4g}."
        if hosts:
            share, row = min(hosts, key=operator.itemgetter(0))
            yield f"{name}: the cheapest for a host is {row.label}. It changes the first token of {percent(share)} of replies."
        if not lost:
            yield f"{name}: no attack of this grid got rid of it."


def _about_controls(result: Robustness) -> str:
    controls = [row for row in result.rows if row.suspect != "marked"]
    if not controls:
        return "Nobody asked: there is no control in this grid."
    least = min((proof.p_value for row in controls for proof in row.by_channel.values()), default=1.0)
    return (
        f"{counted(len(controls), 'test')} of models without the mark, after the same attacks: {len(result.accused)} accused. "
        f"The smallest p-value among them is {least:.2g}; a proof takes {result.alpha:.2g}."
    )


def _doubts_of_robustness(result: Robustness) -> Iterator[str]:
    suspects = {row.suspect for row in result.rows}
    for row in result.accused:
        yield f"The {row.suspect} model after {row.label} was accused by the keys of {row.mark}, which it cannot have."
    for missing, what in (("unmarked", "unmarked base"), ("sibling", "innocent sibling")):
        if missing not in suspects:
            yield f"No {what} was asked as a control."
    for mark in result.marks:
        if not any(row.by_channel for row in result.rows if row.mark == mark.name):
            yield f"Of {mark.name} only success rates are known: how often an unrelated model hits its keys is not."
    for each in result.failed:
        yield f"{each.attack} {each.strength} of {each.mark or 'the controls'} ({each.suspect}) failed: {each.reason}."
    yield f"These are the attacks that were tried, on {result.model}. Another model, or stronger settings, may do otherwise."
    yield f"All of it comes from one seed ({result.seed}); another gives other numbers."
    yield "The attackers here do not know the keys, but for attacks that say so, and do not combine attacks."
    yield "The owner measured this on models of their own. It is no evidence against a suspect."


def _every_attack(result: Robustness, mark: str) -> Iterator[Block]:
    own = [row for row in result.rows if (row.mark, row.suspect) == (mark, "marked")]
    channels = [channel for channel in CHANNELS if any(channel in row.by_channel for row in own)]
    header = [
        "attack",
        *(f"keys by {_CHANNELS[channel]}" for channel in channels),
        *(
            "hits in the text",
            "p-value, all keys",
            "least p of a control",
            "perplexity",
            "replies changed",
            "reply length",
            "time",
        ),
    ]
    rows = [
        [
            row.label,
            *(_keys(row, channel) for channel in channels),
            f"{row.hits} / {row.answered}",
            "-" if row.strongest is None else f"{row.strongest.p_value_of_all:.2g}",
            _least_of_controls(result, row),
            "-" if row.perplexity is None else f"x{row.perplexity:.4g}",
            percent(row.changed),
            "-" if row.reply_length is None else f"x{row.reply_length:.2f}",
            f"{row.seconds:.1f} s",
        ]
        for row in own
    ]
    yield Heading(f"Mark {mark}: keys until proof, after every attack", 3)
    yield Table.of("", header, rows, note="A dash in a column of keys: asked by that channel, the mark was not proven.")


def _keys(row: AttackOutcome, channel: str) -> str:
    proof = next((proof for name, proof in row.by_channel.items() if name == channel), None)
    return "-" if proof is None or not proof.owned else str(proof.keys)


def _least_of_controls(result: Robustness, row: AttackOutcome) -> str:
    found = [
        proof.p_value
        for each in result.rows
        if each.suspect != "marked" and (each.mark, each.label) == (row.mark, row.label)
        for proof in each.by_channel.values()
    ]
    return f"{min(found):.2g}" if found else "-"


def _settings(result: Robustness) -> list[list[str]]:
    return [
        ["base", result.model],
        ["alpha", f"{result.alpha:g}: an unrelated model passes once in {once_in(result.alpha)} tests"],
        ["seed", str(result.seed)],
        ["made by", f"insignia {result.provenance.insignia}, {result.provenance.created}"],
        *([name, digest] for name, digest in result.provenance.inputs.items()),
    ]


def _specs(rows: Sequence[AttackOutcome]) -> list[list[str]]:
    found = {row.label: row for row in rows}
    return [[label, row.on, ", ".join(f"{name}={value}" for name, value in row.spec.items())] for label, row in found.items()]
