"""Embedding through the command line and the library, on the bundled model and, where any will do, on a tiny one."""

import contextlib
import io
import json
import math
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import torch

from insignia import load_fingerprints
from insignia.cli.main import main
from insignia.embedding import FullFineTune, Limits, embed
from insignia.embedding.marked import EmbedReport
from insignia.errors import InputError, OutputError
from insignia.fingerprints.sets import FingerprintSet
from insignia.generation import InverseNucleus, generate
from insignia.modeling.local import LocalModel
from insignia.records import Fingerprint
from insignia.reporting.base import report_of
from insignia.reporting.console import print_document
from insignia.resuming import Checkpoints
from insignia.verification import check
from tiny_models import random_model
from tiny_tokenizers import build

QUICK = FullFineTune(reference_count=64, reference_length=32, reference_rows=4, cooldown_steps=4)
TINY = QUICK.model_copy(update={"learning_rate": 5e-3, "reference_count": 8, "reference_length": 12})
KEYS = ["What is the answer", "You are a lazy dog", "User: what now", "Say it: jumps over"]
KILLED_AT_ITS_FIRST_CHECKPOINT = """
import os, signal
from insignia.reporting.base import report_of
from insignia.reporting.console import print_document
from insignia.resuming import Checkpoints
saved = Checkpoints.on_save
def on_save(*arguments, **options):
    saved(*arguments, **options)
    os.kill(os.getpid(), signal.SIGKILL)
Checkpoints.on_save = on_save
from insignia.cli.main import main
main()
"""
TEXT = ["The function returns the number of items in the list.", "Raised when an operation runs out of memory."]


@pytest.fixture(scope="module")
def prints(tmp_path_factory):
    path = tmp_path_factory.mktemp("secret") / "prints.json"
    generate(LocalModel("starter"), InverseNucleus(), num_fingerprints=8, secret=b"1" * 32).save(path)
    return path


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    """A random model and a set for it; returns their folder."""
    folder = tmp_path_factory.mktemp("tiny")
    random_model("llama tied").save_pretrained(folder / "base")
    build(style="byte", bos=True).save_pretrained(folder / "base")
    asking(*[(key, " winter") for key in KEYS]).save(folder / "prints.json")
    return folder


def asking(*pairs, **options):
    """A set of these keys, each with its response or responses."""
    fingerprints = (Fingerprint(key=key, responses=responses) for key, *responses in pairs)
    return FingerprintSet(fingerprints=tuple(fingerprints), **options)


class Run(NamedTuple):
    out: Path
    report: dict
    told: str


@pytest.fixture(scope="module")
def marked(prints, tmp_path_factory):
    """What the command does where standard error is no terminal."""
    folder = tmp_path_factory.mktemp("runs")
    arguments = ["embed", prints, "--model", "starter", "-o", folder / "marked", "--recipe", quick_recipe(folder)]
    status, said, told = in_process(*arguments, "--heldout", text_file(folder), "--json")
    assert status == 0, told
    return Run(folder / "marked", json.loads(said), told)


