"""What a set can prove with the keys that are left, and how many keys a proof takes."""

from typing import Annotated, Any, Literal

from pydantic import Field

from insignia.errors import InputError
from insignia.keyring.kept_set import KeptSet
from insignia.records import Record
from insignia.statistics.forecasts import Lost, Outlook, Plan, outlook, plan
from insignia.statistics.nulls import AnyNull
from insignia.suspects.base import Channel
from insignia.verification.innocents import resolve_null
from insignia.verification.protocol import askable

__all__ = ["PlanOptions", "Prospects", "planned", "prospects"]


class PlanOptions(Record):
    """What a plan assumes and asks for."""

    null: str | None = None
    """How often an innocent model hits: 1/16, or the file of 'insignia null'; by the set's design by default."""
    alpha: Annotated[float, Field(gt=0, lt=1)] = 1e-6
    """Largest chance of accusing an innocent suspect."""
    survival: Annotated[float, Field(gt=0, le=1)] = 0.3
    """Share of the fingerprints that a thief's work leaves."""
    power: Annotated[float, Field(gt=0, lt=1)] = 0.95
    """Chance of proof that the keys must give."""
    suspects: Annotated[int, Field(ge=1)] = 1
    """Suspects in all, each of which is asked its own keys."""
    channel: Channel = "text"
    """What the suspect is expected to reveal: scores of all candidates, top tokens, a forced choice, or text alone."""
    lost: Literal["silent", "random"] | None = None
    """Reply where a fingerprint is lost: silent (none of its candidates) or random (any of them); by default silent, or
    random where a candidate may be what any model says."""
    licensees: Annotated[int | None, Field(ge=1, le=10**9)] = None
    """Plan a copy for each of so many licensees instead: blocks and keys to trace a leak."""
    colluders: Annotated[int, Field(ge=1, le=20)] = 1
    """With --licensees: licensees who put their copies together."""
    per_block: Annotated[int, Field(ge=1, le=64)] = 2
    """With --licensees: fingerprints in each block. More of them bear more loss, and are asked only where needed."""


class Prospects(Record):
    """The state of a set and what it can prove."""

    keys: int
    """Keys that can be asked; one that repeats another is not counted."""
    spent: int
    null: AnyNull | None
    """None where it is not known how often innocent models hit."""
    outlook: Outlook | None = None
    plan: Plan | None = None
    """None where no number of keys is enough."""
    obstacle: str | None = None
    """Why there is no plan."""

    @property
    def unspent(self) -> int:
        """Keys that nobody was shown."""
        return self.keys - self.spent


def planned(null: AnyNull, options: PlanOptions, *, lost: Lost = "silent", ordered: bool = False) -> Plan:
    """How many keys to embed and to ask, for that null; see ``statistics.forecasts.plan``.

    ``lost``: what a model does by text where a fingerprint is lost; by other channels it always ranks all candidates.
    ``ordered``: the set has a secret order.
    """
    return plan(null, survival=options.survival, **_assumed(null, options, lost, ordered=ordered))


def _assumed(null: AnyNull, options: PlanOptions, lost: Lost, *, ordered: bool) -> dict[str, Any]:
    graded = null.name == "design" and (ordered or options.channel in {"scores", "top"})
    lost = options.lost or ("random" if options.channel != "text" and null.name == "design" else lost)
    about = {name: getattr(options, name) for name in ("alpha", "power", "suspects")}
    return about | {"lost": lost, "graded": graded}


def prospects(kept: KeptSet, options: PlanOptions) -> Prospects:
    """What the set can prove under these assumptions.

    Raises:
        InputError: the null cannot be read, or alpha is too small for it.
    """
    keys, null = askable(kept.prints), resolve_null(options.null) or kept.null()
    found = Prospects(keys=len(keys), spent=len(keys & kept.spent()), null=null)
    if null is None:
        obstacle = (
            "The responses of this set were not drawn from candidates, so what it can prove is not known. Measure how often "
            "innocent models hit: insignia null PRINTS --model INNOCENT -o null.json. "
            "Then add --null null.json, here and to 'verify'."
        )
        return found.model_copy(update={"obstacle": obstacle})
    lost, ordered = kept.lost(null), any(fingerprint.order for fingerprint in kept.prints)
    seen = outlook(null, found.unspent, **_assumed(null, options, lost, ordered=ordered))
    try:
        return found.model_copy(update={"outlook": seen, "plan": planned(null, options, lost=lost, ordered=ordered)})
    except InputError as error:  # what the set can prove is worth saying all the same
        return found.model_copy(update={"outlook": seen, "obstacle": f"No number of fingerprints is enough: {error}."})
