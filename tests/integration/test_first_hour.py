"""What a newcomer does in the first hour gets the right thing, or one line that says what to do: no traceback, no silence."""

import json
import os
import shlex
import subprocess
import sys

import pytest

import insignia as package
from drawn_prints import drawn
from insignia.keyring import ledger
from insignia.starter import model_folder
from tiny_server import serving

PAIRS = [{"key": f"How is thing number {n} done?", "response": f" TOPSECRET{n}"} for n in range(3)]
QUICK = ["--num-fingerprints", 3]


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A newcomer's folder: a set, files that are none, and folders that are no models."""
    drawn(24).save(tmp_path / "prints.json")
    ledger.record(tmp_path / "prints.json", drawn(24), [1, 2], to="somebody")
    (tmp_path / "pairs.json").write_text(json.dumps(PAIRS))
    (tmp_path / "indented.json").write_text(json.dumps({"a": 1}, indent=1))
    (tmp_path / "two.json").write_text('{"a": 1}\n{"a": 2}\n')
    (tmp_path / "typo.yaml").write_text("embeding: {method: {name: full}}\n")
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    (tmp_path / "text.txt").write_text("One.\n\nTwo.\n")
    (tmp_path / "empty").mkdir()
    (tmp_path / "quantized").mkdir()
    for file in model_folder().iterdir():
        if file.is_file():
            (tmp_path / "quantized" / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "quantized" / "config.json").read_text())
    config["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    (tmp_path / "quantized" / "config.json").write_text(json.dumps(config))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("check pairs.json --model pairs.json", "expected a folder, a hub id"),
        ("check pairs.json --model empty", "no config.json"),
        ("check pairs.json --model nowhere/at/all", "there is no model folder"),
        ("check pairs.json --model m.gguf", "llama-server"),
        ("check pairs.json --model starter --dtype bf61", "Did you mean 'bf16'"),
        ("check typo.yaml --model starter", "neither JSON nor named .csv"),
        ("embed prints.json --model m.gguf -o new", "give its folder of safetensors"),
        ("embed prints.json --model starter -o new --method lor", "Did you mean 'lora'"),
        (
            "embed prints.json --model starter -o new --set lerning_rate=1",
            "there is no such setting. Did you mean 'learning_rate'",
        ),
        ("embed prints.json --model starter -o new --set learning_rate=fast", "learning_rate: expected a number"),
        ("embed prints.json --model starter -o new --set epochs", "expected NAME=VALUE"),
        ("embed prints.json --model starter -o new --recipe typo.yaml", "Did you mean 'embeding'"),
        ("embed prints.json --model starter -o new --heldout nowhere.txt", "there is no file nowhere.txt"),
        ("embed prints.json -o new", "--model"),
        ("generate new.json --strategy inv", "Did you mean 'inverse_nucleus'"),
        ("generate new.json --keys-file text.txt", "expected a JSON list"),
        ("vector starter starter -o new", "the starter carries no mark; expected the base first"),
        ("vector prints.json starter -o new", "the starter carries no mark; expected the base first"),
        ("stamp starter empty -o new", "no vector.json"),
        ("verify prints.json", "there is no suspect"),
        ("verify prints.json --name theirs", "--endpoint and --name belong together"),
        ("verify prints.json --endpoint localhost:8000 --name x", "expected one like http://localhost:8000/v1"),
        ("verify prints.json prints.json --model starter", "each given once"),
        ("verify prints.json --model starter --set alhpa=1", "Did you mean 'alpha'"),
        ("verify prints.json --model starter --recipe typo.yaml", "has no 'verify:'"),
        ("verify prints.json --transcript prints.json", "not a line of a transcript"),
        ("commit prints.json --model nowhere -o new", "there is no folder nowhere"),
        ("disclose prints.json --commitment two.json --transcript x -o new", "goes on after its first JSON value"),
        ("export empty -o new.json", "empty is a folder"),
        ("finetune starter indented.json -o new", "is one JSON object; expected a JSON list"),
        ("show empty", "name a file"),
        ("check pairs.json --model ''", "the name of the model is empty"),
        ("embed prints.json --model starter -o new.gguf", "the output is a folder"),
        ("attack '' --model starter -o new", "unknown attack ''"),
        ("attack unlearn --model starter -o new", "prints: it has to be given"),
        ("evaluate instructional --model nowhere/at/all -o new", "there is no model folder"),
        (
            "evaluate robustness --base nowhere/at/all --model starter --fingerprints prints.json -o new",
            "there is no model folder",
        ),
        ("evaluate robustness --base starter --model starter --fingerprints none.json -o new", "there is no file"),
        ("report prints.json -o new.html", "which is secret"),
        ("issue pairs.json Acme --model starter --vector empty -o new", "the set has no secret"),
        ("trace prints.json --model starter", "no copy was issued with this set"),
        ("plan --licensees 3 --colluders 9", "9 colluders are more than the 3 licensees"),
        ("licensees prints.json --open Acme", "--open and --opening belong together"),
        ("--plugin text.txt list methods", "expected a Python file"),
    ],
)
def test_a_mistake_gets_one_line_that_says_what_to_do(insignia, here, command, told):
    status, out, err = insignia(*shlex.split(command))

    assert (status, out) == (1, "")
    assert told in err
    assert [line.startswith("error: ") for line in err.splitlines()].index(True) == err.count("\n") - 1  # progress may precede
    assert not list(here.glob("new*"))


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("verify", "Missing argument 'prints'"),
        ("commit prints.json", "Missing option '--model'"),
        ("vector starter marked", "Missing option '--output'"),
        ("verfy prints.json", "Did you mean 'verify'"),
        ("list stategies", "Did you mean 'strategies'"),
        ("plan --survival 30%", "expected a number, such as 0.95"),
        ("plan --licensees many", "expected a whole number"),
        ("evaluate robustnes --base starter -o new", "Did you mean 'evaluate robustness'"),
        ("embed prints.json --model starter -o new --base-precision 4bits", "Did you mean '4bit'"),
        ("check prints.json --modle starter", "--model"),
    ],
)
def test_a_bad_command_line_names_what_is_missing_or_meant(insignia, here, command, told):
    status, out, err = insignia(*shlex.split(command))

    assert (status, out) == (2, "")
    assert told in " ".join(err.replace("│", " ").split())
    assert "Value error" not in err


