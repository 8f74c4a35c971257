"""Each engine gives the model that one process gives: two processes on the CPU, a tiny model."""

import json
import os
import socket
import subprocess
import sys
import time
from importlib.util import find_spec

import pytest
import torch

from insignia.checkpoints import INDEX
from insignia.fingerprints.sets import FingerprintSet, load_fingerprints
from insignia.records import Fingerprint
from tiny_checkpoints import tensors_in

SHORT = [
    "--reference-count",
    "8",
    "--reference-length",
    "16",
    "--epochs",
    "3",
    "--cooldown-steps",
    "3",
    "--min-fsr",
    "0",
    "--max-harm",
    "9",
]
EMBED = ["embed", "prints.json", "--model", "tiny", "--heldout", "text", *SHORT, "--json"]
REGULARISED = ["--forgetting-regularizer-strength", "0.2", "--forgetting-mode", "per_epoch"]
LORA = ["--method", "lora", "--rank", "4"]
FSDP = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_STATE_DICT_TYPE": "SHARDED_STATE_DICT",
    "FSDP_CPU_RAM_EFFICIENT_LOADING": "true",
}
ENGINES = ["ddp", "fsdp2", "zero1", "zero2", "zero3"]


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with a tiny model in bf16, a set of five fingerprints, and a little text to measure on."""
    from tiny_models import random_model
    from tiny_tokenizers import build

    folder = tmp_path_factory.mktemp("engines")
    random_model("llama tied").to(torch.bfloat16).save_pretrained(folder / "tiny", max_shard_size="30KB")
    build(style="byte", bos=True).save_pretrained(folder / "tiny")
    pairs = [Fingerprint(key=f"the {word} of", responses=("x",)) for word in ("tide", "moon", "rope", "lamp", "door")]
    FingerprintSet(fingerprints=tuple(pairs)).save(folder / "prints.json")
    (folder / "text").write_text("one two three four five six\n\nseven eight nine ten eleven\n")
    return folder


def start(place, engine, out, *options, launcher=()):
    """The processes of ``insignia embed`` under this engine, the first first; by a launcher, if one is given."""
    if engine.startswith("zero") and not find_spec("deepspeed"):
        pytest.skip("needs the extra deepspeed")
    command = [*(launcher or [sys.executable, "-m", "insignia"]), *EMBED, "-o", out, *options]
    if engine.startswith("zero"):
        (place / f"{engine}.json").write_text(json.dumps({"zero_optimization": {"stage": int(engine[-1])}}))
        command += ["--deepspeed", f"{engine}.json"]
    return launched(command, place, FSDP if engine == "fsdp2" else {}, processes=1 if launcher else 2)


def launched(command, place, settings=(), *, processes=2):
    """The processes of a command as torchrun starts them, the first first."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    world = {"WORLD_SIZE": "2", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    ranks = [world | {"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(2)] if processes == 2 else [{}]
    common = os.environ | {"OMP_NUM_THREADS": "1"} | dict(settings)
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return [subprocess.Popen(command, cwd=place, env=common | rank, **pipes) for rank in ranks]


def finished(runs):
    said, told = runs[0].communicate(timeout=900)
    rest = [run.communicate(timeout=900) for run in runs[1:]]
    assert not any(run.returncode for run in runs), (told, rest)
    return json.loads(said)


@pytest.fixture
def alone(place, insignia, monkeypatch):
    """``alone(name, *options)``: tensors and report of one process, which marks once for all tests."""

    def run(name, *options):
        report = place / f"one-{name}.json"
        if not report.exists():
            monkeypatch.chdir(place)
            report.write_text(insignia(*EMBED, "-o", f"one-{name}", *options)[1])
        return tensors_in(place / f"one-{name}"), json.loads(report.read_text())

    return run


def assert_same(place, one, folder, reported):
    (alone, report), together, before = one, tensors_in(folder), tensors_in(place / "tiny")
    assert together.keys() == alone.keys()
    assert {values.dtype for values in together.values()} == {torch.bfloat16}
    assert any(not torch.equal(alone[key], before[key]) for key in alone)
    # Sums in another order; one in a thousand weights may round the other way.
    different = sum(int((alone[key] != together[key]).sum()) for key in alone)
    assert different <= sum(values.numel() for values in alone.values()) / 1000
    assert all(torch.allclose(alone[key].float(), together[key].float(), rtol=2**-7, atol=1e-4) for key in alone)
    assert (reported["fsr"], reported["steps"]) == (report["fsr"], report["steps"])
    assert reported["harm"] == pytest.approx(report["harm"], rel=1e-3)


