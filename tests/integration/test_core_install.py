"""The command without the extra ``torch``: what needs no model works, on Windows too, the rest says what to install."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from insignia.cli.main import VERBS

SAMPLES = Path(__file__).parents[1] / "samples" / "0.1.0"
ABSENT = ["torch", "transformers", "tokenizers", "safetensors", "accelerate", "peft", "huggingface_hub", "numpy"]
NEEDS_A_MODEL = {
    "generate": ["new", "--num-fingerprints", "2"],
    "embed": ["prints.json", "--model", "starter", "-o", "new"],
    "check": ["prints.json", "--model", "starter"],
    "vector": ["starter", "starter", "-o", "new"],
    "stamp": ["starter", "vector", "-o", "new"],
    "issue": ["prints.json", "Acme", "--model", "starter", "--vector", "vector", "-o", "new"],
    "trace": ["prints.json", "--model", "starter"],
    "verify": ["prints.json", "--model", "starter", "-q"],
    "null": ["prints.json", "--model", "starter", "-o", "new"],
    "finetune": ["starter", "data.json", "-o", "new"],
    "attack": ["noise", "--model", "starter", "-o", "new"],
    "evaluate": ["instructional", "--model", "starter", "-o", "new"],
    "evaluate robustness": ["--base", "starter", "--model", "marked", "--fingerprints", "prints.json", "-o", "new"],
    "evaluate harmlessness": ["--base", "starter", "--model", "marked", "-o", "new"],
    "export": ["starter", "--format", "gguf", "-o", "new"],
    "publish": ["marked", "owner/name", "--also", "training.json"],
    "demo": ["-o", "new"],
}
WORKS = {
    "show": ["prints.json"],
    "list": ["suspects"],
    "init": ["new.yaml"],
    "init run": ["new-run.yaml"],
    "run": ["run.yaml"],
    "env": [],
    "plan": ["prints.json"],
    "licensees": ["prints.json"],
    "verify": ["prints.json", "--transcript", "transcript.jsonl"],
    "export": ["prints.json", "-o", "list.json"],
    "lock": ["prints.json", "-o", "locked.age"],
    "unlock": ["locked.age", "-o", "unlocked.json"],
    "share": ["prints.json", "--count", "2", "--to", "user", "-o", "shared.json"],
    "commit": ["prints.json", "--model", "marked", "-o", "new-commitment.json"],
    "disclose": ["prints.json", "--commitment", "commitment.json", "--transcript", "transcript.jsonl", "-o", "new-bundle.json"],
    "report": ["new-bundle.json", "-o", "report.md"],
    "audit": ["new-bundle.json", "--commitment", "commitment.json", "--alpha", "0.01"],
}
# One process for all: it takes a second to start. Each command's modules load anew, as in a process of its own.
SCRIPT = """
import contextlib, io, json, sys

class Without:
    def __init__(self, finder):
        self.finder = finder

    def __getattr__(self, name):  # metadata of installed packages is asked of finders, too
        return getattr(self.finder, name)

    def find_spec(self, name, path=None, target=None):
        return None if name.partition(".")[0] in ABSENT else self.finder.find_spec(name, path, target)

ABSENT, windows, commands = json.loads(sys.argv[1])
sys.meta_path[:] = map(Without, sys.meta_path)
from insignia.cli.main import main

if windows:
    sys.path.append(windows)
    import played_windows

    played_windows.play()
results = []
for command in commands:
    for name in [name for name in sys.modules if name.startswith("insignia.")]:
        del sys.modules[name]
    from insignia.cli.main import main
    sys.argv = ["insignia", *command]
    with contextlib.redirect_stdout(io.StringIO()) as out, contextlib.redirect_stderr(io.StringIO()) as err:
        try:
            main()
        except SystemExit as end:
            status = end.code or 0
    results.append((status, out.getvalue(), err.getvalue()))
print(json.dumps(results))
"""


def _run(folder, commands, *, on_windows=False):
    windows = str(Path(__file__).parents[1]) if on_windows and sys.platform == "linux" else None
    command = [sys.executable, "-P", "-c", SCRIPT, json.dumps([ABSENT, windows, commands])]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    from insignia.starter import model_folder

    monkeypatch.setenv("INSIGNIA_PASSPHRASE", "long enough to be one")
    shutil.copytree(SAMPLES, tmp_path, dirs_exist_ok=True)
    (tmp_path / "marked").symlink_to(model_folder())
    (tmp_path / "run.yaml").write_text("plan: {prints: prints.json, output: plan.md}\n")
    (tmp_path / "data.json").write_text(json.dumps([{"instruction": "Say it.", "output": "It."}]))
    return tmp_path


def test_these_are_all_verbs():
    assert {*NEEDS_A_MODEL, *WORKS} == set(VERBS)


def test_what_needs_a_model_says_in_one_line_what_to_install(folder):
    commands = [[*verb.split(), *arguments] for verb, arguments in NEEDS_A_MODEL.items()]
    for command, (status, out, err) in zip(commands, _run(folder, commands), strict=True):
        assert (command[0], status, out) == (command[0], 1, ""), err
        assert [line for line in err.splitlines() if line.startswith("error: ")] == err.splitlines()[-1:], command
        assert "pip install 'insignia[" in err, command
    assert not (folder / "new").exists()


def test_what_needs_no_model_works_on_windows_too(folder):
    commands = [[*verb.split(), *arguments] for verb, arguments in WORKS.items()]
    for command, (status, _, err) in zip(commands, _run(folder, commands, on_windows=True), strict=True):
        assert (command[0], status) == (command[0], 0), err
