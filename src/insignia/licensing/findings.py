"""What a trace found, in words: whom it names, or nobody, and what a coalition could have done."""

from typing import Annotated, Any, Literal, Self

from pydantic import Field

from insignia.records import Displayed, Record
from insignia.statistics.collusion import POWER
from insignia.terminal import counted, percent

__all__ = ["NamedLicensee", "TraceReport"]

_MANY = 8


class NamedLicensee(Record):
    """A licensee whose copy the suspect must have come from, alone or with others."""

    licensee: str
    log_e: float
    """Natural logarithm of the e-value against their innocence."""
    p_value: float
    """Chance that the evidence against any innocent licensee, of any suspect, is as strong."""


class TraceReport(Displayed):
    """The trace of one suspect."""

    outcome: Literal["named", "nobody"]
    suspect: str
    named: tuple[NamedLicensee, ...]
    """The clearest first. Who is not named is not cleared: a coalition's other members may stay below the threshold."""
    licensees: Annotated[int, Field(ge=1)]
    blocks: Annotated[int, Field(ge=1)]
    present: int
    """Blocks that the suspect seems to have."""
    absent: int
    """Blocks that it seems to lack; of the others, nothing was seen."""
    keys_asked: tuple[int, ...]
    """Numbers of the fingerprints that were asked."""
    unanswered: int
    alpha: float
    suspects: int
    """Number of suspects that share alpha."""
    traceable: int
    """Largest coalition of which the blocks that answered name a member with a chance of 95 %, by known strategies."""
    transcript: str
    """Digest of the transcript's last line."""
    sentence: str
    """The result for people."""

    @classmethod
    def of(cls, **found: Any) -> Self:
        """Return the report with its outcome and its sentence."""
        return cls(**found, outcome="named" if found["named"] else "nobody", sentence=_sentence(found))

    @property
    def heading(self) -> str:
        """The result."""
        return self.sentence

    def summary(self) -> list[tuple[str, str]]:
        """What it rests on."""
        unseen = self.blocks - self.present - self.absent
        return [
            *((each.licensee, f"p-value {each.p_value:.2g} for all licensees together") for each in self.named[:3]),
            ("blocks", f"{self.present} present, {self.absent} absent, {unseen} unclear, of {self.blocks}"),
            ("keys asked", f"{len(self.keys_asked)}, {self.unanswered} unanswered"),
        ]


def _sentence(found: dict[str, Any]) -> str:
    names = [each.licensee for each in found["named"]]
    bound = f"The chance that anybody innocent among {counted(found['licensees'], 'licensee')} is named is at most"
    if names:
        who = " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
        said = f"{found['suspect']} comes from the {'copy' if len(names) == 1 else 'copies'} of {who}."
        return f"{said} {bound} {found['alpha']:g}. Others may have taken part."
    return f"{found['suspect']}: nobody is named. {bound} {found['alpha']:g}. {_reach(found['traceable'])}"


def _reach(traceable: int) -> str:
    """What the blocks that answered would have shown."""
    chance = percent(POWER)
    if traceable == 0:
        return f"The blocks that answered are too few to name even a single leaker with a chance of {chance}."
    if traceable >= _MANY:
        return f"A coalition of {_MANY} would have been traced with a chance of {chance}."
    one = "a single leaker" if traceable == 1 else f"a coalition of {traceable}"
    return f"They would have named {one} with a chance of {chance}; {traceable + 1} who work together could hide in them."
