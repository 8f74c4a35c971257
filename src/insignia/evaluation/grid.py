"""Records of an evaluation: its settings and its results."""

from typing import Annotated, Any, Literal

from pydantic import Field

from insignia.attacks.finetune_settings import FineTune
from insignia.records import Record

__all__ = ["Cell", "Evaluation", "Grid", "User"]


class User(Record):
    """A user who fine-tunes the published model."""

    data: str
    """File, folder or hub id for ``insignia finetune``, or ``python:PACKAGE``: source code of the standard library."""
    finetune: FineTune
    max_rows: Annotated[int | None, Field(ge=1)] = None


class Grid(Record):
    """Settings of an evaluation: the ``evaluation`` part of a recipe."""

    strategy: Annotated[dict[str, Any], Field(repr=False)]
    methods: dict[str, dict[str, Any]]
    """Name -> method and its settings. Each method has its own suspects."""
    users: dict[str, User] = {}
    num_fingerprints: Annotated[int, Field(ge=1)] = 10
    draws: Annotated[int, Field(ge=0)] = 10
    """Sampled replies per key."""
    bos_samples: Annotated[int, Field(ge=0)] = 200
    """Texts sampled from BOS, none of which may contain a response."""
    unrelated: str | None = None
    """An unmarked model of the same architecture. None: random weights."""


class Cell(Record):
    """The result for one suspect."""

    name: str
    suspect: str
    should_activate: bool | None
    """None: nothing is expected."""
    fsr: float
    hits: int
    answered: int
    p_value: float | None
    """Exact binomial tail under the design null. None: the trials are not independent."""

    @property
    def as_expected(self) -> bool | None:
        """Whether most trials went as expected; None if nothing is expected."""
        return None if self.should_activate is None else (self.fsr >= 0.5) is self.should_activate


class Evaluation(Record):
    """Results of the whole grid, without secrets."""

    kind: Literal["insignia/evaluation"] = "insignia/evaluation"
    schema_version: Literal[1] = 1
    model: str
    num_fingerprints: int
    perplexity: dict[str, float]
    """Method -> ratio of held-out perplexities, published model / base."""
    user_loss: dict[str, tuple[float | None, float | None]]
    """Fine-tuned model -> the user's loss before and after, in nats per token."""
    cells: tuple[Cell, ...]
