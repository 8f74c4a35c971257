"""Fine-tuning of a published model on a user's data, with all weights or LoRA."""

import math
import random
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from transformers import PreTrainedModel

from insignia.attacks.finetune_settings import FineTuneSettings
from insignia.attacks.tuning import CROSS_ENTROPY, Objective, TrainingRow, Tuning
from insignia.engines import Engine
from insignia.errors import InputError
from insignia.files import refuse_existing, refuse_overlap
from insignia.modeling.local import LocalModel, embedding_rows
from insignia.modeling.lora import add_products, products, with_lora, without_adapters
from insignia.modeling.saving import save_model
from insignia.modeling.sources import Source, training_copy
from insignia.progress import AUTO, Progress
from insignia.prompts.tokens import Tokens
from insignia.records import Conversation, Displayed, PromptForm
from insignia.suspects.scoring import Example
from insignia.terminal import counted
from insignia.training import LoopOptions, train

__all__ = ["FineTuneReport", "conversation_rows", "finetune", "text_rows", "train_and_write", "training_rows"]

_LOSS_ROWS = 32
_LOGITS = 2**28  # logits per forward pass: 1 GiB in fp32, and as much for the gradient


class FineTuneReport(Displayed):
    """Result of a fine-tuning run."""

    loss_before: float | None
    """Loss on the held-out rows before training, in nats per token. None: no rows were held out."""
    loss_after: float | None
    """The same after training."""
    rows: int
    """Rows trained on, without the held-out ones."""
    steps: int
    seconds: float
    out: str
    method: dict[str, object]

    @property
    def heading(self) -> str:
        """What was written."""
        return f"fine-tuned on {counted(self.rows, 'row')}: {self.out}"

    def summary(self) -> list[tuple[str, str]]:
        """The user's loss, and the cost."""
        losses = [f"{loss:.4f}" if loss is not None else "-" for loss in (self.loss_before, self.loss_after)]
        return [
            ("loss on rows kept out, nats a token", " -> ".join(losses)),
            ("time", f"{counted(self.steps, 'step')}, {self.seconds:.0f} s"),
        ]


def finetune(
    model: Source,
    rows: Sequence[Example | Conversation | str],
    *,
    out: str | Path,
    settings: FineTuneSettings | None = None,
    device: str = "auto",
    seed: int = 0,
    force: bool = False,
    progress: Progress = AUTO,
) -> FineTuneReport:
    """Fine-tune a model on conversations, texts or rows of token ids, and write it to ``out`` in the checkpoint's dtype.

    The loss covers the assistant's turns of a conversation and all tokens of a text. A model in memory is copied.

    Raises:
        InputError: the data does not fill one row.
        OutputError: ``out`` exists and ``force`` is off, overlaps the model, or cannot be written.
        ModelError: the model cannot be loaded, or the loss became NaN or infinite.
    """
    settings = settings or FineTuneSettings()
    return train_and_write(
        model, lambda local: training_rows(rows, local, settings.max_length, progress), CROSS_ENTROPY, out=out,
        settings=settings, device=device, seed=seed, force=force, progress=progress,
    )  # fmt: skip


def train_and_write(
    model: Source,
    rows: Callable[[LocalModel], Sequence[TrainingRow]],
    objective: Objective[TrainingRow],
    *,
    out: str | Path,
    settings: FineTuneSettings,
    device: str,
    seed: int,
    force: bool,
    progress: Progress,
) -> FineTuneReport:
    """Train a model on rows that are made for it, by any objective, and write it; see ``finetune``."""
    started = time.perf_counter()
    out = Path(out)
    refuse_existing(out, force=force)
    engine = Engine(device)
    local = training_copy(model, device=engine.device(device), dtype="float32")
    if local.source is not None:
        refuse_overlap(out, Path(local.source))
    kept, trained = _split(rows(local), settings.heldout_share, seed)
    rank = settings.lora_rank
    tuned = local.model if rank is None else with_lora(local.model, rank=rank, alpha=settings.lora_alpha, seed=seed)
    engine.split(tuned, local.name)
    before = _mean_loss(tuned, kept, objective)
    steps = _tune(tuned, trained, settings, objective, engine, seed=seed, progress=progress)
    after = _mean_loss(tuned, kept, objective)
    if rank is not None:
        added = products(tuned)
        local.model = without_adapters(tuned)
        add_products(local.model, added, local.model.dtype)
    save_model(local, out, force=force)
    engine.state.wait_for_everyone()
    return FineTuneReport(
        loss_before=before,
        loss_after=after,
        rows=len(trained),
        steps=steps,
        seconds=round(time.perf_counter() - started, 3),
        out=str(out),
        method=settings.spec(),
    )


