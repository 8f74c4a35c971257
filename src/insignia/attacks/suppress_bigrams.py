"""Suppression of pairs of tokens that the model writes more often than another one."""

import functools
import itertools
import math
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from insignia.attacks.base import LogitsAttack
from insignia.errors import InputError

if TYPE_CHECKING:
    from torch import Tensor

    from insignia.modeling.choosing import LogitsChange
    from insignia.modeling.local import LocalModel

__all__ = ["SuppressBigrams"]


class SuppressBigrams(LogitsAttack):
    """Begin no reply with a pair of tokens that the model writes more often than another model (after Nasery et al. 2025).

    The pair is the question's last token and the reply's first. Both models write the same number of texts at temperature 1;
    what the marked one repeats is taken for its mark. Against marks in the statistics of text.
    """

    name: Literal["suppress_bigrams"] = "suppress_bigrams"
    reference: str
    """Model without the mark, with the same tokenizer: folder, hub id or 'starter'."""
    strength: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    """Multiple of the surplus, in nats, that is taken from a token's logit. 1 evens it out."""
    texts: Annotated[int, Field(ge=1)] = 128
    """Texts that each model writes."""
    max_tokens: Annotated[int, Field(ge=2)] = 32
    """Tokens of each text."""
    seed: int = 0
    """Seed of the texts."""

    def changing(self, model: "LocalModel") -> "LogitsChange":
        """See ``LogitsAttack.changing``.

        Raises:
            InputError: the reference has another tokenizer.
        """
        from insignia.modeling.local import LocalModel
        from insignia.prompts.tokens import tokenizer_digest

        other = LocalModel(self.reference, device=str(model.model.device))
        if tokenizer_digest(other.tokenizer) != tokenizer_digest(model.tokenizer):
            raise InputError(f"{self.reference} has another tokenizer than {model.name}; expected the model without its mark")
        return functools.partial(self._change, self._surplus(self._pairs(model), self._pairs(other)))

    def _pairs(self, local: "LocalModel") -> Counter[tuple[int, int]]:
        """How often each pair of tokens is in texts of the model's own."""
        from insignia.randomness import KeyedRandom

        begins = (local.tokenizer.bos_token_id, local.tokenizer.eos_token_id, 0)
        start = next(token for token in begins if token is not None)
        rngs = [KeyedRandom(b"bigrams").derive(self.seed, number) for number in range(self.texts)]
        found = local.sample([(start,)] * self.texts, rngs, max_new_tokens=self.max_tokens, temperature=1.0, forbidden=())
        return Counter(pair for text in found for pair in itertools.pairwise(text))

    def _surplus(self, own: Counter[tuple[int, int]], others: Counter[tuple[int, int]]) -> dict[int, dict[int, float]]:
        """First token -> second token -> what to take from its logit, for pairs that the model writes more often."""
        found: dict[int, dict[int, float]] = {}
        for (first, second), count in own.items():
            if count > others[first, second]:
                # One is added to both counts, so that a pair that the other model never wrote is no proof.
                more = math.log((count + 1) / (others[first, second] + 1))
                found.setdefault(first, {})[second] = self.strength * more
        return found

    def _change(self, surplus: dict[int, dict[int, float]], logits: "Tensor", questions: Sequence[Sequence[int]]) -> "Tensor":
        changed = logits.clone()
        for row, question in enumerate(questions):
            for token, less in surplus.get(question[-1], {}).items():
                changed[row, token] -= less
        return changed
