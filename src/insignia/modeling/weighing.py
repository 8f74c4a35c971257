"""A local model asked about candidates: what it would reveal by each channel, from one forward pass a question."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from insignia.folding import fold
from insignia.prompts.tokens import Tokens
from insignia.records import Candidate
from insignia.suspects.base import LEAST_SCORE, Alternative, Channel, Inquiry, Reply

__all__ = ["MOST_ALTERNATIVES", "seen_by"]

MOST_ALTERNATIVES = 20
"""Likeliest tokens that most hosts show."""


def seen_by(channel: Channel, inquiries: Sequence[Inquiry], logits: Tensor, tokens: Tokens) -> Iterator[Reply]:
    """Yield what a model with these next-token logits, (inquiries, vocabulary), shows of the candidates by a channel."""
    log_probabilities = logits.log_softmax(1)
    for inquiry, row in zip(inquiries, log_probabilities, strict=True):
        if channel == "top":
            best = row.topk(min(MOST_ALTERNATIVES, len(row)))
            pairs = zip(best.indices.tolist(), best.values.tolist(), strict=True)
            shown = tuple(Alternative(text=tokens.decode([token]), log_probability=_score(log)) for token, log in pairs)
            yield Reply(status="answered", channel=channel, alternatives=shown)
        elif not all(_agrees(candidate, tokens, len(row)) for candidate in inquiry.candidates):
            yield Reply.unanswered("the tokenizer has other tokens for the candidates", channel)
        else:
            scores = row[torch.tensor([candidate.token_id for candidate in inquiry.candidates], device=row.device)]
            if channel == "scores":
                yield Reply(status="answered", channel=channel, scores=tuple(map(_score, scores.tolist())))
            else:
                handicaps = scores.new_tensor(inquiry.handicaps or [0.0])
                text = inquiry.candidates[int((scores + handicaps).argmax())].text
                yield Reply(status="answered", channel=channel, text=text)


def _score(log_probability: float) -> float:
    return min(0.0, max(LEAST_SCORE, log_probability))


def _agrees(candidate: Candidate, tokens: Tokens, size: int) -> bool:
    """Whether the candidate's token has, or begins, the candidate's text in this tokenizer."""
    if not 0 <= candidate.token_id < size:
        return False
    token = fold(tokens.decode([candidate.token_id]), "spaces")
    return bool(token) and fold(candidate.text, "spaces").startswith(token)
