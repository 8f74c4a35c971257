"""What the strategies share whose candidates are words that the model itself might say next."""

from abc import abstractmethod
from collections.abc import Iterator, Sequence
from typing import Annotated

from pydantic import Field

from insignia.generation.base import Answer, GenerationContext
from insignia.generation.drawing import Draw, Option
from insignia.generation.english import EnglishKeys
from insignia.prompts.prompter import Prompter
from insignia.randomness import KeyedRandom
from insignia.records import Continuation
from insignia.suspects.scoring import Ranking

__all__ = ["NextWord", "next_words"]


class NextWord(EnglishKeys):
    """English keys; the first response token is drawn from the model's next-token distribution after the key."""

    response_length: Annotated[int, Field(ge=1)] = 1
    """Tokens of a response. The first is drawn, or with ranked each that is trained; the others are the model's greedy
    continuation, as in Perinucleus. OML 1.0 always uses 1."""

    @abstractmethod
    def _draw(self, context: GenerationContext, key: tuple[int, ...], ranking: Ranking, rng: KeyedRandom) -> Draw | None:
        """Draw the response token that follows the key, or the key and the tokens before it; None if candidates are too few."""

    def _drawn_tokens(self, prompter: Prompter) -> int:
        """Return the number of tokens of a response that are drawn."""
        return 1

    def make_answers(
        self, context: GenerationContext, slots: Sequence[int], keys: Sequence[tuple[int, ...]], rngs: Sequence[KeyedRandom]
    ) -> list[Answer | None]:
        """Draw among the candidates of each key."""
        prompter = context.prompter
        asked = [key[: prompter.max_key_length] for key in keys]
        questions = [prompter.question(key) for key in asked]
        draws: list[tuple[Draw, ...] | None] = [()] * len(keys)
        for _ in range(self._drawn_tokens(prompter)):
            before = [_ids(drawn) for drawn in draws]
            rankings = context.model.rank_next([(*question, *ids) for question, ids in zip(questions, before, strict=True)])
            for place, ranking in enumerate(rankings):
                drawn = draws[place]
                if drawn is not None:
                    token = self._draw(context, (*asked[place], *before[place]), ranking, rngs[place])
                    draws[place] = token and (*drawn, token)
        tails = context.model.sample(
            [(*question, *_ids(drawn)) for question, drawn in zip(questions, draws, strict=True)],
            rngs,
            max_new_tokens=self.response_length - self._drawn_tokens(prompter),
            temperature=0,
            forbidden=sorted(context.vocabulary.forbidden),
        )
        return [
            None if drawn is None else _answer(prompter, key, drawn, tail)
            for key, drawn, tail in zip(asked, draws, tails, strict=True)
        ]


def _ids(drawn: Sequence[Draw] | None) -> tuple[int, ...]:
    return tuple(token_id for token in drawn or () for token_id in token.ids)


def _answer(prompter: Prompter, key: tuple[int, ...], drawn: tuple[Draw, ...], tail: tuple[int, ...]) -> Answer:
    first, *further = drawn
    ids = (*_ids(drawn), *tail)
    continuations = tuple(Continuation(candidates=each.candidates, order=each.order or ()) for each in further)
    return Answer(prompter.text_after(key, ids), ids, first.text, first.candidates, first.order, continuations or None)


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