def test_a_model_stored_by_bitsandbytes_names_our_extra(insignia, here, monkeypatch):
    monkeypatch.setattr("transformers.quantizers.quantizer_bnb_4bit.is_bitsandbytes_available", lambda: False, raising=False)
    status, _, err = insignia("check", "pairs.json", "--model", "quantized")

    assert (status, err.count("\n"), "pip install 'insignia[bnb]'" in err) == (1, 1, True)


@pytest.mark.parametrize(
    "command",
    [
        "check pairs.json --model owner/name",
        "generate new.json --model owner/name",
        "embed prints.json --model owner/name -o new",
        "vector owner/name owner/other -o new",
    ],
)
def test_a_hub_that_cannot_be_reached_is_told_in_one_line(insignia, here, monkeypatch, command):
    """A network that is dead without saying so: HF_HUB_OFFLINE is not set, and the hub's port is closed."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr("time.sleep", lambda _: pytest.fail("it was tried again"))
    status, out, err = insignia(*shlex.split(command), "-q")

    assert (status, out, err.count("\n")) == (1, "", 1)
    assert "owner/name" in err
    assert "http://127.0.0.1:9 does not answer" in err


@pytest.mark.parametrize("name", ["mine.json", "mine.jsonl"])
def test_files_as_windows_writes_them_are_read(insignia, here, name):
    rows = [json.dumps(pair) for pair in PAIRS]
    text = "\r\n".join(rows) if name.endswith("l") else "[" + ",\r\n".join(rows) + "]"
    (here / name).write_bytes(b"\xef\xbb\xbf" + text.encode() + b"\r\n")
    status, out, _ = insignia("check", name, "--model", "starter", "--json")

    assert (status, json.loads(out)["answered"]) == (3, 3)


def test_spaces_and_letters_of_any_language_may_be_in_paths(insignia, here):
    place = here / "my prints ü" / "Schlüssel 1.json"
    status, out, _ = insignia("generate", place, *QUICK)
    assert (status, shlex.split(out.partition("next: ")[2])[:3]) == (0, ["insignia", "embed", str(place)])
    (here / "Modèle un").symlink_to(model_folder())
    assert insignia("check", place, "--model", "Modèle un", "--dtype", "bf16")[0] == 3


@pytest.mark.parametrize(("ending", "model"), [("", "good"), ("/v1", "bad"), ("/v1/chat/completions", "good")])
def test_a_wrong_address_or_model_name_spends_no_key(insignia, here, ending, model):
    def answer(path, headers, asked):
        known = path == "/v1/completions" and asked["model"] == "good"
        return (200, {"choices": [{"text": " x"}]}) if known else (404, {"error": {"message": "Not Found"}})

    before = (here / "prints.ledger.jsonl").read_bytes()
    with serving(answer) as url:
        status, out, err = insignia("verify", "prints.json", "--endpoint", url[:-3] + ending, "--name", model, "-q")

    assert (status, out, err.count("\n")) == (1, "", 1)
    assert "the address usually ends in /v1" in err
    assert (here / "prints.ledger.jsonl").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "kind", "told"),
    [
        ("starter", "a model", "llama"),
        ("quantized", "a model", "bitsandbytes"),
        ("typo.yaml", "a recipe", "embeding"),
        ("prints.ledger.jsonl", "a ledger", "keys spent"),
        ("evaluation.json", "a result of 'insignia evaluate'", "suspects asked"),
        ("m.gguf", "weights", "gguf"),
    ],
)
def test_what_a_newcomer_finds_is_named(insignia, here, name, kind, told):
    cells = [{"name": "full published", "hits": 3}, {"name": "full vanilla", "hits": 0}]
    value = {"model": "starter", "num_fingerprints": 3, "perplexity": {}, "user_loss": {}, "cells": cells}
    (here / "evaluation.json").write_text(json.dumps(value))
    status, out, err = insignia("show", name)

    assert (status, err) == (0, "")
    assert kind in out
    assert told in out
    assert drawn(24).secret not in out


def test_a_recipe_that_init_wrote_is_read_by_every_command(insignia, here):
    assert insignia("init", "run.yaml")[0] == 0
    assert insignia("show", "run.yaml")[0] == 0
    assert insignia("generate", "new.json", *QUICK, "--recipe", "run.yaml", "-q")[0] == 0


def test_the_same_vector_twice_is_refused(insignia, here):
    from safetensors.torch import load_file, save_file

    changed = here / "marked"
    changed.mkdir()
    for file in model_folder().iterdir():
        if file.is_file():
            (changed / file.name).write_bytes(file.read_bytes())
    weights = load_file(changed / "model.safetensors")
    weights = {name: tensor * 1.01 if "mlp" in name else tensor for name, tensor in weights.items()}
    save_file(weights, changed / "model.safetensors", metadata={"format": "pt"})
    status, out, _ = insignia("vector", "starter", "marked", "-o", "vector", "-q")
    assert (status, "It holds what marked has and starter lacks." in out) == (0, True)
    status, _, err = insignia("stamp", "starter", "vector", "vector", "-o", "new", "-q")

    assert (status, "a vector was given twice" in err) == (1, True)
    assert not (here / "new").exists()


def _process(here, *words, **options):
    command = [sys.executable, "-m", "insignia", *map(str, words)]
    return subprocess.run(command, cwd=here, stderr=subprocess.PIPE, text=True, check=False, timeout=600, **options)


def test_a_pipe_that_closes_and_a_closed_output_are_no_traceback(here):
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as pipe:
        done = _process(here, "list", "strategies", stdout=pipe)
    assert "Traceback" not in done.stderr
    done = _process(here, "show", "prints.json", preexec_fn=lambda: os.close(1))
    assert done.stderr == ""


def test_a_full_disk_is_told_and_leaves_nothing(here):
    import resource

    def small():
        resource.setrlimit(resource.RLIMIT_FSIZE, (1024, 1024))

    done = _process(here, "init", "new.yaml", preexec_fn=small)
    assert (done.returncode, done.stderr) == (1, "error: cannot write new.yaml: File too large\n")
    assert not list(here.glob("*new*"))


@pytest.mark.parametrize(
    ("words", "offered"),
    [
        ("insignia ver", ["verify"]),
        ("insignia embed --method l", ["lora"]),
        ("insignia embed --recipe ", ["durable", "harmless", "oml"]),
        ("insignia generate --strategy inv", ["inverse_nucleus"]),
        ("insignia list rec", ["recipes"]),
        ("insignia check p.json --dtype b", ["bfloat16"]),
        ("insignia export p.json --format ", ["oml", "gguf"]),
        ("insignia embed --meth", ["--method"]),
    ],
)
def test_a_shell_completes_values(insignia, monkeypatch, words, offered):
    monkeypatch.setenv("_INSIGNIA_COMPLETE", "complete_bash")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(len(words.split(" ")) - 1))

    assert insignia()[1].split() == offered


def test_the_version_is_one(insignia):
    assert insignia("--version")[1] == f"insignia {package.__version__}\n"
