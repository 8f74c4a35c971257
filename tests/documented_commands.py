"""The commands of a page of the documentation, run as they are printed; what they print, beside what the page shows.

tests/integration/test_docs.py compares the two, and docs/make_outputs.py writes the one over the other.
"""

import contextlib
import hashlib
import importlib
import io
import itertools
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple

import yaml

from tiny_server import serving

# Fewer reference samples train in a third of the time, at more harm. That the default recipe works is tested elsewhere.
FEW = {"reference_count": 64, "reference_length": 32, "reference_rows": 4, "cooldown_steps": 4}
QUICK = {
    "harmless": {"embedding": {"method": {"name": "full", **FEW}, "min_fsr": 0.95, "max_harm": 2.0}},
    "instructional": {
        "evaluation": {
            "strategy": {"name": "instructional", "template": "dialogue", "keys": "fragments"},
            "num_fingerprints": 2,
            "methods": {"sft": {"name": "sft", **FEW}, "adapter": {"name": "adapter", **FEW}},
            "draws": 2,
            "bos_samples": 8,
            "users": {
                name: {"data": "python:json", "finetune": {"batch_size": 2, "max_length": 32, "max_steps": 2, **rank}}
                for name, rank in {"full": {}, "lora": {"lora_rank": 2}}.items()
            },
        }
    },
}
HELDOUT_PARAGRAPHS = 60  # on fewer a harm of 5 % is noise
# Commands that several pages begin with, and what they write.
BEGINNING = {"insignia generate prints.json": "prints.json", "insignia embed prints.json --model starter -o marked": "marked"}
DOCUMENTED_SERVER = "http://localhost:8000/v1"
SETTING_UP = re.compile(r"^(make|pip|python -m venv|llama-server) ", re.MULTILINE)
# What these print is arithmetic or a list, the same on every machine. Numbers in all other outputs are masked.
EXACT = {"plan", "list", "lock", "unlock", "share", "init"}
LONGEST, ENDS = 44, 12  # lines of an output that is shown whole; lines at both ends of a longer one

_FILE = re.compile(r"^`(\w+\.py)`\..*?^```python\n(.*?)^```$", re.DOTALL | re.MULTILINE)
_BLOCK = re.compile(r"^```sh\n(?P<commands>.*?)^```\n(?:\n?```text\n(?P<shown>.*?)^```\n)?", re.DOTALL | re.MULTILINE)


class Ran(NamedTuple):
    """A command, and what came of it."""

    command: str
    status: int
    output: str

    @property
    def verb(self):
        line = re.sub(r"^([A-Z_]+=(\"[^\"]*\"|\S+) )+|(?<=insignia )--plugin \S+ ", "", self.command)
        return line.removeprefix("insignia ").split()[0]


def commands_of(block):
    """The commands of a shell block; a command with a heredoc has several lines."""
    lines = iter(block.replace("\\\n", " ").splitlines())
    found = []
    for line in lines:
        if not line.strip() or line.startswith("#"):
            continue
        command = [line]
        if heredoc := re.search(r"<<'?(\w+)'?", line):
            while command[-1] != heredoc[1]:
                command.append(next(lines))
        found.append("\n".join(command))
    return found


def blocks_of(text):
    """The shell blocks of a page that are run."""
    return [found for found in _BLOCK.finditer(text) if not SETTING_UP.search(found["commands"])]


def text_of(results):
    """What a page shows under a block: an output, or each command with its output where there are several."""
    lasting = [result for result in results if result.output]
    if len(results) == 1:
        return _shortened(results[0])
    return "\n".join(f"$ {result.command}\n{_shortened(result)}" for result in lasting)


def with_outputs(text, results):
    """The page with these outputs in place of those that it shows."""
    results = iter(results)

    def renewed(found):
        shown = text_of([next(results) for _ in commands_of(found["commands"])])
        return f"```sh\n{found['commands']}```\n" + (f"\n```text\n{shown}```\n" if shown else "")

    return _BLOCK.sub(lambda found: found[0] if SETTING_UP.search(found["commands"]) else renewed(found), text)


