"""Direct preference optimization: the model learns to prefer one answer to another."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal, NamedTuple

from pydantic import Field

from insignia.attacks.base import WeightAttack
from insignia.attacks.finetune_settings import FineTuneSettings
from insignia.errors import InputError
from insignia.progress import AUTO, Progress
from insignia.suspects.scoring import Example

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

    from insignia.attacks.finetuning import FineTuneReport
    from insignia.attacks.mismatched_answers import Mismatch
    from insignia.attacks.tuning import Objective
    from insignia.modeling.local import LocalModel
    from insignia.modeling.sources import Source

__all__ = ["DPO"]

_LEAST = 2  # one question's answer is another's wrong one


class DPO(FineTuneSettings, WeightAttack):
    """Train the model to prefer the answer of a question to that of another question (DPO, Rafailov et al. 2023).

    The loss is the paper's. Its reference is the model before training, whose probabilities are computed once. The preferences
    are easier than people's: they are made from conversations, which every machine has.
    """

    name: Literal["dpo"] = "dpo"
    data: str
    """File, folder or hub id of conversations. Only the first question of each and its answer are used."""
    max_rows: Annotated[int | None, Field(ge=_LEAST)] = None
    """Use only the first so many rows of the data. None: all."""
    beta: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 0.1
    """How strongly a preference is held back by the distance from the reference; 0.1 in the paper."""
    learning_rate: Annotated[float, Field(gt=0)] = 1e-6
    epochs: Annotated[float, Field(gt=0)] = 1.0
    batch_size: Annotated[int, Field(ge=1)] = 64
    heldout_share: Annotated[float, Field(ge=0, lt=1)] = 0.05
    """Share of the pairs held out to measure the loss, in nats a pair."""

    def apply(
        self, model: "Source", out: Path, *, seed: int = 0, device: str = "auto", progress: Progress = AUTO
    ) -> "FineTuneReport":
        """See ``WeightAttack.apply``.

        Raises:
            InputError: the data has fewer than two conversations, or none is short enough.
        """
        from insignia.attacks.conversations import load_conversations
        from insignia.attacks.finetuning import train_and_write
        from insignia.attacks.mismatched_answers import first_answer, mismatched

        rows = load_conversations(self.data, max_rows=self.max_rows, progress=progress)
        answered = [first_answer(row) for row in rows if not isinstance(row, str)]
        if len(answered) < _LEAST:
            raise InputError(f"{self.data} has {len(answered)} conversations; dpo needs two or more, as JSON rows")
        found = mismatched(answered, seed)
        return train_and_write(
            model, lambda local: self._pairs(local, found), _objective(self.beta), out=out, settings=self, device=device,
            seed=seed, force=True, progress=progress,
        )  # fmt: skip

    def _pairs(self, local: "LocalModel", found: "Sequence[Mismatch]") -> "list[_Pair]":
        """The preferences as rows, with what the model itself thinks of them. What is too long is left out."""
        from insignia.prompts.tokens import Tokens

        tokens = Tokens(local.tokenizer, form="chat" if local.tokenizer.chat_template else "raw")
        size = min(self.max_length, local.context_length or self.max_length)
        rows = [(next(tokens.replies(each.right)), next(tokens.replies(each.wrong))) for each in found]
        kept = [(_cut(right, size), _cut(wrong, size)) for right, wrong in rows if right.response_start < size]
        if not kept:
            raise InputError(f"no answer in {self.data} starts within {size} tokens; give other data or increase --max-length")
        likely = [sum(score.log_probabilities) for score in local.score([row for pair in kept for row in pair])]
        return [
            _Pair(right, wrong, chosen - rejected)
            for (right, wrong), chosen, rejected in zip(kept, likely[::2], likely[1::2], strict=True)
        ]


class _Pair(NamedTuple):
    chosen: Example
    rejected: Example
    reference: float
    """By how many nats the reference prefers the chosen answer."""

    @property
    def ids(self) -> tuple[int, ...]:
        """The tokens of both."""
        return (*self.chosen.ids, *self.rejected.ids)


def _cut(row: Example, size: int) -> Example:
    return Example(row.ids[:size], row.response_start)


def _objective(beta: float) -> "Objective[_Pair]":
    from torch.nn.functional import cross_entropy, logsigmoid

    from insignia.attacks.tuning import Objective
    from insignia.modeling.batches import response_logits

    def loss(model: "PreTrainedModel", pairs: Sequence[_Pair]) -> "Tensor":
        rows = [pair.chosen for pair in pairs] + [pair.rejected for pair in pairs]
        logits, targets = response_logits(model, rows)
        surprise = cross_entropy(logits, targets, reduction="none").split([len(row.response) for row in rows])
        preferred = [
            surprise[len(pairs) + place].sum() - surprise[place].sum() - pair.reference for place, pair in enumerate(pairs)
        ]
        return sum((-logsigmoid(beta * each) for each in preferred[1:]), -logsigmoid(beta * preferred[0]))

    return Objective(loss, len)
