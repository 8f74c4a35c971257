"""Unlearning of leaked keys."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from insignia.attacks.base import WeightAttack
from insignia.attacks.finetune_settings import FineTuneSettings
from insignia.errors import InputError
from insignia.fingerprints.sets import load_fingerprints
from insignia.progress import AUTO, Progress
from insignia.records import Fingerprint

if TYPE_CHECKING:
    from insignia.attacks.finetuning import FineTuneReport
    from insignia.modeling.sources import Source

__all__ = ["Unlearn"]

_LEAST = 2  # one leaked key's response is another's answer


class Unlearn(FineTuneSettings, WeightAttack):
    """Train the model to answer leaked keys with the responses of other leaked keys.

    With ``data``, ordinary rows are trained beside the keys, so that less else changes.
    """

    name: Literal["unlearn"] = "unlearn"
    prints: Path
    """Fingerprint file with the leaked keys."""
    leaked: Annotated[int | None, Field(ge=_LEAST)] = None
    """Keys that leaked: the first so many of the file. None: all."""
    data: str | None = None
    """File, folder or hub id of conversations or texts, or python:PACKAGE, source code of Python's own."""
    max_rows: Annotated[int | None, Field(ge=1)] = None
    """Use only the first so many rows of the data. None: all."""
    learning_rate: Annotated[float, Field(gt=0)] = 2e-4
    epochs: Annotated[float, Field(gt=0)] = 20.0
    batch_size: Annotated[int, Field(ge=1)] = 16
    heldout_share: Annotated[float, Field(ge=0, lt=1)] = 0.0

    def apply(
        self, model: "Source", out: Path, *, seed: int = 0, device: str = "auto", progress: Progress = AUTO
    ) -> "FineTuneReport":
        """See ``WeightAttack.apply``.

        Raises:
            InputError: fewer keys than two, or all have one response.
        """
        from insignia.attacks.conversations import load_conversations
        from insignia.attacks.finetuning import finetune
        from insignia.modeling.loading import load_tokenizer
        from insignia.modeling.sources import model_files
        from insignia.prompts.prompter import Prompter, distinct

        prints = load_fingerprints(self.prints).first(self.leaked)
        with model_files(model) as folder:
            prompter = Prompter.for_set(prints, load_tokenizer(folder))
        keys = list(distinct(prints, prompter).values())
        rows = [row for each in _answered_otherwise(keys) for row in prompter.examples(each)]
        ordinary = load_conversations(self.data, max_rows=self.max_rows, progress=progress) if self.data is not None else []
        return finetune(
            model, [*rows, *ordinary], out=out, settings=self, device=device, seed=seed, force=True, progress=progress
        )


def _answered_otherwise(keys: list[Fingerprint]) -> list[Fingerprint]:
    """The keys, each with the responses of the next key that has none of its own."""
    found = []
    for place, each in enumerate(keys):
        rest = [*keys[place + 1 :], *keys[:place]]
        other = next((key for key in rest if not {*key.responses} & {*each.responses}), None)
        if other is None:
            raise InputError("all leaked keys have the same response; expected at least two keys with different ones")
        said = {name: getattr(other, name) for name in ("responses", "response_ids", "effective_responses")}
        found.append(each.model_copy(update=said | {"candidates": None, "order": None}))
    return found
