"""Sampling, whatever the asker wants."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from insignia.attacks.base import HostAttack
from insignia.attacks.hosting import Hosted

if TYPE_CHECKING:
    from insignia.suspects.base import RequestOptions, TextModel

__all__ = ["Sample"]


class Sample(HostAttack):
    """Sample every reply at the host's temperature, whatever the asker wants. What is shown of scores stays."""

    name: Literal["sample"] = "sample"
    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    """Sampling temperature; 0 takes the most likely reply."""
    seed: int = 0
    """Seed of the replies."""

    def wrap(self, model: "TextModel") -> Hosted:
        """See ``HostAttack.wrap``."""
        return Hosted(model, name=self.name, options=self._options)

    def _options(self, options: "RequestOptions") -> "RequestOptions":
        return options.model_copy(update={"temperature": self.temperature, "seed": self.seed})
