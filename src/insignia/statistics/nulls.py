"""How often an innocent model hits: the assumption that a verdict rests on, by name.

Three are known, the strongest first. A *design* null needs no model at all: whatever an innocent suspect replies, the
owner's secret was drawn without it. A *reference* null is measured on models known to be innocent. A *declared* null is
the owner's word.
"""

import math
from abc import abstractmethod
from collections.abc import Sequence
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import BeforeValidator, Field, SerializeAsAny, ValidationError, ValidationInfo, model_validator
from pydantic_core import PydanticCustomError, to_json

from insignia.errors import InputError
from insignia.records import Part, Record
from insignia.registry import Registry, explain
from insignia.statistics.tails import log_poisson_binomial_tail, upper_limit

_MOST_TRIALS = 10_000_000  # of all models together: their limits take a second then
MOST_CANDIDATES = 65_536
"""Of one key. Bounds here and below keep a file of a few bytes from asking for hours; the largest sets of papers have 256."""
SMALLEST_CHANCE = 1e-100
"""Of anything in the rules: smaller numbers are beyond every use, and powers and products of them are no floats any more."""

__all__ = [
    "MOST_CANDIDATES",
    "NULLS",
    "SMALLEST_CHANCE",
    "AnyNull",
    "DeclaredNull",
    "DesignNull",
    "Null",
    "ReferenceNull",
    "ReferenceTrials",
    "null_named",
]


class Null(Part):
    """The claim to be refuted: that a trial hits with at most ``bound``, whatever the trials before it brought."""

    @property
    @abstractmethod
    def bound(self) -> float:
        """The largest chance, in [0, 1], with which an innocent model hits one trial."""

    @property
    def error(self) -> float:
        """The chance that the bound itself is wrong; 0.0 where it holds by construction."""
        return 0.0

    def bound_given(self, met: int) -> float:
        """The bound for a reply that would be a hit for ``met`` of the key's candidates, were they the response.

        It is the plain bound unless the null is sharpened by this knowledge. 0.0 says that the trial shows nothing.
        """
        return self.bound

    def log_p_value(self, hits: int, met: Sequence[int]) -> float:
        """The logarithm of the p-value of that many hits in answered trials whose replies met these candidates.

        It is valid when the number of trials was fixed beforehand and all are given. A test that stops when it likes
        what it sees has its own p-value: ``Tally.log_p_value``.

        Raises:
            InputError: the number of hits is negative, or a reply met more candidates than there are.
        """
        return self.corrected(log_poisson_binomial_tail(hits, [self.bound_given(count) for count in met]))

    def corrected(self, log_p: float) -> float:
        """The logarithm of a p-value under the bound, made valid by adding the chance that the bound is wrong.

        That is Berger and Boos's correction (J. Amer. Statist. Assoc. 89, 1994).
        """
        return min(0.0, float(math.log(self.error + math.exp(log_p)) if self.error else log_p))

    def level(self, alpha: float) -> float:
        """What is left of alpha for the test when the chance that the bound is wrong is taken from it.

        Raises:
            InputError: nothing is left.
        """
        if alpha <= self.error:
            raise InputError(
                f"alpha is {alpha} and the null may be wrong with a chance of {self.error}; "
                "expected an alpha above it: measure the null at a smaller error, or ask for less"
            )
        return alpha - self.error


class DesignNull(Null):
    """The owner's secret drew the accepted responses uniformly from k candidates that were fixed before the draw.

    The suspect's reply is given, the draw is the chance: so the bound holds in finite samples, for any model, however
    it replies and whatever it saw of earlier trials (statistics.md 3a, case 1).
    """

    name: Literal["design"] = "design"
    candidates: Annotated[int, Field(ge=2, le=MOST_CANDIDATES)]
    """k, of each key; the least where keys differ."""
    accepted: Annotated[int, Field(ge=1, le=MOST_CANDIDATES)] = 1
    """Responses that count as a hit, drawn without replacement; the most where keys differ."""
    looks: Annotated[int, Field(ge=1, le=MOST_CANDIDATES)] = 1
    """The most candidates that one reply can meet: 1 where it must begin with the response's token, n where the response
    may be any of its first n tokens."""

    @model_validator(mode="after")
    def _leaves_a_miss(self) -> Self:
        if self.accepted >= self.candidates:
            raise ValueError("every candidate is accepted; expected more candidates than accepted responses")
        return self

    @property
    def bound(self) -> float:
        """1/k for one accepted response and one look."""
        return self.bound_given(min(self.looks, self.candidates))

    def bound_given(self, met: int) -> float:
        """The chance that at least one of ``met`` candidates is accepted: met/k for one response.

        With it only replies inside the candidate set count: the p-value is P(Bin(n_in, 1/k) >= m) for single responses,
        n_in the trials that met a candidate.

        Raises:
            InputError: ``met`` is negative or more than k.
        """
        if not 0 <= met <= self.candidates:
            raise InputError(f"a reply met {met} candidates; expected 0 to {self.candidates}")
        # Exact whole numbers; the one rounding is that of the quotient.
        ways = math.comb(self.candidates, self.accepted)
        return (ways - math.comb(self.candidates - met, self.accepted)) / ways


