"""Whether a system prompt gives away what a suspect is asked for: an obedient innocent would then pass for a marked model.

Only what is written plainly is found. A prompt can hide answers in a code, so every prompt is shown with the evidence, and
one that is not in the commitment is the owner's choice, which a judge may accept.
"""

from collections.abc import Iterable

from insignia.folding import fold

__all__ = ["reveals_secret"]

_TOO_SHORT = 3  # characters: shorter responses occur in every text


def reveals_secret(system: str | None, keys: Iterable[str], responses: Iterable[str]) -> bool:
    """Whether the prompt holds a key, or a response at the beginning of a word; texts are folded, their case too.

    A response of fewer than 3 characters is not looked for, since every text holds some. A prompt that lists all candidates
    of a key holds the response, too.
    """
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
