"""A host's own system prompt."""

from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from insignia.attacks.base import HostAttack
from insignia.attacks.hosting import Hosted

if TYPE_CHECKING:
    from insignia.suspects.base import RequestOptions, TextModel

__all__ = ["SystemPrompt"]


class SystemPrompt(HostAttack):
    """Put a system prompt before every question; the asker's own follows it."""

    name: Literal["system_prompt"] = "system_prompt"
    text: Annotated[str, Field(min_length=1)] = "You are a helpful assistant."
    """The prompt. With prompt form raw it is a paragraph before the question."""

    def wrap(self, model: "TextModel") -> Hosted:
        """See ``HostAttack.wrap``."""
        return Hosted(model, name=self.name, options=self._options)

    def _options(self, options: "RequestOptions") -> "RequestOptions":
        said = f"{self.text}\n\n{options.system}" if options.system else self.text
        return options.model_copy(update={"system": said})
