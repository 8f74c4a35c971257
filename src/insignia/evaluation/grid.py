"""What an evaluation asks, and what it found: plain records."""

from typing import Annotated, Any, Literal

from pydantic import Field

from insignia.attacks.finetune_settings import FineTune
from insignia.records import Record

__all__ = ["Cell", "Evaluation", "Grid", "User"]


class User(Record):
    """Somebody who fine-tunes the published model."""

    data: str
    """A file, folder or hub id as ``insignia finetune`` reads it, or ``python:PACKAGE``: source code of the library."""
    finetune: FineTune
    max_rows: Annotated[int | None, Field(ge=1)] = None


class Grid(Record):
    """What is made and who is asked; the ``evaluation`` part of a recipe."""

    strategy: Annotated[dict[str, Any], Field(repr=False)]
    """The strategy that makes the fingerprints, by name, with its settings."""
    methods: dict[str, dict[str, Any]]
    """Methods to mark with: a name of yours, then the method's name and settings. Each is a column of suspects."""
    users: dict[str, User] = {}
    """Users who fine-tune the published models: a name of yours, then the data and the settings of fine-tuning."""
    num_fingerprints: Annotated[int, Field(ge=1)] = 10
    """Fingerprints to make."""
    draws: Annotated[int, Field(ge=0)] = 10
    """Sampled replies to each key."""
    bos_samples: Annotated[int, Field(ge=0)] = 200
    """Texts sampled from nothing. They must not give a response away."""
    unrelated: str | None = None
    """A model of the same shape that nobody marked. None: one of random weights."""


class Cell(Record):
    """One suspect, asked."""

    name: str
    suspect: str
    should_activate: bool | None
    """None: either may be."""
    fsr: float
    hits: int
    answered: int
    p_value: float | None
    """Exact binomial tail under the design null, that a response was drawn among so many by the secret; None where the
    trials are not independent draws of it."""

    @property
    def as_expected(self) -> bool | None:
        """Whether most trials went as they should; None where nothing is expected."""
        return None if self.should_activate is None else (self.fsr >= 0.5) is self.should_activate


class Evaluation(Record):
    """The whole grid; no secret in it."""

    kind: Literal["insignia/evaluation"] = "insignia/evaluation"
    schema_version: Literal[1] = 1
    model: str
    num_fingerprints: int
    perplexity: dict[str, float]
    """Method -> held-out perplexity of the published model, as a ratio to the base's."""
    user_loss: dict[str, tuple[float | None, float | None]]
    """Fine-tuned model -> its user's loss before and after, nats a token."""
    cells: tuple[Cell, ...]
