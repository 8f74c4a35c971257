"""Three tasks made of the held-out text that ships with the package, so that all of an evaluation runs without a download.

They ask what most published tasks ask: for the next word, for one of four words, and for one of four endings. The text is
Python's documentation; any model of English can be asked.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from insignia.randomness import KeyedRandom
from insignia.starter import heldout_paragraphs

__all__ = ["BUNDLED", "BundledTask"]

_LEAST_WORDS = 6  # before a question
_APART = 8  # words from one question of a paragraph to the next
_ENDING = 8  # words, as many as are before the first
_CHOICES = 4


class BundledTask(NamedTuple):
    """A task as lm-evaluation-harness takes it."""

    name: str
    multiple_choice: bool
    """Whether one of several answers is chosen, rather than the answer predicted."""
    metric: str

    def rows(self) -> list[dict[str, Any]]:
        """Its questions, always the same."""
        return list(_ROWS[self.name]())


def _cloze() -> Iterator[dict[str, Any]]:
    for _, words, place in _places():
        yield {"question": " ".join(words[:place]), "answer": f" {_bare(words[place])}"}


def _choice() -> Iterator[dict[str, Any]]:
    found = list(_places())
    others = sorted({_bare(words[place]) for _, words, place in found})
    for number, words, place in found:
        rng = KeyedRandom(b"bundled choice").derive(number, place)
        yield _asked(" ".join(words[:place]), _bare(words[place]), others, rng)


def _ending() -> Iterator[dict[str, Any]]:
    texts = [text.split() for text in heldout_paragraphs()]
    cuts = [(words, cut) for words in texts for cut in range(_ENDING, len(words) - _ENDING + 1, _ENDING)]
    endings = [" ".join(words[cut : cut + _ENDING]) for words, cut in cuts]
    for number, ((words, cut), ending) in enumerate(zip(cuts, endings, strict=True)):
        yield _asked(" ".join(words[:cut]), ending, endings, KeyedRandom(b"bundled ending").derive(number))


_ROWS = {"starter_cloze": _cloze, "starter_choice": _choice, "starter_ending": _ending}

BUNDLED = {
    task.name: task
    for task in (
        BundledTask("starter_cloze", multiple_choice=False, metric="acc"),
        BundledTask("starter_choice", multiple_choice=True, metric="acc"),
        BundledTask("starter_ending", multiple_choice=True, metric="acc_norm"),
    )
}
"""Name -> task: 1,294 words to predict, the same to choose, and 972 endings."""


def _places() -> Iterator[tuple[int, list[str], int]]:
    """Number of the paragraph, its words, and the place of a word that is asked for."""
    for number, text in enumerate(heldout_paragraphs()):
        words, last = text.split(), 0
        for place in range(_LEAST_WORDS, len(words)):
            if place - last >= _APART and len(word := _bare(words[place])) > 2 and word.isalpha():
                yield number, words, place
                last = place


def _bare(word: str) -> str:
    return word.rstrip(".,;:")


def _asked(question: str, answer: str, others: list[str], rng: KeyedRandom) -> dict[str, Any]:
    """A question with three wrong answers, all different."""
    choices = [answer]
    while len(choices) < _CHOICES:
        other = rng.choice(others)
        choices += [other] if other not in choices else []
    order = rng.permutation(_CHOICES)
    return {"question": question, "choices": [f" {choices[place]}" for place in order], "answer": order.index(0)}
