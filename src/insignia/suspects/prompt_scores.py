"""Scores from prompts: each candidate is put behind the question, and the server scores the tokens that it was sent.

The question is sent alone, too. Its tokens must begin every other list of tokens, else the tokenizer joins the end of the
question with a candidate, and there is no log-probability of the candidate after the question. What comes behind them must
be the candidate's text in whole tokens, whose log-probabilities are added. Servers also generate a token or not; where the
candidate ends is seen by its text.

The same responses also tell whether each of these tokens was the likeliest: what ``check`` asks for.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

from insignia.records import PromptForm
from insignia.suspects.base import LEAST_SCORE, Reply, TokenScore, TokensReply
from insignia.suspects.connection import Request
from insignia.suspects.way import Asking, Way, bare, log_probability, scored

__all__ = ["ECHO", "ECHO_SINGLY", "GENERATE", "PROMPT_LOGPROBS", "PROMPT_LOGPROBS_OF_CHATS", "TOKEN_WAYS"]

_LONGEST = 2**15  # tokens of a question, which takes seconds to read if there are many more


class _Token(NamedTuple):
    text: str
    score: float | None
    """None for the first token of a prompt, which follows nothing."""
    likeliest: bool | None = None
    """Whether no token was likelier in its place; None if the server does not tell."""
    rank: int | None = None
    """Its rank, from 0, if the server tells."""


_Tokens = list[_Token] | None
"""The tokens of a prompt, with or without one that was generated after it; None if the server does not tell."""
_Requests = Callable[[Asking], Sequence[Request]]
_Lists = Callable[[Sequence[Any]], list[_Tokens]]


def _all_behind(lists: Sequence[_Tokens], texts: Sequence[str]) -> list[list[_Token]] | None:
    """Return the tokens of each text, given those of the question and of the question with each text; None if any lack."""
    if len(lists) != len(texts) + 1 or any(tokens is None for tokens in lists):
        return None
    question, *continued = ([*tokens] for tokens in lists if tokens is not None)
    for generated in (1, 0):
        asked = [token.text for token in question[: len(question) - generated]]
        found = [_behind(asked, tokens, text) for tokens, text in zip(continued, texts, strict=True)]
        if found and all(found):
            return found
    return None


def _behind(asked: list[str], tokens: list[_Token], text: str) -> list[_Token]:
    """Return the tokens of the text, each with its score; none if they are not told."""
    if not asked or [token.text for token in tokens[: len(asked)]] != asked:
        return []
    for end in (len(tokens) - 1, len(tokens)):
        behind = tokens[len(asked) : end]
        if behind and bare("".join(token.text for token in behind)) == bare(text):
            return behind if all(token.score is not None for token in behind) else []
    return []


def _scores_behind(lists: Sequence[_Tokens], texts: Sequence[str]) -> Reply | None:
    """Return the scores of the texts, each the sum of those of its tokens."""
    found = _all_behind(lists, texts) or ()
    return scored([max(LEAST_SCORE, math.fsum(token.score or 0.0 for token in tokens)) for tokens in found])


def _tokens_behind(lists: Sequence[_Tokens], texts: Sequence[str]) -> Reply | None:
    """Return what is told of each token of the texts; None if it is not told whether one is the likeliest.

    A server that shows each token alone as the likeliest one does so with all tokens of the question, too.
    """
    found = _all_behind(lists, texts)
    if found is None or any(token.likeliest is None for tokens in found for token in tokens):
        return None
    if not any(token.likeliest is False for token in lists[0] or ()):
        return None
    told = (tuple(TokenScore(t.score or 0.0, bool(t.likeliest), t.rank) for t in tokens) for tokens in found)
    return TokensReply(status="answered", tokens=tuple(told))


def _prompts(asking: Asking) -> list[str]:
    prompt = asking.options.prompt(asking.inquiry.question)
    return [prompt, *(prompt + text for text in asking.texts)]


def _together(asking: Asking, **fields: Any) -> list[Request]:
    return [Request("/completions", asking.body(prompt=_prompts(asking), **fields))]


def _singly(asking: Asking, **fields: Any) -> list[Request]:
    return [Request("/completions", asking.body(prompt=prompt, **fields)) for prompt in _prompts(asking)]


def _choices(value: Any) -> list[Any]:
    """Return the completions of several prompts in order; an empty list if they are malformed."""
    choices = value.get("choices") if isinstance(value, dict) else None
    if not isinstance(choices, list) or not all(isinstance(choice, dict) for choice in choices):
        return []
    numbered = {choice.get("index"): choice for choice in choices if isinstance(choice.get("index"), int)}
    return [numbered[number] for number in range(len(choices))] if set(numbered) == set(range(len(choices))) else []


def _tokens(told: Iterable[tuple[Any, Any, Any]]) -> _Tokens:
    """Return the tokens with these texts and log-probabilities; None if one is malformed, or if there are too many.

    The third of each is its rank, from 1, or the log-probabilities of the likeliest tokens in its place, or None.
    """
    found: list[_Token] = []
    for text, number, place in itertools.islice(told, _LONGEST + 1):
        score = log_probability(number)
        if not isinstance(text, str) or (score is None and (number is not None or found)):
            return None
        if isinstance(place, list):
            largest = max((top for each in place if (top := log_probability(each)) is not None), default=None)
            found.append(_Token(text, score, None if score is None or largest is None else score >= largest))
        else:
            rank = place - 1 if isinstance(place, int) and place > 0 else None
            found.append(_Token(text, score, None if rank is None else rank == 0, rank))
    return found if len(found) <= _LONGEST else None


def _echoed(choice: Any) -> _Tokens:
    logged = choice.get("logprobs")
    if not isinstance(logged, dict):
        return None
    texts, numbers, tops = logged.get("tokens"), logged.get("token_logprobs"), logged.get("top_logprobs")
    if not isinstance(texts, list) or not isinstance(numbers, list) or len(texts) != len(numbers):
        return None
    tops = tops if isinstance(tops, list) and len(tops) == len(texts) else [None] * len(texts)
    places = ([*top.values()] if isinstance(top, dict) else None for top in tops)
    return _tokens(zip(texts, numbers, places, strict=True))


def _prompt_logprobs(owner: Any) -> _Tokens:
    """Read vLLM's format: for each token an object with its id, except the first, which has none."""
    steps = owner.get("prompt_logprobs") if isinstance(owner, dict) else None
    if not isinstance(steps, list):
        return None
    told: list[tuple[Any, Any, Any]] = []
    for step in steps:
        entries = [*step.values()] if isinstance(step, dict) else []
        if len(entries) == 1 and isinstance(entries[0], dict):
            told.append((entries[0].get("decoded_token"), entries[0].get("logprob"), entries[0].get("rank")))
        else:
            told.append(("" if step is None else None, None, None))
    return _tokens(told)


