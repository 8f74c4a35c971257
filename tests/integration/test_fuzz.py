"""Hostile values in flags and damaged files of every kind that a command reads: an outcome or one line, never a traceback."""

import json
import os
import random
import re

import pytest

from drawn_prints import chained, drawn, knowing
from handed_results import embedding, evaluation, robustness
from insignia.starter import model_folder
from insignia.suspects.scripted import ScriptedModel
from insignia.verification.protocol import verify
from quiet_clock import quiet_seconds

USUAL, MANY = 25, 120  # cases of a command: 300 in all by default, 1,400 with -m slow
SECONDS = 60  # for one; the first imports torch, which takes 20 s on a busy machine

NUMBERS = [
    "0", "-1", "1", "3", "inf", "-inf", "nan", "1e-12", "1e308", "1e999", "0x10", "1_000", "", " ", "١٢", "1e-6", "0.5", "99",
    "1/0", "1/16", "-1/3", "reference:1/3", "reference:-1/3", "reference:a/b", "9" * 30, "9" * 5000, "true", "\udcff", "½",
]  # fmt: skip
PARSED = ["0", "-1", "1", "3", "99", "9" * 30, "1000000"]  # by a flag that takes a number, so that the command is reached
TEXTS = [
    "", " ", "x", "\x1b[2J", "\x9b31m", "\u202e", "\udcff\udcfe", "a" * 5000, "../..", "/", "/dev/null", "{}", "{0.__class__}",
    "[bold]", "%s%n", "💥", "no\nline", "--help", "within:-1", "within:99999999999999999999", "chat", "mine",
]  # fmt: skip
HOSTS = [
    "http://a..b", "http://" + "a" * 64 + ".b", "http://[::1", "http://127.0.0.1:99999", "http://127.0.0.1:0", "http://\u202e.x",
    "http://x\x1b[2J", "https://", "http://127.0.0.1:1/%zz", "http://user:pw@x", "http://\udcff", "http://" + "a." * 200 + "b",
    "http://xn--a", "file:///etc/passwd", "http://127.0.0.1:1/v1\r\nx: y", "http://0x7f.1:1", "http://127.0.0.1:1",
]  # fmt: skip
VALUES = [None, True, -1, 0, 1e300, 10**30, "", "\x1b[2J", "\ud800", [], {}, [[1]], {"a": [{}]}, "x" * 10_000, [0] * 1000]

FLAGS = {  # command -> positional kinds of files, flags of files, of numbers, and of texts
    "plan": ([], [], ["null", "alpha", "survival", "power", "suspects"], []),
    "null": (["prints"], [], ["max-queries", "max-tokens", "temperature", "seed"], ["name", "endpoint", "match", "system"]),
    "verify": (
        ["prints"], ["transcript", "commitment", "cover-file"],
        ["alpha", "survival", "max-queries", "suspects", "null", "cover", "max-tokens", "temperature", "seed", "concurrency",
         "requests-per-second", "attempts", "timeout", "budget", "log-probabilities"],
        ["name", "endpoint", "match", "system", "prompt-form", "challenge", "api-key-variable"],
    ),
    "check": (["prints"], ["augmentation-prompts"], ["num-fingerprints", "max-key-length", "max-response-length", "min-fsr"],
              ["model", "device", "dtype"]),
    "export": (["prints"], [], [], ["format"]),
    "unlock": (["prints"], [], [], []),
    "share": (["prints"], [], [], []),
    "show": (["prints"], [], [], []),
    "commit": (["prints"], [], [], ["timestamp-request"]),
    "disclose": (["prints"], ["timestamp"], [], ["challenge"]),
    "report": (["result"], ["prints", "commitment", "timestamp-roots"], ["alpha"], ["title", "challenge", "accept-null"]),
    "embed": (["prints"], ["recipe", "heldout"], ["min-fsr", "learning-rate", "batch-size", "seed"], ["model", "method"]),
    "stamp": (["folder", "folder"], [], ["scale"], []),
    "vector": (["folder", "folder"], [], [], []),
    "issue": (["prints", "other"], ["vector"], ["scale", "colluders"], []),
    "licensees": (["prints"], [], [], ["open"]),
    "trace": (["prints"], ["transcript"], ["alpha", "max-queries", "suspects", "decoys"], ["channel", "match", "system"]),
    "attack": (["folder"], ["vector", "prints", "recipe"],
               ["weight", "density", "share", "spread", "group-size", "count", "seed"], ["how", "to", "base", "other", "set"]),
    "generate": ([], ["keys-file", "candidates", "fragments", "normals", "secret-from"],
                 ["num-fingerprints", "key-length", "nucleus-k", "nucleus-p", "temperature", "batch-size"],
                 ["strategy", "model", "prompt-form", "template", "keys"]),
}  # fmt: skip


