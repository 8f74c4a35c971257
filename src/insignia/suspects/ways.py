"""The ways in which servers can be asked about candidates, by channel and prompt form, in the order in which they are tried.

Each way is a few requests and what their responses say; :mod:`insignia.suspects.graded_asking` sends them. No way trusts the
ids of the set's tokenizer: a reply counts only if it has the texts of the candidates. What servers know:

- vLLM: ``echo``, ``prompt_logprobs``, ``logprob_token_ids``, ``structured_outputs`` (``guided_choice`` before 0.12).
- SGLang: ``echo`` with ``logprobs``, its own ``/generate``, ``regex``.
- llama.cpp: ``logit_bias`` by text together with ``post_sampling_probs``, ``grammar``.
- ``transformers serve``: ``generation_config`` with ``sequence_bias``; nothing that tells a probability.
- OpenAI and others: ``logit_bias`` and at most 20 or 5 ``logprobs``.
"""

import json
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

from insignia.folding import fold
from insignia.records import PromptForm
from insignia.suspects.base import LEAST_SCORE, Channel, Reply
from insignia.suspects.connection import Request
from insignia.suspects.openai_format import alternatives_of, choice_of, path, whole_text
from insignia.suspects.prompt_scores import ECHO, ECHO_SINGLY, GENERATE, PROMPT_LOGPROBS, PROMPT_LOGPROBS_OF_CHATS
from insignia.suspects.way import Asking, Way, bare, log_probability, scored

__all__ = ["WAYS"]

_BIAS = 100.0  # the largest that OpenAI and vLLM allow; no language model's logits differ by as much
_MOST_SHOWN = 20  # by vLLM and OpenAI's chats
_SPECIAL = re.compile(r"([\\.^$*+?{}\[\]|()])")


def _where(asking: Asking, body: dict[str, Any]) -> list[Request]:
    return [Request(path(asking.options), body)]


def _first_tokens(value: Any) -> list[tuple[str, float]]:
    """Return the texts and log-probabilities of the first token's alternatives, from each format that servers use."""
    choice = choice_of(value)
    logged = choice.log_probabilities if choice is not None else None
    return [(each.text, each.log_probability) for each in alternatives_of(logged, 2**16)]


def _after_sampling(value: Any) -> list[tuple[str, float | None]]:
    """Return the texts and log-probabilities of the tokens that llama.cpp sampled from."""
    choice = choice_of(value)
    step: Any = choice.log_probabilities if choice is not None else None
    for name in ("content", "top_probs"):
        step = step.get(name) if isinstance(step, dict) else None
        step = step[0] if name == "content" and isinstance(step, list) and step else step
    entries = [entry for entry in step if isinstance(entry, dict)] if isinstance(step, list) else []
    chances = [(entry.get("token"), entry.get("prob")) for entry in entries]
    return [(text, _logarithm(chance)) for text, chance in chances if isinstance(text, str)]


def _logarithm(chance: Any) -> float | None:
    if isinstance(chance, bool) or not isinstance(chance, int | float) or not 0 <= chance <= 1:
        return None
    return math.log(chance) if chance > 0 else LEAST_SCORE


def _scores_of(pairs: Iterable[tuple[str, float | None]], texts: Sequence[str]) -> Reply | None:
    """Return the scores of the texts among the first tokens; where a text is missing, those of one that is alike."""
    exact: dict[str, float] = {}
    alike: dict[str, float] = {}
    for text, number in pairs:
        score = log_probability(number)
        if score is not None:
            exact[text] = max(score, exact.get(text, score))
            alike[bare(text)] = max(score, alike.get(bare(text), score))
    return scored([exact.get(text, alike.get(bare(text))) for text in texts])


def _raised_scores(pairs: Sequence[tuple[str, float]], texts: Sequence[str]) -> Reply | None:
    """Return the scores of texts that were raised above all others; None if another is among them, so that none was raised."""
    reply = _scores_of(pairs, texts)
    wanted = set(map(bare, texts))
    others = [number for text, number in pairs if bare(text) not in wanted]
    return None if reply is None or max(others, default=-math.inf) >= min(reply.scores) else reply


def _raised(asking: Asking) -> dict[str, float]:
    """Raise all candidates alike, which leaves their order as it is."""
    return {str(token): _BIAS for token in asking.ids}


def _raised_for_choice(asking: Asking) -> dict[str, float]:
    """Raise the candidates above all other tokens, and each by its handicap: none above the largest bias."""
    given = asking.inquiry.handicaps or (0.0,) * len(asking.ids)
    return {str(token): _BIAS + handicap - max(given) for token, handicap in zip(asking.ids, given, strict=True)}


def _shown(most: int, values: Sequence[Any]) -> Reply | None:
    """Read the likeliest first tokens; one alone tells no more than a text."""
    choice = choice_of(values[0])
    found = alternatives_of(choice.log_probabilities, most) if choice is not None else ()
    return Reply(status="answered", channel="top", alternatives=found) if len(found) > 1 else None


