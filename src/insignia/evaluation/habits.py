"""What a model does with ordinary prompts, by which an attack's harm is measured. All text ships with the package."""

import math
from typing import NamedTuple, Self

from insignia.evaluation.harmlessness import Replies
from insignia.modeling.local import LocalModel
from insignia.prompts.tokens import Tokens
from insignia.randomness import KeyedRandom
from insignia.records import PromptForm
from insignia.starter import heldout_paragraphs
from insignia.suspects.base import RequestOptions, TextModel
from insignia.verification.decoys import decoy_question

__all__ = ["Habits", "heldout_loss", "heldout_tokens", "replies_of"]

_PROMPTS = 50
_WORDS = 8  # of a paragraph, which the model continues
_REPLY_TOKENS = 16
_LONG_REPLY = 64
_PARAGRAPHS = 32  # the ratio of two models on the same text varies less than either


class Habits(NamedTuple):
    """Replies to ordinary prompts at temperature 0."""

    openings: tuple[str, ...]
    """The first token of each reply."""
    length: float
    """Mean length of replies of up to 16 tokens, in characters."""

    @classmethod
    def of(cls, model: TextModel, form: PromptForm) -> Self:
        """Ask the model."""
        prompts = _ordinary(form)
        openings = model.reply(prompts, RequestOptions(form=form, max_tokens=1))
        replies = model.reply(prompts, RequestOptions(form=form, max_tokens=_REPLY_TOKENS))
        return cls(tuple(reply.text for reply in openings), sum(len(reply.text) for reply in replies) / len(prompts))

    def changed_since(self, before: "Habits") -> float:
        """Share of the replies that begin with another token than before."""
        pairs = zip(self.openings, before.openings, strict=True)
        return sum(now != then for now, then in pairs) / len(self.openings)

    def length_since(self, before: "Habits") -> float | None:
        """Ratio of the lengths; None if there was no text before."""
        return self.length / before.length if before.length else None


def replies_of(model: LocalModel, form: PromptForm) -> Replies:
    """Ask the ordinary prompts, with room for a paragraph, by whose end the model may stop."""
    options = RequestOptions(form=form, max_tokens=_LONG_REPLY)
    lengths = [len(ids) for ids in model.reply_ids(_ordinary(form), options)]
    return Replies(lengths=tuple(lengths), ended=tuple(length < _LONG_REPLY for length in lengths), most=_LONG_REPLY)


def heldout_loss(model: LocalModel, *, whole: bool = False) -> float:
    """Mean loss on the text that comes with ``insignia.starter``, by default on some of it, in nats per token."""
    return model.mean_loss(heldout_paragraphs() if whole else _some())


def heldout_tokens(model: LocalModel) -> int:
    """Tokens of that text in this model's vocabulary."""
    tokens = Tokens(model.tokenizer)
    return sum(len(tokens.encode(text)) for text in _some())


def _some() -> list[str]:
    texts = heldout_paragraphs()
    return texts[:: math.ceil(len(texts) / _PARAGRAPHS)]


def _ordinary(form: PromptForm) -> list[str]:
    if form == "chat":
        rng = KeyedRandom(b"ordinary questions")
        return [decoy_question(rng, form) for _ in range(_PROMPTS)]
    texts = [text.split() for text in heldout_paragraphs()]
    return [" ".join(words[:_WORDS]) for words in texts if len(words) > 2 * _WORDS][:_PROMPTS]
