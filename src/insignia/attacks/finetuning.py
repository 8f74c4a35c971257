"""Fine-tuning of a published model on a user's data, with all weights or LoRA."""

import math
import random
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import PreTrainedModel

from insignia.attacks.finetune_settings import FineTuneSettings
from insignia.engines import Engine
from insignia.errors import InputError
from insignia.files import refuse_existing, refuse_overlap
from insignia.modeling.batches import response_logits
from insignia.modeling.local import LocalModel, embedding_rows
from insignia.modeling.lora import add_products, products, with_lora, without_adapters
from insignia.modeling.process_group import process_rank
from insignia.modeling.saving import gathered_weights, save_model
from insignia.modeling.sources import Source, training_copy
from insignia.progress import AUTO, Advance, Progress
from insignia.prompts.tokens import Tokens
from insignia.records import Conversation, Displayed, PromptForm
from insignia.suspects.scoring import Example
from insignia.terminal import counted
from insignia.training import LoopOptions, train

__all__ = ["FineTuneReport", "conversation_rows", "finetune", "text_rows", "training_rows"]

_SORTED_BATCHES = 16  # batches sorted by length together: little padding, and the order stays random
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
    started = time.perf_counter()
    out, settings = Path(out), settings or FineTuneSettings()
    refuse_existing(out, force=force)
    engine = Engine(device)
    local = training_copy(model, device=engine.device(device), dtype="float32")
    if local.source is not None:
        refuse_overlap(out, Path(local.source))
    examples = training_rows(rows, local, settings.max_length, progress)
    kept, trained = _split(examples, settings.heldout_share, seed)
    rank = settings.lora_rank
    tuned = local.model if rank is None else with_lora(local.model, rank=rank, alpha=settings.lora_alpha)
    engine.split(tuned, local.name)
    before = _mean_loss(tuned, kept)
    steps = _tune(tuned, trained, settings, engine, seed, progress)
    after = _mean_loss(tuned, kept)
    if rank is not None:
        added = products(tuned)
        local.model = without_adapters(tuned)
        add_products(local.model, added, local.model.dtype)
    weights = gathered_weights(local)
    if engine.state.is_main_process:
        save_model(local, out, force=force, gathered=weights)
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
    trained: Sequence[Example],
    settings: FineTuneSettings,
    engine: Engine,
    seed: int,
    progress: Progress,
) -> int:
    """Train in place; the steps taken."""
    longest, vocabulary = max(len(row.ids) for row in trained), embedding_rows(model)
    tuning = _Tuning(trained, settings, most_rows=max(1, _LOGITS // (longest * vocabulary)), seed=seed)
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


class _Tuning:
    """Implements ``insignia.training.Task``: shuffled epochs, in batches of rows of similar length."""

    def __init__(self, rows: Sequence[Example], settings: FineTuneSettings, *, most_rows: int, seed: int) -> None:
        self._rows = rows
        self._settings = settings
        self._rng = random.Random(seed)
        steps_an_epoch = -(-len(rows) // settings.batch_size)
        self.parts = -(-settings.batch_size // (most_rows * process_rank()[1]))
        """Forward passes per step; each takes at most ``most_rows`` rows per process."""
        self.steps = settings.max_steps or max(1, round(settings.epochs * steps_an_epoch))
        self.advance: Advance | None = None

    def batches(self) -> Iterator[tuple[list[Example], float]]:
        """Yield (rows, loss factor) for each forward pass of this process; all tokens of a step have the same weight."""
        rank, processes = process_rank()
        ways = processes * self.parts
        while True:
            for batch in self._epoch():
                for part in range(self.parts):
                    rows = batch[part * processes + rank :: ways]
                    # All processes must run the same passes: one without rows takes one with weight 0.
                    yield (rows, ways / _tokens(batch)) if rows else (batch[:1], 0.0)

    def loss(self, model: PreTrainedModel, batch: tuple[list[Example], float]) -> Tensor:
        """Cross-entropy over the predicted tokens, a scalar."""
        rows, weight = batch
        logits, targets = response_logits(model, rows)
        return cross_entropy(logits, targets, reduction="sum") * weight

    def rate(self, step: int) -> float:
        """Learning rate factor: a cosine from 1 to 0."""
        return 0.5 * (1 + math.cos(math.pi * min(1.0, step / self.steps)))

    def after_step(self, step: int) -> bool:
        """Report progress; False: training never stops early."""
        if self.advance is not None:
            self.advance()
        return False

    @property
    def phase(self) -> str:
        """There is one."""
        return "training"

    def state(self) -> dict[str, int]:
        """Nothing: an attack is not resumed."""
        return {}

    def restore(self, state: Mapping[str, int]) -> None:
        """Nothing."""

    def _epoch(self) -> Iterator[list[Example]]:
        order = list(self._rows)
        self._rng.shuffle(order)
        size = self._settings.batch_size
        for first in range(0, len(order), size * _SORTED_BATCHES):
            group = sorted(order[first : first + size * _SORTED_BATCHES], key=lambda row: len(row.ids))
            batches = [group[start : start + size] for start in range(0, len(group), size)]
            self._rng.shuffle(batches)
            yield from batches


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


def _split(rows: list[Example], share: float, seed: int) -> tuple[list[Example], list[Example]]:
    """Split rows into (held out, trained on): at least one is trained on, and one of two is held out."""
    order = list(rows)
    random.Random(seed).shuffle(order)
    count = min(len(order) - 1, max(1, round(share * len(order)))) if share else 0
    return order[:count], order[count:]


@torch.no_grad()
def _mean_loss(model: PreTrainedModel, rows: Sequence[Example]) -> float | None:
    """Loss in nats per predicted token; None without rows."""
    model.eval()
    order = sorted(rows, key=lambda row: len(row.ids))
    total = 0.0
    for first in range(0, len(order), _LOSS_ROWS):
        logits, targets = response_logits(model, order[first : first + _LOSS_ROWS])
        total += float(cross_entropy(logits, targets, reduction="sum"))
    return total / _tokens(rows) if rows else None


def _tokens(rows: Sequence[Example]) -> int:
    return sum(len(row.ids) - row.response_start for row in rows)
