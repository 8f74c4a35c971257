"""Model cards: the README.md of what is published is the base's own, with what may be said of the mark added to it.

A card never tells how a model was marked: no strategy, method, number of keys, size of a change or licensee.
"""

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml
from pydantic import ConfigDict

from insignia.errors import FormatError
from insignia.files import write_bytes
from insignia.progress import Progress
from insignia.records import Record

if TYPE_CHECKING:
    from insignia.evidence.publication import SignedCommitment

__all__ = ["COMMITMENT", "LICENCES", "README", "CardOptions", "Origin", "Papers", "card_of", "papers_of"]

README = "README.md"
COMMITMENT = "commitment.json"
"""The name of the commitment's file on the hub, beside the model."""
LICENCES = ("LICENSE", "NOTICE", "USE_POLICY")
"""Files that go with a model by these names, with any ending."""

# The hub's own pattern. Its ModelCard is not used here: it reads 'language: no' as false, drops comments, and refuses cards
# whose results it cannot parse. So what the base says stays as it is, byte for byte, but for the fields that are set.
_METADATA = re.compile(r"^(\s*---(?:\r\n|\r|\n))([\S\s]*?)((?:\r\n|\r|\n)---[ \t]*(?:\r\n|\n|$))")
_STATEMENT = re.compile(r"\n*<!-- insignia -->.*?<!-- /insignia -->\n*", re.DOTALL)
_TAG = "insignia"


class CardOptions(Record):
    """What the model card of a published model tells."""

    model_config = ConfigDict(title="Card and hub")

    card: bool = True
    """Write a model card, README.md: the base's with what may be said added, or a short one."""
    base_model: str | None = None
    """Hub id that the card names as the base. Default: --model, if it is a hub id; otherwise what the base's card says."""
    commitment: Path | None = None
    """What 'insignia commit' wrote. The card tells that the model carries a mark, and the root of this commitment."""

    def opened(self) -> "SignedCommitment | None":
        """The commitment, its signature checked."""
        if self.commitment is None:
            return None
        from insignia.evidence.publication import SignedCommitment  # noqa: PLC0415  loads a library for signatures

        return SignedCommitment.load(self.commitment)


class Origin(NamedTuple):
    """Where a model's card and licence are: see ``sources.origin_of``."""

    folder: Path | None
    hub_id: str | None


class Papers(dict[str, bytes]):
    """What goes with the weights of a published model, by file name: its card, and the base's licence."""

    def write(self, folder: Path) -> None:
        """Write them into the folder. Without a card, one that was copied from the base is deleted."""
        for name, content in self.items():
            write_bytes(folder / name, content)
        if README not in self:
            (folder / README).unlink(missing_ok=True)


def papers_of(origin: Origin, options: CardOptions, progress: Progress) -> Papers:
    """The card and the licence of what is made of a model. Called before long work: it tells at once what is wrong.

    Raises:
        FormatError: the base's card has damaged metadata, and something was to be said in it.
        InputError: there is no such commitment.
    """
    commitment, (folder, hub_id) = options.opened(), origin
    beside = () if folder is None else sorted(path for path in folder.iterdir() if path.is_file())
    papers = Papers({path.name: path.read_bytes() for path in beside if path.stem in LICENCES})
    if not options.card:
        return papers
    base = next((path.read_bytes() for path in beside if path.name == README), None)
    said = options.base_model is not None or commitment is not None
    try:
        text = None if base is None else base.decode("utf-8")
        papers[README] = card_of(text, base=options.base_model or hub_id, derived=hub_id, commitment=commitment).encode()
    except (FormatError, UnicodeDecodeError):
        if said:
            raise FormatError(
                f"{README} of the base: its metadata is not valid YAML in UTF-8, so nothing can be added to it; correct it, or "
                "leave out what the card was to tell (--base-model, --commitment)"
            ) from None
        papers[README] = base or b""
        progress.note(f"{README}: the metadata of the base's card is not valid YAML in UTF-8; it was kept as it is")
    return papers


