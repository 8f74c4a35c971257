"""``generate``: makes exactly the requested number of usable fingerprints.

For every strategy, no asked key equals or begins another, every key has the same tokens after it was sent as text, and every
response is recognisable by the text of its trained tokens. A fingerprint depends on the secret, its number and the
fingerprints before it, not on the batch size.
"""

from collections.abc import Iterator, Sequence
from typing import Annotated

from pydantic import Field

from insignia.errors import GenerationError, InputError
from insignia.fingerprints.sets import FingerprintSet, provenance
from insignia.generation.base import Answer, GenerationContext, Strategy
from insignia.generation.inverse_nucleus import InverseNucleus
from insignia.generation.ordinary import stealth_of
from insignia.generation.writer import Writer
from insignia.progress import AUTO, Progress
from insignia.prompts.prompter import Prompter
from insignia.prompts.tokens import tokenizer_digest
from insignia.randomness import KeyedRandom
from insignia.records import Fingerprint, PromptForm, Record
from insignia.suspects.scoring import GenerativeModel, ModelSource, opened
from insignia.terminal import counted

__all__ = ["GenerateOptions", "generate"]

BATCH_SIZE = 128  # it changes speed and memory alone
_BLOCK = 256  # slots that are finished before the next ones start, so that an impossible set fails early
_ATTEMPTS = 30  # a slot that fails this often will keep failing
_FRUITLESS = 3  # consecutive attempts at a block that fill no slot end the run,
_TRIES = 48  # if at least so many slots were tried in them: with few slots, all may fail at random
_DECOYS = 64  # a test asks about as many decoys as keys, and ten tests of a healthy mark ask 64 keys


class GenerateOptions(Record):
    """What ``generate`` is told beside the strategy."""

    num_fingerprints: Annotated[int | None, Field(ge=1)] = None
    """Fingerprints to make. None: 64; 16 for instructional; all keys in --keys-file."""
    max_key_length: Annotated[int | None, Field(ge=1)] = None
    """Tokens of a key that are asked. Keys are unique at this length. None: 16 for most strategies."""
    max_response_length: Annotated[int | None, Field(ge=1)] = None
    """Tokens of a response that are trained and compared. None: 1 for most strategies."""
    prompt_form: PromptForm | None = None
    """Ask keys as raw text or as a chat message. None: raw for most strategies."""
    batch_size: Annotated[int, Field(ge=1)] = BATCH_SIZE
    """Rows that the model is asked at once. It changes speed and memory, not the result."""
    ordinary_text: Annotated[tuple[str, ...] | None, Field(repr=False)] = None
    """Examples of what users ask the model, which keys are to look like: paragraphs, or a JSON list. None: English text."""


def generate(
    model: ModelSource,
    strategy: Strategy | None = None,
    *,
    num_fingerprints: int | None = None,
    max_key_length: int | None = None,
    max_response_length: int | None = None,
    prompt_form: PromptForm | None = None,
    writer: Writer | None = None,
    secret: bytes | None = None,
    batch_size: int = BATCH_SIZE,
    ordinary_text: Sequence[str] | None = None,
    device: str = "auto",
    progress: Progress = AUTO,
) -> FingerprintSet:
    """Make a fingerprint set with the model that is to be marked, by default with ``InverseNucleus()``.

    ``model`` is a folder, a hub id, ``starter``, a (model, tokenizer) pair or an open model; ``writer`` may write the keys.
    Lengths, number and prompt form default to the strategy's (for most 16 and 1 tokens, 64 and raw). Keys are made to look
    like the beginnings of ``ordinary_text``, by default the text that comes with ``insignia.starter``, and ``stealth`` of the
    set says how well. The same secret, models and options give the same set; the secret is new by default.

    Raises:
        InputError: the options contradict each other.
        GenerationError: given keys cannot be used, or the model does not yield enough distinct fingerprints.
    """
    local: GenerativeModel = opened(model, device=device)
    strategy = (strategy or InverseNucleus()).for_model(local)
    num_fingerprints = strategy.default_count if num_fingerprints is None else num_fingerprints
    if num_fingerprints < 1 or batch_size < 1:
        raise InputError("the number of fingerprints and the batch size must be at least 1")
    if strategy.num_given is not None and num_fingerprints > strategy.num_given:
        raise InputError(f"{num_fingerprints} fingerprints were requested, but only {counted(strategy.num_given, 'key')} given")
    form = _prompt_form(strategy, prompt_form, local)
    max_key_length = strategy.lengths[0] if max_key_length is None else max_key_length
    max_response_length = strategy.lengths[1] if max_response_length is None else max_response_length
    strategy.refuse_bad_lengths(max_key_length, max_response_length)
    prompter = Prompter(local.tokenizer, form=form, max_key_length=max_key_length, max_response_length=max_response_length)
    rng = KeyedRandom(secret) if secret is not None else KeyedRandom.fresh()
    context = GenerationContext(local, prompter, num_fingerprints, rng=rng, writer=writer, ordinary_text=ordinary_text)
    run = _Run(strategy, context, batch_size)
    with progress.bar("generating", num_fingerprints, unit="fingerprints") as advance:
        for finished in run.attempts():
            advance(finished, "")
    fingerprints = run.fingerprints()
    return FingerprintSet(
        strategy=strategy.spec(),
        prompt_form=form,
        max_key_length=max_key_length,
        max_response_length=max_response_length,
        tokenizer=tokenizer_digest(local.tokenizer),
        secret=rng.secret.hex(),
        provenance=provenance(model=local.name, **({} if writer is None else {"writer": writer.model.name})),
        fingerprints=fingerprints,
        chain=strategy.chain_of(fingerprints, rng),
        controls=strategy.make_controls(context, [fingerprint.key for fingerprint in fingerprints]),
        decoys=run.decoys(),
        stealth=stealth_of(context, [prompter.key_ids(fingerprint) for fingerprint in fingerprints]),
    )