def _chosen(asking: Asking, values: Sequence[Any]) -> Reply | None:
    """Read a text that is one of the candidates."""
    choice = choice_of(values[0])
    text = whole_text(choice.text or "") if choice is not None else ""
    bound = fold(text, "spaces") in {fold(each, "spaces") for each in asking.texts}
    return Reply(status="answered", channel="choice", text=text) if bound else None


def _sampled_among(asking: Asking) -> list[Request]:
    """Ask llama.cpp what it samples from when all candidates are raised alike, which leaves their order as it is."""
    fields = {
        "logit_bias": [[text, _BIAS] for text in asking.texts],  # it finds the tokens itself
        "samplers": [],
        "temperature": 1.0,
        "post_sampling_probs": True,
        "cache_prompt": False,
    }
    shown = _MOST_SHOWN + 4 * len(asking.texts)  # a text that is several tokens there raises each of them
    return _where(asking, asking.body(log_probabilities=shown) | fields)


def _bound(asking: Asking) -> list[Request]:
    """Allow the candidates alone, in the words of each server that has some; they ignore those of others.

    A constraint also allows tokens that a candidate only begins with. The bias makes whole candidates likelier than these.
    """
    texts = asking.texts
    fields: dict[str, Any] = {
        "structured_outputs": {"choice": texts},
        "guided_choice": texts,
        "regex": "(" + "|".join(_SPECIAL.sub(r"\\\1", text) for text in texts) + ")",
        "grammar": "root ::= " + " | ".join(json.dumps(text, ensure_ascii=False) for text in texts),
        "logit_bias": _raised_for_choice(asking),
    }
    longest = max((len(text.encode(errors="replace")) for text in texts), default=1)  # no token is shorter than a byte
    return _where(asking, asking.body(max_tokens=longest + 1, **fields))


def _bound_by_settings(asking: Asking) -> list[Request]:
    """Raise the candidates by the settings of ``transformers serve``, which ignores ``logit_bias`` without a chat."""
    raised = _raised_for_choice(asking)
    settings = {"sequence_bias": [[[int(token)], bias] for token, bias in raised.items()], "do_sample": False}
    return _where(asking, asking.body(logit_bias=raised, generation_config=json.dumps(settings)))


def _top(most: int) -> Way:
    return Way(
        f"the {most} likeliest",
        lambda asking: _where(asking, asking.body(log_probabilities=most)),
        lambda _, values: _shown(most, values),
    )


SAMPLED_AMONG = Way(
    "post_sampling_probs", _sampled_among, lambda asking, values: _scores_of(_after_sampling(values[0]), asking.texts)
)
NAMED = Way(
    "logprob_token_ids",
    lambda asking: _where(
        asking,
        asking.body(log_probabilities=_MOST_SHOWN, logit_bias=_raised(asking), logprob_token_ids=sorted({*asking.ids})),
    ),
    lambda asking, values: _raised_scores(_first_tokens(values[0]), asking.texts),
)
BIASED = NAMED._replace(
    name="logit_bias and logprobs",
    requests=lambda asking: _where(asking, asking.body(log_probabilities=_MOST_SHOWN, logit_bias=_raised(asking))),
)
BOUND = Way("a constraint", _bound, _chosen)
BOUND_BY_SETTINGS = Way("generation_config", _bound_by_settings, _chosen)
BOUND_BY_BIAS = Way("logit_bias", lambda asking: _where(asking, asking.body(logit_bias=_raised_for_choice(asking))), _chosen)
BOUND_BY_WHOLE_BIAS = Way(
    "logit_bias in whole numbers",
    lambda asking: _where(
        asking, asking.body(logit_bias={token: round(bias) for token, bias in _raised_for_choice(asking).items()})
    ),
    _chosen,
)

_TOP = tuple(map(_top, (20, 10, 5)))  # vLLM and OpenAI's chats give 20, OpenAI's completions 5
_CHOICE = (BOUND, BOUND_BY_SETTINGS, BOUND_BY_BIAS, BOUND_BY_WHOLE_BIAS)

WAYS: dict[tuple[Channel, PromptForm], tuple[Way, ...]] = {
    ("scores", "raw"): (ECHO, SAMPLED_AMONG, PROMPT_LOGPROBS, GENERATE, BIASED, ECHO_SINGLY),
    ("scores", "chat"): (SAMPLED_AMONG, NAMED, PROMPT_LOGPROBS_OF_CHATS, BIASED),
    ("top", "raw"): _TOP,
    ("top", "chat"): _TOP,
    ("choice", "raw"): _CHOICE,
    ("choice", "chat"): _CHOICE,
}
"""The ways of each channel and prompt form, in the order in which they are tried."""
