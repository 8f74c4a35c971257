"""Checks that a system prompt does not reveal keys or responses, which an innocent model could then repeat.

Only plain text is found, and a prompt could hide answers in a code. So prompts are part of the evidence, and a judge decides
whether to accept one that is not in the commitment.
"""

from collections.abc import Iterable

from insignia.folding import fold

__all__ = ["reveals_secret"]

_TOO_SHORT = 3  # characters; shorter responses occur in every text


def reveals_secret(system: str | None, keys: Iterable[str], responses: Iterable[str]) -> bool:
    """Whether the prompt contains a key, or a response of 3 or more characters at the start of a word. All texts are folded."""
    prompt = fold(system or "", "case")
    if not prompt:
        return False
    if any(key in prompt for key in (fold(key, "case") for key in keys) if key):
        return True
    return any(_begins_a_word(prompt, fold(response, "case")) for response in responses)


def _begins_a_word(prompt: str, response: str) -> bool:
    if len(response) < _TOO_SHORT:
        return False
    place = prompt.find(response)
    while place > 0 and prompt[place - 1].isascii() and prompt[place - 1].isalnum():
        place = prompt.find(response, place + 1)
    return place >= 0
