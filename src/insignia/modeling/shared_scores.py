"""A model of which each process of a ``torchrun`` has a copy, and each copy scores a share of what is asked."""

from collections.abc import Sequence

from insignia.modeling.local import LocalModel
from insignia.modeling.process_group import gather, process_rank
from insignia.suspects.scoring import Example, Score

__all__ = ["SharedScores"]


class SharedScores:
    """The copies together. Implements ``ScoringModel``; every process asks for the same examples and gets all scores."""

    def __init__(self, local: LocalModel) -> None:
        self._local = local
        self.tokenizer = local.tokenizer
        self.context_length = local.context_length

    def score(self, examples: Sequence[Example]) -> list[Score]:
        """See ``ScoringModel.score``."""
        rank, processes = process_rank()
        shares = gather(self._local.score(examples[rank::processes]))
        return [shares[number % processes][number // processes] for number in range(len(examples))]