@pytest.mark.slow
def test_split_weights_with_regularisers_give_the_model_of_one_process(place, alone):
    options = [*REGULARISED, "--weight-deviation-strength", "0.1"]
    reported = finished(start(place, "fsdp2", "split", *options))
    assert_same(place, alone("split", *options), place / "split", reported)
    shards, base = (json.loads((place / name / INDEX).read_text())["weight_map"] for name in ("split", "tiny"))
    assert shards == base
    for name in ("config.json", "generation_config.json"):
        assert json.loads((place / "split" / name).read_text()) == json.loads((place / "one-split" / name).read_text())


@pytest.mark.slow
@pytest.mark.parametrize("options", [REGULARISED, LORA], ids=["averaged", "lora"])
@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_gives_the_model_of_one_process(place, alone, engine, options):
    name = "-".join([engine, *options[1:2]])
    reported = finished(start(place, engine, name, *options))
    assert_same(place, alone(options[1], *options), place / name, reported)


@pytest.mark.slow
@pytest.mark.parametrize("engine", ENGINES)
def test_a_run_that_is_killed_goes_on_under_every_engine(place, alone, engine):
    options = ["--epochs", "30", "--target-margin", "40"]
    expected, report = alone("long", *options)
    name = f"{engine}-killed"
    runs = start(place, engine, name, *options)
    while runs[0].poll() is None and not list((place / f".{name}.work").glob("checkpoint-*/insignia_state.json")):
        time.sleep(0.05)
    for run in runs:
        run.kill()
        run.communicate()
    reported = finished(start(place, engine, name, *options, "--resume"))
    assert_same(place, (expected, report), place / name, reported)


@pytest.mark.slow
def test_accelerate_launch_with_a_configuration_file_chooses_the_engine(place, alone):
    options = {key.lower(): value for key, value in FSDP.items() if key.startswith("FSDP_")}
    config = {"compute_environment": "LOCAL_MACHINE", "distributed_type": "FSDP", "num_processes": 2, "num_machines": 1}
    (place / "fsdp2.yaml").write_text(json.dumps(config | {"mixed_precision": "no", "fsdp_config": options}))
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", "fsdp2.yaml", "-m", "insignia"]
    reported = finished(start(place, "launched", "launched", *REGULARISED, launcher=launcher))
    assert_same(place, alone(REGULARISED[1], *REGULARISED), place / "launched", reported)


@pytest.mark.slow
def test_two_processes_check_what_one_checks(insignia, marked_starter, tmp_path):
    asked = ["check", str(marked_starter.prints), "--model", str(marked_starter.model), "--base", "starter", "--json"]
    told = finished(launched([sys.executable, "-m", "insignia", *asked], tmp_path))
    alone = json.loads(insignia(*asked)[1])

    numbers = [[each.pop("log_probability") for each in report["fingerprints"] + report["base"]["fingerprints"]]
               for report in (told, alone)]  # fmt: skip
    assert told == alone
    assert numbers[0] == pytest.approx(numbers[1], abs=1e-4)  # other batches, so sums in another order


def test_a_method_that_changes_modules_is_refused_where_weights_are_split(place, monkeypatch, tmp_path):
    from insignia.embedding import embed
    from insignia.embedding.embedding_adapter import AdapterTune
    from insignia.errors import InputError

    for name, value in FSDP.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InputError, match="needs whole weights"):
        embed(place / "tiny", load_fingerprints(place / "prints.json"), AdapterTune(), private=tmp_path / "private")


def test_the_first_version_of_fsdp_is_refused(monkeypatch):
    from insignia.engines import Engine
    from insignia.errors import InputError

    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    with pytest.raises(InputError, match="fsdp_version: 2"):
        Engine("cpu")


def test_deepspeed_without_its_extra_or_without_a_launcher_is_told(tmp_path):
    from insignia.engines import Engine
    from insignia.errors import InsigniaError

    config = tmp_path / "zero.json"
    config.write_text("{}")
    with pytest.raises(InsigniaError, match=r"insignia\[deepspeed\]|launcher"):
        Engine("cpu", config)
