"""The action and the hook that users put into their pipelines, run as a runner would."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT / "tests" / "samples" / "0.1.0"
ACTION = yaml.safe_load((ROOT / "action.yml").read_text(encoding="utf-8"))
(HOOK,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8"))


@pytest.fixture
def run_action(tmp_path):
    """Run the action's last step with this Python's command; returns (status of the step, its outputs, its summary)."""
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "insignia"
    script.write_text(f'#!/bin/sh\nexec {sys.executable} -P -m insignia "$@"\n')
    script.chmod(0o755)
    (tmp_path / "bin" / "python").symlink_to(sys.executable)
    shutil.copytree(SAMPLES, tmp_path / "with space")

    def run(command, accept=ACTION["inputs"]["accept"]["default"]):
        (step,) = (step for step in ACTION["runs"]["steps"] if step["id"] == "run")
        places = {"GITHUB_OUTPUT": tmp_path / "output", "GITHUB_STEP_SUMMARY": tmp_path / "summary"}
        given = {"COMMAND": command, "ACCEPT": accept, "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}"}
        assert given.keys() - {"PATH"} == step["env"].keys()
        done = subprocess.run(
            [shutil.which("bash"), "-e", "-o", "pipefail", "-c", step["run"]],
            cwd=tmp_path, env={**os.environ, **given, **places}, capture_output=True, text=True, check=False, timeout=600,
        )  # fmt: skip
        outputs = dict(line.split("=") for line in places["GITHUB_OUTPUT"].read_text().split())
        return done.returncode, outputs, places["GITHUB_STEP_SUMMARY"].read_text()

    return run


def test_the_action_ends_with_the_status_that_is_not_accepted(run_action):
    judged = "verify 'with space/prints.json' --transcript 'with space/transcript.jsonl'"

    status, outputs, summary = run_action(judged)
    assert (status, outputs) == (0, {"status": "0"})
    assert "The mark is there" in summary
    assert run_action(judged, accept="3 4")[0] == 0  # the status of success fails no job, and the next step can ask for it
    assert run_action("show missing.json; echo", accept="0 3")[:2] == (2, {"status": "2"})  # no shell reads the command


def _refused(content):
    assert HOOK["args"] == ["--multiline"]  # one search through the whole file, as pre-commit does it
    return re.search(HOOK["entry"].encode(), content) is not None


def test_the_hook_refuses_secrets_and_lets_what_is_public_pass():
    refused = {path.name for path in SAMPLES.iterdir() if _refused(path.read_bytes())}
    secret = {"chained-transcript.jsonl", "chained.json", "prints.json", "prints.licensees.jsonl", "transcript.jsonl"}
    assert refused == secret
    entry = {"time": "2026-01-01T00:00:00+00:00", "set": "0" * 64, "numbers": [1], "to": "somebody"}
    assert _refused(json.dumps(entry).encode())
    assert not any(_refused(path.read_bytes()) for path in (ROOT / "src").rglob("*.py"))