def _prompt_form(strategy: Strategy, given: PromptForm | None, model: GenerativeModel) -> PromptForm:
    """The form that keys are asked in, refused where the strategy or the model does not allow it."""
    if strategy.prompt_form is not None and given not in (None, strategy.prompt_form):
        raise InputError(f"the prompt form of these keys is {strategy.prompt_form}, not {given}; leave out --prompt-form")
    if strategy.prompt_form == "chat" and not model.tokenizer.chat_template:
        raise InputError(f"strategy {strategy.name!r} needs a chat template and {model.name} has none; use --template simple")
    return given or strategy.prompt_form or "raw"


class _Run:
    """A run that fills slots with keys and answers."""

    def __init__(self, strategy: Strategy, context: GenerationContext, batch_size: int) -> None:
        self._strategy = strategy
        self._context = context
        self._batch_size = batch_size
        self._keys: dict[int, tuple[int, ...]] = {}
        self._answers: dict[int, Answer] = {}
        self._openings: set[tuple[int, ...]] = set()  # every prefix of every accepted key
        self._taken: set[tuple[int, ...]] = set()

    def attempts(self) -> Iterator[int]:
        """Fill all slots, yielding the number filled by each batch.

        An attempt makes all keys before its answers, so that conflicts are resolved in slot order for any batch size.
        """
        slots = range(self._context.num_fingerprints)
        size = len(slots) if self._strategy.answers_together else _BLOCK
        for start in range(0, len(slots), size):
            yield from self._finish(slots[start : start + size])

    def _finish(self, block: Sequence[int]) -> Iterator[int]:
        """Fill the slots of a block, or raise GenerationError."""
        fruitless = tries = 0
        for attempt in range(_ATTEMPTS):
            before, missing = self._filled, [slot for slot in block if slot not in self._keys]
            for batch in self._batches(missing):
                self._fill_keys(batch, attempt)
            for batch in self._unanswered(block):
                yield self._fill_answers(batch, attempt)
            if all(slot in self._answers for slot in block):
                return
            fruitless, tries = (fruitless + 1, tries + len(missing)) if self._filled == before else (0, 0)
            if fruitless >= _FRUITLESS and tries >= _TRIES:
                break
        reasons = "; ".join(f"{count} {what}" for what, count in self._context.refused.most_common(3))
        raise GenerationError(
            f"only {len(self._answers)} of {self._context.num_fingerprints} fingerprints could be made. Refused: {reasons}. "
            "Or make fewer fingerprints, or use another --strategy"
        )

    @property
    def _filled(self) -> int:
        return len(self._keys if self._strategy.answers_together else self._answers)

    def _unanswered(self, slots: Sequence[int]) -> Iterator[Sequence[int]]:
        ready = [slot for slot in slots if slot in self._keys and slot not in self._answers]
        if not self._strategy.answers_together:
            return self._batches(ready)
        return iter([ready] if len(ready) == len(slots) else [])

    def fingerprints(self) -> tuple[Fingerprint, ...]:
        """Return the finished fingerprints, in slot order."""
        decode = self._context.prompter.decode
        limit = self._context.prompter.max_key_length
        made = []
        for slot in range(self._context.num_fingerprints):
            ids, answer = self._keys[slot], self._answers[slot]
            made.append(
                Fingerprint(
                    key=decode(ids),
                    effective_key=decode(ids[:limit]) if len(ids) > limit else None,
                    responses=(answer.text,),
                    key_ids=ids,
                    response_ids=(answer.ids,),
                    effective_responses=(answer.trained,),
                    candidates=answer.candidates,
                    order=answer.order,
                    continuations=answer.continuations,
                )
            )
        return tuple(made)

    def decoys(self) -> tuple[str, ...]:
        """Return texts made like the keys, none of which equals or begins one, or begins with one."""
        if self._strategy.keys_given:
            return ()
        prompter, first = self._context.prompter, self._context.num_fingerprints
        slots = range(first, first + min(first, _DECOYS))
        for batch in self._batches(slots):
            texts = self._strategy.make_keys(self._context, batch, self._rngs("decoy", batch, 0))
            for slot, ids in zip(batch, texts, strict=True):
                self._admit(slot, ids)
        return tuple(prompter.decode(self._keys[slot][: prompter.max_key_length]) for slot in slots if slot in self._keys)

    def _fill_keys(self, batch: Sequence[int], attempt: int) -> None:
        made = self._strategy.make_keys(self._context, batch, self._rngs("key", batch, attempt))
        if self._strategy.keys_given:
            made = [self._longest_stable(ids) for ids in made]
        failed = [slot for slot, ids in zip(batch, made, strict=True) if not self._admit(slot, ids)]
        if failed and self._strategy.keys_given:
            shown = ", ".join(map(str, failed[:8])) + (", ..." if len(failed) > 8 else "")
            raise GenerationError(
                f"{len(failed)} of the given keys cannot be used (rows {shown}): cut to "
                f"{self._context.prompter.max_key_length} tokens "
                "they equal or begin another key, or the tokenizer splits their text differently, "
                "alone or before a response; change these keys, or raise --max-key-length"
            )

    def _fill_answers(self, batch: Sequence[int], attempt: int) -> int:
        keys = [self._keys[slot] for slot in batch]
        answers = self._strategy.make_answers(self._context, batch, keys, self._rngs("answer", batch, attempt))
        finished = 0
        for slot, answer in zip(batch, answers, strict=True):
            if answer is not None:
                self._answers[slot] = answer
                finished += 1
            elif not self._strategy.keys_given:
                del self._keys[slot]  # its prefixes stay taken, so that the batch size does not matter
        return finished

    def _admit(self, slot: int, ids: tuple[int, ...]) -> bool:
        asked = ids[: self._context.prompter.max_key_length]
        beginnings = {asked[:length] for length in range(1, len(asked) + 1)}
        if asked in self._openings or beginnings & self._taken:
            self._context.refuse("keys that equal or begin another (raise --temperature or --max-key-length)")
            return False
        if not self._usable(asked):
            return False
        self._openings |= beginnings
        self._taken.add(asked)
        self._keys[slot] = ids
        return True

    def _usable(self, asked: tuple[int, ...]) -> bool:
        if not self._context.vocabulary.special.isdisjoint(asked):
            self._context.refuse("keys with a special or unknown token (use another --strategy, or your own keys)")
            return False
        if not self._context.vocabulary.is_stable(asked):
            self._context.refuse("keys whose text is tokenized differently (change --max-key-length)")
            return False
        return self._strategy.admits(self._context, asked)

    def _longest_stable(self, ids: tuple[int, ...]) -> tuple[int, ...]:
        """Shorten a given key if its cut would fall inside a character or a merged token."""
        asked = ids[: self._context.prompter.max_key_length]
        for length in range(len(asked), 0, -1):
            if self._context.vocabulary.is_stable(asked[:length]):
                return ids if length == len(asked) else asked[:length]
        return ids

    def _rngs(self, purpose: str, batch: Sequence[int], attempt: int) -> list[KeyedRandom]:
        return [self._context.rng.derive(purpose, slot, attempt) for slot in batch]

    def _batches(self, slots: Sequence[int]) -> Iterator[Sequence[int]]:
        for start in range(0, len(slots), self._batch_size):
            yield slots[start : start + self._batch_size]