REQUIRED = {  # what a command cannot do without
    "plan": ["null"],
    "share": ["count", "to"],
    "commit": ["model"],
    "disclose": ["commitment", "transcript"],
    "check": ["model"],
    "issue": ["model", "vector"],
    "trace": ["model"],
}
WRITING = ("stamp", "vector", "issue", "attack", "embed", "export", "unlock", "share", "commit", "disclose")


@pytest.fixture(scope="module")
def seeds(tmp_path_factory):
    """One sound file of each kind, as text."""
    folder = tmp_path_factory.mktemp("seeds")
    prints = drawn(8)
    prints.save(folder / "prints.json")
    verdict = verify(prints, ScriptedModel(knowing(prints)), transcript=folder / "transcript")
    chained(4).save(folder / "chained.json")
    return {
        "prints": [(folder / name).read_text() for name in ("prints.json", "chained.json")]
        + ['[{"key": "k", "response": "r"}]'],
        "result": [
            *(json.dumps(each.model_dump(mode="json")) for each in (verdict, evaluation(), robustness(), embedding())),
            (folder / "transcript").read_text(),
        ],
        "transcript": [(folder / "transcript").read_text()],
        "recipe": ["method:\n  name: full\n", "method: {name: lora, rank: 2020-99-99}\n", "a: &a [*a]\n"],
        "other": ['["one", "two"]', "One.\n\nTwo.", '{"train": ["{}"], "heldout": ["{}"]}'],
    }


def damaged(chance, text):
    """The bytes of a file after an accident or an attack."""
    kind = chance.randrange(12)
    content = text.encode()
    if kind == 0:
        return content[: chance.randrange(len(content))]
    if kind == 1:
        place = chance.randrange(len(content))
        return content[:place] + bytes([chance.randrange(256)]) + content[place + 1 :]
    if kind == 2:
        return chance.choice(
            [b"", b"\x00" * 99, b"\xff\xfe\xfd", b"[" * 50_000, b"9" * 5000, b"\x80\x04cos\nsystem\n", b"{}", b"[]"]
        )
    if kind in (3, 4, 5):
        lines = text.splitlines() if text.count("\n") > 3 and text.startswith('{"') else [text]
        number = chance.randrange(len(lines))
        try:
            value = json.loads(lines[number])
        except ValueError:
            return content
        lines[number] = json.dumps(changed(chance, value))
        return "\n".join([*lines, ""]).encode()
    return content


def changed(chance, value):
    if isinstance(value, dict | list) and value and chance.random() < 0.85:
        place = chance.choice(list(value) if isinstance(value, dict) else range(len(value)))
        value = value.copy()
        value[place] = changed(chance, value[place])
        return value
    return chance.choice(VALUES)


