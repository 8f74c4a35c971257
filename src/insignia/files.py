"""Atomic writes, output folders, reading, digests.

Every file is written beside its target and then renamed, so a killed run leaves the old file or none.
"""

import contextlib
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from insignia.errors import FormatError, InputError, OutputError

__all__ = [
    "SECRET_MODE",
    "canonical",
    "decode",
    "digest_of_file",
    "json_bytes",
    "make_folder",
    "new_file",
    "new_folder",
    "parse_json",
    "parse_rows",
    "read_bytes",
    "read_json",
    "read_paragraphs",
    "read_rows",
    "read_text",
    "read_texts",
    "refuse_ending",
    "refuse_existing",
    "refuse_overlap",
    "write_bytes",
    "write_json",
    "write_text",
]

SECRET_MODE = 0o600
_SECRET_FOLDER_MODE = 0o700


def refuse_existing(path: Path, *, force: bool) -> None:
    """Raise OutputError if the path exists and ``force`` is off. Call it before any work is done."""
    if path.exists() and not force:
        raise OutputError(f"{path} exists; choose another name or pass --force to replace it")


def refuse_ending(path: Path, *written: str) -> None:
    """Raise OutputError if the file name has an extension that is not among ``written``."""
    if path.suffix.lower() not in ("", *written):
        raise OutputError(f"{path}: cannot write {path.suffix}; expected a file name that ends in {' or '.join(written)}")


def refuse_overlap(out: Path, source: Path) -> None:
    """Raise OutputError if one of the two resolved paths is the other or contains it."""
    there, here = out.resolve(), source.resolve()
    if there == here or here in there.parents or there in here.parents:
        raise OutputError(f"the output {out} overlaps the input {source}; choose another output")


def write_text(path: Path, text: str, *, secret: bool = False) -> None:
    """Write a text in UTF-8. See ``write_bytes``."""
    write_bytes(path, text.encode(), secret=secret)


def write_bytes(path: Path, content: bytes, *, secret: bool = False) -> None:
    """Write a file atomically. A secret file has mode 0600 from its first byte on.

    Raises:
        OutputError: the folder cannot be written or the disk is full. The old file, if any, is unchanged.
    """
    with new_file(path, secret=secret) as scratch:
        scratch.write_bytes(content)


@contextlib.contextmanager
def new_file(path: Path, *, secret: bool = False) -> Iterator[Path]:
    """Yield a temporary file, mode 0600, that replaces ``path`` if the block succeeds and is deleted if it fails.

    Raises:
        OutputError: see ``write_bytes``.
    """
    try:
        make_folder(path.parent, secret=secret)
        handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp: mode 0600
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error
    os.close(handle)  # Windows renames no open file
    scratch = Path(temporary)
    try:
        yield scratch
        with scratch.open("r+b") as written:
            os.fsync(written.fileno())
        scratch.chmod(_mode(folder=False, secret=secret))
        scratch.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        scratch.unlink(missing_ok=True)


def write_json(path: Path, value: Any, *, secret: bool = False) -> None:
    """Write a value as indented JSON. See ``write_bytes``."""
    write_bytes(path, json_bytes(value), secret=secret)


def json_bytes(value: Any) -> bytes:
    """Return the bytes that ``write_json`` writes."""
    return f"{json.dumps(value, ensure_ascii=False, indent=1)}\n".encode()


def canonical(value: Any) -> bytes:
    """Return plain data as canonical JSON (sorted keys, no spaces, ASCII), for digests and signatures."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode("ascii")


def read_bytes(path: Path) -> bytes:
    """Return the content of a file.

    Raises:
        InputError: the file does not exist or cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"there is no file {path}") from None
    except OSError as error:
        if path.is_dir():  # Windows only says that permission is denied
            raise InputError(f"{path} is a folder; expected a file") from None
        raise InputError(f"cannot read {path}: {error.strerror}") from error


def read_text(path: Path, *, expected: str = "text") -> str:
    """Return the text of a UTF-8 file, without a byte order mark and with line feeds as line ends.

    Raises:
        InputError: the file does not exist or cannot be read.
        FormatError: the file is not UTF-8; the message says what was ``expected``.
    """
    return decode(read_bytes(path), path, expected).replace("\r\n", "\n").replace("\r", "\n")


def read_json(path: Path) -> Any:
    """Return the JSON value in a file.

    Raises:
        InputError: the file does not exist or cannot be read.
        FormatError: the file is not UTF-8 or not JSON. The message has line and column but no text of the file.
    """
    return parse_json(read_bytes(path), path)


def parse_json(content: bytes, path: Path) -> Any:
    """Parse the content of ``path`` as JSON; raises the FormatError of ``read_json``."""
    return _parse(decode(content, path, "a JSON file"), path)


def read_rows(path: Path) -> list[Any]:
    """Return the rows of a JSON list or of JSON lines. Blank lines are skipped.

    Raises:
        InputError, FormatError: see ``read_json``.
    """
    return parse_rows(read_bytes(path), path)


