"""English text, or that of the model's own language, each begun with a random word (OML 1.0, section "english").

The model to be marked writes it, or another one that writes better: a folder, or a server.
"""

from collections.abc import Sequence
from typing import NamedTuple

from insignia.errors import ModelError
from insignia.generation.base import Workshop
from insignia.models.base import Manner, TextModel
from insignia.randomness import KeyedRandom

__all__ = ["INSTRUCTION", "Writer", "write_text"]

INSTRUCTION = "Generate a sentence starting with the word {}"
"""What a model that chats is asked; OML 1.0's."""


class Writer(NamedTuple):
    """A model that writes keys in place of the one to be marked."""

    model: TextModel
    template: str = INSTRUCTION
    """The request, with ``{}`` for the word. Of ``{}`` alone the word is continued, as bare text."""

    def write(self, words: Sequence[str], *, length: int, temperature: float, seed: int) -> list[str]:
        """A text of at most ``length`` of its tokens for each word; empty where the model gave none.

        Raises:
            ModelError: the model cannot be asked.
        """
        bare = self.template == "{}"
        manner = Manner(form="raw" if bare else "chat", max_tokens=length, temperature=temperature, seed=seed)
        replies = self.model.reply([self.template.replace("{}", word) for word in words], manner)
        texts = []
        for word, reply in zip(words, replies, strict=True):
            if reply.status == "fatal":
                raise ModelError(f"{self.model.name}: {reply.reason}")
            text = reply.text if bare else f" {reply.text.strip()}"
            begun = not bare and text.strip().lower().startswith(word.lower())
            texts.append("" if reply.status != "answered" else text.strip() if begun else word + text)
        return texts


def write_text(
    workshop: Workshop,
    chances: Sequence[KeyedRandom],
    *,
    length: int,
    temperature: float,
    writer: Writer | None = None,
) -> list[tuple[int, ...]]:
    """Ids of texts of that many tokens, or of the random word they begin with; () where another writer gave none.

    A model with a chat template is asked for a sentence that starts with the word, and the word is put in its mouth, so
    the text begins with it whatever the model makes of the request.
    """
    prompter, vocabulary = workshop.prompter, workshop.vocabulary
    words = [vocabulary.capitalized(chance.derive("word").choice(vocabulary.words)) for chance in chances]
    if writer is not None:
        seed = workshop.chance.derive("writer").below(2**31)  # secret: who knows the seed could write the keys again
        texts = writer.write(words, length=length, temperature=temperature, seed=seed)
        return [tuple(prompter.encode(text)) for text in texts]
    openings = [prompter.encode(word) for word in words]
    if prompter.tokenizer.chat_template:
        prompts = [prompter.chat(INSTRUCTION.format(word)) for word in words]
    else:
        prompts = [prompter.prefix for _ in words]
    more = workshop.model.sample(
        [(*prompt, *opening) for prompt, opening in zip(prompts, openings, strict=True)],
        [chance.derive("text") for chance in chances],
        max_new_tokens=max(0, length - min(map(len, openings))),
        temperature=temperature,
        forbidden=sorted(vocabulary.forbidden),
    )
    return [(*opening, *text)[: max(length, len(opening))] for opening, text in zip(openings, more, strict=True)]
