"""Another model, local or at an endpoint, that writes the keys."""

from collections.abc import Sequence
from typing import Annotated, NamedTuple

from pydantic import ConfigDict, Field

from insignia.errors import InputError, ModelError
from insignia.records import Flag, Record
from insignia.suspects.base import RequestOptions, TextModel
from insignia.suspects.scoring import opened

__all__ = ["INSTRUCTION", "Writer", "WriterOptions"]

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


class WriterOptions(Record):
    """Another model that writes the keys."""

    model_config = ConfigDict(title="Model")

    writer: Annotated[str | None, Flag("--writer", "--model-used-for-key-generation"), Field(repr=False)] = None
    """Another model that writes the keys: folder, hub id, or the base address of an API. None: --model."""
    writer_name: Annotated[str | None, Flag(needs="writer")] = None
    """With an API as --writer: the model's name there."""
    writer_prompt: Annotated[str | None, Flag(needs="writer")] = None
    """What the --writer is asked, with {} for a word. Of {} alone the word is continued. None: to begin a sentence with it."""

    def open(self, device: str = "auto") -> Writer | None:
        """The writer, or None where the model to be marked writes the keys.

        Raises:
            InputError: the options contradict each other.
        """
        source, name, prompt = self.writer, self.writer_name, self.writer_prompt
        if source is None:
            return None
        if prompt is not None and prompt.count("{}") != 1:
            raise InputError("--writer-prompt needs exactly one {}, for the word that the text is to begin with")
        if source.startswith(("http://", "https://")):
            if name is None:
                raise InputError("an API as --writer needs --writer-name: the model's name there")
            from insignia.suspects.endpoint import Endpoint  # noqa: PLC0415  not for those who ask no endpoint

            return Writer(Endpoint(source, model=name), prompt or INSTRUCTION)
        if name is not None:
            raise InputError("--writer-name is for an API as --writer; a folder or a hub id needs none")
        model = opened(source, device=device)
        return Writer(model, prompt or (INSTRUCTION if model.tokenizer.chat_template else "{}"))
