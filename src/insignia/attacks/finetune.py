"""Fine-tuning as an attack: what a user of a published model does to it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from insignia.attacks.base import WeightAttack
from insignia.attacks.finetune_settings import FineTuneSettings
from insignia.errors import InputError
from insignia.progress import AUTO, Progress

if TYPE_CHECKING:
    from insignia.attacks.finetuning import FineTuneReport
    from insignia.modeling.sources import Source

__all__ = ["FineTune"]


class FineTune(FineTuneSettings, WeightAttack):
    """Fine-tune the model on data of the attacker's own."""

    name: Literal["finetune"] = "finetune"
    data: Annotated[str | None, Field(exclude_if=lambda value: value is None)] = None
    """File, folder or hub id of conversations or texts, or python:PACKAGE, source code of Python's own."""
    max_rows: Annotated[int | None, Field(ge=1, exclude_if=lambda value: value is None)] = None
    """Use only the first so many rows of the data. None: all."""

    def apply(
        self, model: "Source", out: Path, *, seed: int = 0, device: str = "auto", progress: Progress = AUTO
    ) -> "FineTuneReport":
        """Fine-tune the model on ``data``."""
        from insignia.attacks.conversations import load_conversations
        from insignia.attacks.finetuning import finetune

        if self.data is None:
            raise InputError("the attack 'finetune' needs data: a file, folder or hub id, or python:PACKAGE")
        rows = load_conversations(self.data, max_rows=self.max_rows, progress=progress)
        return finetune(model, rows, out=out, settings=self, device=device, seed=seed, force=True, progress=progress)