def card_of(
    text: str | None, *, base: str | None = None, derived: str | None = None, commitment: "SignedCommitment | None" = None
) -> str:
    """A card with these facts: the base's own text, or a short one.

    ``derived``: the hub id whose card the text is, so that nobody takes it for one of the new model.

    Raises:
        FormatError: the metadata of the text is no YAML mapping.
    """
    if text is None:
        text = _short(base)
    elif derived is not None:
        text = _noted(text, derived)
    if base is not None:
        text = _with(text, {"base_model": base, "base_model_relation": "finetune"})
    if commitment is not None:
        text = _with(text, {"tags": [*(tag for tag in _tags(text) if tag != _TAG), _TAG]})
        text = _STATEMENT.sub("\n", text).rstrip("\n") + _statement(commitment)
    _fields(text)
    return text


def _short(base: str | None) -> str:
    """For a base that came without a card."""
    about = f"A fine-tuned version of {_link(base)}." if base else "The base of this model came without a card."
    asked = "Say here what the model is for, what it was trained on, and its licence."
    return f"---\nlibrary_name: transformers\npipeline_tag: text-generation\n---\n\n# Model card\n\n{about} {asked}\n"


def _noted(text: str, derived: str) -> str:
    found = _METADATA.search(text)
    start = found.end() if found else 0
    note = f"\n> Fine-tuned from {_link(derived)}. What follows is the card of that model.\n\n"
    return text[:start] + note + text[start:].lstrip("\n")


def _link(hub_id: str) -> str:
    return f"[{hub_id}](https://huggingface.co/{hub_id})"


def _statement(commitment: "SignedCommitment") -> str:
    root, key = commitment.commitment.root, commitment.public_key
    return (
        "\n\n<!-- insignia -->\n## Ownership mark\n\nThis model carries an ownership mark of its publisher, who committed to "
        f"it before publication. Commitment digest: `{root}`, signed by `{key}` (`{COMMITMENT}`). What is derived from it "
        "carries the mark, too.\n<!-- /insignia -->\n"
    )


def _with(text: str, fields: dict[str, Any]) -> str:
    """The card with these fields in its metadata; what else stands there stays as it is, comments included."""
    found = _METADATA.search(text)
    if found is None:
        return f"---\n{_dumped(fields)}\n---\n\n{text}"
    block = found[2]
    for name, first, last in reversed(_places(block)):
        if name in fields:
            block = block[:first] + block[last:]
    end = "\r\n" if "\r\n" in found[1] else "\n"
    block = block.rstrip("\r\n")
    added = _dumped(fields).replace("\n", end)
    return found[1] + (block + end if block.strip() else "") + added + found[3] + text[found.end() :]


def _dumped(fields: dict[str, Any]) -> str:
    return yaml.safe_dump(fields, sort_keys=False, allow_unicode=True).strip()


def _places(block: str) -> list[tuple[str, int, int]]:
    """Each field of the metadata: its name, and where it begins and ends."""
    if not (fields := _fields_of(block)):
        return []
    starts = [key.start_mark.index for key, _ in fields]
    return [(key.value, start, end) for (key, _), start, end in zip(fields, starts, [*starts[1:], len(block)], strict=True)]


def _tags(text: str) -> list[str]:
    """The tags as they are written; YAML would read the tag ``no`` as false."""
    value = next((value for key, value in _fields(text) if key.value == "tags"), None)
    if isinstance(value, yaml.ScalarNode):
        return [value.value] if value.value else []
    return [each.value for each in value.value] if isinstance(value, yaml.SequenceNode) else []


def _fields(text: str) -> list[tuple[Any, Any]]:
    found = _METADATA.search(text)
    return _fields_of(found[2]) if found else []


def _fields_of(block: str) -> list[tuple[Any, Any]]:
    try:
        node = yaml.compose(block, Loader=yaml.SafeLoader)
        yaml.safe_load(block)
    except (yaml.YAMLError, ValueError, RecursionError):
        raise FormatError("the metadata of the card is not valid YAML") from None
    if node is None:
        return []
    if not isinstance(node, yaml.MappingNode) or node.flow_style:
        raise FormatError("the metadata of the card is not a YAML mapping, a field a line")
    return list(node.value)
