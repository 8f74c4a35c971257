"""A local model through transformers: batched scoring, ranking and keyed sampling on any device."""

import contextlib
import copy
import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import (
    AutoModelForCausalLM,
    GenerationConfig,
    LogitsProcessorList,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)

from insignia.errors import InputError, ModelError
from insignia.modeling.bars import without_bars
from insignia.modeling.batches import length_batches, pad_rows, response_logits
from insignia.modeling.causality import refuse_bidirectional
from insignia.modeling.choosing import FirstToken, KeyedChoice, LogitsChange
from insignia.modeling.devices import ALL, input_device, resolve_device
from insignia.modeling.hub import hub_or_cache
from insignia.modeling.loading import checkpoint_dtype, dtype_named, load, resolve
from insignia.modeling.shards import is_split
from insignia.modeling.weighing import seen_by
from insignia.prompts.tokens import Tokens
from insignia.randomness import KeyedRandom
from insignia.suspects.base import CHANNELS, Channel, Inquiry, Reply, RequestOptions
from insignia.suspects.scoring import Example, Ranking, Score
from insignia.terminal import counted

__all__ = ["LocalModel", "embedding_rows", "unrelated_init"]

_LOGIT_BUDGET = 2**27  # logits per batch: 512 MiB in fp32
_NO_TARGET = -100
_REPLY_ROWS = 32  # questions per batch


