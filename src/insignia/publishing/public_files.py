"""Which files may leave with a model: each has the name of a known kind and the content of that kind, and none is a secret.

A secret is known by its content, whatever its name: fingerprint sets, locked files, vectors, owner weights, ledgers, books of
licensees, transcripts, evidence, results, private keys and access tokens. A renamed file is still refused.
"""

import fnmatch
import hashlib
import json
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any, NamedTuple

from insignia.checkpoints import INDEX, LEFT, RIGHT, SECRET_KIND
from insignia.errors import InputError
from insignia.files import digest_of_file
from insignia.fingerprints.locks import is_locked
from insignia.modeling.cards import LICENCES, README

__all__ = ["PublicFile", "public_files", "public_weights"]

_KINDS = {
    "configuration": ("config.json", "generation_config.json"),
    "weights": ("model.safetensors", "model-*-of-*.safetensors", INDEX),
    "tokenizer": (
        *("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json", "vocab.txt"),
        *("merges.txt", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "*.tiktoken"),
        *("chat_template.jinja", "chat_template.json"),
    ),
    "card": (README,),
    "licence": tuple(pattern for name in LICENCES for pattern in (name, f"{name}.*")),
    "git": (".gitattributes",),
}
_PUBLIC_RECORDS = {"insignia/signed-commitment", "insignia/commitment", "insignia/code-commitment"}
_SECRETS = {
    "a private key": re.compile(rb"AGE-SECRET-KEY-1|-----BEGIN [A-Z ]*PRIVATE KEY-----"),
    "an access token": re.compile(rb"\bhf_[A-Za-z0-9]{30,}\b"),
}
# Fields by which records without a kind are known: of a ledger, a book, a verdict, a check or embedding, a fingerprint.
_RECORDS = ({"set", "numbers", "to"}, {"time", "licensee"}, {"outcome", "p_value"}, {"fsr"}, {"key", "responses"})
_ADAPTER = {"ids", "down", "up"}  # the tensors of method adapter's owner weights
_MAX_HEADER = 100_000_000  # bytes, the format's own limit


class PublicFile(NamedTuple):
    """A file that goes to the hub."""

    name: str
    kind: str
    size: int
    digest: str
    source: Path | bytes

    @classmethod
    def of(cls, name: str, kind: str, source: Path | bytes) -> "PublicFile":
        """With its size and digest."""
        if isinstance(source, bytes):
            return cls(name, kind, len(source), f"sha256:{hashlib.sha256(source).hexdigest()}", source)
        return cls(name, kind, source.stat().st_size, digest_of_file(source), source)


def public_weights(path: Path) -> PublicFile:
    """A file of weights, apart from its folder.

    Raises:
        InputError: it holds a secret, or has no such name.
    """
    kind = _kind_of(path.name) or ""
    wrong = _wrong_with(path, kind) if kind == "weights" else "is no file of weights"
    if wrong:
        raise InputError(f"{path.name} is not published: it {wrong}")
    return PublicFile.of(path.name, kind, path)


def public_files(folder: Path, also: Collection[str] = (), *, weights: bool = True) -> list[PublicFile]:
    """The files of a model's folder. ``also``: further names that its owner wants to publish; they hold no secret, either.

    ``weights`` off: the folder is one whose weights are elsewhere.

    Raises:
        InputError: a file is a secret or of no known kind, or the folder holds no model. All such files are named.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}; expected the folder of a marked model")
    found = {path.relative_to(folder).as_posix(): path for path in sorted(folder.rglob("*")) if not path.is_dir()}
    kinds = {name: "also" if name in also else _kind_of(name) for name in found}
    wrong = {name: reason for name, path in found.items() if (reason := _wrong_with(path, kinds[name]))}
    if wrong:
        listed = "; ".join(f"{name} {reason}" for name, reason in wrong.items())
        raise InputError(f"{folder} is not published: {listed}. Move what is secret to another folder")
    missing = {"config.json"} - found.keys()
    if weights and "weights" not in kinds.values():
        missing.add("model.safetensors")
    if missing:
        raise InputError(f"{folder} has no {min(missing)}; expected the folder of a marked model")
    return [PublicFile.of(name, kinds[name] or "", path) for name, path in found.items()]


def _kind_of(name: str) -> str | None:
    return next((kind for kind, names in _KINDS.items() if any(fnmatch.fnmatchcase(name, each) for each in names)), None)


def _wrong_with(path: Path, kind: str | None) -> str | None:
    """Why the file must not be published, or None."""
    if secret := _weights_secret(path) if path.suffix == ".safetensors" else _secret_in(path):
        return f"holds {secret}"
    if kind is None:
        return "is no file that a published model has; move it away, or name it with --also if everybody may see it"
    if path.name == "config.json" and "model_type" not in (_json(path.read_bytes()) or {}):
        return "is not the configuration of a model"
    return None


def _weights_secret(path: Path) -> str | None:
    """What secret a safetensors file holds, told by its header."""
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = _json(file.read(size)) if size <= _MAX_HEADER else None
    if not isinstance(header, dict):
        return "no weights: its header is damaged"
    about = header.pop("__metadata__", None) or {}
    if SECRET_KIND in about or "blocks" in about:
        return f"a secret of insignia: {about.get(SECRET_KIND, 'owner weights')}"
    if header.keys() == _ADAPTER or any(name.endswith((LEFT, RIGHT)) or ".lora_" in name for name in header):
        return "owner weights or a vector"
    return None


def _secret_in(path: Path) -> str | None:
    """What secret a file that is no safetensors holds."""
    content = path.read_bytes()
    if is_locked(content):
        return "a locked file"
    if secret := next((name for name, pattern in _SECRETS.items() if pattern.search(content)), None):
        return secret
    if content.lstrip()[:1] not in (b"{", b"["):
        return None
    value = _json(content)
    if value is None:  # JSON lines are judged by their first
        value = _json(content.lstrip().split(b"\n", 1)[0])
    if isinstance(value, list):
        return "rows of data, as fingerprints are"
    if not isinstance(value, dict):
        return None
    kind = value.get("kind")
    if isinstance(kind, str) and kind.startswith("insignia/") and kind not in _PUBLIC_RECORDS:
        return f"a secret of insignia: {kind.removeprefix('insignia/')}"
    if any(fields <= value.keys() for fields in _RECORDS):
        return "a record of insignia, which helps a thief"
    return None


def _json(content: bytes) -> Any:
    try:
        return json.loads(content)
    except (ValueError, RecursionError):
        return None
