"""MEraser: erasure by mismatched answers, then recovery by right ones."""

import tempfile
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

__all__ = ["MEraser"]


class MEraser(WeightAttack):
    """Train on mismatched answers until marks are gone, then on right ones (Zhang et al. 2025, MEraser).

    Numbers of rows are the paper's, the others those of its published scripts. Here adapters are on all linear layers and
    without dropout, both phases have one batch size, and the learning rate falls along a cosine in both.
    """

    name: Literal["meraser"] = "meraser"
    data: str
    """File, folder or hub id of conversations. Only the first question of each and its answer are used."""
    mismatched: Annotated[int, Field(ge=2)] = 300
    """Questions that are trained with the answer of another one."""
    clean: Annotated[int, Field(ge=1)] = 600
    """Other questions that are then trained with their own."""
    learning_rate: Annotated[float, Field(gt=0)] = 5e-4
    """Learning rate of AdamW."""
    batch_size: Annotated[int, Field(ge=1)] = 8
    """Rows per step, over all processes."""
    max_length: Annotated[int, Field(ge=2)] = 512
    """Maximum length of a row, in tokens; longer rows are truncated."""
    erase_epochs: Annotated[float, Field(gt=0)] = 5.0
    """Passes over the mismatched rows, by adapters of rank 8."""
    recover_epochs: Annotated[float, Field(gt=0)] = 2.0
    """Passes over the clean rows, by adapters of rank 16."""

    def apply(
        self, model: "Source", out: Path, *, seed: int = 0, device: str = "auto", progress: Progress = AUTO
    ) -> "FineTuneReport":
        """See ``WeightAttack.apply``. The report is that of the second phase.

        Raises:
            InputError: the data has too few conversations.
        """
        from insignia.attacks.conversations import load_conversations
        from insignia.attacks.finetuning import finetune
        from insignia.attacks.mismatched_answers import first_answer, mismatched

        needed = self.mismatched + self.clean
        rows = [row for row in load_conversations(self.data, progress=progress) if not isinstance(row, str)][:needed]
        if len(rows) < needed:
            raise InputError(
                f"{self.data} has {len(rows)} conversations; meraser takes {self.mismatched} mismatched and {self.clean} clean"
            )
        pairs = [first_answer(row) for row in rows]
        wrong = [each.wrong for each in mismatched(pairs[: self.mismatched], seed)]
        with tempfile.TemporaryDirectory(prefix="insignia-") as work:
            erased = Path(work) / "erased"
            erase, recover = self._phase(self.erase_epochs, rank=8), self._phase(self.recover_epochs, rank=16)
            finetune(model, wrong, out=erased, settings=erase, device=device, seed=seed, progress=progress)
            report = finetune(
                erased, pairs[self.mismatched :], out=out, settings=recover, device=device, seed=seed, force=True,
                progress=progress,
            )  # fmt: skip
        return report.model_copy(update={"method": self.spec()})

    def _phase(self, epochs: float, *, rank: int) -> FineTuneSettings:
        return FineTuneSettings(
            learning_rate=self.learning_rate,
            epochs=epochs,
            batch_size=self.batch_size,
            max_length=self.max_length,
            lora_rank=rank,
            lora_alpha=2 * rank,
        )
