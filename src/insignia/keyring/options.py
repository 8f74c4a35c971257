"""How a suspect is asked and judged, as an owner chooses it: every option once, with its range, default and meaning.

The help of a command needs the options alone, so what they are for is loaded where it is used.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import ConfigDict, Field

from insignia.records import Flag, Record
from insignia.statistics.betting import MAX_QUERIES
from insignia.statistics.nulls import MIN_PROBABILITY, RISK
from insignia.suspects.base import CHANNELS, Channel, RequestOptions

if TYPE_CHECKING:
    from insignia.fingerprints.sets import FingerprintSet
    from insignia.verification.matching import Match
    from insignia.verification.transcript import Rules

__all__ = ["AskOptions", "NullOptions", "VerifyOptions"]

_REMOTE_DECOYS = 0.5  # every second question: a host that sees keys alone can tell a test by their kind


class AskOptions(Record):
    """How questions are put and replies are matched. None means: as the set says."""

    model_config = ConfigDict(title="Asking")

    match: str = "prefix"
    """Where the response stands in the reply: exact, prefix or within:N words."""
    ignore_case: bool = False
    """Treat upper and lower case alike, where a host changes them."""
    system: str | None = None
    """System prompt to ask under; see 'commit --system'."""
    prompt_form: Literal["raw", "chat"] | None = None
    """Ask keys as raw text (completions) or as chat messages; the set says which by default."""
    max_tokens: Annotated[int | None, Field(ge=1)] = None
    """Most tokens of a reply; as many as the set needs by default."""
    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 0.0
    """Sampling temperature; 0 takes the most likely tokens."""
    seed: int | None = None
    """Seed for sampling."""

    def matching(self) -> "Match":
        """The match that these options describe, else an InputError."""
        from insignia.verification.matching import Match

        return Match.named(self.match, fold="case" if self.ignore_case else "alike")

    def requests(self) -> dict[str, object]:
        """The request options that were given."""
        given = {name: getattr(self, name, None) for name in RequestOptions.model_fields} | {"form": self.prompt_form}
        return {name: value for name, value in given.items() if value not in (None, "")}


class VerifyOptions(AskOptions):
    """The options of a test, all fixed before the first question."""

    alpha: Annotated[float, Field(ge=MIN_PROBABILITY, lt=1)] = 1e-6
    """Largest chance of accusing an innocent suspect, all suspects and labels together."""
    survival: Annotated[float, Field(ge=1e-6, le=1 - 1e-6)] = 0.3
    """Give up when less than this share of the fingerprints is left."""
    max_queries: Annotated[int, Field(ge=1)] = MAX_QUERIES
    """Most keys to ask a suspect."""
    num_fingerprints: Annotated[int | None, Field(ge=1)] = None
    """Ask only among this many first fingerprints, where 'embed' put in no more."""
    suspects: Annotated[int | None, Field(ge=1, le=10**6)] = None
    """Number of tests that share alpha, later ones included; as many as are run by default."""
    null: str | None = None
    """How often an innocent model hits: 1/16, or the file of 'insignia null'; by the set's design by default."""
    reuse_keys: bool = False
    """Ask an endpoint keys that somebody has seen, too; see 'share'."""
    decoys: Annotated[float | None, Field(ge=0, le=0.9), Flag("--decoys", "--cover")] = None
    """Share of decoy questions, at most 0.9; 0.5 for an endpoint and 0 for a model on this machine by default."""
    channel: Literal["auto", "scores", "top", "choice", "text"] = "auto"
    """What to go by: scores of all candidates, top tokens, a forced choice, or text; the most that is offered by default."""
    log_probabilities: Annotated[int | None, Field(ge=1, le=20)] = None
    """Number of likeliest first tokens to ask an endpoint for; they tell how near a miss was."""

    def decoy_share(self, *, remote: bool) -> float:
        """The share of decoys to ask a suspect that somebody else hosts, or one on this machine."""
        return (_REMOTE_DECOYS if remote else 0.0) if self.decoys is None else self.decoys

    @property
    def channels(self) -> tuple[Channel, ...]:
        """The channels to try, strongest first."""
        return CHANNELS if self.channel == "auto" else (self.channel, "text")

    def rules(self, prints: "FingerprintSet", *, tests: int) -> "Rules":
        """The rules of one of so many tests of this set, but for the share of decoys, which depends on the suspect.

        Raises:
            InputError: the options contradict each other, or the set has no null and none was given.
        """
        from insignia.verification.innocents import require_same_conditions, resolve_null
        from insignia.verification.protocol import rules_for

        fixed: dict[str, Any] = {"match": self.matching(), "alpha": self.alpha, "survival": self.survival, "cover": 0.0}
        fixed["suspects"] = self.suspects or tests
        usual = rules_for(prints, null=resolve_null(self.null), **fixed)
        asked = RequestOptions.model_validate(usual.manner.model_dump() | self.requests())
        rules = rules_for(prints, null=usual.null, manner=asked, **fixed)
        require_same_conditions(self.null, rules)
        return rules

    def absent(self, prints: "FingerprintSet") -> Sequence[int]:
        """Numbers of the fingerprints that were not embedded."""
        return range(len(prints.first(self.num_fingerprints)), len(prints))


class NullOptions(AskOptions):
    """The options of a measurement of innocent models."""

    max_queries: Annotated[int | None, Field(ge=1)] = None
    """Most keys to ask each model; all by default, and it must be given for an endpoint."""
    alpha: Annotated[float, Field(ge=MIN_PROBABILITY, lt=1)] = 1e-6
    """Largest chance of accusing an innocent suspect, to say what a proof takes."""
    risk: Annotated[float, Field(gt=0, le=0.5)] = RISK
    """Chance that the null is wrong, which is taken from alpha."""

    def rules(self, prints: "FingerprintSet") -> "Rules":
        """Rules that ask as these options say and decide nothing."""
        from insignia.verification.innocents import measuring_rules

        return measuring_rules(prints, match=self.matching(), manner=self.requests())
