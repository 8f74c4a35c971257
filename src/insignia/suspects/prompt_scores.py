"""Scores from prompts: each candidate is put behind the question, and the server scores the tokens that it was sent.

The question is sent alone, too. Its tokens must begin every other list of tokens, else the tokenizer joins the end of the
question with a candidate, and there is no log-probability of the candidate after the question. What comes behind them must
be the candidate's text in whole tokens, whose log-probabilities are added. Servers also generate a token or not; where the
candidate ends is seen by its text.
"""

import itertools
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from insignia.suspects.base import LEAST_SCORE, Reply
from insignia.suspects.connection import Request
from insignia.suspects.way import Asking, Way, bare, log_probability, scored

__all__ = ["ECHO", "ECHO_SINGLY", "GENERATE", "PROMPT_LOGPROBS", "PROMPT_LOGPROBS_OF_CHATS"]

_LONGEST = 2**15  # tokens of a question, which takes seconds to read if there are many more


class _Token(NamedTuple):
    text: str
    score: float | None
    """None for the first token of a prompt, which follows nothing."""


_Tokens = list[_Token] | None
"""The tokens of a prompt, with or without one that was generated after it; None if the server does not tell."""


def _scores_behind(lists: Sequence[_Tokens], texts: Sequence[str]) -> Reply | None:
    """Return the scores of the texts, given the tokens of the question and those of the question with each text."""
    if len(lists) != len(texts) + 1 or any(tokens is None for tokens in lists):
        return None
    question, *continued = ([*tokens] for tokens in lists if tokens is not None)
    for generated in (1, 0):
        asked = [token.text for token in question[: len(question) - generated]]
        found = [_score_behind(asked, tokens, text) for tokens, text in zip(continued, texts, strict=True)]
        if (reply := scored(found)) is not None:
            return reply
    return None


def _score_behind(asked: list[str], tokens: list[_Token], text: str) -> float | None:
    if not asked or [token.text for token in tokens[: len(asked)]] != asked:
        return None
    for end in (len(tokens) - 1, len(tokens)):
        behind = tokens[len(asked) : end]
        if behind and bare("".join(token.text for token in behind)) == bare(text):
            parts = [token.score for token in behind if token.score is not None]
            return max(LEAST_SCORE, math.fsum(parts)) if len(parts) == len(behind) else None
    return None


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


def _tokens(pairs: Iterable[tuple[Any, Any]]) -> _Tokens:
    """Return the tokens with these texts and log-probabilities; None if one is malformed, or if there are too many."""
    found: list[_Token] = []
    for text, number in itertools.islice(pairs, _LONGEST + 1):
        score = log_probability(number)
        if not isinstance(text, str) or (score is None and (number is not None or found)):
            return None
        found.append(_Token(text, score))
    return found if len(found) <= _LONGEST else None


def _echoed(choice: Any) -> _Tokens:
    logged = choice.get("logprobs")
    if not isinstance(logged, dict):
        return None
    texts, numbers = logged.get("tokens"), logged.get("token_logprobs")
    if not isinstance(texts, list) or not isinstance(numbers, list) or len(texts) != len(numbers):
        return None
    return _tokens(zip(texts, numbers, strict=True))


def _prompt_logprobs(owner: Any) -> _Tokens:
    """Read vLLM's format: for each token an object with its id, except the first, which has none."""
    steps = owner.get("prompt_logprobs") if isinstance(owner, dict) else None
    if not isinstance(steps, list):
        return None
    pairs: list[tuple[Any, Any]] = []
    for step in steps:
        entries = [*step.values()] if isinstance(step, dict) else []
        if len(entries) == 1 and isinstance(entries[0], dict):
            pairs.append((entries[0].get("decoded_token"), entries[0].get("logprob")))
        else:
            pairs.append(("" if step is None else None, None))
    return _tokens(pairs)


def _generated(result: Any) -> _Tokens:
    """Read SGLang's own format: for each token its log-probability, id and text."""
    told = result.get("meta_info") if isinstance(result, dict) else None
    triples = told.get("input_token_logprobs") if isinstance(told, dict) else None
    if not isinstance(triples, list) or not all(isinstance(each, list) and len(each) == 3 for each in triples):
        return None
    return _tokens((text, number) for number, _, text in triples)


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
        "return_text_in_logprobs": True,
    }
    return [Request("/generate", body, native=True)]


ECHO = Way(
    "echo",
    lambda asking: _together(asking, echo=True, logprobs=1),
    lambda asking, values: _scores_behind([_echoed(choice) for choice in _choices(values[0])], asking.texts),
)
ECHO_SINGLY = Way(
    "echo, one by one",
    lambda asking: _singly(asking, echo=True, logprobs=1),
    lambda asking, values: _scores_behind(
        [_echoed(choice) for value in values for choice in _choices(value)[:1]], asking.texts
    ),
    lambda value: any(map(_echoed, _choices(value))),
)
PROMPT_LOGPROBS = Way(
    "prompt_logprobs",
    lambda asking: _together(asking, prompt_logprobs=0),
    lambda asking, values: _scores_behind([_prompt_logprobs(choice) for choice in _choices(values[0])], asking.texts),
)
PROMPT_LOGPROBS_OF_CHATS = Way(
    "prompt_logprobs of chats",
    _chats,
    lambda asking, values: _scores_behind([_prompt_logprobs(value) for value in values], asking.texts),
    lambda value: bool(_prompt_logprobs(value)),
)
GENERATE = Way(
    "/generate",
    _generate,
    lambda asking, values: _scores_behind(
        [_generated(result) for result in (values[0] if isinstance(values[0], list) else [])], asking.texts
    ),
)
