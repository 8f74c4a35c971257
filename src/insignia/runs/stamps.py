"""Stamps: what a step was made of, in a file beside its output, by which the next run knows whether it is current.

A stamp holds digests and a few numbers of the result, no setting and no text of any input. The digest of a fingerprint set
tells nothing: the file has 32 random bytes, so nobody can test a guess of its keys against the digest. A set of other tools
may have no such bytes; as for all stamps, only its owner can read this one (mode 0600).
"""

import hashlib
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from insignia.errors import InsigniaError
from insignia.files import canonical, digest_of_file, read_json, write_json
from insignia.records import Digest, Record
from insignia.runs.steps import KEPT, Step

__all__ = ["Digests", "Made", "Stamp"]

_ENDED = frozenset({0, 3, 4})  # exit statuses with which a step is done: an answer of no is an answer


class Made(Record):
    """What a step is made of."""

    settings: Digest
    insignia: str
    """The version; empty for a verb whose output a newer version would not replace."""
    inputs: dict[str, Digest]
    """Path -> digest."""


class Stamp(Record):
    """The file beside an output."""

    kind: Literal["insignia/step"] = "insignia/step"
    schema_version: Literal[1] = 1
    made: Made
    status: int | None = None
    """Exit status of the verb; None while it runs."""
    outputs: dict[str, Digest] = {}
    """Path -> digest of what it wrote."""
    told: dict[str, float | int | str] = {}
    """A few values of its result, for the summary."""
    seconds: Annotated[float, Field(ge=0)] = 0.0

    @property
    def done(self) -> bool:
        """Whether the step ended with a result."""
        return self.status in _ENDED

    def save(self, step: Step) -> None:
        """Write it beside the step's first output."""
        write_json(_path(step), self.model_dump(mode="json"), secret=True)

    @classmethod
    def of(cls, step: Step) -> "Stamp | None":
        """The stamp of what was made last, or None; a damaged one counts as none."""
        path = _path(step)
        try:
            return cls.model_validate(read_json(path)) if path.is_file() else None
        except (InsigniaError, ValidationError):
            return None


class Digests:
    """Digests of files and folders, each read once. Takes a second per gigabyte."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}

    def of(self, path: str) -> str | None:
        """The digest of a file, or of a folder's files and their names; None if there is neither."""
        if path not in self._known:
            if not (place := Path(path)).exists():
                return None
            self._known[path] = _folder(place) if place.is_dir() else digest_of_file(place).removeprefix("sha256:")
        return self._known[path]

    def forget(self, *paths: str) -> None:
        """Read these anew: they were made again. What lies inside or around them, too."""
        for known in list(self._known):
            if any(known == path or Path(path) in Path(known).parents or Path(known) in Path(path).parents for path in paths):
                del self._known[known]

    def made(self, step: Step) -> Made:
        """What the step would be made of now. An option that names no file or folder is a setting alone."""
        inputs = {path: digest for path in step.paths() if (digest := self.of(path)) is not None}
        settings = hashlib.sha256(canonical([step.verb.name, _plain(step.options)])).hexdigest()
        return Made(settings=settings, insignia="" if step.verb.name in KEPT else version("insignia"), inputs=inputs)

    def outputs(self, step: Step) -> dict[str, str]:
        """The digest of each output that is there."""
        return {path: digest for path in step.outputs if (digest := self.of(path)) is not None}


def _folder(folder: Path) -> str:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    named = [[path.relative_to(folder).as_posix(), digest_of_file(path)] for path in files]
    return hashlib.sha256(canonical(named)).hexdigest()


def _plain(options: Mapping[str, Any]) -> Any:
    """The options as JSON can say them; YAML has dates, too."""
    return {key: value if isinstance(value, int | float | str | None) else _said(value) for key, value in options.items()}


def _said(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _said(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_said(each) for each in value]
    return value if isinstance(value, int | float | str | None) else str(value)


def _path(step: Step) -> Path:
    place = Path(step.outputs[0])
    return place.with_name(f".{place.name}.step.json")
