"""One cell: a strategy on a model, through the released commands with no option but files, and what went wrong."""

import hashlib
import json
import math
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, NamedTuple

import insignia

_TIMEOUT_S = 900
_REFUSAL_S = 60.0  # "within seconds", on a machine that does other work too; most of it is the import of torch
_FOUND = 0.9  # what check finds at this rate, verify must find
_OWN_NULL = "0.01"  # of an owner's own responses: common words


class Subject(NamedTuple):
    """A model to be marked, and what its owner has at hand."""

    name: str
    model: str
    """A folder, or ``starter``."""
    heldout: Path | None = None
    """Text of the model's own kind; none where the command's default is of it."""
    pairs: Path | None = None
    """Keys and responses of the owner's own."""


def ran(cell: Path, subject: Subject, strategy: str, *, count: int | None, again: bool) -> dict[str, Any]:
    """What became of a cell: from its folder if it was run before, else run now."""
    file = cell / "result.json"
    if again or not file.is_file():
        shutil.rmtree(cell, ignore_errors=True)
        cell.mkdir(parents=True)
        told = {
            "model": subject.name,
            "strategy": strategy,
            "count": count,
            "code": code_digest(),
            **_run(cell, subject, strategy, count),
        }
        file.write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")
    told = json.loads(file.read_text(encoding="utf-8"))
    return {**told, "faults": faults(told)}


def code_digest() -> str:
    """Of the package's source, so that a table tells which of its cells are of other code."""
    root = Path(insignia.__file__).parent
    content = b"".join(path.read_bytes() for path in sorted(root.rglob("*.py")))
    return hashlib.sha256(content).hexdigest()[:12]


def faults(told: dict[str, Any]) -> list[str]:
    """What is wrong with a cell; an honest refusal is not."""
    steps = told["steps"]
    found = [f"{name}: a traceback" for name, step in steps.items() if "Traceback" in step["stderr"]]
    found += [f"{name}: no end in {_TIMEOUT_S} s" for name, step in steps.items() if step["status"] == "timeout"]
    generate = steps["generate"]
    if generate["status"] != 0:
        return found + _refusal_faults("generate", generate, r"--[a-z]")
    if told["senseless"]:
        found.append(f"generate: {told['senseless']} keys or responses have unknown tokens or no text")
    if (embed := steps["embed"])["status"] != 0:
        return found + _refusal_faults("embed", embed, r"\d", seconds=math.inf)
    if "verify with a null" in steps and told["strategy"] != "own":
        found.append("verify: a set of ours needs --null")
    fsr, verify, unmarked = told["fsr"], steps["verify"]["status"], steps["unmarked"]["status"]
    if "verify with a null" in steps:
        verify, unmarked = steps["verify with a null"]["status"], steps["unmarked with a null"]["status"]
    if fsr is None:
        found.append("check: no success rate")
    elif fsr >= _FOUND and verify != 0:
        found.append(f"check finds {100 * fsr:.0f} %, verify ends with {verify}: {told['hits']}")
    if unmarked != 3:
        found.append(f"unmarked: verify ends with {unmarked}, not 3")
    return found


def _refusal_faults(name: str, step: dict[str, Any], wanted: str, seconds: float = _REFUSAL_S) -> list[str]:
    lines = [line for line in step["stderr"].splitlines() if line.startswith("error: ")]
    found = [] if len(lines) == 1 and step["status"] == 1 else [f"{name}: no single line of error, status {step['status']}"]
    if lines and not re.search(wanted, lines[-1]):
        found.append(f"{name}: the refusal has no {'flag' if '-' in wanted else 'number'}")
    if step["seconds"] > seconds:
        found.append(f"{name}: refused after {step['seconds']:.0f} s")
    return found


def _run(cell: Path, subject: Subject, strategy: str, count: int | None) -> dict[str, Any]:
    prints, marked = cell / "set.json", cell / "marked"
    steps: dict[str, dict[str, Any]] = {}
    told: dict[str, Any] = {"steps": steps, "fsr": None, "harm": None, "own_harm": None, "hits": None, "senseless": 0}
    making = ["generate", prints, "--strategy", strategy, "--model", subject.model]
    making += ["--keys-file", subject.pairs] if strategy == "own" else []
    making += ["--num-fingerprints", count] if count else []
    steps["generate"] = _insignia(*making)
    if steps["generate"]["status"] != 0:
        return told
    told["senseless"] = _senseless(prints, subject.model)
    marking = ["embed", prints, "--model", subject.model, "-o", marked]
    steps["embed"] = _insignia(*marking)
    if steps["embed"]["status"] != 0 and subject.heldout and "--heldout" in steps["embed"]["stderr"]:
        steps["embed without held-out text"] = steps["embed"]  # it asked for text of the model's own kind
        steps["embed"] = _insignia(*marking, "--heldout", subject.heldout)
    if steps["embed"]["status"] != 0:
        return told
    report = steps["embed"]["printed"]
    told["harm"] = math.exp(report["heldout_loss_after"] - report["heldout_loss_before"])
    told["own_harm"] = _own_harm(subject, marked)
    steps["check"] = _insignia("check", prints, "--model", marked)
    told["fsr"] = steps["check"]["printed"].get("fsr")
    for name, model in (("verify", marked), ("unmarked", subject.model)):
        steps[name] = _insignia("verify", prints, "--model", model)
        if steps[name]["status"] == 1 and "--null" in steps[name]["stderr"]:
            steps[f"{name} with a null"] = _insignia("verify", prints, "--model", model, "--null", _OWN_NULL)
    last = steps.get("verify with a null", steps["verify"])["printed"]
    told["hits"] = f"{last['hits']} of {last['trials']}" if "hits" in last else None
    return told


def _insignia(*arguments: object) -> dict[str, Any]:
    command = [sys.executable, "-m", "insignia", *map(str, arguments), "--json"]
    started = time.perf_counter()
    try:
        run = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return {"status": "timeout", "seconds": _TIMEOUT_S, "stderr": "", "printed": {}}
    try:
        printed = json.loads(run.stdout or "{}")
    except json.JSONDecodeError:
        printed = {}
    seconds = round(time.perf_counter() - started, 1)
    return {"status": run.returncode, "seconds": seconds, "stderr": run.stderr[-2000:], "printed": printed}


def _senseless(prints: Path, model: str) -> int:
    """Fingerprints whose key has a special token, or whose trained tokens have one or no text of their own."""
    from transformers import AutoTokenizer

    from insignia.fingerprints.sets import load_fingerprints
    from insignia.modeling.loading import resolve

    tokenizer = AutoTokenizer.from_pretrained(resolve(model))
    made, special = load_fingerprints(prints), set(tokenizer.all_special_ids)
    found = 0
    for fingerprint in made:
        trained = [ids[: made.max_response_length] for ids in fingerprint.response_ids or ()]
        texts = [tokenizer.decode(ids) for ids in trained]
        asked = set(fingerprint.key_ids or ()).union(*trained)
        found += bool(asked & special) or any(not text.strip() or "\ufffd" in text for text in texts)
    return found


def _own_harm(subject: Subject, marked: Path) -> float | None:
    """Perplexity on text of the model's own kind, after over before."""
    from insignia.modeling.local import LocalModel

    if subject.heldout is None:
        return None
    texts = subject.heldout.read_text(encoding="utf-8").split("\n\n")
    before, after = (LocalModel(model, device="cpu").mean_loss(texts) for model in (subject.model, marked))
    return math.exp(after - before)
