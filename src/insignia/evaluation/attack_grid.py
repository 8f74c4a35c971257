"""Settings of a robustness grid: which marks, which attacks at which strengths, and what must survive."""

import itertools
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self, cast

from pydantic import Field, model_validator

from insignia.attacks.base import ATTACKS, Attack, HostAttack, WeightAttack
from insignia.errors import InputError
from insignia.evaluation.robustness import UNATTACKED, AttackOutcome, FailedAttack, Robustness
from insignia.recipes import load_recipe
from insignia.records import Record
from insignia.registry import did_you_mean
from insignia.suspects.base import CHANNELS, Channel

__all__ = ["DATA", "AttackGrid", "Mark", "PlannedAttack", "Requirement", "unmet"]

DATA = "docstrings:asyncio,email,http,importlib,logging,unittest,urllib"
"""Conversations that every machine has: 1,100 questions about Python's standard library."""

_OF_THE_MARK = {"$prints", "$vector"}
_KNOWN = {"$base", "$sibling", "$data"} | _OF_THE_MARK
_REQUIREMENT = re.compile(rf"(?P<attack>[^:]+?)(?::(?P<strength>.+?))? owned(?: by (?P<channel>{'|'.join(CHANNELS)}))?")


class Mark(Record):
    """A mark of the owner's: a marked model and its set, or a strategy and a method that make them."""

    model: str | None = None
    """The marked model: a folder or hub id."""
    fingerprints: Path | None = None
    """Its fingerprint file."""
    strategy: Annotated[dict[str, Any] | None, Field(repr=False)] = None
    """The strategy that makes a set, and its settings."""
    method: dict[str, Any] = {"name": "full"}
    """The method that embeds the set that was made."""
    num_fingerprints: Annotated[int, Field(ge=1)] = 64
    """Fingerprints to make."""

    @model_validator(mode="after")
    def _given_or_made(self) -> Self:
        if (self.model is None) != (self.fingerprints is None) or (self.model is None) == (self.strategy is None):
            raise ValueError("a mark has a model and its fingerprints, or a strategy that makes them")
        return self

    def located(self) -> Self:
        """The same mark with absolute paths, which are the same from every folder."""
        model = str(Path(self.model).resolve()) if self.model and Path(self.model).exists() else self.model
        return self.model_copy(update={"model": model, "fingerprints": self.fingerprints and self.fingerprints.resolve()})


class PlannedAttack(NamedTuple):
    """One attack at one strength, before anybody knows the models."""

    name: str
    strength: str
    spec: Mapping[str, Any]

    @property
    def label(self) -> str:
        """Name and strength."""
        return f"{self.name} {self.strength}".rstrip()

    @property
    def needs(self) -> frozenset[str]:
        """The stand-ins such as $base that the settings have."""
        return frozenset(text for text in _texts(self.spec) if text.startswith("$"))

    @property
    def uses_secret(self) -> bool:
        """Whether the attacker has something secret of the mark: leaked keys, or its vector."""
        return bool(self.needs & _OF_THE_MARK)

    @property
    def on(self) -> Literal["nothing", "weights", "host"]:
        """What it changes."""
        if not self.spec:
            return "nothing"
        return "weights" if issubclass(ATTACKS.get(self.spec["name"]), WeightAttack) else "host"

    def build(self, values: Mapping[str, str]) -> Attack:
        """The attack, with these values for stand-ins."""
        found = ATTACKS.build(_filled(self.spec, lambda text: values.get(text, text)))
        if not isinstance(found, WeightAttack | HostAttack):
            raise InputError(f"{found.name!r} is no attack on weights and none by a host; expected one of them")
        return found