def _generated(result: Any) -> _Tokens:
    """Read SGLang's own format: for each token its log-probability, id and text."""
    told = result.get("meta_info") if isinstance(result, dict) else None
    triples, tops = (
        (told.get(f"input_{name}_logprobs") for name in ("token", "top")) if isinstance(told, dict) else (None, None)
    )
    if not isinstance(triples, list) or not all(isinstance(each, list) and len(each) == 3 for each in triples):
        return None
    tops = tops if isinstance(tops, list) and len(tops) == len(triples) else [None] * len(triples)
    places = ([each[0] for each in top if isinstance(each, list) and each] if isinstance(top, list) else None for top in tops)
    return _tokens((text, number, place) for (number, _, text), place in zip(triples, places, strict=True))


def _chats(asking: Asking) -> list[Request]:
    """The question, and the question with each candidate as the beginning of the model's turn."""
    body = asking.body(prompt_logprobs=0)
    continued = {"add_generation_prompt": False, "continue_final_message": True}
    turns = [[*body["messages"], {"role": "assistant", "content": text}] for text in asking.texts]
    return [Request("/chat/completions", each) for each in (body, *(body | continued | {"messages": turn} for turn in turns))]


def _generate(asking: Asking) -> list[Request]:
    body = {
        "text": _prompts(asking),
        "sampling_params": {"max_new_tokens": 1, "temperature": 0.0},
        "return_logprob": True,
        "logprob_start_len": 0,
        "top_logprobs_num": 1,
        "return_text_in_logprobs": True,
    }
    return [Request("/generate", body, native=True)]


def _echoes(values: Sequence[Any]) -> list[_Tokens]:
    return [_echoed(choice) for choice in _choices(values[0])]


def _single_echoes(values: Sequence[Any]) -> list[_Tokens]:
    return [_echoed(choice) for value in values for choice in _choices(value)[:1]]


def _prompts_told(values: Sequence[Any]) -> list[_Tokens]:
    return [_prompt_logprobs(choice) for choice in _choices(values[0])]


def _chats_told(values: Sequence[Any]) -> list[_Tokens]:
    return [_prompt_logprobs(value) for value in values]


def _all_generated(values: Sequence[Any]) -> list[_Tokens]:
    return [_generated(result) for result in (values[0] if isinstance(values[0], list) else [])]


def _way(name: str, requests: _Requests, lists: _Lists, worth_more: Callable[[Any], bool] = lambda _: True) -> tuple[Way, Way]:
    """Return the way to the scores of texts, and the one to those of their tokens."""
    return (
        Way(name, requests, lambda asking, values: _scores_behind(lists(values), asking.texts), worth_more),
        Way(name, requests, lambda asking, values: _tokens_behind(lists(values), asking.texts), worth_more),
    )


ECHO, _TOKENS_BY_ECHO = _way("echo", lambda asking: _together(asking, echo=True, logprobs=1), _echoes)
ECHO_SINGLY, _TOKENS_BY_ECHO_SINGLY = _way(
    "echo, one by one",
    lambda asking: _singly(asking, echo=True, logprobs=1),
    _single_echoes,
    lambda value: any(map(_echoed, _choices(value))),
)
PROMPT_LOGPROBS, _TOKENS_BY_PROMPT = _way("prompt_logprobs", lambda asking: _together(asking, prompt_logprobs=0), _prompts_told)
PROMPT_LOGPROBS_OF_CHATS, _TOKENS_BY_CHAT = _way(
    "prompt_logprobs of chats", _chats, _chats_told, lambda value: bool(_prompt_logprobs(value))
)
GENERATE, _TOKENS_BY_GENERATE = _way("/generate", _generate, _all_generated)

TOKEN_WAYS: dict[PromptForm, tuple[Way, ...]] = {
    "raw": (_TOKENS_BY_PROMPT, _TOKENS_BY_ECHO, _TOKENS_BY_GENERATE, _TOKENS_BY_ECHO_SINGLY),
    "chat": (_TOKENS_BY_CHAT,),
}
"""The ways to the scores of single tokens, in the order in which they are tried; only the first tells ranks."""