class ReferenceTrials(Record):
    """What an innocent model did when asked as the suspect is asked; keys that it was asked are spent for it alone."""

    hits: Annotated[int, Field(ge=0)]
    trials: Annotated[int, Field(ge=1, le=_MOST_TRIALS)]

    @model_validator(mode="after")
    def _no_more_hits_than_trials(self) -> Self:
        if self.hits > self.trials:
            raise ValueError("more hits than trials")
        return self


class ReferenceNull(Null):
    """An innocent suspect hits no oftener than the worst of these innocent models would in the long run.

    The bound is the largest of their upper limits (Clopper and Pearson), each at the whole ``error``: the limit of the
    model that is worst in truth is among them, and it alone has to hold, so there is no price for many models. Models
    are not pooled: one that hits often would vanish among those that never do. With no hit in 1,024 trials at 1e-7 the
    bound is 0.016.

    The limit takes a model's trials for independent of each other. A model that repeats itself breaks that: if its hits come
    eight in a row, an innocent suspect is accused at alpha 0.001 in 29 % of tests. Only a design null excludes it.
    """

    name: Literal["reference"] = "reference"
    models: Annotated[tuple[ReferenceTrials, ...], Field(min_length=1, max_length=64)]
    risk: Annotated[float, Field(ge=SMALLEST_CHANCE, le=0.5)] = 1e-7  # a tenth of the usual alpha, which it is taken from
    """The chance that the bound is wrong."""

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if sum(model.trials for model in self.models) > _MOST_TRIALS:
            raise ValueError("more than 10 million trials in all")
        return self

    @cached_property
    def bound(self) -> float:
        """The largest upper limit."""
        return max(upper_limit(model.hits, model.trials, self.risk) for model in self.models)

    @property
    def error(self) -> float:
        """The risk at which the limits were taken."""
        return self.risk


class DeclaredNull(Null):
    """The owner says how often an innocent model hits; a reader of the verdict has to agree."""

    name: Literal["declared"] = "declared"
    chance: Annotated[float, Field(ge=SMALLEST_CHANCE, lt=1)]

    @property
    def bound(self) -> float:
        """The declared chance."""
        return self.chance


NULLS: Registry[Null] = Registry(
    "null",
    {
        "declared": "insignia.statistics.nulls:DeclaredNull",
        "design": "insignia.statistics.nulls:DesignNull",
        "reference": "insignia.statistics.nulls:ReferenceNull",
    },
    group="insignia.nulls",
)


def _from_data(value: Any, info: ValidationInfo) -> Any:
    """The null that plain data describes, as strictly as the record it stands in is read: JSON strictly, Python not."""
    if not isinstance(value, dict) or not isinstance(name := value.get("name"), str):
        return value
    try:
        kind = NULLS.get(name)
        return kind.model_validate_json(to_json(value), strict=True) if info.mode == "json" else kind.model_validate(value)
    except ValidationError as error:
        reason = explain(error, kind.model_fields)
    except InputError as error:
        reason = str(error)
    raise PydanticCustomError("null", "{reason}", {"reason": reason})


AnyNull = Annotated[SerializeAsAny[Null], BeforeValidator(_from_data)]
"""A null as a field of a record: plain data with its name says which one it is. Plug-ins add nulls to ``NULLS``."""


def null_named(name: str) -> Null:
    """``1/16`` or ``0.001``: declared. ``reference:HITS/TRIALS,...``: measured on so many innocent models.

    ``{name: mine, ...}`` or ``mine`` is the null of that name, a plug-in's for instance.

    Raises:
        InputError: none of these.
    """
    if name.startswith("{") or name in NULLS.names():
        return NULLS.build(name)
    kind, _, models = name.partition(":")
    try:
        if kind == "reference":
            counts = [model.split("/") for model in models.split(",")]
            return ReferenceNull(models=tuple(ReferenceTrials(hits=int(hits), trials=int(trials)) for hits, trials in counts))
        numerator, _, denominator = name.partition("/")
        return DeclaredNull(chance=float(numerator) / float(denominator or 1))
    except (ValueError, ZeroDivisionError, OverflowError, ValidationError):
        raise InputError(
            f"unknown null {name!r}; expected a chance between 1e-100 and 1, such as 1/16 or 0.001, or what innocent models "
            "did, such as reference:0/1024,2/1024, at most 64 of them with 10 million trials in all"
        ) from None
