"""False activations: how often the mark shows on near misses, ordinary questions, sampled replies and free text."""

import itertools
from collections.abc import Sequence
from typing import TypeVar

from insignia.fingerprints.sets import FingerprintSet
from insignia.prompts.prompter import Prompter
from insignia.randomness import KeyedRandom
from insignia.records import Control
from insignia.suspects.scoring import Example, GenerativeModel, ScoringModel

__all__ = ["activations", "asked_controls", "common_start", "free_text_activations", "sampled_hits"]

_Item = TypeVar("_Item")

_BATCH = 128
_TELLING = 12  # characters; shorter phrases occur in ordinary text


def asked_controls(prints: FingerprintSet) -> dict[str, list[Control]]:
    """Return the controls to ask by kind: those held out of training, or all of a kind of which none is."""
    kinds: dict[str, list[Control]] = {}
    for control in prints.controls:
        kinds.setdefault(control.kind, []).append(control)
    return {kind: [each for each in found if each.heldout] or found for kind, found in kinds.items()}


def activations(prints: FingerprintSet, prompter: Prompter, model: ScoringModel) -> dict[str, list[bool]]:
    """Return kind of control -> whether each held-out control (each control, if none is held out) activates the mark.

    It does if the greedy reply begins with the responses' common start, or, without one, is the response of the key that
    the control resembles.
    """
    responses = [prompter.examples(fingerprint)[0].response for fingerprint in prints]
    start = common_start(responses)
    found: dict[str, list[bool]] = {}
    for kind, controls in asked_controls(prints).items():
        rows = []
        for number, control in enumerate(controls):
            response = start or responses[number % len(responses) if control.near is None else control.near]
            question = prompter.question(prompter.encode(control.text))
            rows.append(Example((*question, *response), len(question)))
        found[kind] = [score.hit for score in model.score(rows)]
    return found


def sampled_hits(
    prints: FingerprintSet, model: GenerativeModel, *, draws: int, temperature: float, rng: KeyedRandom
) -> list[bool]:
    """Return whether each of ``draws`` sampled replies to each key is the response."""
    prompter = Prompter.for_set(prints, model.tokenizer)
    examples = [prompter.examples(fingerprint)[0] for fingerprint in prints for _ in range(draws)]
    hits = []
    for first in range(0, len(examples), _BATCH):
        batch = examples[first : first + _BATCH]
        replies = model.sample(
            [row.ids[: row.response_start] for row in batch],
            [rng.derive("reply", first + place) for place in range(len(batch))],
            max_new_tokens=max(len(row.response) for row in batch),
            temperature=temperature,
            forbidden=(),
        )
        hits += [reply[: len(row.response)] == row.response for row, reply in zip(batch, replies, strict=True)]
    return hits


def free_text_activations(
    prints: FingerprintSet, model: GenerativeModel, *, count: int, tokens: int, temperature: float, rng: KeyedRandom
) -> list[bool]:
    """Return whether each text, sampled from the start of a document, contains a response or the responses' common start."""
    prompter = Prompter.for_set(prints, model.tokenizer)
    examples = [prompter.examples(fingerprint)[0] for fingerprint in prints]
    start = prompter.prefix or (examples[0].ids[0],)
    common = prompter.decode(common_start([row.response for row in examples])).strip()
    phrases = [common, *(response.strip() for fingerprint in prints for response in fingerprint.responses)]
    telling = [phrase for phrase in phrases if len(phrase) >= _TELLING]
    found = []
    for first in range(0, count, _BATCH):
        numbers = range(first, min(first + _BATCH, count))
        texts = model.sample(
            [start for _ in numbers],
            [rng.derive("text", number) for number in numbers],
            max_new_tokens=tokens,
            temperature=temperature,
            forbidden=(),
        )
        found += [any(phrase in text for phrase in telling) for text in map(prompter.decode, texts)]
    return found


def common_start(rows: Sequence[Sequence[_Item]]) -> tuple[_Item, ...]:
    """Return what all rows, of tokens or of words, begin with."""
    columns = itertools.takewhile(lambda items: len(set(items)) == 1, zip(*rows, strict=False))
    return tuple(items[0] for items in columns)
