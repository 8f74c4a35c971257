"""Merging with other models of the same architecture."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from insignia.attacks.base import WeightAttack
from insignia.errors import InputError
from insignia.progress import AUTO, Progress
from insignia.records import Flag, Share

if TYPE_CHECKING:
    from insignia.attacks.rewriting import WeightsReport
    from insignia.modeling.sources import Source

__all__ = ["Merge"]

_ON_A_BASE = ("task_arithmetic", "ties", "dare_linear", "dare_ties")


class Merge(WeightAttack):
    """Merge the model with others of its architecture, by one of six published rules.

    With M the marked model, w its weight, n others O that share the rest, u = (1 - w) / n, and B their base:

    ``linear``: w M + u O (model soups, Wortsman et al. 2022). ``slerp``: along the arc from one O to M, tensor by tensor
    (Shoemake 1985). ``task_arithmetic``: B + factor (w (M - B) + u (O - B)) (Ilharco et al. 2023). ``ties``: only the largest
    ``density`` of each difference is kept, and of that what has the sign of the sum (Yadav et al. 2023; here the sum is not
    divided by the weights that agree, so that w stays the strength of the mark). ``dare_linear``: each value of a difference is
    kept with probability ``density`` and divided by it (Yu et al. 2024). ``dare_ties``: the same, then the sign of the sum.
    """

    name: Literal["merge"] = "merge"
    how: Literal["linear", "slerp", "task_arithmetic", "ties", "dare_linear", "dare_ties"] = "linear"
    """Rule of merging."""
    weight: Share = 0.5
    """Weight of the marked model. The others share the rest equally."""
    others: Annotated[tuple[str, ...], Flag("--other", many=True)] = ()
    """Model to merge with: folder, hub id or 'starter'. Repeat it for several. None: the base alone."""
    base: str | None = None
    """What all of them were trained from; needed by all rules but linear and slerp."""
    density: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Share of each difference that ties and dare keep. 0.2 in the paper of TIES, 0.1 and less in that of DARE."""
    factor: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    """Multiple of the merged differences that is added to the base."""

    def apply(
        self, model: "Source", out: Path, *, seed: int = 0, device: str = "auto", progress: Progress = AUTO
    ) -> "WeightsReport":
        """See ``WeightAttack.apply``.

        Raises:
            InputError: a rule lacks its base or its other model, or a model has other tensors.
        """
        others = self.others or ((self.base,) if self.base is not None and self.how not in _ON_A_BASE else ())
        if self.how in _ON_A_BASE and self.base is None:
            raise InputError(f"merging by {self.how} needs a base: the model that all of them were trained from")
        if self.how not in _ON_A_BASE and not others:
            raise InputError(f"merging by {self.how} needs another model; give one, or the base")
        if self.how == "slerp" and len(others) > 1:
            raise InputError(f"merging by slerp takes one other model; {len(others)} were given")
        from insignia.attacks.merging import Mix, merge

        mix = Mix(self.how, self.weight, self.density, self.factor)
        return merge(self, mix, model, others=others, base=self.base, out=out, seed=seed, progress=progress)