def case(chance, verb, seeds, folder):
    """One command line and the files that it names."""
    positional, files, numbers, texts = FLAGS[verb]

    def file(kind):
        path = folder / f"{chance.randrange(10**9)}.json"
        if kind == "folder" or chance.random() < 0.05:
            path.mkdir()
            for source in model_folder().iterdir():
                if source.suffix not in (".json", ".jinja"):
                    (path / source.name).symlink_to(source)
                elif chance.random() < 0.95:
                    text = source.read_text()
                    (path / source.name).write_bytes(damaged(chance, text) if chance.random() < 0.3 else text.encode())
        elif chance.random() < 0.95:
            path.write_bytes(damaged(chance, chance.choice(seeds.get(kind, seeds["other"]))))
        return str(path)

    def value(name):
        if name == "model":
            return file("folder") if verb in ("check", "commit") else "/nowhere"  # to make and train is for other tests
        if name in files or name in ("commitment", "transcript"):
            return file(name)
        if name in numbers or name == "count":
            return chance.choice(chance.choice([NUMBERS, PARSED, PARSED]))
        return chance.choice(HOSTS if name == "endpoint" else TEXTS)

    line = [verb, *map(file, positional)]
    optional = [*files, *numbers, *texts]
    chosen = [*REQUIRED.get(verb, ()), *chance.sample(optional, min(chance.randint(0, 3), len(optional)))]
    if verb == "verify" and "transcript" not in chosen:
        chosen += ["endpoint", "name"] if chance.random() < 0.7 else []
        line += ["--attempts", "1"] if "endpoint" in chosen else ["--model", file("folder")]
    if verb in ("embed", "generate"):
        chosen.append("model")
    for name in dict.fromkeys(chosen):
        line += [f"--{name}", value(name)]
    if verb == "export" and chance.random() < 0.4:
        line = ["export", file("folder"), "--format", "gguf"]
    if verb in WRITING:
        line += ["-o", str(folder / "out")]
    if verb == "attack":  # training is for other tests
        arithmetic = ["merge", "noise", "prune", "round", "subtract", "drop_layers"]
        line = ["attack", chance.choice(arithmetic), "--model", *line[1:]]
        line += ["--how", chance.choice(["ties", "slerp"]), "--base", file("folder")] if chance.random() < 0.3 else []
    if verb == "report":
        line += ["-o", str(folder / chance.choice(["out.html", "out.md"]))]
    return [verb, str(folder / "made.json"), *line[1:]] if verb == "generate" else line


@pytest.mark.parametrize("verb", FLAGS)
@pytest.mark.parametrize(
    "cases", [range(USUAL), pytest.param(range(USUAL, MANY), marks=pytest.mark.slow)], ids=["usual", "many"]
)
@pytest.mark.timeout(1200)
def test_hostile_input_ends_in_an_outcome_or_one_line(insignia, seeds, tmp_path, monkeypatch, verb, cases):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_PROXY", "*")
    failures = []
    for number in cases:
        chance = random.Random(f"{verb} {number}")
        folder = tmp_path / str(number)
        folder.mkdir()
        line = [argument for argument in case(chance, verb, seeds, folder) if "\x00" not in argument]
        started = quiet_seconds()
        try:
            status, out, err = insignia(*line)
        except Exception as error:  # noqa: BLE001  that is what is looked for
            failures.append((number, line, repr(error)[:300]))
            continue
        seconds = quiet_seconds() - started
        unsafe = re.findall("[\x00-\x09\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]", out + err)
        if status not in {0, 1, 2, 3, 4} or unsafe or seconds > SECONDS or (status == 1 and err.count("error: ") != 1):
            failures.append((number, line, status, unsafe, round(seconds, 1), err[-300:]))
    assert not failures, "\n".join(map(str, failures))


def test_no_command_is_left_out():
    from insignia.cli import main

    asking = {"lock": "a passphrase", "finetune": "training", "evaluate": "training", "demo": "nothing", "audit": "has its own"}
    asking |= {"list": "a name", "env": "nothing", "init": "a name", "evaluate robustness": "training"}
    asking |= {"evaluate harmlessness": "lm-eval", "publish": "a hub", "run": "a file of verbs", "init run": "a name"}
    assert {command.name for command in main.app.registered_commands} == {*FLAGS, *asking}
    assert os.name == "posix"