def without_commands(text):
    """The page without its shell blocks and their outputs."""
    return _BLOCK.sub("", text)


def outdated(text, results):
    """The masked outputs that a page shows, and those of the commands now, where the two differ."""
    results = iter(results)
    different = []
    for found in blocks_of(text):
        ran = [next(results) for _ in commands_of(found["commands"])]
        verbs = {result.verb for result in ran if result.output}
        shown, now = masked(found["shown"] or "", verbs), masked(text_of(ran), verbs)
        if shown != now:
            different.append({"shown": shown, "now": now})
    return different


def masked(text, verbs):
    """The text without what changes from machine to machine: white space, lines of boxes, digests, dates, numbers.

    Lines that differ in numbers alone count once, so that a search may take more or fewer steps.
    """
    text = re.sub("[\u2500-\u257f]+", " ", text)
    text = re.sub(r"\b[0-9a-f]{12,}\b|\b\d{4}-\d\d-\d\d(T[\d:.]+\S*)?", "#", text)
    if verbs == {"env"}:
        text = re.sub(r"(?m)(?<=\S)  +\S.*", "", text)  # the names of what is told
    if not verbs <= EXACT:
        text = re.sub(r"[-+]?\d+(?:[.,]\d+)*(?:e[-+]?\d+)?(?: ?%| [kMG]?B\b)?", "#", text).replace(" (chosen)", "")
    lines = [" ".join(line.split()) for line in text.splitlines()]
    return re.sub("#( #)+", "#", " ".join(line for line, _ in itertools.groupby(lines) if line))


def _shortened(result):
    lines = [line.rstrip() for line in result.output.splitlines()]
    lines = [line for line, before in zip(lines, ["", *lines], strict=False) if line or before]
    if len(lines) > LONGEST:
        lines = [*lines[:ENDS], "...", *lines[-ENDS:]]
    return "\n".join(lines).strip("\n") + "\n" if any(lines) else ""


def write_files(text, folder):
    """Write the Python files that a page prints and names before it does."""
    for name, body in _FILE.findall(text):
        (folder / name).write_text(body, encoding="utf-8")


