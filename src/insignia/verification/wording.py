"""Verdicts in plain words."""

from insignia.suspects.base import Channel
from insignia.terminal import once_in
from insignia.verification.verdict import NullClaim, Verdict

__all__ = ["explain_p_value", "explain_verdict"]

_SEEN_BY: dict[Channel, str] = {
    "scores": "by its scores of the candidates",
    "top": "by its likeliest tokens",
    "choice": "when it had to choose",
    "text": "by its text",
}


def explain_p_value(null: NullClaim, p_value: float) -> str:
    """Return a sentence that explains a p-value and its assumption."""
    often = f"at most once in {once_in(p_value)} tests" if p_value <= 0.5 else "in most tests"
    result = f"an unrelated model would score this well {often} (p {p_value:.2g})."
    if null.kind == "design":
        return f"A{result[1:]}"
    sources = {"declared": "declared by the owner", "reference": "the limit measured on innocent models"}
    source = sources.get(null.kind, f"by the plug-in null {null.kind!r}")
    return (
        f"If an unrelated model hits each key with probability at most {null.bound:.3g} ({source}), whatever it hit before, "
        f"{result} If its hits come in runs, this number is too small."
    )


def explain_verdict(verdict: Verdict) -> str:
    """Return the verdict as a sentence or two: what was seen, and how often an unrelated model would show it."""
    answered = verdict.trials - verdict.unanswered
    seen = f"{verdict.hits} of {answered} answered keys got the secret response"
    if verdict.by_channel:
        how = ", ".join(
            _SEEN_BY[channel] + (f" at {count} keys" if len(verdict.by_channel) > 1 else "")
            for channel, count in verdict.by_channel.items()
        )
        seen = (
            f"the suspect favours the secret response over all other candidates at {verdict.hits} of {answered} answered keys"
            f" ({how})"
        )
    if verdict.unanswered:
        seen += f", {verdict.unanswered} more got no answer"
    if verdict.outcome == "owned":
        return f"The mark is there: {seen}. {explain_p_value(verdict.null, verdict.p_value)}"
    if verdict.outcome == "not_shown":
        more = "have come closer to the secret order" if verdict.graded else "have hit more of them"
        return (
            f"The mark was not shown: {seen}. A model with part of the mark would {more}. "
            "This does not prove that the model is not yours."
        )
    return (
        f"Nothing is decided: {seen}. {explain_p_value(verdict.null, verdict.p_value)} "
        f"Once in {once_in(verdict.alpha)} was required. More keys may decide it."
    )
