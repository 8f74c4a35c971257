"""Innocents of every channel: the models of innocence/models.py, and liars that know all but the secret."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from innocence.models import Adversaries, Innocents

from grading.replays import Told
from insignia.evaluation.replays import ask
from insignia.fingerprints.sets import FingerprintSet
from insignia.modeling.local import LocalModel
from insignia.randomness import KeyedRandom
from insignia.suspects.base import LEAST_SCORE, Alternative, Channel, Reply

Written = dict[str, dict]
"""Strategy and key -> what a model says of its candidates, as it is kept in a file."""

Scores = Sequence[float]


class Innocent(NamedTuple):
    name: str
    kind: str
    told: dict[str, Told]
    """By strategy. A liar in text is heard by ``choice`` and ``text`` alone."""


def write(model: LocalModel, sets: Mapping[str, FingerprintSet]) -> Written:
    """Ask all keys of all sets by all channels. ``choice`` follows from ``scores``."""
    found: Written = {}
    for strategy, prints in sets.items():
        told = ask(model, prints, ("scores", "top", "text"))
        for number, fingerprint in enumerate(prints):
            shown = [[each.text, each.log_probability] for each in told["top"][number].alternatives]
            about = {"scores": told["scores"][number].scores, "top": shown, "text": told["text"][number].text}
            found[f"{strategy}: {fingerprint.asked_key}"] = about
    return found


def read(written: Written, strategy: str, prints: FingerprintSet) -> dict[Channel, list[Reply]]:
    """The replies that ``write`` wrote."""
    about = [written[f"{strategy}: {each.asked_key}"] for each in prints]
    told = heard([each["scores"] for each in about], prints)
    told["top"] = [_top(each["top"]) for each in about]
    told["text"] = [Reply(status="answered", text=each["text"]) for each in about]
    return told


def heard(scores: Sequence[Scores], prints: FingerprintSet) -> dict[Channel, list[Reply]]:
    """What is seen by each channel of somebody who scores the candidates so, and says nothing but candidates."""
    told: dict[Channel, list[Reply]] = {"scores": [], "top": [], "choice": [], "text": []}
    for each, fingerprint in zip(scores, prints, strict=True):
        texts = [candidate.text for candidate in fingerprint.candidates]
        said = texts[max(range(len(texts)), key=each.__getitem__)]
        told["scores"].append(Reply(status="answered", channel="scores", scores=tuple(each)))
        told["top"].append(_top(sorted(zip(texts, each, strict=True), key=lambda pair: -pair[1])[:20]))
        told["choice"].append(Reply(status="answered", channel="choice", text=said))
        told["text"].append(Reply(status="answered", text=said))
    return told


def _top(pairs: Sequence[tuple[str, float]]) -> Reply:
    shown = tuple(Alternative(text=text, log_probability=min(0.0, log)) for text, log in pairs)
    return Reply(status="answered", channel="top", alternatives=shown)


class Everyone:
    """All innocents before sets of several strategies; what models say is kept in the folder."""

    def __init__(self, sets: Mapping[str, FingerprintSet], starter: LocalModel, folder: Path) -> None:
        self._sets = sets
        self._base = write(starter, sets)
        keys = tuple(self._base)
        self._models = Innocents(starter, folder, lambda model: write(model, sets), keys)

    def all(self, *, quick: bool) -> Iterator[Innocent]:
        yield self._written("the starter", "base", json.loads(json.dumps(self._base)))
        for name, kind, written in self._models.all(quick=quick):
            yield self._written(name, kind, written)
        for seed in range(1 if quick else 9):
            for name, lie in self._lies(seed).items():
                yield Innocent(f"{name}, {seed}", "liars", {strategy: self._told(strategy, lie) for strategy in self._sets})
        yield from self._in_text(seeds=1 if quick else 9)

    def _written(self, name: str, kind: str, written: Written) -> Innocent:
        return Innocent(name, kind, {strategy: read(written, strategy, prints) for strategy, prints in self._sets.items()})

    def _told(self, strategy: str, lie: Callable[[str, Scores], Scores]) -> Told:
        prints = self._sets[strategy]
        scores = [
            [max(LEAST_SCORE, float(score)) for score in lie(each.asked_key, self._scores(strategy, each.asked_key))]
            for each in prints
        ]
        return heard(scores, prints)

    def _scores(self, strategy: str, key: str) -> Scores:
        return self._base[f"{strategy}: {key}"]["scores"]

    def _lies(self, seed: int) -> dict[str, Callable[[str, Scores], Scores]]:
        """Each scores the candidates of a key, whose scores by the base are given."""

        def rng(*labels: str) -> KeyedRandom:
            return KeyedRandom(b"liars").derive(seed, *labels)

        def shuffled(items: Scores, *labels: str) -> list[float]:
            return sorted(items, key=lambda item: rng(*labels).derive(repr(item)).uniform())

        def fixed(_key: str, scores: Scores) -> Scores:
            return shuffled([-float(place) for place in range(len(scores))], "one order for all keys")

        def in_groups(key: str, scores: Scores) -> Scores:
            return [-float(rng(key, str(place)).below(2 + seed % 3)) for place in range(len(scores))]

        def one_above(key: str, scores: Scores) -> Scores:
            favourite = rng(key).below(len(scores))
            return [-0.5 if place == favourite else -9.0 for place in range(len(scores))]

        return {
            "constant": lambda _, scores: [-float(seed)] * len(scores),
            "random": lambda key, scores: [-rng(key, str(place)).uniform() for place in range(len(scores))],
            "the base reversed": lambda _, scores: [-20.0 - score if score > -20 else score for score in scores],
            "by rank in the base": lambda _, scores: [float(-sorted(scores, reverse=True).index(score)) for score in scores],
            "the base's scores dealt out anew": lambda key, scores: shuffled(scores, key),
            "one order for all keys": fixed,
            "ties everywhere": in_groups,
            "one candidate far above": one_above,
        }

    def _in_text(self, *, seeds: int) -> Iterator[Innocent]:
        """The liars of innocence/models.py."""
        heard_by: dict[tuple[str, str], dict[str, Told]] = {}
        for strategy, prints in self._sets.items():
            known = {each.asked_key: each.candidates for each in prints}
            said = {key: self._base[f"{strategy}: {key}"]["text"] for key in known}
            for name, kind, replies in Adversaries(known, known, said).all(seeds=seeds):
                by_channel: dict[Channel, list[Reply]] = {
                    channel: [_said(replies[key], channel) for key in known] for channel in ("choice", "text")
                }
                heard_by.setdefault((name, kind), {})[strategy] = by_channel
        for (name, kind), told in heard_by.items():
            yield Innocent(f"{name} (text)", kind, told)


def _said(text: str | None, channel: Channel) -> Reply:
    """An unanswered key stakes nothing, and neither does a reply that is no candidate."""
    return Reply(status="answered", channel=channel, text=text or "-")
