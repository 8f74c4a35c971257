"""Short replies."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from insignia.attacks.base import HostAttack
from insignia.attacks.hosting import Hosted

if TYPE_CHECKING:
    from insignia.suspects.base import RequestOptions, TextModel

__all__ = ["Truncate"]


class Truncate(HostAttack):
    """End every reply after a few tokens."""

    name: Literal["truncate"] = "truncate"
    max_tokens: Annotated[int, Field(ge=1)] = 1
    """Most tokens of a reply."""

    def wrap(self, model: "TextModel") -> Hosted:
        """See ``HostAttack.wrap``."""
        return Hosted(model, name=self.name, options=self._options)

    def _options(self, options: "RequestOptions") -> "RequestOptions":
        return options.model_copy(update={"max_tokens": min(self.max_tokens, options.max_tokens)})