def text_rows(texts: Sequence[str], local: LocalModel, max_length: int) -> list[Example]:
    """Cut texts into rows of at most ``max_length`` tokens; each starts with the tokenizer's special tokens."""
    tokens = Tokens(local.tokenizer)
    prefix = tokens.prefix
    size = min(max_length, local.context_length or max_length) - len(prefix)
    start = max(1, len(prefix))
    rows: list[tuple[int, ...]] = []
    for text in texts:
        ids = tokens.encode(text)
        rows.extend((*prefix, *ids[first : first + size]) for first in range(0, len(ids), size))
    return [Example(row, start) for row in rows if len(row) > start]


def conversation_rows(
    conversations: Sequence[Conversation], local: LocalModel, max_length: int, progress: Progress = AUTO
) -> list[Example]:
    """Make one row from each assistant turn and the turns before it, truncated to ``max_length`` tokens.

    Skips conversations that the chat template rejects and turns that truncation would remove; a note counts them.
    """
    form: PromptForm = "chat" if local.tokenizer.chat_template else "raw"
    tokens = Tokens(local.tokenizer, form=form)
    size = min(max_length, local.context_length or max_length)
    rows: list[Example] = []
    refused = 0
    for conversation in conversations:
        try:
            rows.extend(tokens.replies(conversation))
        except InputError:
            refused += 1
    kept = [Example(row.ids[:size], row.response_start) for row in rows if row.response_start < size]
    if refused:
        progress.note(f"{refused} of {len(conversations)} conversations skipped: the chat template rejects them")
    if len(kept) < len(rows):
        progress.note(f"{len(rows) - len(kept)} of {len(rows)} replies skipped: they start after {counted(size, 'token')}")
    return kept


def _tune(
    model: PreTrainedModel,
    rows: Sequence[TrainingRow],
    settings: FineTuneSettings,
    objective: Objective[TrainingRow],
    engine: Engine,
    *,
    seed: int,
    progress: Progress,
) -> int:
    """Train in place; the steps taken."""
    longest, vocabulary = max(len(row.ids) for row in rows), embedding_rows(model)
    tuning = Tuning(rows, settings, objective, most_rows=max(1, _LOGITS // (longest * vocabulary)), seed=seed)
    options = LoopOptions(
        max_steps=tuning.steps,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        warmup_steps=round(settings.warmup_share * tuning.steps),
        accumulation=tuning.parts,
        seed=seed,
        save_every_s=math.inf,  # an attack is cheap to repeat
    )
    with progress.bar("fine-tuning", tuning.steps, unit="steps") as tuning.advance, tempfile.TemporaryDirectory() as work:
        outcome = train(model, tuning, options, engine=engine, work=Path(work))
    return outcome.steps


def training_rows(
    rows: Sequence[Example | Conversation | str], local: LocalModel, max_length: int, progress: Progress = AUTO
) -> list[Example]:
    """Make rows of at most ``max_length`` tokens of texts and conversations; rows of token ids stay as they are.

    Raises:
        InputError: there is none.
    """
    texts = [row for row in rows if isinstance(row, str)]
    examples = [row for row in rows if isinstance(row, Example)]
    conversations = [row for row in rows if not isinstance(row, str | Example)]
    examples += text_rows(texts, local, max_length) + conversation_rows(conversations, local, max_length, progress)
    if not examples:
        raise InputError(
            "no training rows: no text has two tokens, and no reply starts within the length of a row; "
            "give other data or increase --max-length"
        )
    return examples


def _split(rows: Sequence[TrainingRow], share: float, seed: int) -> tuple[list[TrainingRow], list[TrainingRow]]:
    """Split rows into (held out, trained on): at least one is trained on, and one of two is held out."""
    order = list(rows)
    random.Random(seed).shuffle(order)
    count = min(len(order) - 1, max(1, round(share * len(order)))) if share else 0
    return order[:count], order[count:]


@torch.no_grad()
def _mean_loss(model: PreTrainedModel, rows: Sequence[TrainingRow], objective: Objective[TrainingRow]) -> float | None:
    """Mean of the objective; None without rows."""
    model.eval()
    order = sorted(rows, key=lambda row: len(row.ids))
    batches = (order[first : first + _LOSS_ROWS] for first in range(0, len(order), _LOSS_ROWS))
    total = sum(float(objective.loss(model, batch)) for batch in batches)
    return total / objective.count(rows) if rows else None