class LocalModel:
    """A causal LM and its tokenizer. Implements ``ScoringModel``, ``GenerativeModel`` and ``TextModel``.

    ``dtype="auto"`` is float32 on a CPU, where lower precision saves little, and the checkpoint's dtype on an accelerator.
    ``"checkpoint"`` is the checkpoint's dtype on any device. ``device="all"`` spreads one that is only asked over all devices.
    """

    may_refuse = False
    channels = CHANNELS

    def __init__(self, source: str | Path, *, device: str = "auto", dtype: str = "auto") -> None:
        named = resolve(source)
        self.source: str | None = named if Path(named).is_dir() else resolve(hub_or_cache(named))
        """The folder or hub id of the files; None for a model that came from memory."""
        self.name = str(source)
        self.stored_dtype = checkpoint_dtype(self.source)
        """What its weights are written in."""
        place = resolve_device("auto" if device == ALL else device)
        with without_bars():
            weights = dtype_named(dtype, self.source, place)
            model, tokenizer = load(self.source, None if device == ALL else place, weights)
        self._adopt(model, tokenizer)
        if not is_split(model):  # else it cannot be asked before its engine is ready, which looks then
            refuse_bidirectional(model, self.name)

    @classmethod
    def of(cls, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, *, name: str) -> Self:
        """Wrap a model in memory, without a copy."""
        self = cls.__new__(cls)
        self.source, self.name, self.stored_dtype = None, name, model.dtype
        self._adopt(model, tokenizer)
        return self

    def wrapping(self, model: PreTrainedModel) -> "LocalModel":
        """A LocalModel around another model, with the same name, source and tokenizer."""
        other = LocalModel.of(model, self.tokenizer, name=self.name)
        other.source, other.stored_dtype = self.source, self.stored_dtype
        return other

    def altered(self, change: LogitsChange, *, name: str) -> "LocalModel":
        """The same weights, whose answers by any channel begin with a token of other logits; ``score`` takes their own."""
        other, before = copy.copy(self), self._change
        other.name = name
        other._change = change if before is None else lambda logits, asked: change(before(logits, asked), asked)  # noqa: SLF001
        return other

    def with_template(self, template: str) -> "LocalModel":
        """The same weights, behind another chat template."""
        other = copy.copy(self)
        other.tokenizer = copy.deepcopy(self.tokenizer)
        other.tokenizer.chat_template = template
        return other

    def _adopt(self, model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self._change: LogitsChange | None = None
        length = getattr(model.config, "max_position_embeddings", None)
        self.context_length: int | None = length if isinstance(length, int) else None
        size = embedding_rows(model)
        if len(tokenizer) > size:
            raise ModelError(
                f"{self.name}: the tokenizer has {len(tokenizer)} tokens but the model has {size}; expected its own tokenizer"
            )

    @torch.no_grad()
    def score(self, examples: Sequence[Example]) -> list[Score]:
        """Score every example; see ``ScoringModel.score``.

        Raises:
            InputError: an example is longer than the model's context.
            ModelError: the model computes NaN, with which every rank would be 0, a hit.
        """
        self._refuse_too_long([len(example.ids) for example in examples])
        scores: list[Score] = [Score((), ())] * len(examples)
        for batch in self._batches([example.ids for example in examples], max_rows=256):
            rows = [examples[index] for index in batch]
            logits, targets = response_logits(self.model, rows)
            wanted = logits.gather(1, targets[:, None])
            before = torch.arange(logits.shape[1], device=logits.device) < targets[:, None]
            ranks = ((logits > wanted) | ((logits == wanted) & before)).sum(1).tolist()
            total = logits.logsumexp(1)
            log_probabilities = self._refuse_nan(wanted[:, 0] - total).tolist()
            largest = (logits.amax(1) - total).tolist()
            start = 0
            for index, row in zip(batch, rows, strict=True):
                end = start + len(row.ids) - row.response_start
                scores[index] = Score(tuple(ranks[start:end]), tuple(log_probabilities[start:end]), tuple(largest[start:end]))
                start = end
        return scores

    @torch.no_grad()
    def rank_next(self, questions: Sequence[Sequence[int]]) -> Iterator[Ranking]:
        """The sorted next-token distribution after each question; see ``GenerativeModel.rank_next``."""
        for _, logits in self._next_logits(questions):
            probabilities, order = logits.softmax(1).sort(dim=1, descending=True, stable=True)
            for row in range(len(order)):
                yield Ranking(order[row].cpu().numpy(), probabilities[row].cpu().numpy())

    def _next_logits(self, questions: Sequence[Sequence[int]]) -> Iterator[tuple[int, Tensor]]:
        """Yield the first row and the next-token logits, (rows, vocabulary), of each batch of questions."""
        self._refuse_too_long([len(question) + 1 for question in questions])
        # The last token is a placeholder: only the position before it is read.
        examples = [Example((*question, 0), len(question)) for question in questions]
        for start in range(0, len(examples), 128):
            logits, _ = response_logits(self.model, examples[start : start + 128])
            self._refuse_nan(logits)
            yield start, logits if self._change is None else self._change(logits, questions[start : start + 128])

    @torch.no_grad()
    def sample(
        self,
        questions: Sequence[Sequence[int]],
        rngs: Sequence[KeyedRandom],
        *,
        max_new_tokens: int,
        temperature: float,
        forbidden: Sequence[int],
    ) -> list[tuple[int, ...]]:
        """Continue every question with its own random stream; see ``GenerativeModel.sample``."""
        if max_new_tokens == 0 or not questions:
            return [() for _ in questions]
        self._refuse_too_long([len(question) + max_new_tokens for question in questions])
        ids, mask = pad_rows(questions, input_device(self.model), left=True)
        config = GenerationConfig(
            do_sample=False, max_new_tokens=max_new_tokens, min_new_tokens=max_new_tokens, pad_token_id=0, use_cache=True
        )
        banned = torch.tensor(list(forbidden), dtype=torch.long, device=ids.device)
        choosers = [KeyedChoice(rngs, temperature, banned, self._refuse_nan)]
        processors = LogitsProcessorList(choosers if self._change is None else [FirstToken(self._change, questions), *choosers])
        with _bare_generation_config(self.model):
            output = self.model.generate(  # type: ignore[operator]  # torch types attributes of modules loosely
                ids, attention_mask=mask, generation_config=config, logits_processor=processors
            )
        return [tuple(row) for row in output[:, ids.shape[1] :].tolist()]

    def reply(self, questions: Sequence[str], options: RequestOptions) -> Iterator[Reply]:
        """Reply as a server of this model would; see ``TextModel.reply``.

        A sampled reply depends only on the seed (None: 0) and its question.

        Raises:
            InputError: a question with its reply is longer than the context, or there is no chat template.
        """
        for ids in self.reply_ids(questions, options):
            text = self.tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False)
            # An empty reply counts as answered too: no filter sits in front of a local model.
            yield Reply(status="answered", text=str(text))

    def reply_ids(self, questions: Sequence[str], options: RequestOptions) -> Iterator[tuple[int, ...]]:
        """The token ids of each reply, up to the end token; a reply of the most tokens was cut. Raises as ``reply``."""
        tokens = Tokens(self.tokenizer, form=options.form)
        rows = [tokens.asked(question, options) for question in questions]
        rngs = [KeyedRandom(b"replies").derive(options.seed or 0, question) for question in questions]
        ends = {token for token in (self.tokenizer.eos_token_id, *_end_tokens(self.model)) if token is not None}
        for start in range(0, len(rows), _REPLY_ROWS):
            part = slice(start, start + _REPLY_ROWS)
            said = self.sample(
                rows[part], rngs[part], max_new_tokens=options.max_tokens, temperature=options.temperature, forbidden=()
            )
            for ids in said:
                yield tuple(itertools.takewhile(lambda token: token not in ends, ids))

    @torch.no_grad()
    def weigh(self, inquiries: Sequence[Inquiry], options: RequestOptions, channel: Channel) -> Iterator[Reply]:
        """Reply about candidates; see ``GradedModel.weigh``. Sampling options do not matter.

        Raises:
            InputError: a question is longer than the context, or there is no chat template.
        """
        tokens = Tokens(self.tokenizer, form=options.form)
        rows = [tokens.asked(each.question, options) for each in inquiries]
        for start, logits in self._next_logits(rows):
            yield from seen_by(channel, inquiries[start : start + len(logits)], logits, tokens)

    @torch.no_grad()
    def mean_loss(self, texts: Sequence[str]) -> float:
        """Mean loss over the texts, in nats per token; each text follows the tokenizer's special tokens.

        Texts are truncated to the context length. Without BOS, the first token of a text has no loss.
        """
        tokens = Tokens(self.tokenizer)
        start = max(1, len(tokens.prefix))
        rows = [(*tokens.prefix, *tokens.encode(text))[: self.context_length] for text in texts]
        rows = [row for row in rows if len(row) > start]
        if not rows:
            raise InputError("no held-out text to measure the loss on; expected a text of at least two tokens")
        total = 0.0
        for batch in self._batches(rows, max_rows=32):
            ids, mask = pad_rows([rows[index] for index in batch], input_device(self.model))
            targets = ids.masked_fill(mask == 0, _NO_TARGET)[:, start:]
            logits = self.model(input_ids=ids, attention_mask=mask, use_cache=False).logits[:, start - 1 : -1]
            total += float(
                cross_entropy(logits.float().flatten(0, 1), targets.flatten(), reduction="sum", ignore_index=_NO_TARGET)
            )
        return total / sum(len(row) - start for row in rows)

    def _batches(self, rows: Sequence[Sequence[int]], *, max_rows: int) -> Iterator[list[int]]:
        budget = max(1, _LOGIT_BUDGET // self.model.config.get_text_config().vocab_size)
        return length_batches([len(row) for row in rows], max_rows=max_rows, max_tokens=budget)

    def _refuse_nan(self, values: Tensor) -> Tensor:
        """Return the values; raise ModelError if one is NaN."""
        if values.isnan().any():
            raise ModelError(
                f"{self.name} computes NaN; its weights are damaged or overflow in this dtype: try --dtype float32"
            )
        return values

    def _refuse_too_long(self, lengths: Sequence[int]) -> None:
        if self.context_length is None or not lengths or max(lengths) <= self.context_length:
            return
        number = next(index for index, length in enumerate(lengths) if length > self.context_length)
        raise InputError(
            f"row {number} has {counted(lengths[number], 'token')}; the context of {self.name} is {self.context_length}: "
            "use shorter keys or prompts"
        )


def unrelated_init(model: LocalModel, *, seed: int) -> LocalModel:
    """A model of the same architecture and tokenizer with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        weights = AutoModelForCausalLM.from_config(model.model.config, trust_remote_code=False).eval().to(model.model.device)
    return LocalModel.of(weights, model.tokenizer, name="random weights")


def embedding_rows(model: PreTrainedModel) -> int:
    """Rows of the input embedding: the vocabulary size including padding."""
    weight: Any = model.get_input_embeddings().weight
    rows: int = getattr(weight, "ds_shape", weight.shape)[0]  # ZeRO stage 3 leaves an empty tensor in its place
    return rows


def _end_tokens(model: PreTrainedModel) -> list[int]:
    """EOS ids in the checkpoint's generation settings."""
    ends = model.generation_config.eos_token_id
    return [token for token in (ends if isinstance(ends, list) else [ends]) if isinstance(token, int)]


@contextlib.contextmanager
def _bare_generation_config(model: PreTrainedModel) -> Iterator[None]:
    """Clear the checkpoint's generation settings (sampling, penalties, stop ids) inside the block."""
    kept = model.generation_config
    model.generation_config = GenerationConfig()
    try:
        yield
    finally:
        model.generation_config = kept