def parse_rows(content: bytes, path: Path) -> list[Any]:
    """Parse the content of ``path`` as rows; raises the FormatError of ``read_rows``."""
    text = decode(content, path, "a JSON list or JSON lines").replace("\r\n", "\n").replace("\r", "\n")
    if text.lstrip().startswith("["):
        return list(_parse(text, path))
    lines = text.split("\n")  # not splitlines: JSON may hold U+2028 as it is
    if text.lstrip().startswith("{\n"):
        raise FormatError(f"{path} is one JSON object; expected a JSON list or JSON lines")
    return [_parse(line, path, number) for number, line in enumerate(lines, 1) if line.strip()]


def read_paragraphs(path: Path) -> list[str]:
    """The paragraphs of a text file, separated by blank lines, each on one line."""
    paragraphs = [" ".join(block.split()) for block in read_text(path).split("\n\n")]
    return [paragraph for paragraph in paragraphs if paragraph]


def read_texts(path: Path) -> list[str]:
    """The texts in a file: a JSON list of them, or paragraphs separated by blank lines."""
    if path.suffix.lower() != ".json":
        return read_paragraphs(path)
    value = read_json(path)
    if not isinstance(value, list) or not value or not all(isinstance(text, str) and text for text in value):
        raise FormatError(f"{path} holds no texts; expected a JSON list of them")
    return value


def decode(content: bytes, path: Path, expected: str) -> str:
    """Decode the content of ``path``, without its byte order mark; raises FormatError if it is not UTF-8."""
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise FormatError(f"{path} is not UTF-8 text; expected {expected}") from None


def _parse(text: str, path: Path, first_line: int = 1) -> Any:
    try:
        value = json.loads(text)
        if "\\ud" in text.lower():
            json.dumps(value, ensure_ascii=False).encode()
    except json.JSONDecodeError as error:
        line = first_line + error.lineno - 1
        if error.msg == "Extra data":
            raise FormatError(f"{path} goes on after its first JSON value (line {line}); is it the right file?") from None
        # A chained error would show the document and so the secret.
        raise FormatError(f"{path} is not valid JSON (line {line}, column {error.colno}); is it cut short?") from None
    except UnicodeEncodeError:
        raise FormatError(f"{path} contains an unpaired surrogate, which is not text; is it damaged?") from None
    except (RecursionError, ValueError):  # ValueError: a number of more than 4300 digits
        raise FormatError(f"{path} is nested too deeply or has too long a number; is it the right file?") from None
    return value


@contextlib.contextmanager
def new_folder(path: Path, *, force: bool = False, secret: bool = False, kept: Path | None = None) -> Iterator[Path]:
    """Yield a temporary folder that becomes ``path`` if the block succeeds and is deleted if it fails.

    In a secret folder, folders have mode 0700 and files 0600. ``kept``: the folder to use, which stays if the block fails.

    Raises:
        OutputError: the path exists and ``force`` is off, its parent cannot be written, or the disk is full.
    """
    refuse_existing(path, force=force)
    try:
        make_folder(path.parent, secret=secret)
        scratch = kept or Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}."))  # mkdtemp: mode 0700
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror}") from error
    try:
        yield scratch
        for made in (scratch, *scratch.rglob("*")):  # safetensors ignores the umask and writes 0600
            made.chmod(_mode(folder=made.is_dir(), secret=secret))
        _replace_folder(scratch, path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        if kept is None:
            shutil.rmtree(scratch, ignore_errors=True)


def make_folder(path: Path, *, secret: bool = False) -> None:
    """Create a folder and its missing parents, with mode 0700 if ``secret``.

    Raises:
        OSError: a folder cannot be created.
    """
    if not secret:
        path.mkdir(parents=True, exist_ok=True)
        return
    missing = [folder for folder in (path, *path.parents) if not folder.exists()]
    for folder in reversed(missing):
        folder.mkdir(mode=_mode(folder=True, secret=True), exist_ok=True)


def _mode(*, folder: bool, secret: bool) -> int:
    if secret:
        return _SECRET_FOLDER_MODE if folder else SECRET_MODE
    return (0o777 if folder else 0o666) & ~_umask()


def _replace_folder(new: Path, path: Path) -> None:
    if not path.exists():
        new.replace(path)
        return
    old = Path(tempfile.mkdtemp(dir=path.parent, prefix=f".{path.name}.old."))
    kept = old / path.name
    try:
        path.replace(kept)  # a folder cannot be replaced in one step: keep the old one until the new one is in place
        new.replace(path)
    except OSError:
        if kept.exists():
            kept.replace(path)
        old.rmdir()
        raise
    shutil.rmtree(old)


def digest_of_file(path: Path) -> str:
    """Return ``sha256:...`` of a file's bytes. Takes about a second per gigabyte."""
    with path.open("rb") as file:
        return f"sha256:{hashlib.file_digest(file, 'sha256').hexdigest()}"


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
