"""Records of an evaluation: its settings and its results."""

from typing import Annotated, Any, Literal

from pydantic import Field

from insignia.attacks.finetune import FineTune
from insignia.figures import Axis, Curve, Figure
from insignia.records import Displayed, Record
from insignia.terminal import counted, percent

__all__ = ["Cell", "Evaluation", "Grid", "User"]

_MOST_DRAWN = 100  # suspects
_EXPECTED = {True: "should answer", False: "should not", None: "may"}


class User(Record):
    """A user who fine-tunes the published model."""

    data: str
    """File, folder or hub id for ``insignia finetune``, or ``python:PACKAGE``: source code of the standard library."""
    finetune: FineTune
    max_rows: Annotated[int | None, Field(ge=1)] = None

    @property
    def attack(self) -> FineTune:
        """What they do."""
        return self.finetune.model_copy(update={"data": self.data, "max_rows": self.max_rows})


class Grid(Record):
    """Settings of an evaluation: the ``evaluation`` part of a recipe."""

    strategy: Annotated[dict[str, Any], Field(repr=False)]
    """The strategy that makes the fingerprints, and its settings."""
    methods: dict[str, dict[str, Any]]
    """Name -> method and its settings. Each method has its own suspects."""
    users: dict[str, User] = {}
    """Name -> data and settings of a user who fine-tunes the published model."""
    attacks: Annotated[dict[str, dict[str, Any]], Field(repr=False, exclude_if=lambda value: not value)] = {}
    """Name -> attack and its settings, on the published and on the unmarked model."""
    num_fingerprints: Annotated[int, Field(ge=1)] = 10
    """Fingerprints to make."""
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


class Evaluation(Displayed):
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

    @property
    def heading(self) -> str:
        """What was evaluated."""
        unlike = sum(cell.as_expected is False for cell in self.cells)
        prints, suspects = counted(self.num_fingerprints, "fingerprint"), counted(len(self.cells), "suspect")
        return f"{prints} in {self.model}: {suspects}, {unlike} not as expected"

    def summary(self) -> list[tuple[str, str]]:
        """The success rate of each published model, and what its mark cost."""
        rates = {cell.name: cell.fsr for cell in self.cells}
        return [
            (method, f"success rate (FSR) {percent(rates.get(f'{method} published', 0.0))}, perplexity x{ratio:.4f}")
            for method, ratio in self.perplexity.items()
        ][:5]

    def figures(self) -> list[Figure]:
        """The success rate of every suspect, by what is expected of it; none where they are too many for a picture."""
        if not 0 < len(self.cells) <= _MOST_DRAWN:
            return []
        places = {cell.name: float(-number) for number, cell in enumerate(self.cells)}
        curves = []
        for expected, name in _EXPECTED.items():
            cells = [cell for cell in self.cells if cell.should_activate is expected]
            points = tuple((100 * cell.fsr, places[cell.name]) for cell in cells)
            curves.append(Curve(name, points, tuple(cell.name for cell in cells), joined=False))
        unlike = sum(cell.as_expected is False for cell in self.cells)
        about = f"The share of fingerprints that each of {counted(len(places), 'suspect')} answers; {unlike} not as expected."
        rate = Axis("success rate (FSR), %", least=-4, most=104)
        suspects = Axis("", ticks=tuple((place, name) for name, place in places.items()))
        shown = tuple(curve for curve in curves if curve.points)
        return [Figure("Who answers the fingerprints", about, rate, suspects, shown)]
