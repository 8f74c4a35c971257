"""The only seam to language models: what the rest of insignia asks of one, and what answers."""

from insignia.models.base import Example, Score, ScoringModel

__all__ = ["Example", "Score", "ScoringModel"]
