"""The only seam to language models: what the rest of insignia asks of one, and what answers."""

from insignia.models.base import Example, Manner, Reply, Score, ScoringModel, TextModel

__all__ = ["Example", "Manner", "Reply", "Score", "ScoringModel", "TextModel"]
