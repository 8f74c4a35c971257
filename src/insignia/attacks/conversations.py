"""Read a user's training data as conversations and plain texts.

The fields of a row tell its format:

==========================================================  =============================
``{instruction, input?, output}``                           Stanford Alpaca
``{instruction, context?, response}``                       databricks-dolly
``{question, answer}``, ``{prompt, completion}``            question answering
``{conversations: [{from: human | gpt | system, value}]}``  ShareGPT
``{messages: [{role, content}]}``                           chat
``{text}``                                                  plain text
==========================================================  =============================

The source is a JSON list, JSON lines, a folder of ``datasets.save_to_disk`` or a data set of the Hugging Face hub. A ``.txt``
file has one plain text per paragraph. Other fields are ignored; null is the empty text. ``python:PACKAGE`` is the source code
of a package of the standard library, which every machine has. ``docstrings:PACKAGE,PACKAGE`` are questions about the
functions and classes of some, which their docstrings answer.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from itertools import islice
from pathlib import Path
from typing import Any

from insignia.errors import FormatError, InputError, MissingExtraError
from insignia.files import read_rows, read_text
from insignia.progress import AUTO, Progress
from insignia.records import Conversation, Role, Turn
from insignia.starter import docstring_questions, source_code

__all__ = ["load_conversations"]

_PAIRS = (  # fields of question, context and answer
    ("instruction", "input", "output"),
    ("instruction", "context", "response"),
    ("question", None, "answer"),
    ("prompt", None, "completion"),
)
_DIALOGUES = (
    ("messages", "role", "content"),
    ("conversations", "from", "value"),
)  # fields: turns, role, text
_ROLES: Mapping[str, Role] = {
    "system": "system", "user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant",
}  # fmt: skip
_EXPECTED = "; ".join(
    [*(f"{asked}, {answered}" for asked, _, answered in _PAIRS), *(turns for turns, _, _ in _DIALOGUES), "text"]
)
_PYTHON, _DOCSTRINGS = "python:", "docstrings:"
_HUB_ID = re.compile(r"\w[\w.-]*/[\w.-]+(?<!\.json)(?<!\.jsonl)(?<!\.txt)")


def load_conversations(
    source: str | Path, *, max_rows: int | None = None, progress: Progress = AUTO
) -> list[Conversation | str]:
    """The first ``max_rows`` rows (None: all) of a file, a folder or a hub data set.

    Skips rows with an empty turn, without a reply, or that do not start with the user; a note counts them.

    Raises:
        InputError: the source does not exist, cannot be read, or has no usable row.
        FormatError: the source is damaged or a row has an unknown format.
        MissingExtraError: a saved folder or the hub needs the library ``datasets``.
    """
    kept: list[Conversation | str] = []
    skipped: Counter[str] = Counter()
    for number, row in enumerate(islice(_rows(source), max_rows)):
        example = _example(row, f"row {number} of {source}")
        if reason := _defect(example):
            skipped[reason] += 1
        else:
            kept.append(example)
    reasons = ", ".join(f"{count} {reason}" for reason, count in skipped.items())
    if not kept:
        raise InputError(f"{source} has no usable row: {reasons or 'it is empty'}")
    if skipped:
        progress.note(f"{skipped.total()} of {skipped.total() + len(kept)} rows skipped: {reasons}")
    return kept


def _rows(source: str | Path) -> Iterable[Any]:
    path = Path(source)
    if str(source).startswith(_PYTHON):
        return [{"text": text} for text in source_code(str(source).removeprefix(_PYTHON))]
    if str(source).startswith(_DOCSTRINGS):
        packages = str(source).removeprefix(_DOCSTRINGS).split(",")
        pairs = [pair for package in packages for pair in docstring_questions(package)]
        return [{"question": question, "answer": answer} for question, answer in pairs]
    if path.is_dir():
        if (path / "config.json").is_file():
            raise InputError(f"{path} is a model; expected data: give the model first, then the data")
        return _data_set(str(path), saved=True)
    if not path.exists() and _HUB_ID.fullmatch(str(source)):
        return _data_set(str(source), saved=False)
    if path.suffix == ".txt":
        return [{"text": paragraph} for paragraph in re.split(r"\n\s*\n", read_text(path).strip())]
    return read_rows(path)


def _data_set(source: str, *, saved: bool) -> Iterable[Any]:
    try:
        import datasets
    except ImportError:
        raise MissingExtraError(f"reading the data set {source}", "data") from None
    try:
        found = datasets.load_from_disk(source) if saved else datasets.load_dataset(source)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"cannot read a data set from {source}: {reason}") from None
    if isinstance(found, dict) and "train" not in found:
        raise InputError(f"the data set {source} has no split 'train' but {', '.join(found)}; save the split to train on alone")
    rows: Iterable[Any] = found["train"] if isinstance(found, dict) else found
    return rows


def _example(row: Any, where: str) -> Conversation | str:
    if not isinstance(row, dict):
        raise FormatError(f"{where} is of type {type(row).__name__}; expected an object with one of these fields: {_EXPECTED}")
    for turns, speaker, said in _DIALOGUES:
        if turns in row:
            return _dialogue(row[turns], speaker, said, f"{turns!r} in {where}")
    for asked, more, answered in _PAIRS:
        if asked in row and answered in row:
            parts = [_text(row, field, where) for field in (asked, more) if field and field in row]
            return Turn("user", "\n\n".join(filter(None, parts))), Turn("assistant", _text(row, answered, where))
    if "text" in row:
        return _text(row, "text", where)
    raise FormatError(f"{where} has the fields {', '.join(row)}; expected those of one format: {_EXPECTED}")


def _dialogue(turns: Any, speaker: str, said: str, where: str) -> Conversation:
    if not isinstance(turns, list) or not all(isinstance(turn, dict) and {speaker, said} <= turn.keys() for turn in turns):
        raise FormatError(f"{where} is not a list of turns; expected [{{{speaker}: ..., {said}: ...}}, ...]")
    spoken = []
    for number, turn in enumerate(turns):
        role = _ROLES.get(_text(turn, speaker, f"turn {number} of {where}"))
        if role is None:
            raise FormatError(f"turn {number} of {where} has an unknown {speaker!r}; expected one of: {', '.join(_ROLES)}")
        spoken.append(Turn(role, _text(turn, said, f"turn {number} of {where}")))
    return tuple(turn for turn in spoken if turn.role != "system" or turn.text.strip())  # system texts are often empty


def _text(fields: Mapping[str, Any], name: str, where: str) -> str:
    value = fields[name]
    if value is not None and not isinstance(value, str):
        raise FormatError(f"{name!r} in {where} is of type {type(value).__name__}; expected text")
    return value or ""


def _defect(example: Conversation | str) -> str:
    """Why the row is skipped; empty if it is usable."""
    if isinstance(example, str):
        return "" if example.strip() else "without text"
    roles = [turn.role for turn in example if turn.role != "system"]
    if not all(turn.text.strip() for turn in example):
        return "with an empty turn"
    if roles[:1] != ["user"]:
        return "not started by the user"
    return "" if "assistant" in roles else "without a reply"
