"""Fingerprint sets: read from any supported format, written in ours. ``docs/reference/formats.md`` describes the fields."""

import datetime
import json
import os
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from insignia.errors import FormatError, InputError
from insignia.files import decode, parse_json, parse_rows, write_json
from insignia.fingerprints.locks import read_unlocked
from insignia.fingerprints.rows import SHAPES, fingerprints_from_rows, pairs_from_rows, rows_from_csv, rows_from_fingerprints
from insignia.records import Control, Digest, Displayed, Fingerprint, PromptForm, Provenance
from insignia.registry import errors_about
from insignia.statistics.separation import Stealth
from insignia.terminal import counted

__all__ = ["MAX_KEY_LENGTH", "MAX_RESPONSE_LENGTH", "FingerprintSet", "load_fingerprints", "load_pairs", "provenance"]

SCHEMA_VERSION = 1
MAX_KEY_LENGTH = 16  # OML 1.0's max_key_length
MAX_RESPONSE_LENGTH = 1  # OML 1.0's max_response_length


class FingerprintSet(Displayed):
    """Fingerprints, how they are asked, and the secret that they were drawn from.

    ``len`` and iteration are over the fingerprints.
    """

    kind: Literal["insignia/fingerprints"] = "insignia/fingerprints"
    schema_version: Literal[1] = 1
    strategy: dict[str, Any] = Field(default={}, repr=False)
    """Spec of the strategy that made the fingerprints; empty for files of other tools."""
    prompt_form: PromptForm = "raw"
    max_key_length: Annotated[int, Field(ge=1)] = MAX_KEY_LENGTH
    """Tokens of each key that are asked. Cut to this length, no generated key equals or begins another."""
    max_response_length: Annotated[int, Field(ge=1)] = MAX_RESPONSE_LENGTH
    """Tokens of each response that are trained and compared."""
    tokenizer: str | None = None
    """Digest of the tokenizer that made the token ids."""
    secret: str | None = Field(default=None, repr=False)
    """The 32 secret bytes as hexadecimal; None if the fingerprints come from another tool."""
    provenance: Provenance | None = None
    fingerprints: Annotated[tuple[Fingerprint, ...], Field(min_length=1, repr=False)]
    chain: Digest | None = None
    """Root of the chain that picked the responses (:mod:`insignia.evidence.chain`), if a chain did."""
    controls: tuple[Control, ...] = Field(default=(), repr=False)
    """Questions that must not activate the mark."""
    decoys: tuple[Annotated[str, Field(min_length=1)], ...] = Field(default=(), repr=False)
    """Decoy questions made like the keys, which ``verify`` mixes with them; empty if the owner gave the keys."""
    stealth: Stealth | None = None
    """How far keys differ from ordinary prompts; None where that was not measured."""

    @property
    def heading(self) -> str:
        """How many, and that they are a secret."""
        return f"{counted(len(self), 'fingerprint')}; to be kept secret"

    def summary(self) -> list[tuple[str, str]]:
        """How they were made and are asked."""
        candidates = min(len(fingerprint.candidates or ()) for fingerprint in self)
        return [
            ("strategy", str(self.strategy.get("name", "unknown: made elsewhere"))),
            (
                "asked as",
                f"{self.prompt_form}, at most {self.max_key_length} tokens of a key, {self.max_response_length} of a response",
            ),
            ("candidates of a response", str(candidates or "none")),
            ("controls", str(len(self.controls))),
        ]

    def __len__(self) -> int:
        return len(self.fingerprints)

    def __iter__(self) -> Iterator[Fingerprint]:  # type: ignore[override]  # pydantic iterates over field names
        return iter(self.fingerprints)

    def first(self, count: int | None) -> "FingerprintSet":
        """Return a set of the first ``count`` fingerprints (None: all).

        Raises:
            InputError: the set has fewer fingerprints.
        """
        if count is None or count == len(self):
            return self
        if not 1 <= count <= len(self):
            raise InputError(f"{count} fingerprints were requested; expected 1 to {len(self)}, the size of the set")
        kept = tuple(control for control in self.controls if control.near is None or control.near < count)
        return self.model_copy(
            update={"fingerprints": self.fingerprints[:count], "chain": None, "controls": kept, "stealth": None}
        )

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the set atomically, with mode 0600."""
        write_json(Path(path), self.model_dump(mode="json", exclude_none=True), secret=True)

    def export_oml(self, path: str | os.PathLike[str]) -> None:
        """Write the set in OML 1.0's format, a list of {"key", "response"}, with mode 0600."""
        write_json(Path(path), rows_from_fingerprints(self.fingerprints), secret=True)


def load_fingerprints(path: str | os.PathLike[str]) -> FingerprintSet:
    """Read a fingerprint file of insignia, OML 1.0 or scalable-fingerprinting, locked or plain.

    Raises:
        InputError: the file does not exist, or its keys have no responses.
        WrongKeyError: the file is locked, and the key is missing or wrong.
        FormatError: the file is not a fingerprint file, is damaged, or has a newer schema.
    """
    value = _content(Path(path))
    with errors_about(path):
        if isinstance(value, list):
            return FingerprintSet(fingerprints=fingerprints_from_rows(value))
        if not isinstance(value, dict) or value.get("kind") != "insignia/fingerprints":
            raise FormatError(
                "not a fingerprint file; expected one from 'insignia generate' or a list of rows with key and response"
            )
        if isinstance(found := value.get("schema_version"), int) and found > SCHEMA_VERSION:
            raise FormatError(f"schema {found} is newer than {SCHEMA_VERSION}, the newest known here; upgrade insignia")
        return FingerprintSet.model_validate(value)


def load_pairs(path: str | os.PathLike[str]) -> list[tuple[str, str | None]]:
    """Return (key, response) of every row of a fingerprint file or a list of keys, whose responses are None.

    Raises:
        InputError, WrongKeyError, FormatError: see ``load_fingerprints``.
    """
    value = _content(Path(path))
    if isinstance(value, list):
        with errors_about(path):
            return pairs_from_rows(value)
    return [(fingerprint.key, fingerprint.responses[0]) for fingerprint in load_fingerprints(path)]


def _content(path: Path) -> Any:
    """Return the content of a file: a JSON object, or rows from JSON, JSON lines or CSV."""
    content = read_unlocked(path)
    plain = path.with_suffix("") if path.suffix == ".age" else path
    if plain.suffix.lower() in (".csv", ".tsv"):
        with errors_about(path):
            return rows_from_csv(decode(content, path, SHAPES))
    start = content.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start[:1] not in (b"{", b"[", b'"'):
        raise FormatError(f"{path} is neither JSON nor named .csv; expected {SHAPES}")
    lines = start.strip().split(b"\n")
    if _is_value(lines[0]) and (start[:1] == b"{" or (start[:1] == b'"' and len(lines) > 1)):
        rows = parse_rows(content, path)
        return rows[0] if len(rows) == 1 and isinstance(rows[0], dict) and "kind" in rows[0] else rows
    return parse_json(content, path)


def _is_value(line: bytes) -> bool:
    """Whether a line is JSON by itself, as in JSON lines and unlike the first line of indented JSON."""
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


def provenance(**inputs: str) -> Provenance:
    """Return the provenance of something made now from these inputs."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return Provenance(insignia=version("insignia"), created=now, inputs=inputs)
