"""A second mark on top of the first."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from insignia.attacks.base import WeightAttack
from insignia.progress import AUTO, Progress

if TYPE_CHECKING:
    from insignia.embedding import EmbedReport
    from insignia.modeling.sources import Source

__all__ = ["Overwrite"]


class Overwrite(WeightAttack):
    """Put another mark on top, as a thief does who wants to claim the model. Its set is drawn from the seed and not kept."""

    name: Literal["overwrite"] = "overwrite"
    strategy: str = "inverse_nucleus"
    """Strategy that makes the second set, with its defaults."""
    method: str = "full"
    """Method that embeds it, with its defaults."""
    num_fingerprints: Annotated[int, Field(ge=1)] = 64
    """Fingerprints of the second set."""

    def apply(
        self, model: "Source", out: Path, *, seed: int = 0, device: str = "auto", progress: Progress = AUTO
    ) -> "EmbedReport":
        """See ``WeightAttack.apply``.

        Raises:
            InputError: there is no such strategy or method.
        """
        from insignia.embedding import METHODS, Limits, RunOptions, embed
        from insignia.generation import STRATEGIES, generate
        from insignia.randomness import KeyedRandom

        strategy, method = STRATEGIES.build({"name": self.strategy}), METHODS.build({"name": self.method})
        secret = KeyedRandom(b"overwrite").derive(seed).secret
        prints = generate(model, strategy, num_fingerprints=self.num_fingerprints, secret=secret, progress=progress)
        limits, run = Limits(min_fsr=0.0, max_harm=math.inf), RunOptions(seed=seed, device=device)  # a thief takes what comes
        return embed(model, prints, method, out=out, limits=limits, run=run, force=True, progress=progress).report
