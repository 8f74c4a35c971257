"""What an attack is."""

from abc import abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

from insignia.progress import AUTO, Progress
from insignia.records import Displayed, Part
from insignia.registry import Registry

if TYPE_CHECKING:
    from insignia.modeling.sources import Source

__all__ = ["ATTACKS", "Attack"]


class Attack(Part):
    """What somebody else does to a published model's weights. An attack is its configuration; subclasses set ``name``."""

    @abstractmethod
    def apply(
        self, model: "Source", out: Path, *, seed: int = 0, device: str = "auto", progress: Progress = AUTO
    ) -> Displayed | None:
        """Write the attacked model to the folder ``out``; a report, if there is something to say."""


ATTACKS: Registry[Attack] = Registry("attack", {"finetune": "insignia.attacks.finetune:FineTune"}, group="insignia.attacks")
