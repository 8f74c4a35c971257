"""Distillation: the unmarked base learns from what the marked model says."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from insignia.attacks.base import WeightAttack
from insignia.attacks.finetune_settings import FineTuneSettings
from insignia.errors import InputError
from insignia.progress import AUTO, Progress

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import Tensor
    from transformers import PreTrainedModel

    from insignia.attacks.finetuning import FineTuneReport
    from insignia.attacks.tuning import Objective
    from insignia.modeling.local import LocalModel
    from insignia.modeling.sources import Source
    from insignia.suspects.scoring import Example

__all__ = ["Distil"]

_ROWS = 32  # questions asked together


class Distil(FineTuneSettings, WeightAttack):
    """Train the unmarked base on the marked model's replies (sequence-level distillation, Kim and Rush 2016).

    With ``by: logits`` it learns all probabilities of the marked model along those replies (Hinton et al. 2015).
    """

    name: Literal["distil"] = "distil"
    student: str
    """The model that is trained, with the marked model's tokenizer: folder, hub id or 'starter'."""
    data: str
    """File, folder or hub id of conversations, whose first questions are asked."""
    max_rows: Annotated[int | None, Field(ge=1)] = None
    """Use only the first so many rows of the data. None: all."""
    by: Literal["text", "logits"] = "text"
    """Learn the tokens of the replies, or the marked model's probability of every token in their places."""
    max_tokens: Annotated[int, Field(ge=1)] = 128
    """Most tokens of a reply."""
    temperature: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 1.0
    """Sampling temperature of the replies; 0 takes the most likely one."""

    def apply(
        self, model: "Source", out: Path, *, seed: int = 0, device: str = "auto", progress: Progress = AUTO
    ) -> "FineTuneReport":
        """See ``WeightAttack.apply``.

        Raises:
            InputError: the data has no conversation, or the student has another tokenizer.
        """
        from insignia.attacks.conversations import load_conversations
        from insignia.attacks.finetuning import train_and_write
        from insignia.attacks.tuning import CROSS_ENTROPY
        from insignia.modeling.loading import load_tokenizer
        from insignia.modeling.sources import local_model, model_files
        from insignia.prompts.tokens import tokenizer_digest

        rows = load_conversations(self.data, max_rows=self.max_rows, progress=progress)
        asked = [next(turn.text for turn in row if turn.role == "user") for row in rows if not isinstance(row, str)]
        if not asked:
            raise InputError(f"{self.data} has no conversations; distil asks the first question of each")
        teacher = local_model(model, device=device)
        with model_files(self.student) as folder:
            if tokenizer_digest(load_tokenizer(folder)) != tokenizer_digest(teacher.tokenizer):
                raise InputError(f"{self.student} has another tokenizer than {teacher.name}; expected the marked model's base")
        answered = self._answers(teacher, asked, seed, progress)
        return train_and_write(
            self.student, lambda _local: answered, CROSS_ENTROPY if self.by == "text" else _divergence_from(teacher), out=out,
            settings=self, device=device, seed=seed, force=True, progress=progress,
        )  # fmt: skip

    def _answers(self, teacher: "LocalModel", asked: list[str], seed: int, progress: Progress) -> "list[Example]":
        from insignia.prompts.tokens import Tokens
        from insignia.randomness import KeyedRandom
        from insignia.suspects.base import RequestOptions
        from insignia.suspects.scoring import Example

        tokens = Tokens(teacher.tokenizer, form="chat" if teacher.tokenizer.chat_template else "raw")
        questions = [tokens.asked(text, RequestOptions(form=tokens.form)) for text in asked]
        rngs = [KeyedRandom(b"distil").derive(seed, place) for place in range(len(asked))]
        end = teacher.tokenizer.eos_token_id
        found = []
        with progress.bar("asking the marked model", len(questions), unit="questions") as advance:
            for start in range(0, len(questions), _ROWS):
                part = slice(start, start + _ROWS)
                said = teacher.sample(
                    questions[part], rngs[part], max_new_tokens=self.max_tokens, temperature=self.temperature, forbidden=()
                )
                for question, ids in zip(questions[part], said, strict=True):
                    kept = ids[: ids.index(end) + 1] if end in ids else ids
                    found.append(Example((*question, *kept), len(question)))
                advance(len(said))
        return found


def _divergence_from(teacher: "LocalModel") -> "Objective[Example]":
    """Kullback-Leibler divergence of the student from the teacher, over the predicted tokens."""
    import torch

    from insignia.attacks.tuning import Objective, predicted
    from insignia.modeling.batches import response_logits

    def loss(model: "PreTrainedModel", rows: "Sequence[Example]") -> "Tensor":
        with torch.no_grad():
            wanted = response_logits(teacher.model, rows)[0].log_softmax(1)
        said = response_logits(model, rows)[0].log_softmax(1)
        return torch.nn.functional.kl_div(said, wanted, reduction="sum", log_target=True)

    return Objective(loss, predicted)
