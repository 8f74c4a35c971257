"""What the strategies share whose candidates are words that the model itself might say next."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Annotated

from pydantic import Field

from insignia.generation.base import Answer, GenerationContext
from insignia.generation.drawing import Draw, Option
from insignia.generation.english import EnglishKeys
from insignia.randomness import KeyedRandom
from insignia.suspects.scoring import Ranking

__all__ = ["NextWord", "next_words"]


class NextWord(EnglishKeys):
    """English keys; the first response token is drawn from the model's next-token distribution after the key."""

    response_length: Annotated[int, Field(ge=1)] = 1
    """Tokens of a response. The first is drawn, the others are the model's greedy continuation, as in Perinucleus. OML 1.0
    always uses 1."""

    @abstractmethod
    def _draw(self, context: GenerationContext, key: tuple[int, ...], ranking: Ranking, rng: KeyedRandom) -> Draw | None:
        """Draw the first token of the response to a key; None if the key has too few candidates."""

    def make_answers(
        self, context: GenerationContext, slots: Sequence[int], keys: Sequence[tuple[int, ...]], rngs: Sequence[KeyedRandom]
    ) -> list[Answer | None]:
        """Draw among the candidates of each key."""
        prompter = context.prompter
        asked = [key[: prompter.max_key_length] for key in keys]
        questions = [prompter.question(key) for key in asked]
        rankings = context.model.rank_next(questions)
        draws = [self._draw(context, key, ranking, rng) for key, rng, ranking in zip(asked, rngs, rankings, strict=True)]
        starts = [(*question, *(drawn.ids if drawn else ())) for question, drawn in zip(questions, draws, strict=True)]
        tails = context.model.sample(
            starts,
            rngs,
            max_new_tokens=self.response_length - 1,
            temperature=0,
            forbidden=sorted(context.vocabulary.forbidden),
        )
        answers = list[Answer | None]()
        for key, drawn, tail in zip(asked, draws, tails, strict=True):
            ids = (*(drawn.ids if drawn else ()), *tail)
            text = prompter.text_after(key, ids)
            answers.append(drawn and Answer(text, ids, drawn.text, drawn.candidates, drawn.order))
        return answers


def next_words(context: GenerationContext, key: tuple[int, ...], ranking: Ranking, *, start: int = 0) -> Iterator[Option]:
    """Yield words from rank ``start`` on, most likely first, that stay one token when key and word are tokenized as text."""
    prompter, vocabulary = context.prompter, context.vocabulary
    text = prompter.decode(key)
    for rank in range(start, len(ranking.token_ids)):
        token_id = int(ranking.token_ids[rank])
        if token_id not in vocabulary.word_tokens:
            continue
        if vocabulary.gap and prompter.encode(text + prompter.text_after(key, (token_id,))) != [*key, token_id]:
            continue
        yield Option((token_id,), rank, float(ranking.probabilities[rank]))
