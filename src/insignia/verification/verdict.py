"""Verdicts: the result of a test as a record."""

import math
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field

from insignia.figures import Axis, Curve, Figure
from insignia.records import Displayed, Record
from insignia.statistics.betting import Outcome
from insignia.suspects.base import Channel, RequestOptions
from insignia.terminal import once_in, printable
from insignia.verification.matching import Match

__all__ = ["SMALLEST_P_VALUE", "ControlFinding", "NullClaim", "Verdict"]

SMALLEST_P_VALUE = 5e-324
"""Smallest p-value that a float can hold."""

Growth = Annotated[tuple[float, ...], Field(exclude_if=lambda value: not value)]
"""Log10 of the e-value after each key asked, in the order of asking; empty in what version 0.1.0 wrote."""


class NullClaim(Record):
    """The null of a verdict."""

    kind: str
    """Kind of the null: design, reference, declared, or the name of a plug-in's."""
    bound: float
    """Largest probability that an innocent model hits one trial."""


class ControlFinding(Record):
    """The result of a control."""

    name: str
    """Name of the control."""
    hits: int
    trials: int
    unanswered: int
    p_value: float
    """p-value under the suspect's rules."""
    transcript: str
    """``sha256:...`` of the last line of the control's transcript."""
    log10_e_values: Growth = ()
    """Log10 of the e-value after each key, as in the verdict."""

    @classmethod
    def of(cls, verdict: "Verdict") -> "ControlFinding":
        """Build the finding from the verdict on the control."""
        fields = {name: getattr(verdict, name) for name in cls.model_fields if name != "name"}
        return cls(name=verdict.suspect, **fields)


class Verdict(Displayed):
    """The outcome of a test and its basis. Holds no key and no response."""

    outcome: Outcome
    hits: int
    trials: int
    """Number of keys asked, including unanswered ones."""
    unanswered: int
    p_value: float
    """Anytime-valid p-value; after Holm's correction if several suspects were judged together."""
    e_value: float
    alpha: float
    suspects: int
    """Number of suspects that share alpha."""
    null: NullClaim
    keys_spent: tuple[int, ...]
    """Numbers of the fingerprints whose keys the suspect has seen."""
    suspect: str
    label: Annotated[str | None, Field(exclude_if=lambda value: value is None)] = None
    """The set that was asked, where a keyring has several."""
    transcript: str
    """``sha256:...`` of the transcript's last line."""
    match: Match
    manner: RequestOptions
    """Request options of the questions."""
    controls: tuple[ControlFinding, ...] = ()
    """Results of models that must not carry the mark."""
    sentence: str
    """The verdict in plain words."""
    grinding_bits: float | None = None
    """Log2 of the sets one would have to try to fit a chained set to this suspect (``tails.grinding_bits``). Keys chosen by
    the owner count as chosen from all. None for a set without a chain, whose responses can be written to fit."""
    graded: Annotated[bool, Field(exclude_if=lambda value: not value)] = False
    """Whether the evidence is the order of the candidates. Hits are then keys at which the suspect
    favours the secret response over its other candidates."""
    by_channel: Annotated[dict[Channel, int], Field(exclude_if=lambda value: not value)] = {}
    """Number of answered keys by channel; empty for a test of hits by text."""
    near: Annotated[int | None, Field(exclude_if=lambda value: value is None)] = None
    """Keys whose response was among the first token's alternatives, as the server reports them. A hint that does not affect
    the outcome; None if no alternatives were given."""
    log10_e_values: Growth = ()
    """Log10 of the e-value after each of the ``keys_spent``."""

    @property
    def heading(self) -> str:
        """The sentence."""
        return self.sentence

    def summary(self) -> list[tuple[str, str]]:
        """What it rests on."""
        return [
            ("suspect", self.suspect),
            ("outcome", self.outcome.replace("_", " ")),
            ("hits", f"{self.hits} of {self.trials - self.unanswered} answered, {self.unanswered} unanswered"),
            ("p-value", f"{self.p_value:.2g}, {self.alpha:g} was asked for"),
        ]

    def figures(self) -> list[Figure]:
        """The evidence as it grew with the keys asked, beside that of the controls."""
        if not self.log10_e_values:
            return []
        threshold = math.log10(self.suspects / self.alpha)
        others = [(f"control: {each.name}", each.log10_e_values) for each in self.controls]
        curves = [Curve(name, _thinned((0.0, *values))) for name, values in [(self.suspect, self.log10_e_values), *others]]
        about = (
            f"How often an unrelated model gets as far as {self.suspect} did, by number of keys asked: "
            f"{_rare(self.log10_e_values)}. The proof asked for is once in {once_in(10**-threshold)}."
        )
        if self.controls:
            about += f" Of the controls: {_rare([value for each in self.controls for value in each.log10_e_values])}."
        axes = (Axis("keys asked"), Axis("by chance, once in", powers=True))
        return [Figure("Evidence, key by key", about, *axes, tuple(curves), (threshold, "the proof asked for"))]

    def __str__(self) -> str:
        return printable(self.sentence)


def _rare(logs: Sequence[float]) -> str:
    """How rare the best of these is."""
    best = max((0.0, *logs))
    return f"at best once in {once_in(max(SMALLEST_P_VALUE, 10**-best))}" if best > 0 else "no further than chance"


def _thinned(values: tuple[float, ...]) -> tuple[tuple[float, float], ...]:
    """The values by number; of many, so many evenly that a picture shows them, and the last."""
    step, last = 1 + len(values) // 256, len(values) - 1
    return tuple((number, values[number]) for number in range(last + 1) if number % step == 0 or number == last)
