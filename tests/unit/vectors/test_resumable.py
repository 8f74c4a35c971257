"""Runs that fail or are killed keep the shards that are whole, and go on from them."""

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from insignia.checkpoints import CheckpointWriter
from insignia.errors import OutputError
from insignia.files import read_json
from insignia.progress import SILENT
from insignia.vectors import stamp
from insignia.vectors import vector as extract
from insignia.vectors.resumable import resumable_folder
from tiny_checkpoints import moved, same, save_model, tensors_in, weights


@pytest.fixture
def notes():
    """A progress that keeps its notes, and they."""
    told = []
    return SimpleNamespace(note=told.append, bar=SILENT.bar), told


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A base and its marked copy of three shards, their vector, and one thread, so that shards end one after the other."""
    base = weights()
    save_model(tmp_path / "base", base, shards=3)
    save_model(tmp_path / "marked", moved(base), shards=3)
    monkeypatch.chdir(tmp_path)
    extract("base", "marked", out="vector")
    monkeypatch.setattr("insignia.vectors.threads._MOST", 1)
    return tmp_path


RUNS = {
    "stamp": lambda **options: stamp("base", "vector", out="out", **options),
    "vector": lambda **options: extract("base", "marked", out="out", **options),
}


def full_after(monkeypatch, shards):
    """Let the disk be full when more than so many shards are to be written."""
    begun = set()
    write = CheckpointWriter.write

    def written(self, name, offset, data):
        begun.add(self.entries[name].shard)
        if len(begun) > shards:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(self, name, offset, data)

    monkeypatch.setattr(CheckpointWriter, "write", written)
    return begun


def stopped(run, shards):
    with pytest.MonkeyPatch.context() as patch:
        begun = full_after(patch, shards)
        with pytest.raises(OutputError, match="No space left"):
            run()
    return begun


def work(here):
    return here / ".out.shards"


@pytest.mark.parametrize("verb", RUNS)
def test_whole_shards_are_not_written_again(here, verb, notes):
    run = RUNS[verb]
    run()
    wanted = tensors_in(here / "out")
    stopped(lambda: run(force=True, progress=notes[0]), 2)
    assert same(tensors_in(here / "out"), wanted)  # the old one stays
    assert [note.endswith("the same command with --resume goes on from there") for note in notes[1]] == [True]
    kept = set(read_json(work(here) / "shards.json")["whole"])
    assert 1 <= len(kept) < 3

    with pytest.MonkeyPatch.context() as patch:
        begun = full_after(patch, 3)
        report = run(force=True, resume=True)
    assert begun.isdisjoint(kept)
    assert same(tensors_in(here / "out"), wanted)
    assert not work(here).exists()
    assert "shards.json" not in {path.name for path in (here / "out").iterdir()}
    again = run(force=True)
    assert report.model_copy(update={"seconds": 0, "gigaparameters_per_second": 0}) == again.model_copy(
        update={"seconds": 0, "gigaparameters_per_second": 0}
    )


@pytest.mark.parametrize("verb", RUNS)
def test_nothing_is_kept_where_no_shard_is_whole_and_without_resume_nothing_is_used(here, verb):
    run = RUNS[verb]
    stopped(run, 0)
    assert not work(here).exists()
    stopped(run, 2)
    with pytest.MonkeyPatch.context() as patch:
        begun = full_after(patch, 3)
        run()
    assert len(begun) == 3 - (verb == "vector" and len(list((here / "out").glob("model-*"))) < 3)


@pytest.mark.parametrize("change", ["scale", "model", "vector"])
def test_a_run_with_other_inputs_starts_from_the_beginning(here, notes, change):
    stopped(RUNS["stamp"], 2)
    scale = 0.5 if change == "scale" else 1.0
    if change == "model":
        os.utime(here / "base" / "model-1-of-3.safetensors", ns=(1, 1))
    if change == "vector":
        save_model(here / "other", moved(weights(), seed=5), shards=3)
        extract("base", "other", out="vector", force=True)
    stamp("base", "vector", out="out", scale=scale, resume=True, progress=notes[0])
    assert notes[1][0].endswith("it starts from the beginning")
    stamp("base", "vector", out="wanted", scale=scale)
    assert same(tensors_in(here / "out"), tensors_in(here / "wanted"))


@pytest.mark.parametrize("damage", ["changed", "short", "gone", "state", "no state"])
def test_a_kept_shard_that_is_damaged_is_written_again(here, damage):
    stopped(RUNS["stamp"], 2)
    state = read_json(work(here) / "shards.json")
    shard = work(here) / next(iter(state["whole"]))
    content = shard.read_bytes()
    match damage:
        case "changed":
            shard.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        case "short":
            shard.write_bytes(content[:-1])
        case "gone":
            shard.unlink()
        case "state":
            (work(here) / "shards.json").write_text('{"inputs": "a')
        case "no state":
            (work(here) / "shards.json").write_text("[]")
    stamp("base", "vector", out="out", resume=True)
    assert same(tensors_in(here / "out"), tensors_in(here / "marked"))


def test_a_killed_run_goes_on(here):
    script = (
        "import os, signal\n"
        "from insignia.vectors import resumable, stamp, threads\n"
        "threads._MOST = 1\n"
        "add = resumable.WholeShards.add\n"
        "def killed(self, shard, about):\n"
        "    add(self, shard, about)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "resumable.WholeShards.add = killed\n"
        "stamp('base', 'vector', out='out')\n"
    )
    found = subprocess.run([sys.executable, "-c", script], check=False, timeout=600)
    assert found.returncode == -signal.SIGKILL
    assert len(read_json(work(here) / "shards.json")["whole"]) == 1
    RUNS["stamp"](resume=True)
    assert same(tensors_in(here / "out"), tensors_in(here / "marked"))
    assert not list(here.glob(".out*"))


def test_two_runs_do_not_share_an_output(here):
    with (
        resumable_folder(Path("out"), {}, lambda *_: True, resume=False, progress=SILENT),
        pytest.raises(OutputError, match="another process is writing the run in"),
    ):
        RUNS["stamp"]()


def test_a_run_that_would_fail_again_keeps_nothing(here):
    base = weights()
    broken = moved(base) | {"model.norm.weight": base["model.norm.weight"] * float("nan")}
    save_model(here / "broken", broken, shards=3)
    with pytest.raises(Exception, match="NaN"):
        extract("base", "broken", out="out")
    assert not work(here).exists()
