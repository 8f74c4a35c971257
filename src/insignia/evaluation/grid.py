"""What an evaluation asks, and what it found: plain records."""

from typing import Annotated, Any, Literal

from pydantic import Field

from insignia.attacks.finetuning import FineTune
from insignia.records import Displayed, Record
from insignia.terminal import percent

__all__ = ["Cell", "Evaluation", "Grid", "User"]


class User(Record):
    """Somebody who fine-tunes the published model."""

    data: str
    """A file, folder or hub id as ``insignia finetune`` reads it, or ``python:PACKAGE``: source code of the library."""
    finetune: FineTune
    max_rows: Annotated[int | None, Field(ge=1)] = None

    @property
    def attack(self) -> FineTune:
        """What they do."""
        return self.finetune.model_copy(update={"data": self.data, "max_rows": self.max_rows})


class Grid(Record):
    """What is made and who is asked; the ``evaluation`` part of a recipe."""

    strategy: Annotated[dict[str, Any], Field(repr=False)]
    methods: dict[str, dict[str, Any]]
    """Name -> method and its settings; each is a column of suspects."""
    users: dict[str, User] = {}
    attacks: Annotated[dict[str, dict[str, Any]], Field(repr=False, exclude_if=lambda value: not value)] = {}
    """Name -> attack and its settings, on the published and on the unmarked model."""
    num_fingerprints: Annotated[int, Field(ge=1)] = 10
    draws: Annotated[int, Field(ge=0)] = 10
    """Sampled replies to each key."""
    bos_samples: Annotated[int, Field(ge=0)] = 200
    """Texts sampled from nothing, which must not give a response away."""
    unrelated: str | None = None
    """A model of the same shape that nobody marked; by default one of random weights."""


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


class Evaluation(Displayed):
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

    @property
    def heading(self) -> str:
        """What was evaluated."""
        unlike = sum(cell.as_expected is False for cell in self.cells)
        return f"{self.num_fingerprints} fingerprints in {self.model}: {len(self.cells)} suspects, {unlike} not as expected"

    def summary(self) -> list[tuple[str, str]]:
        """The success rate of each published model, and what its mark cost."""
        rates = {cell.name: cell.fsr for cell in self.cells}
        return [
            (method, f"success rate (FSR) {percent(rates.get(f'{method} published', 0.0))}, perplexity x{ratio:.4f}")
            for method, ratio in self.perplexity.items()
        ][:5]
