"""Records of what is left of marks after attacks, and what each attack cost the attacker."""

import math
from collections.abc import Iterator
from typing import Annotated, Any, Literal

from pydantic import Field

from insignia.figures import Axis, Curve, Figure
from insignia.records import Displayed, Provenance, Record, Share
from insignia.statistics.betting import Outcome
from insignia.suspects.base import CHANNELS, Channel
from insignia.terminal import counted, percent

__all__ = ["UNATTACKED", "AttackOutcome", "AttackedMark", "FailedAttack", "Proof", "Robustness", "SuspectKind"]

UNATTACKED = "none"
"""Name of the attack that does nothing. Its rows are what the others are compared with."""

SuspectKind = Literal["marked", "unmarked", "sibling"]
"""What was attacked and asked: the marked model, the base, or the base after somebody else's fine-tuning."""


class Proof(Record):
    """What the test of ``verify`` found by one channel. The keys came in the order that the set's secret fixes."""

    outcome: Outcome
    keys: int
    """Keys asked until the test ended."""
    p_value: float
    """p-value when the test ended."""
    p_value_of_all: float
    """p-value after all keys of the set."""

    @property
    def owned(self) -> bool:
        """Whether it proves the mark."""
        return self.outcome == "owned"


class AttackedMark(Record):
    """A mark before any attack."""

    name: str
    strategy: Annotated[str, Field(repr=False)]
    num_fingerprints: int
    perplexity: float
    """Ratio of held-out perplexities, marked model / base."""


class AttackOutcome(Record):
    """What one set of keys finds in one model after one attack. A control has a row for each set that it was asked.

    Attacks that use a mark's secret have no controls: in an innocent model they leave something of the secret.
    """

    mark: str
    """Name of the mark whose keys were asked."""
    attack: str
    """Name of the attack in the grid; ``none`` for the model as it was."""
    strength: str
    """The settings that differ among the attacks of this name; empty if none does."""
    on: Literal["nothing", "weights", "host"]
    spec: Annotated[dict[str, Any], Field(repr=False)]
    """The attack and its settings. $base, $sibling, $prints, $vector and $data stand for what they were."""
    suspect: SuspectKind
    fsr: Share
    """Share of the answered keys whose reply in text begins with the response."""
    hits: int
    answered: int
    by_channel: dict[Channel, Proof]
    """Strongest channel first. Empty if how often an innocent model hits is unknown for the set."""
    perplexity: float | None
    """Ratio of held-out perplexities, attacked model / the same model before. None: a host leaves the weights as they are."""
    changed: Share
    """Share of ordinary prompts to which the reply begins with another token than before the attack."""
    reply_length: float | None
    """Ratio of the mean lengths of replies to them, in characters, after / before. None: there were no replies before."""
    seconds: float
    """Time of the attack, without asking. A control is attacked once for all marks."""

    @property
    def label(self) -> str:
        """Attack and strength."""
        return f"{self.attack} {self.strength}".rstrip()

    @property
    def owned(self) -> bool:
        """Whether some channel proves the mark."""
        return any(proof.owned for proof in self.by_channel.values())

    @property
    def strongest(self) -> Proof | None:
        """What the strongest channel that was asked found."""
        return next((self.by_channel[channel] for channel in CHANNELS if channel in self.by_channel), None)


class FailedAttack(Record):
    """An attack that could not be made or asked after."""

    mark: str
    """Empty for a control, which is one of all marks."""
    attack: str
    strength: str
    suspect: SuspectKind
    reason: str


class Robustness(Displayed):
    """The whole grid, marks x attacks x strengths, each beside controls. No secret is in it."""

    kind: Literal["insignia/robustness"] = "insignia/robustness"
    schema_version: Literal[1] = 1
    model: str
    """The base of all marks."""
    alpha: float
    seed: int
    marks: tuple[AttackedMark, ...]
    rows: tuple[AttackOutcome, ...] = Field(repr=False)
    failed: tuple[FailedAttack, ...] = ()
    provenance: Provenance

    @property
    def accused(self) -> tuple[AttackOutcome, ...]:
        """Controls in which a mark was found that they cannot have. If there is one, the grid proves nothing."""
        return tuple(row for row in self.rows if row.suspect != "marked" and row.owned)

    @property
    def heading(self) -> str:
        """How much was attacked."""
        attacks = {row.label for row in self.rows if row.attack != UNATTACKED}
        return f"{counted(len(self.marks), 'mark')} of {self.model} after {counted(len(attacks), 'attack')}"

    def summary(self) -> list[tuple[str, str]]:
        """How many attacks each of the first marks outlived, and whether a control was accused."""
        controls = sum(row.suspect != "marked" for row in self.rows)
        return [
            *((mark.name, self._survived(mark.name)) for mark in self.marks[:4]),
            ("controls", f"{len(self.accused)} of {controls} owned"),
        ]

    def figures(self) -> list[Figure]:
        """The evidence that is left of the marks, against what an attack cost the attacker."""
        sides = (
            (
                "weights",
                Axis("perplexity after / before", logarithmic=True),
                "Left after attacks on the weights",
                "The evidence of all keys, by the strongest channel and by text, against the model's perplexity.",
            ),
            (
                "host",
                Axis("ordinary replies that changed, %"),
                "Left behind a host",
                "The evidence of all keys, by the strongest channel and by text, against the ordinary replies that changed.",
            ),
        )
        evidence = Axis("by chance, once in", powers=True)
        threshold = (-math.log10(self.alpha), "the proof asked for")
        found = []
        for on, cost, title, about in sides:
            curves = tuple(curve for mark in self.marks for curve in self._left(mark.name, on))
            wanted = f"{about} An attacker wants to be below the dashed line and far to the left; steps join the best attacks."
            found += [Figure(title, wanted, cost, evidence, curves, threshold, front=True)] if curves else []
        return found

    def _left(self, mark: str, on: str) -> Iterator[Curve]:
        """Cost and evidence of each attack, by the strongest channel and by the weakest."""
        own = [row for row in self.rows if (row.mark, row.suspect, row.on) == (mark, "marked", on)]
        channels = [channel for channel in CHANNELS if any(channel in row.by_channel for row in own)]
        for channel in dict.fromkeys((*channels[:1], *channels[-1:])):
            points, names = [], []
            for row in own:
                cost = 100 * row.changed if on == "host" else row.perplexity
                if channel in row.by_channel and cost is not None:
                    points.append((cost, -math.log10(row.by_channel[channel].p_value_of_all)))
                    names.append(row.label)
            if points:
                yield Curve(f"{mark}, {channel}", tuple(points), tuple(names), joined=False)

    def _survived(self, mark: str) -> str:
        own = [row for row in self.rows if (row.mark, row.suspect) == (mark, "marked") and row.attack != UNATTACKED]
        by_text = sum("text" in row.by_channel and row.by_channel["text"].owned for row in own)
        owned = sum(row.owned for row in own)
        share = percent(owned / len(own)) if own else "-"
        return f"owned after {owned} of {counted(len(own), 'attack')} ({share}), after {by_text} by text alone"