class AttackGrid(Record):
    """Settings of a robustness grid: the ``robustness`` part of a recipe."""

    marks: Annotated[dict[str, Mark], Field(repr=False)] = {}
    """Name -> mark."""
    attacks: Annotated[dict[str, dict[str, Any]], Field(default_factory=lambda: dict(_bundled()), repr=False)]
    """Name -> attack and its settings. A list of values makes one attack of each. $base, $sibling, $prints, $vector and $data
    stand for the base, the innocent sibling, the mark's fingerprint file, its vector and ``data``."""
    data: str = DATA
    """What attackers train on: file, folder or hub id of conversations, or docstrings:PACKAGES of Python's own."""
    alpha: Annotated[float, Field(gt=0, lt=1)] = 1e-6
    """Probability of proving a mark that is not there, for each test."""

    def planned(self) -> tuple[PlannedAttack, ...]:
        """No attack, then every attack at every strength.

        Raises:
            InputError: an attack does not exist, or has no such setting.
        """
        planned = [PlannedAttack(UNATTACKED, "", {}), *(each for name in self.attacks for each in self._strengths(name))]
        for each in planned[1:]:
            if strange := sorted(each.needs - _KNOWN):
                raise InputError(
                    f"attack {each.name!r}: nothing is called {strange[0]}.{did_you_mean(strange[0], _KNOWN)} "
                    f"Expected one of {', '.join(sorted(_KNOWN))}"
                )
            each.build({})
        return tuple(planned)

    def _strengths(self, name: str) -> Iterator[PlannedAttack]:
        spec = self.attacks[name]
        if name == UNATTACKED or ":" in name:
            raise InputError(f"an attack cannot be called {name!r}; choose another name, without a colon")
        varied = {field: value for field, value in spec.items() if isinstance(value, list)}
        for values in itertools.product(*varied.values()):
            chosen = dict(zip(varied, values, strict=True))
            told = [
                f"{field} {value}" for field, value in chosen.items() if len(varied[field]) > 1 or not isinstance(value, list)
            ]
            strength = ", ".join(told) if len(told) > 1 else "".join(told).partition(" ")[2]
            yield PlannedAttack(name, strength, {**spec, **chosen})


class Requirement(NamedTuple):
    """What must survive: ``ATTACK[:STRENGTH] owned [by CHANNEL]``."""

    text: str
    attack: str
    strength: str | None
    """None: every strength."""
    channel: Channel | None
    """None: any channel."""

    @classmethod
    def of(cls, text: str, planned: Sequence[PlannedAttack]) -> Self:
        """Parse a requirement about one of these attacks.

        Raises:
            InputError: it is none, or there is no such attack or strength.
        """
        found = _REQUIREMENT.fullmatch(" ".join(text.split()))
        if found is None:
            raise InputError(
                f"--require {text!r}: expected 'ATTACK[:STRENGTH] owned [by CHANNEL]', such as 'merge:0.5 owned by text'"
            )
        attack, strength = found["attack"], found["strength"]
        names = list(dict.fromkeys(each.name for each in planned))
        if attack not in names:
            raise InputError(
                f"--require {text!r}: no attack {attack!r}.{did_you_mean(attack, names)} Expected {', '.join(names)}"
            )
        strengths = [each.strength for each in planned if each.name == attack]
        if strength is not None and strength not in strengths:
            raise InputError(f"--require {text!r}: {attack} has the strengths {', '.join(strengths) or '-'}, not {strength}")
        return cls(text, attack, strength, cast(Channel | None, found["channel"]))

    def met(self, result: Robustness) -> bool:
        """Whether every mark survived. An attack that could not be made shows nothing."""
        rows = [row for row in result.rows if row.suspect == "marked" and self._is_about(row)]
        survived = [
            row.owned if self.channel is None else (proof := row.by_channel.get(self.channel)) is not None and proof.owned
            for row in rows
        ]
        return bool(survived) and all(survived) and not any(map(self._is_about, result.failed))

    def _is_about(self, row: AttackOutcome | FailedAttack) -> bool:
        return row.attack == self.attack and self.strength in (None, row.strength)


def unmet(requirements: Sequence[Requirement], result: Robustness) -> tuple[str, ...]:
    """The requirements that some mark does not meet."""
    return tuple(each.text for each in requirements if not each.met(result))


def _filled(value: Any, fill: Callable[[str], str]) -> Any:
    """The value, each text in it replaced."""
    if isinstance(value, str):
        return fill(value)
    if isinstance(value, Mapping):
        return {name: _filled(each, fill) for name, each in value.items()}
    return [_filled(each, fill) for each in value] if isinstance(value, list) else value


def _texts(value: Any) -> Iterator[str]:
    """All texts in the value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping | list):
        for each in value.values() if isinstance(value, Mapping) else value:
            yield from _texts(each)


def _bundled() -> dict[str, dict[str, Any]]:
    return load_recipe("robustness", "robustness")["robustness"]["attacks"]  # type: ignore[no-any-return]
