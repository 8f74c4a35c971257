"""Text that a model writes from a random first word (OML 1.0's "english")."""

from collections.abc import Sequence

from insignia.generation.base import GenerationContext
from insignia.generation.writer import INSTRUCTION, Writer
from insignia.randomness import KeyedRandom

__all__ = ["write_text"]


def write_text(
    context: GenerationContext,
    rngs: Sequence[KeyedRandom],
    *,
    length: int,
    temperature: float,
    writer: Writer | None = None,
) -> list[tuple[int, ...]]:
    """Return the token ids of one text of ``length`` tokens per generator; () if another writer gave none.

    A model with a chat template is asked for a sentence that starts with a random word, and its reply is forced to begin with
    it.
    """
    prompter, vocabulary = context.prompter, context.vocabulary
    words = [vocabulary.capitalized(rng.derive("word").choice(vocabulary.words)) for rng in rngs]
    if writer is not None:
        seed = context.rng.derive("writer").below(2**31)  # secret: the seed would let others write the keys again
        texts = writer.write(words, length=length, temperature=temperature, seed=seed)
        return [tuple(prompter.encode(text)) for text in texts]
    openings = [prompter.encode(word) for word in words]
    if prompter.tokenizer.chat_template:
        prompts = [prompter.chat(INSTRUCTION.format(word)) for word in words]
    else:
        prompts = [prompter.prefix for _ in words]
    more = context.model.sample(
        [(*prompt, *opening) for prompt, opening in zip(prompts, openings, strict=True)],
        [rng.derive("text") for rng in rngs],
        max_new_tokens=max(0, length - min(map(len, openings))),
        temperature=temperature,
        forbidden=sorted(vocabulary.forbidden),
    )
    return [(*opening, *text)[: max(length, len(opening))] for opening, text in zip(openings, more, strict=True)]