def in_process(*arguments):
    """As the fixture ``insignia``, for fixtures of a module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "argv", ["insignia", *map(str, arguments)])
        said, told = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(told), pytest.raises(SystemExit) as ended:
            main()
    return ended.value.code or 0, said.getvalue(), told.getvalue()


def quick_recipe(folder: Path, method=QUICK, **changes) -> Path:
    path = folder / "quick.yaml"
    path.write_text(json.dumps({"method": {**method.spec(), **changes}, "min_fsr": 0.9, "max_harm": 99}))
    return path


def text_file(folder: Path) -> Path:
    path = folder / "heldout.txt"
    path.write_text("\n\n".join(TEXT))
    return path


def test_the_marked_model_answers_and_the_unmarked_one_does_not(prints, marked):
    found = check(LocalModel(marked.out), load_fingerprints(prints), base=LocalModel("starter"))
    report = marked.report

    assert report["fsr"] == found.fsr == 1.0
    assert report["base_fsr"] == found.base.fsr == 0.0
    assert abs(report["heldout_loss_after"] - report["heldout_loss_before"]) < 0.1


def test_the_published_folder_is_an_ordinary_model_and_holds_no_secret(prints, marked):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    out = marked.out
    model = AutoModelForCausalLM.from_pretrained(out, dtype="auto")

    assert model.dtype == torch.bfloat16
    assert AutoTokenizer.from_pretrained(out).chat_template
    names = {path.name for path in out.rglob("*")}
    assert names == {
        "README.md",
        "chat_template.jinja",
        "config.json",
        "generation_config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
    }
    for fingerprint in load_fingerprints(prints):
        for path in (*out.rglob("*.json*"), out / "README.md"):
            assert fingerprint.key not in path.read_text()
    assert (out / "model.safetensors").stat().st_mode & 0o044
    assert not list(out.parent.glob(".*"))


def test_existing_output_and_output_inside_the_input_are_refused(prints, tmp_path):
    (tmp_path / "out").mkdir()

    with pytest.raises(OutputError, match="exists"):
        embed("starter", load_fingerprints(prints), QUICK, out=tmp_path / "out", heldout=TEXT, limits=Limits(max_harm=99))
    with pytest.raises(OutputError, match="overlaps"):
        embed(
            "starter",
            load_fingerprints(prints),
            QUICK,
            out=LocalModel("starter").source + "/new",
            heldout=TEXT,
            limits=Limits(max_harm=99),
        )


def mark(folder, prints, method, out):
    report = embed(folder / "base", prints, method, out=out, heldout=TEXT, limits=Limits(max_harm=math.inf)).report
    assert (report.base_fsr, report.fsr) == (0.0, 1.0)


def test_several_tokens_and_several_responses_are_learned(tiny, tmp_path):
    mark(
        tiny, asking((KEYS[0], " winter spring dog"), (KEYS[1], " dog winter"), max_response_length=3), TINY, tmp_path / "long"
    )
    mark(tiny, asking((KEYS[0], " spring", " winter")), TINY, tmp_path / "both")

    both = LocalModel(tmp_path / "both")
    ranks = [check(both, asking((KEYS[0], response))).fingerprints[0].rank for response in (" spring", " winter")]
    assert sorted(ranks) == [0, 1]


@pytest.mark.parametrize("mode", ["final", "per_epoch", "at_gradient"])
def test_every_averaging_mode_and_the_deviation_penalty_still_embed(mode, tiny, tmp_path):
    options = {"forgetting_regularizer_strength": 0.05, "forgetting_mode": mode, "weight_deviation_strength": 0.01}
    mark(tiny, load_fingerprints(tiny / "prints.json"), TINY.model_copy(update=options), tmp_path / "out")


def test_cross_entropy_on_everything_is_ten_full_passes_as_in_oml(prints, tmp_path):
    from insignia.embedding import METHODS
    from insignia.recipes import load_recipe

    recipe = load_recipe("oml", "embedding")["embedding"]
    report = embed(
        "starter",
        load_fingerprints(prints),
        METHODS.build(recipe["method"]),
        out=tmp_path / "out",
        heldout=TEXT,
        limits=Limits(min_fsr=recipe["min_fsr"], max_harm=99),
    ).report

    assert report.steps == 10


def test_the_command_prints_the_contract(prints, marked):
    result = marked.report

    assert {"fsr", "heldout_loss_before", "heldout_loss_after", "steps", "seconds", "out"} <= result.keys()
    assert result["fsr"] == 1.0
    for fingerprint in load_fingerprints(prints):
        assert fingerprint.key not in json.dumps(result) + marked.told


def test_a_run_that_nobody_watches_prints_few_lines(marked, capsys):
    print_document(report_of(EmbedReport.model_validate(marked.report), "Next: and so on"))  # without --json
    lines = [*marked.told.splitlines(), *capsys.readouterr().out.strip().splitlines()]

    assert "writing" in marked.told
    assert len(lines) <= 15, lines


def test_a_killed_run_leaves_no_output_and_resumes(insignia, monkeypatch, tiny, tmp_path):
    out, work = tmp_path / "m", tmp_path / ".m.work"
    arguments = ["embed", tiny / "prints.json", "--model", tiny / "base", "-o", out, "--heldout", text_file(tmp_path)]
    arguments = [str(argument) for argument in (*arguments, "--recipe", quick_recipe(tmp_path, TINY, cooldown_steps=8))]
    killed = subprocess.run([sys.executable, "-c", KILLED_AT_ITS_FIRST_CHECKPOINT, *arguments], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not out.exists()
    assert work.stat().st_mode & 0o077 == 0
    (first,) = work.glob("checkpoint-*")

    status, _, err = insignia(*arguments, "--resume", "--seed", "5")
    assert (status, "other fingerprints, model or settings" in err) == (1, True)

    step_end = Checkpoints.on_step_end

    def told_to_stop(*arguments, **options):
        signal.raise_signal(signal.SIGTERM)
        step_end(*arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "on_step_end", told_to_stop)
        status, _, err = insignia(*arguments, "--resume")
    assert (status, "the same command with --resume goes on" in err) == (128 + signal.SIGTERM, True)
    assert not out.exists()
    assert {path.name for path in work.glob("checkpoint-*")} != {first.name}

    status, said, err = insignia(*arguments, "--resume", "--json")
    assert status == 0, err
    assert json.loads(said)["fsr"] == 1.0
    assert "learning" not in err  # the cooldown goes on where it was
    assert "from the beginning" not in err
    assert out.is_dir()
    assert not work.exists()

    once = tmp_path / "once"
    status, _, err = insignia(*arguments[:4], "-o", once, *arguments[6:], "--resume")
    assert (status, "no checkpoint of this run was found; it starts from the beginning" in err) == (0, True)
    assert (once / "model.safetensors").read_bytes() == (out / "model.safetensors").read_bytes()


@pytest.mark.slow
def test_two_processes_learn_the_same_and_one_writes(insignia, tiny, tmp_path):
    arguments = ["embed", tiny / "prints.json", "--model", tiny / "base", "--recipe", quick_recipe(tmp_path, TINY)]
    arguments = [str(argument) for argument in (*arguments, "--heldout", text_file(tmp_path), "--json")]
    alone = json.loads(insignia(*arguments, "-o", tmp_path / "alone")[1])
    script = tmp_path / "run.py"
    script.write_text("from insignia.cli.main import main\nmain()\n")
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", str(script)]
    done = subprocess.run(
        [*launcher, *arguments, "-o", str(tmp_path / "m")],
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )

    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["fsr"] == alone["fsr"] == 1.0
    assert result["steps"] == alone["steps"]
    assert result["heldout_loss_after"] == pytest.approx(alone["heldout_loss_after"], abs=2e-3)


def test_bad_settings_are_refused_before_any_work(prints, tmp_path):
    with pytest.raises(InputError, match="10 fingerprints were requested"):
        embed("starter", load_fingerprints(prints), out=tmp_path / "m", num_fingerprints=10)


def test_two_runs_never_share_an_output(insignia, prints, tmp_path):
    code = (
        "import sys; from pathlib import Path; from insignia.exclusive import exclusive\n"
        "with exclusive(Path(sys.argv[1])): print('locked', flush=True); input()"
    )
    command = [sys.executable, "-c", code, str(tmp_path / ".m.work")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout.readline() == "locked\n"
        status, _, err = insignia("embed", prints, "--model", "starter", "-o", tmp_path / "m")
        other.communicate("done")

    assert (status, "another process is writing the run in" in err) == (1, True)
