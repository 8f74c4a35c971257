"""What could be wrong with a verdict: the sentences that apply to this one and no others, the weightiest first."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

from insignia.statistics.betting import Outcome
from insignia.terminal import counted, once_in, percent
from insignia.verification.verdict import Verdict

if TYPE_CHECKING:
    from insignia.evidence.bundle import Audited

__all__ = ["COMPARE", "NO_CONTROL", "REPLIES", "Standing", "about_choice", "about_fitting", "caveats"]

_OUT_OF_REACH = 80  # bits: a million machines that each try a billion sets a second take 38 years
_WEAK_ALPHA = 1e-4
REPLIES = "It holds for the replies as they are written here: ask suspect and controls yourself, or watch."
_TYPED = (
    "It holds for the replies as they were written down, and those can be typed: ask suspect and controls yourself, or watch."
)
NO_CONTROL = "No control was asked: nobody showed that the suspect's public ancestors do not answer the same keys."
COMPARE = "Compare root and signer with what was published before the dispute, or pass --commitment."


class Standing(NamedTuple):
    """A verdict, and what is known of it beside."""

    verdict: Verdict
    audited: "Audited | None" = None
    """The bundle that it comes from; None: the owner's own file."""
    published: bool = False
    """Whether the commitment was compared with the published one."""
    stamped: str | None = None
    """When an authority that is trusted stamped the commitment."""

    @property
    def outcome(self) -> Outcome:
        """The judge's outcome of a bundle, else the verdict's."""
        return self.verdict.outcome if self.audited is None else self.audited.judgement.outcome

    @property
    def p_value(self) -> float:
        """The judge's p-value of a bundle, else the verdict's."""
        return self.verdict.p_value if self.audited is None else self.audited.judgement.p_value


def caveats(standing: Standing) -> list[str]:
    """What could be wrong with this verdict."""
    found = [*_about_source(standing)]
    if standing.outcome != "not_shown":
        found += [*_about_origin(standing), *_about_chance(standing.verdict)]
    return [*found, *_about_asking(standing), *_about_meaning(standing)]


def about_fitting(bits: float | None, *, prompted: bool) -> str:
    """Whether the set may have been made to fit the replies."""
    needed = (
        "It is evidence only if the commitment is older than the suspect and every model that the suspect was made from, "
        "or those were asked as controls."
    )
    if bits is None:
        return f"No hash binds the responses, so whoever saw the model first could have written them. {needed}"
    if prompted:
        return f"Whoever chose the system prompt could have put replies into it, in a code if need be. {needed}"
    if bits < _OUT_OF_REACH:
        return (
            f"Whoever saw the model first could have tried sets until one did as well: 2^{bits:.0f} tries, and only "
            f"2^{_OUT_OF_REACH} are out of reach. {needed}"
        )
    return f"Nobody can have made the set to fit these replies, whatever the commitment's date: that takes 2^{bits:.0f} tries."


def about_choice(size: int) -> str:
    """What a p-value without a judge's challenge allows for."""
    return f"That allows for the owner's choice of keys, if each of the {size} was asked once."


def _about_source(standing: Standing) -> Iterator[str]:
    audited = standing.audited
    if audited is None:
        yield (
            "Nobody has signed this verdict, and anybody can write such a file. A reader who does not trust the owner needs a "
            "bundle: 'insignia disclose' makes it, and anybody can check it by 'insignia audit'."
        )
        yield _TYPED
        return
    yield from (f"Not accepted: {reason}." for reason in audited.judgement.reasons)
    yield _TYPED
    if audited.bundle.nonce is None:
        yield f"The owner chose which keys to show. {about_choice(audited.bundle.commitment.commitment.size)}"


def _about_origin(standing: Standing) -> Iterator[str]:
    """Whether there was a time when nobody could have fitted the set to the suspect."""
    verdict, audited = standing.verdict, standing.audited
    prompted, bits = verdict.manner.system is not None, verdict.grinding_bits
    if prompted or bits is None or bits < _OUT_OF_REACH:
        unknown = "This file shows no commitment. " if audited is None else ""
        yield unknown + about_fitting(bits, prompted=prompted)
        if audited is not None and not standing.published:
            yield "The commitment is the bundle's own: nobody compared it with what was published before the dispute."
        if audited is not None and standing.stamped is None:
            created = audited.bundle.commitment.created
            yield f"The commitment's date, {created}, is the owner's word: no time stamp by a trusted authority was checked."
    if not verdict.controls:
        yield NO_CONTROL


def _about_chance(verdict: Verdict) -> Iterator[str]:
    if verdict.null.kind == "reference":
        yield (
            f"That an unrelated model hits at most {percent(verdict.null.bound)} of the keys was measured on other models. The "
            "suspect may be unlike them."
        )
    elif verdict.null.kind != "design":
        whose = "the owner's word" if verdict.null.kind == "declared" else f"a plug-in's word ({verdict.null.kind})"
        yield f"That an unrelated model hits at most {percent(verdict.null.bound)} of the keys is {whose}."
    if verdict.alpha > _WEAK_ALPHA:
        yield (
            f"The owner asked for little: one of {once_in(verdict.alpha)} unrelated models would pass. One in a million is "
            "usual."
        )
    if verdict.suspects > 1:
        yield f"{verdict.suspects} tests share the risk. The p-value allows for that, if there were no more tests than these."


def _about_asking(standing: Standing) -> Iterator[str]:
    verdict = standing.verdict
    if verdict.unanswered:
        yield (
            f"{counted(verdict.unanswered, 'key')} of {verdict.trials} got no answer. A host that refuses keys can hide a "
            "mark, and cannot make one."
        )
    if verdict.manner.temperature:
        yield "The replies were sampled. Who asks again gets others, and may keep the best."
    if verdict.manner.system is not None and standing.outcome == "not_shown":
        yield "The suspect was asked under a system prompt, which may have drowned the mark."
    if verdict.match.looks > 1:
        yield f"A response counts at any of the first {verdict.match.looks} words of a reply. The p-value allows for that."
    if set(verdict.by_channel) <= {"text"}:
        yield (
            "The test saw text alone. That is what merging, pruning and a host's filter change first: a mark can still be in a "
            "model's scores and no longer in its text."
        )
    elif len(verdict.by_channel) > 1:
        yield "The suspect stopped showing what it had shown before, so the later keys were asked by a weaker channel."


def _about_meaning(standing: Standing) -> Iterator[str]:
    if standing.outcome == "owned":
        yield (
            "It says that the mark is in the model, and not how it got there. Whoever has the secret set, or a key that was "
            "shown before, can put that into any model."
        )
    elif standing.outcome == "not_shown":
        yield "The mark may be there, weaker than the test looked for. More keys, or a smaller --survival, find weaker marks."
