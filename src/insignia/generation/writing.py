"""English text, or that of the model's own language, each begun with a random word (OML 1.0, section "english").

The model to be marked writes it, or another one that writes better: a folder, or a server.
"""

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
    """Ids of texts of that many tokens, or of the random word they begin with; () where another writer gave none.

    A model with a chat template is asked for a sentence that starts with the word, and the word is put in its mouth, so
    the text begins with it whatever the model makes of the request.
    """
    prompter, vocabulary = context.prompter, context.vocabulary
    words = [vocabulary.capitalized(rng.derive("word").choice(vocabulary.words)) for rng in rngs]
    if writer is not None:
        seed = context.rng.derive("writer").below(2**31)  # secret: who knows the seed could write the keys again
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
