"""Nulls: upper bounds on how often an innocent model hits.

There are three kinds, strongest first. A *design* null follows from the random draw of the responses and needs no model. A
*reference* null is measured on models known to be innocent. A *declared* null is the owner's claim.
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

_MAX_TRIALS = 10_000_000  # of all models together; computing their limits then takes a second
MAX_CANDIDATES = 65_536
"""Most candidates of one key. Published sets have up to 256; the bound limits the work that a file can cause."""
MIN_PROBABILITY = 1e-100
"""Smallest probability in the rules. Products of smaller numbers would underflow."""
RISK = 1e-7
"""Chance that a measured null is wrong: a tenth of the default alpha, which it is taken from."""

__all__ = [
    "MAX_CANDIDATES",
    "MIN_PROBABILITY",
    "NULLS",
    "RISK",
    "AnyNull",
    "DeclaredNull",
    "DesignNull",
    "Null",
    "ReferenceNull",
    "ReferenceTrials",
    "parse_null",
]


class Null(Part):
    """The hypothesis that each trial hits with probability at most ``bound``, whatever happened in earlier trials."""

    @property
    @abstractmethod
    def bound(self) -> float:
        """Largest probability, in [0, 1], that an innocent model hits one trial."""

    @property
    def error(self) -> float:
        """Probability that the bound is wrong; 0.0 if it holds by construction."""
        return 0.0

    def bound_given(self, met: int) -> float:
        """Return the bound for a trial whose reply matches ``met`` of the key's candidates.

        0.0 means that the trial shows nothing. By default, the candidates do not matter.
        """
        return self.bound

    def log_p_value(self, hits: int, met: Sequence[int]) -> float:
        """Return the log p-value of ``hits`` in answered trials; ``met`` counts the candidates that each reply matches.

        It is valid for a fixed number of trials. A sequential test uses ``Tally.log_p_value``.

        Raises:
            InputError: the number of hits is negative, or a reply matches more candidates than there are.
        """
        return self.corrected(log_poisson_binomial_tail(hits, [self.bound_given(count) for count in met]))

    def corrected(self, log_p: float) -> float:
        """Return the log p-value corrected for the probability that the bound is wrong.

        Adds ``error`` to the p-value (Berger and Boos, J. Amer. Statist. Assoc. 89, 1994).
        """
        return min(0.0, float(math.log(self.error + math.exp(log_p)) if self.error else log_p))

    def level(self, alpha: float) -> float:
        """Return alpha minus the probability that the bound is wrong: the level left for the test.

        Raises:
            InputError: nothing is left.
        """
        if alpha <= self.error:
            raise InputError(
                f"alpha is {alpha}, not above {self.error}, the probability that the null is wrong; "
                "raise alpha, or measure the null at a smaller risk"
            )
        return alpha - self.error


class DesignNull(Null):
    """The accepted responses were drawn uniformly from k candidates that were fixed before the draw.

    The randomness is in the draw, not in the replies. So the bound holds in finite samples, for any model and any
    dependence between trials (statistics.md 3a, case 1).
    """

    name: Literal["design"] = "design"
    candidates: Annotated[int, Field(ge=2, le=MAX_CANDIDATES)]
    """Number k of candidates of each key; the smallest if keys differ."""
    accepted: Annotated[int, Field(ge=1, le=MAX_CANDIDATES)] = 1
    """Number of responses that count as a hit, drawn without replacement; the largest if keys differ."""
    looks: Annotated[int, Field(ge=1, le=MAX_CANDIDATES)] = 1
    """Most candidates that one reply can match: 1 if it must begin with the response, n if any of n places will do."""

    @model_validator(mode="after")
    def _leaves_a_miss(self) -> Self:
        if self.accepted >= self.candidates:
            raise ValueError("every candidate is accepted; expected more candidates than accepted responses")
        return self

    @property
    def bound(self) -> float:
        """The bound for a reply that matches as many candidates as it can; 1/k for one response and one look."""
        return self.bound_given(min(self.looks, self.candidates))

    def bound_given(self, met: int) -> float:
        """Return the probability that at least one of ``met`` candidates is accepted: met/k for one response.

        So only replies that match a candidate count. For single responses and n_in such trials, the p-value of m hits is
        P(Bin(n_in, 1/k) >= m).

        Raises:
            InputError: ``met`` is negative or larger than k.
        """
        if not 0 <= met <= self.candidates:
            raise InputError(f"a reply matches {met} candidates; expected 0 to {self.candidates}")
        # Integers are exact; only the quotient is rounded.
        ways = math.comb(self.candidates, self.accepted)
        return (ways - math.comb(self.candidates - met, self.accepted)) / ways


class ReferenceTrials(Record):
    """Hits of an innocent model that was asked as the suspect is asked."""

    hits: Annotated[int, Field(ge=0)]
    trials: Annotated[int, Field(ge=1, le=_MAX_TRIALS)]

    @model_validator(mode="after")
    def _no_more_hits_than_trials(self) -> Self:
        if self.hits > self.trials:
            raise ValueError("more hits than trials")
        return self


class ReferenceNull(Null):
    """An innocent suspect hits no more often than the worst of these innocent models.

    The bound is the largest of the models' upper limits (Clopper and Pearson), each at the full ``risk``. Only the limit of
    the truly worst model has to hold, so more models cost nothing. Models are not pooled, since many that never hit would
    hide one that often does. With no hit in 1,024 trials at risk 1e-7, the bound is 0.016.

    The limit assumes that a model's trials are independent. If its hits come eight in a row, an innocent suspect is accused
    at alpha 0.001 in 29 % of tests. Only a design null avoids this.
    """

    name: Literal["reference"] = "reference"
    models: Annotated[tuple[ReferenceTrials, ...], Field(min_length=1, max_length=64)]
    risk: Annotated[float, Field(ge=MIN_PROBABILITY, le=0.5)] = RISK
    """Largest probability that the bound is wrong."""

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        if sum(model.trials for model in self.models) > _MAX_TRIALS:
            raise ValueError("more than 10 million trials in all")
        return self

    @cached_property
    def bound(self) -> float:
        """Largest upper limit of the models."""
        return max(upper_limit(model.hits, model.trials, self.risk) for model in self.models)

    @property
    def error(self) -> float:
        """The ``risk`` of the limits."""
        return self.risk


class DeclaredNull(Null):
    """A bound that the owner claims and a reader of the verdict has to accept."""

    name: Literal["declared"] = "declared"
    chance: Annotated[float, Field(ge=MIN_PROBABILITY, lt=1)]
    """Largest probability that an innocent model hits one trial."""

    @property
    def bound(self) -> float:
        """The declared probability."""
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
    """Build the null from plain data; strictly where the record is read from JSON."""
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
"""Any null, as a field of a record; ``name`` says which. Plug-ins add nulls to ``NULLS``."""


def parse_null(name: str) -> Null:
    """Parse a declared null (``1/16`` or ``0.001``) or a reference null (``reference:HITS/TRIALS,...``, one pair a model).

    ``{name: mine, ...}`` or ``mine`` is the null of that name, a plug-in's for instance.

    Raises:
        InputError: the text is neither, or a number is out of range.
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
            f"unknown null {name!r}; expected a probability between 1e-100 and 1, such as 1/16 or 0.001, or hits/trials of "
            "innocent models, such as reference:0/1024,2/1024, at most 64 models with 10 million trials in all"
        ) from None
