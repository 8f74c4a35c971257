"""The fingerprint file: reading any supported format, writing ours.

``docs/reference/formats.md`` describes every field. Files of OML 1.0 and of scalable-fingerprinting (Perinucleus) are
recognised by their shape in :mod:`insignia.fingerprints.rows`; locked files are opened by :mod:`insignia.fingerprints.locks`.
"""

import contextlib
import datetime
import json
import os
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from insignia.errors import FormatError, InputError
from insignia.files import decode, parse_json, parse_rows, write_json
from insignia.fingerprints.locks import read_unlocked
from insignia.fingerprints.rows import SHAPES, fingerprints_from_rows, pairs_from_rows, rows_from_csv, rows_from_fingerprints
from insignia.records import Control, Digest, Displayed, Fingerprint, PromptForm, Provenance
from insignia.registry import explain

__all__ = ["MAX_KEY_LENGTH", "MAX_RESPONSE_LENGTH", "FingerprintSet", "load_fingerprints", "load_pairs", "provenance"]

SCHEMA_VERSION = 1
MAX_KEY_LENGTH = 16  # tokens of a key that are asked: OML 1.0's max_key_length
MAX_RESPONSE_LENGTH = 1  # tokens of a response that are trained and compared: OML 1.0's max_response_length


class FingerprintSet(Displayed):
    """The owner's secret: fingerprints, how they are asked, and the 32 bytes they were drawn from.

    ``len(prints)`` and iteration are over the fingerprints.
    """

    kind: Literal["insignia/fingerprints"] = "insignia/fingerprints"
    schema_version: Literal[1] = 1
    strategy: dict[str, Any] = Field(default={}, repr=False)
    """The spec of the strategy that made them; empty for foreign files."""
    prompt_form: PromptForm = "raw"
    max_key_length: Annotated[int, Field(ge=1)] = MAX_KEY_LENGTH
    """Tokens of each key that are asked; of keys that we made, none equals or begins another at this length."""
    max_response_length: Annotated[int, Field(ge=1)] = MAX_RESPONSE_LENGTH
    tokenizer: str | None = None
    """Digest of the tokenizer that made the ids."""
    secret: str | None = Field(default=None, repr=False)
    """Hexadecimal; None when the fingerprints were not drawn by us."""
    provenance: Provenance | None = None
    fingerprints: Annotated[tuple[Fingerprint, ...], Field(min_length=1, repr=False)]
    chain: Digest | None = None
    """The hash of all keys and candidates that picked the responses (:mod:`insignia.evidence.chain`); a part has none."""
    controls: tuple[Control, ...] = Field(default=(), repr=False)
    """Questions that must not activate the mark; some strategies make them."""

    @property
    def heading(self) -> str:
        """How many, and that they are a secret."""
        return f"{len(self)} fingerprints; keep them secret"

    def summary(self) -> list[tuple[str, str]]:
        """How they were made and are asked."""
        candidates = min(len(fingerprint.candidates or ()) for fingerprint in self)
        return [
            ("strategy", str(self.strategy.get("name", "unknown: made elsewhere"))),
            (
                "asked as",
                f"{self.prompt_form}, {self.max_key_length} tokens of a key, {self.max_response_length} of a response",
            ),
            ("candidates of a response", str(candidates or "none")),
            ("controls", str(len(self.controls))),
        ]

    def __len__(self) -> int:
        return len(self.fingerprints)

    def __iter__(self) -> Iterator[Fingerprint]:  # type: ignore[override]  # pydantic iterates over field names
        return iter(self.fingerprints)

    def first(self, count: int | None) -> "FingerprintSet":
        """The set's first ``count`` fingerprints (None: all); asking for more than there are is an InputError."""
        if count is None or count == len(self):
            return self
        if not 1 <= count <= len(self):
            raise InputError(f"{count} fingerprints were asked for; the set holds {len(self)}")
        kept = tuple(control for control in self.controls if control.near is None or control.near < count)
        return self.model_copy(update={"fingerprints": self.fingerprints[:count], "chain": None, "controls": kept})

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the set, whole or not at all, with mode 0600."""
        write_json(Path(path), self.model_dump(mode="json", exclude_none=True), secret=True)

    def export_oml(self, path: str | os.PathLike[str]) -> None:
        """Write the set as OML 1.0 reads it: a list of {"key", "response"} (or "response" lists), mode 0600."""
        write_json(Path(path), rows_from_fingerprints(self.fingerprints), secret=True)


def load_fingerprints(path: str | os.PathLike[str]) -> FingerprintSet:
    """Read a fingerprint file: ours, OML 1.0's or scalable-fingerprinting's, locked or plain.

    Raises:
        InputError: there is no such file, or its keys have no responses yet.
        WrongKeyError: it is locked, and what is needed to open it is missing or wrong.
        FormatError: not JSON, cut short, a newer schema, or not a fingerprint file; never quotes its content.
    """
    value = _content(Path(path))
    with _naming(path):
        if isinstance(value, list):
            return FingerprintSet(fingerprints=fingerprints_from_rows(value))
        if not isinstance(value, dict) or value.get("kind") != "insignia/fingerprints":
            raise FormatError(
                "not a fingerprint file; expected one made by 'insignia generate' or a list of key, response rows"
            )
        if isinstance(found := value.get("schema_version"), int) and found > SCHEMA_VERSION:
            raise FormatError(f"schema {found} is newer than this insignia, which reads up to {SCHEMA_VERSION}: upgrade it")
        return FingerprintSet.model_validate(value)


def load_pairs(path: str | os.PathLike[str]) -> list[tuple[str, str | None]]:
    """(key, response) of every row of an owner's key file: any file ``load_fingerprints`` reads, or a list of keys alone.

    The response is None where the file holds keys alone; errors are those of ``load_fingerprints``.
    """
    value = _content(Path(path))
    if isinstance(value, list):
        with _naming(path):
            return pairs_from_rows(value)
    return [(fingerprint.key, fingerprint.responses[0]) for fingerprint in load_fingerprints(path)]


def _content(path: Path) -> Any:
    """What a file says, locked or plain: a record of ours, or rows as JSON, JSON lines or CSV."""
    content = read_unlocked(path)
    plain = path.with_suffix("") if path.suffix == ".age" else path
    if plain.suffix.lower() in (".csv", ".tsv"):
        with _naming(path):
            return rows_from_csv(decode(content, path, SHAPES))
    start = content.removeprefix(b"\xef\xbb\xbf").lstrip()
    if start[:1] not in (b"{", b"[", b'"'):
        raise FormatError(f"{path} is not valid JSON, and by its name no CSV; expected {SHAPES}")
    lines = start.strip().split(b"\n")
    if _is_value(lines[0]) and (start[:1] == b"{" or (start[:1] == b'"' and len(lines) > 1)):
        rows = parse_rows(content, path)
        return rows[0] if len(rows) == 1 and isinstance(rows[0], dict) and "kind" in rows[0] else rows
    return parse_json(content, path)


def _is_value(line: bytes) -> bool:
    """Whether a line is JSON by itself, as the first of JSON lines is and the first of an indented record is not."""
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return False
    return True


@contextlib.contextmanager
def _naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """Say which file an error is about; pydantic's error would quote the secrets in it."""
    try:
        yield
    except ValidationError as error:
        raise FormatError(f"{path}: {explain(error)}") from None
    except InputError as error:
        raise type(error)(f"{path}: {error}") from None


def provenance(**inputs: str) -> Provenance:
    """Provenance of something made now from these inputs."""
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return Provenance(insignia=version("insignia"), created=now, inputs=inputs)