class PageRunner:
    """Runs pages in the current folder, in process. ``patch`` is a pytest.MonkeyPatch, which whoever made it undoes.

    ``made_once(name, make)`` gives a folder that ``make(folder)`` filled: several pages begin with the same two commands.
    ``quick``: train in a third of the time, at more harm.
    """

    def __init__(self, patch, made_once, *, quick):
        from insignia.progress import SILENT, ConsoleProgress

        self._patch, self._made_once, self._quick = patch, made_once, quick
        self._models, self._lock = {}, threading.Lock()
        patch.setattr(ConsoleProgress, "bar", SILENT.bar)
        patch.setenv("COLUMNS", "100")
        patch.setenv("PATH", f"{Path(sys.executable).parent}:{os.environ['PATH']}")

    def run(self, page):
        """Run every command of a page; returns what came of each."""
        text = page.read_text(encoding="utf-8")
        write_files(text, Path())
        if self._quick:
            self._be_quick()
        self._draw_secrets(page.name)
        commands = [command for found in blocks_of(text) for command in commands_of(found["commands"])]
        with serving(self._answer) as self._address:
            begun = (
                self._made_once("quick-page" if self._quick else "page", self._begin)
                if set(BEGINNING) <= set(commands)
                else None
            )
            return [
                self._from(begun, command) if begun and command in BEGINNING else self._run(command) for command in commands
            ]

    def _be_quick(self):
        recipes = importlib.import_module("insignia.recipes")
        starter = importlib.import_module("insignia.starter")
        importlib.import_module("insignia.generation.ordinary")  # keys are compared with all of the text
        load, paragraphs = recipes.load_recipe, starter.heldout_paragraphs()[:HELDOUT_PARAGRAPHS]
        self._patch.setattr(recipes, "load_recipe", lambda name, part: QUICK.get(name) or load(name, part))
        # Reading all of the text again and again is not what the pages are about.
        for module in ("insignia.embedding.marking", "insignia.starter"):
            self._patch.setattr(importlib.import_module(module), "heldout_paragraphs", lambda: paragraphs)

    def _draw_secrets(self, name):
        numbers = itertools.count()

        def drawn(size):
            return hashlib.shake_256(f"{name} {next(numbers)}".encode()).digest(size)

        self._patch.setattr("insignia.randomness.secrets", SimpleNamespace(token_bytes=drawn))

    def _begin(self, folder):
        with self._patch.context() as there:
            there.chdir(folder)
            there.setattr("insignia.randomness.secrets", SimpleNamespace(token_bytes=lambda size: b"p" * size))
            ran = [self._run(command) for command in BEGINNING]
        (folder / "outputs.json").write_text(json.dumps(ran))

    def _from(self, begun, command):
        made = begun / BEGINNING[command]
        (shutil.copytree if made.is_dir() else shutil.copy)(made, Path(made.name))
        ran = [Ran(*values) for values in json.loads((begun / "outputs.json").read_text())]
        return next(result for result in ran if result.command == command)

    def _run(self, command):
        with self._patch.context() as patch:
            words = shlex.split(command.partition("\n")[0])
            while re.match(r"[A-Z_]+=", words[0]):
                name, _, value = words.pop(0).partition("=")
                patch.setenv(name, value)
            if words[0] == "insignia":
                return Ran(command, *self._in_process(words, patch))
        if words[0] == "export":
            name, _, value = words[1].partition("=")
            self._patch.setenv(name, value)
            return Ran(command, 0, "")
        return Ran(command, *self._in_shell(command))

    def _in_process(self, words, patch):
        from insignia.cli.main import main

        # The recipe's settings are another method's. Method sft learns nothing with so few reference samples.
        if self._quick and words[1] == "embed" and "--method" in words and "sft" not in words:
            words = [*words, *(word for name, value in FEW.items() for word in ("--set", f"method.{name}={value}"))]
        patch.setattr(sys, "argv", [word.replace(DOCUMENTED_SERVER, self._address) for word in words])
        output, status = io.StringIO(), 0
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
            try:
                main()
            except SystemExit as ended:
                status = ended.code or 0
        return status, output.getvalue().replace(self._address, DOCUMENTED_SERVER).replace(f"{Path.cwd()}/", "")

    def _in_shell(self, command):
        if self._quick and command.startswith("torchrun"):
            quick = Path("../quick.yaml")
            quick.write_text(yaml.safe_dump(QUICK["harmless"]))
            command += f" -q --recipe {quick}"
        bash = str(shutil.which("bash"))
        ran = subprocess.run([bash, "-eu", "-c", command], stdout=subprocess.PIPE, text=True, check=False)
        return ran.returncode, ran.stdout

    def _answer(self, path, headers, asked):
        """The server that pages ask: its models are the folders beside; "busy", "locked" and "guarded" are none."""
        name = asked.get("model")  # a question about the server itself names none
        if refused := {"busy": 429, "locked": 401, "guarded": 400}.get(name):
            return refused, {"error": {"message": "no"}}
        if path != "/v1/completions" or not Path(name).is_dir():
            return 404, {}
        if not isinstance(asked["prompt"], str):
            return 400, {"error": {"message": "one prompt at a time"}}
        from insignia.modeling.local import LocalModel
        from insignia.suspects.base import RequestOptions

        with self._lock:
            model = self._models.setdefault(name, None) or LocalModel(Path(name))
            self._models[name] = model
            (reply,) = model.reply([asked["prompt"]], RequestOptions(max_tokens=asked["max_tokens"]))
        return 200, {"choices": [{"text": reply.text, "finish_reason": "length"}]}
