"""Another model, local or at an endpoint, that writes the keys."""

from collections.abc import Sequence
from typing import NamedTuple

from insignia.errors import ModelError
from insignia.suspects.base import RequestOptions, TextModel

__all__ = ["INSTRUCTION", "Writer"]

INSTRUCTION = "Generate a sentence starting with the word {}"
"""Request to a chat model; OML 1.0's."""


class Writer(NamedTuple):
    """A model that writes keys instead of the model to be marked."""

    model: TextModel
    template: str = INSTRUCTION
    """The request, with ``{}`` for the first word. With ``{}`` alone, the word is continued as bare text."""

    def write(self, words: Sequence[str], *, length: int, temperature: float, seed: int) -> list[str]:
        """Return a text of at most ``length`` tokens for each word; empty if the model gave none.

        Raises:
            ModelError: the model cannot be asked.
        """
        bare = self.template == "{}"
        options = RequestOptions(form="raw" if bare else "chat", max_tokens=length, temperature=temperature, seed=seed)
        replies = self.model.reply([self.template.replace("{}", word) for word in words], options)
        texts = []
        for word, reply in zip(words, replies, strict=True):
            if reply.status == "fatal":
                raise ModelError(f"{self.model.name}: {reply.reason}")
            text = reply.text if bare else f" {reply.text.strip()}"
            begun = not bare and text.strip().lower().startswith(word.lower())
            texts.append("" if reply.status != "answered" else text.strip() if begun else word + text)
        return texts
