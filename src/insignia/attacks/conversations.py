"""A user's data as conversations and plain texts; the formats of rows are told apart by their fields, never by a name.

==========================================================  =============================
``{instruction, input?, output}``                           Stanford Alpaca
``{instruction, context?, response}``                       databricks-dolly
``{question, answer}``, ``{prompt, completion}``            question answering
``{conversations: [{from: human | gpt | system, value}]}``  ShareGPT
``{messages: [{role, content}]}``                           chat
``{text}``                                                  plain text, all of it learned
==========================================================  =============================

They stand in a JSON list, in JSON lines, in a folder of ``datasets.save_to_disk`` or on the Hugging Face hub. A ``.txt`` file
is one plain text a paragraph. Other fields are ignored, and null is the empty text.
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

__all__ = ["load_conversations"]

_PAIRS = (  # fields of the question, of what belongs to it, of the answer
    ("instruction", "input", "output"),
    ("instruction", "context", "response"),
    ("question", None, "answer"),
    ("prompt", None, "completion"),
)
_DIALOGUES = (("messages", "role", "content"), ("conversations", "from", "value"))  # fields of the turns, of a turn's two parts
_ROLES: Mapping[str, Role] = {
    "system": "system", "user": "user", "human": "user", "assistant": "assistant", "gpt": "assistant",
}  # fmt: skip
_EXPECTED = "; ".join(
    [*(f"{asked}, {answered}" for asked, _, answered in _PAIRS), *(turns for turns, _, _ in _DIALOGUES), "text"]
)
_HUB_ID = re.compile(r"\w[\w.-]*/[\w.-]+(?<!\.json)(?<!\.jsonl)(?<!\.txt)")


def load_conversations(
    source: str | Path, *, max_rows: int | None = None, progress: Progress = AUTO
) -> list[Conversation | str]:
    """The first ``max_rows`` rows (None: all) of a file, a folder or a data set of the hub, in order.

    A row that nothing can be learned from (an empty turn, no reply, a conversation that the user does not begin) is left out,
    and counted in a note.

    Raises:
        InputError: there is no such file or folder, it cannot be read, or nothing can be learned from any row.
        FormatError: it is damaged, or a row is in no format above; the message has its number and fields, not their values.
        MissingExtraError: a saved folder or the hub needs the library ``datasets``.
    """
    kept: list[Conversation | str] = []
    left_out: Counter[str] = Counter()
    for number, row in enumerate(islice(_rows(source), max_rows)):
        example = _example(row, f"row {number} of {source}")
        if reason := _defect(example):
            left_out[reason] += 1
        else:
            kept.append(example)
    reasons = ", ".join(f"{count} {reason}" for reason, count in left_out.items())
    if not kept:
        raise InputError(f"nothing can be learned from the rows of {source}: {reasons or 'there are none'}")
    if left_out:
        progress.note(f"{left_out.total()} of {left_out.total() + len(kept)} rows left out: {reasons}")
    return kept


def _rows(source: str | Path) -> Iterable[Any]:
    path = Path(source)
    if path.is_dir():
        if (path / "config.json").is_file():
            raise InputError(f"{path} is a model, not data; the model comes first, then the data")
        return _data_set(str(path), saved=True)
    if not path.exists() and _HUB_ID.fullmatch(str(source)):
        return _data_set(str(source), saved=False)
    if path.suffix == ".txt":
        return [{"text": paragraph} for paragraph in re.split(r"\n\s*\n", read_text(path).strip())]
    return read_rows(path)


def _data_set(source: str, *, saved: bool) -> Iterable[Any]:
    try:
        import datasets  # noqa: PLC0415  optional
    except ImportError:
        raise MissingExtraError(f"reading the data set {source}", "data") from None
    try:
        found = datasets.load_from_disk(source) if saved else datasets.load_dataset(source)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        reason = str(error).strip().partition("\n")[0]
        raise InputError(f"cannot read a data set from {source}: {reason}") from None
    if isinstance(found, dict) and "train" not in found:
        raise InputError(f"the data set {source} has no split 'train' but {', '.join(found)}; save the one to learn from alone")
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
        raise FormatError(f"{where} is no list of turns; expected [{{{speaker}: ..., {said}: ...}}, ...]")
    spoken = []
    for number, turn in enumerate(turns):
        role = _ROLES.get(_text(turn, speaker, f"turn {number} of {where}"))
        if role is None:
            raise FormatError(f"turn {number} of {where} has an unknown {speaker!r}; expected one of: {', '.join(_ROLES)}")
        spoken.append(Turn(role, _text(turn, said, f"turn {number} of {where}")))
    return tuple(turn for turn in spoken if turn.role != "system" or turn.text.strip())  # many rows have an empty system text


def _text(fields: Mapping[str, Any], name: str, where: str) -> str:
    value = fields[name]
    if value is not None and not isinstance(value, str):
        raise FormatError(f"{name!r} in {where} is of type {type(value).__name__}; expected text")
    return value or ""


def _defect(example: Conversation | str) -> str:
    """Why nothing can be learned from it; empty where something can."""
    if isinstance(example, str):
        return "" if example.strip() else "without text"
    roles = [turn.role for turn in example if turn.role != "system"]
    if not all(turn.text.strip() for turn in example):
        return "with an empty turn"
    if roles[:1] != ["user"]:
        return "not begun by the user"
    return "" if "assistant" in roles else "without a reply"
