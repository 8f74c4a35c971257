"""What a file or a folder is, and what it can prove; never a key or a response."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from insignia.errors import FormatError, InputError, WrongKeyError
from insignia.records import Displayed
from insignia.reporting.base import Document, Table
from insignia.terminal import percent

__all__ = ["inspect"]


def inspect(path: Path, sections: Callable[[], list[str]]) -> Document:
    """Tell what the file or folder is; ``sections`` are those of a recipe that commands read.

    Raises:
        InputError, FormatError: nothing is known of such a file, or it is damaged.
    """
    from insignia.starter import model_folder

    place = model_folder() if str(path) == "starter" and not path.exists() else path
    if place.suffix.lower() in (".yaml", ".yml") and place.is_file():
        found = _recipe(place, sections())
    else:
        found = _folder(place) if place.is_dir() else _file(place)
    rows = [row for name, value in found.items() if name != "note" for row in _rows(name, value)]
    data = {name: value.model_dump(mode="json") if isinstance(value, Displayed) else value for name, value in found.items()}
    return Document(str(path), (Table.of(str(path), ("", ""), rows), found["note"]), data)


def _rows(name: str, value: Any) -> Sequence[tuple[str, str]]:
    return value.summary() if isinstance(value, Displayed) else [(name.replace("_", " "), "-" if value is None else str(value))]


def _folder(path: Path) -> dict[str, Any]:
    if (path / "vector.json").is_file():
        return _vector(_object(path / "vector.json"))
    if (path / "config.json").is_file():
        return _model(path)
    if (path / "adapter_config.json").is_file():
        base = _object(path / "adapter_config.json").get("base_model_name_or_path")
        return {
            "what": "a PEFT adapter",
            "base": base,
            "note": "Commands that ask a model take it as one, with its base.",
        }
    if (path / "evaluation.json").is_file():
        return _evaluation(_object(path / "evaluation.json"))
    for name in ("robustness.json", "harmlessness.json"):
        if (path / name).is_file():
            return _study(path / name)
    raise InputError(
        f"{path} is no vector and no model (no vector.json, config.json or adapter_config.json in it); name a file"
    )


def _file(path: Path) -> dict[str, Any]:
    from insignia.files import parse_json
    from insignia.fingerprints.locks import is_locked

    if not path.is_file():
        raise InputError(f"there is no file or folder {path}")
    with path.open("rb") as file:
        start = file.read(2**16)  # a transcript's first line may hold rules of many models
    if is_locked(start):
        try:
            return {"locked": True} | _prints(path)
        except WrongKeyError as error:
            return {"what": "a locked file, in the age format", "locked": True, "note": f"What it holds is not known: {error}."}
    if start.startswith(b'{"') and b'"insignia/transcript"' in start.split(b"\n", 1)[0]:
        return _transcript(path)
    if path.suffix.lower() in (".gguf", ".safetensors"):
        return {"what": f"weights of a model ({path.suffix[1:]})", "note": "Weights do not tell whether they carry a mark."}
    if path.name.endswith(".ledger.jsonl"):
        return _ledger(path)
    if start.lstrip()[:1] == b"{" and path.suffix.lower() not in (".csv", ".jsonl"):
        value = parse_json(path.read_bytes(), path)
        reader = _READERS.get(str(value.get("kind"))) if isinstance(value, dict) else None
        if reader is not None:
            return reader(path)
        if isinstance(value, dict) and {"outcome", "p_value", "sentence"} <= value.keys():
            return _verdict(value)
        if isinstance(value, dict) and {"cells", "user_loss"} <= value.keys():
            return _evaluation(value)
    return _prints(path)


def _prints(path: Path) -> dict[str, Any]:
    from insignia.keyring.keyring import Keyring

    ring = Keyring.open(path)
    prints = ring.only().prints
    try:
        found = ring.plan()
        unknown = "its responses were not drawn from candidates; see 'insignia null'"
    except InputError as error:  # a list of texts, of which no tokenizer has said what is trained
        found, unknown = None, str(error)
    spent, unspent = len(ring.only().spent()), len(ring.only().unspent())
    about: dict[str, Any] = {
        "what": "a fingerprint set, secret" if prints.strategy or prints.secret else "a list of keys and responses, secret",
        "strategy": prints.strategy.get("name"),
        "fingerprints": len(prints),
        "candidates_of_each": min((len(each.candidates or ()) for each in prints), default=0) or None,
        "spent": spent,
        "unspent": unspent,
        "prompt_form": prints.prompt_form,
        "stealth": prints.stealth,
        "tokenizer": prints.tokenizer,
        "made_by": f"insignia {prints.provenance.insignia}, {prints.provenance.created}" if prints.provenance else None,
        "part_of_a_set": prints.provenance is not None and prints.secret is None,
    }
    seen = None if found is None else found.outlook
    if seen is None:
        return about | {"innocent_hit_chance": None, "tests_left": None, "note": f"What it can prove is not known: {unknown}."}
    if seen.least_survival is None:
        note = "Its unspent keys prove nothing at alpha 1e-6, not even a whole mark; make and embed more."
    else:
        note = f"Its unspent keys prove a mark of which {percent(seen.least_survival)} or more survives, at alpha 1e-6."
    return about | {"innocent_hit_chance": seen.bound, "tests_left": seen.tests, "note": f"{note} See 'insignia plan'."}


def _transcript(path: Path) -> dict[str, Any]:
    from insignia.verification.transcript import Transcript

    found = Transcript.load(path)
    numbers = [entry.number for entry in found.entries if entry.number is not None]
    return {
        "what": "a transcript of 'insignia verify', secret",
        "suspect": found.header.suspect,
        "keys_asked": len(numbers),
        "cover_questions": len(found.entries) - len(numbers),
        "alpha": found.header.rules.alpha,
        "made_by": f"insignia {found.header.provenance.insignia}, {found.header.provenance.created}",
        "digest": found.digest,
        "note": "Its chain of lines holds. 'insignia verify PRINTS --transcript FILE' judges it, 'disclose' makes evidence.",
    }


def _commitment(path: Path) -> dict[str, Any]:
    from insignia.evidence.publication import SignedCommitment

    found = SignedCommitment.load(path)
    return {
        "what": "a signed commitment, for everybody",
        "fingerprints": found.commitment.size,
        "root": found.commitment.root,
        "tokenizer": found.commitment.terms.tokenizer,
        "files_of_weights": len(found.weights),
        "signer": found.public_key,
        "created": found.created,
        "note": "Its signature holds. It proves when the set was fixed, if its own date can be proven.",
    }


def _bundle(path: Path) -> dict[str, Any]:
    from pydantic import ValidationError

    from insignia.evidence.bundle import Bundle
    from insignia.registry import explain

    try:
        found = Bundle.model_validate(_object(path))
    except ValidationError as error:
        raise FormatError(f"{path} is no bundle of evidence: {explain(error)}") from None
    return {
        "what": "a bundle of evidence",
        "claimed_outcome": found.claim.outcome,
        "claimed_hits": f"{found.claim.hits} of {found.claim.trials}",
        "claimed_p_value": found.claim.p_value,
        "keys_opened": f"{len(found.openings)} of {found.commitment.commitment.size}",
        "controls": len(found.controls or ()),
        "note": "Nothing in it was checked. 'insignia audit FILE' does that.",
    }


def _null(path: Path) -> dict[str, Any]:
    from insignia.verification.innocents import resolve_null

    null = resolve_null(str(path))
    value = _object(path)
    return {
        "what": "a measured null",
        "models": len(value["models"]),
        "innocent_hit_chance": null and null.bound,
        "note": "It is for 'verify --null FILE', of the set that was asked, in the manner in which it was asked.",
    }


def _verdict(value: dict[str, Any]) -> dict[str, Any]:
    fields = ("outcome", "suspect", "hits", "trials", "unanswered", "p_value", "alpha")
    return {"what": "a verdict"} | {name: value.get(name) for name in fields} | {"note": str(value["sentence"])}


def _evaluation(value: dict[str, Any]) -> dict[str, Any]:
    cells = value.get("cells")
    if not isinstance(cells, list) or not all(isinstance(cell, dict) for cell in cells):
        raise FormatError("this is no result of 'insignia evaluate'; is it damaged?")
    return {
        "what": "a result of 'insignia evaluate'",
        "model": value.get("model"),
        "fingerprints": value.get("num_fingerprints"),
        "suspects_asked": len(cells),
        "activated": sum(bool(cell.get("hits")) for cell in cells),
        "note": "evaluation.md beside it has the table.",
    }


def _study(path: Path) -> dict[str, Any]:
    """What marks survived, or what they cost."""
    from insignia.evaluation import Harmlessness, Robustness
    from insignia.registry import errors_about

    value = _object(path)
    about: dict[str, Any]
    with errors_about(path):
        if value.get("kind") == "insignia/harmlessness":
            harm = Harmlessness.model_validate(value)
            verb, about = "harmlessness", {"tasks": ", ".join(harm.tasks), "finding": harm.finding, "found": harm}
        else:
            left = Robustness.model_validate(value)
            verb, about = "robustness", {"model": left.model, "alpha": left.alpha, "found": left}
            about["attacks_not_made"] = len(left.failed)
    return {"what": f"a result of 'insignia evaluate {verb}'", **about, "note": f"{verb}.md beside it has the table."}


def _recipe(path: Path, known: list[str]) -> dict[str, Any]:
    from insignia.recipes import read_recipe
    from insignia.registry import did_you_mean

    found = {section: f"{len(part)} settings" for section, part in read_recipe(path).items() if isinstance(part, dict)}
    strange = [f"No command reads {name!r}.{did_you_mean(name, known)}" for name in found if name not in known]
    return {"what": "a recipe"} | found | {"note": " ".join([f"Commands take it by --recipe {path}.", *strange])}


def _ledger(path: Path) -> dict[str, Any]:
    from insignia.keyring.ledger import read_entries

    found = read_entries(path)
    return {
        "what": "a ledger of keys that were shown",
        "times": len(found),
        "keys_spent": len({(each.set, number) for each in found for number in each.numbers}),
        "last": max((each.time for each in found), default=None),
        "note": "Keep it beside its set: what it names is spent. 'insignia show PRINTS' tells what is left.",
    }


def _vector(value: dict[str, Any]) -> dict[str, Any]:
    tensors = value.get("tensors")
    return {
        "what": "a vector, secret",
        "dtype": value.get("dtype"),
        "rank": value.get("rank"),
        "tensors": len(tensors) if isinstance(tensors, dict) else None,
        "similarity_to_the_base": value.get("similarity"),
        "note": "'insignia stamp' adds it to a sibling of its base, and takes it away with --scale -1.",
    }


def _model(path: Path) -> dict[str, Any]:
    from insignia.checkpoints import Checkpoint

    config = _object(path / "config.json")
    with Checkpoint(path) as checkpoint:
        numbers = sum(entry.numel for entry in checkpoint.entries.values())
    return {
        "what": "a model",
        "model_type": config.get("model_type"),
        "dtype": config.get("dtype", config.get("torch_dtype")),
        "parameters": numbers,
        "quantized_by": (config.get("quantization_config") or {}).get("quant_method"),
        "adapter_inside": (path / "adapter_config.json").exists(),
        "note": "A model does not tell whether it carries a mark: 'insignia check PRINTS --model FOLDER' asks it.",
    }


def _object(path: Path) -> dict[str, Any]:
    from insignia.files import read_json

    value = read_json(path)
    if not isinstance(value, dict):
        raise FormatError(f"{path} is not a JSON object; is it damaged?")
    return value


_READERS = {
    "insignia/fingerprints": _prints,
    "insignia/signed-commitment": _commitment,
    "insignia/evidence": _bundle,
    "insignia/null": _null,
    "insignia/harmlessness": _study,
    "insignia/robustness": _study,
}
