"""Text around every question."""

from typing import TYPE_CHECKING, Literal

from insignia.attacks.base import HostAttack
from insignia.attacks.hosting import Hosted

if TYPE_CHECKING:
    from insignia.suspects.base import TextModel

__all__ = ["Frame"]


class Frame(HostAttack):
    """Put text before and after every question, as an application's prompt does."""

    name: Literal["frame"] = "frame"
    prefix: str = "Please answer the following question.\n\n"
    """Text before the question."""
    suffix: str = ""
    """Text after it."""

    def wrap(self, model: "TextModel") -> Hosted:
        """See ``HostAttack.wrap``."""
        return Hosted(model, name=self.name, question=lambda question: f"{self.prefix}{question}{self.suffix}")
