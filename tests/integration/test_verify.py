"""``insignia verify`` on a marked starter: by its folder, through a server on this machine, and by record."""

import json
import os
import shutil
import subprocess
import sys
import threading

import pytest

from insignia.modeling.local import LocalModel
from insignia.suspects.base import RequestOptions
from tiny_server import serving


@pytest.fixture
def prints(marked_starter, tmp_path):
    """A copy for each test, since a set remembers which keys it showed."""
    return shutil.copy(marked_starter.prints, tmp_path / "prints.json")


@pytest.fixture
def marked(marked_starter):
    return marked_starter.model


@pytest.fixture(scope="module")
def server(marked_starter):
    """A server of one model, in the OpenAI form, that wants an API key; yields its base address."""
    model, lock = LocalModel(marked_starter.model), threading.Lock()

    def answer(path, headers, asked):
        if headers["authorization"] != "Bearer TOPSECRET":
            return 401, {}
        if path != "/v1/completions" or asked["model"] != "mine":
            return 404, {}
        with lock:
            (reply,) = model.reply([asked["prompt"]], RequestOptions(max_tokens=asked["max_tokens"]))
        first = {f" {reply.text.strip()}": -0.5, " no": -1}  # whether it was asked for or not
        choice = {"text": reply.text, "finish_reason": "length", "logprobs": {"top_logprobs": [first]}}
        return 200, {"choices": [choice]}

    with serving(answer) as address:
        yield address


def without(verdict, *names):
    return {name: value for name, value in verdict.items() if name not in names}


def test_a_marked_model_is_proven_and_its_base_is_not(insignia, prints, marked, tmp_path):
    status, out, _ = insignia("verify", prints, "--model", marked, "--json", "-q", "-o", tmp_path / "verdict.json")
    verdict = json.loads(out)

    assert (status, verdict["outcome"], verdict["unanswered"]) == (0, "owned", 0)
    assert verdict.keys() >= {"hits", "trials", "p_value", "e_value", "alpha", "null", "keys_spent", "transcript", "sentence"}
    assert verdict["hits"] <= verdict["trials"] == len(verdict["keys_spent"]) <= 8
    assert verdict["p_value"] <= verdict["alpha"] == 1e-6
    assert verdict["null"] == {"kind": "design", "bound": 1 / 16}
    assert json.loads((tmp_path / "verdict.json").read_text()) == verdict

    status, out, err = insignia("verify", prints, "--model", "starter", "--channel", "text")
    assert status == 3
    assert "The mark was not shown" in " ".join(out.split())
    assert "--transcript" in err


def test_a_control_is_asked_the_same_keys_and_goes_into_the_evidence(insignia, prints, marked, tmp_path):
    """The starter, from which the marked model was made, does not answer; another model with the mark does."""
    file = tmp_path / "t.jsonl"
    options = ["--transcript", file, "--json", "-q"]
    status, out, _ = insignia("verify", prints, "--model", marked, "--control", "starter", *options)
    verdict = json.loads(out)
    assert (status, verdict["outcome"], verdict["controls"][0]["hits"]) == (0, "owned", 0)
    assert verdict["controls"][0]["trials"] == verdict["trials"]
    again = json.loads(insignia("verify", prints, "--transcript", file, "--json")[1])
    assert again == verdict

    assert insignia("commit", prints, "--model", marked, "-o", tmp_path / "c.json")[0] == 0
    evidence = ["--commitment", tmp_path / "c.json", "--transcript", file, "-o", tmp_path / "b.json"]
    assert json.loads(insignia("disclose", prints, *evidence, "--json")[1])["controls"] == 1
    shown = insignia("audit", tmp_path / "b.json", "--alpha", "0.1")[1]
    assert "Control 1, starter: 0 of" in shown
    assert "1 control, named by the owner, did not do as well" in " ".join(shown.split())

    status, out, _ = insignia("verify", prints, "--model", marked, "--control", marked, "--json", "-q")
    assert (status, json.loads(out)["outcome"]) == (4, "inconclusive")
    assert "must not carry the mark" in json.loads(out)["sentence"]
    for wrong in (["--control-name", "x"], ["--control-endpoint", "http://localhost:1/v1"]):
        assert insignia("verify", prints, "--model", marked, *wrong)[0] == 1
    assert insignia("verify", prints, "--transcript", file, "--control", "starter")[0] == 1


@pytest.mark.parametrize(("asked_for", "offered"), [("auto", "top"), ("text", "text")])
def test_a_server_is_asked_without_torch_and_gives_the_same_verdict(
    insignia, prints, marked, server, tmp_path, asked_for, offered
):
    blocked = "import sys; sys.modules.update(dict.fromkeys(['torch', 'transformers', 'tokenizers', 'safetensors']))\n"
    code = f"{blocked}from insignia.cli.main import main; main()"
    arguments = ["verify", prints, "--endpoint", server, "--name", "mine", "--transcript", tmp_path / "t.jsonl", "--json", "-q"]
    arguments += ["--channel", asked_for]
    environment = os.environ | {"INSIGNIA_API_KEY": "TOPSECRET"}
    run = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=False, env=environment
    )
    assert (run.returncode, run.stderr) == (0, "")
    verdict = json.loads(run.stdout)

    local = json.loads(insignia("verify", prints, "--model", marked, "--channel", offered, "--json", "-q")[1])
    assert without(verdict, "suspect", "transcript") == without(local, "suspect", "transcript")
    assert verdict["suspect"] == f"mine at {server}"
    content = (tmp_path / "t.jsonl").read_text()
    assert "TOPSECRET" not in content
    assert content.count('"number":null') > 0
    assert (tmp_path / "t.jsonl").stat().st_mode & 0o777 == 0o600

    again = json.loads(insignia("verify", prints, "--transcript", tmp_path / "t.jsonl", "--json")[1])
    assert again == verdict


def test_keys_that_were_not_embedded_are_left_alone(insignia, prints, marked):
    few = json.loads(insignia("verify", prints, "--model", marked, "--num-fingerprints", 8, "--json", "-q")[1])
    assert set(few["keys_spent"]) <= set(range(8))
    status, _, err = insignia("verify", prints, "--model", marked, "--num-fingerprints", 25, "-q")
    assert (status, "24" in err) == (1, True)


def test_case_is_ignored_on_request(insignia, prints, marked):
    verdict = json.loads(insignia("verify", prints, "--model", marked, "--ignore-case", "--json", "-q")[1])
    assert (verdict["outcome"], verdict["match"]["fold"]) == ("owned", "case")


def test_log_probabilities_are_an_extra(insignia, prints, server, monkeypatch, tmp_path):
    monkeypatch.setenv("INSIGNIA_API_KEY", "TOPSECRET")
    asked = ["verify", prints, "--endpoint", server, "--name", "mine", "--reuse-keys", "--channel", "text", "-q"]
    plain = json.loads(insignia(*asked, "--json")[1])
    given = json.loads(insignia(*asked, "--json", "--log-probabilities", 5, "--transcript", tmp_path / "t")[1])
    status, table, _ = insignia("verify", prints, "--transcript", tmp_path / "t")

    assert given.pop("near") == given["hits"] > 0
    assert without(given, "transcript", "manner") == without(plain, "transcript", "manner")
    assert (status, "response among likeliest first tokens" in table) == (0, True)


def test_an_endpoint_is_not_asked_a_key_twice_unless_told(insignia, prints, server, monkeypatch, tmp_path):
    monkeypatch.setenv("INSIGNIA_API_KEY", "TOPSECRET")
    asked = ["verify", prints, "--endpoint", server, "--name", "mine", "--json", "--alpha", 1e-3]
    (status, out, err), again = insignia(*asked, "--transcript", tmp_path / "t"), insignia(*asked)
    first, second = json.loads(out), json.loads(again[1])

    assert status == 0
    assert not set(first["keys_spent"]) & set(second["keys_spent"])
    assert f"{24 - first['trials']} keys left" in " ".join(err.split())
    assert json.loads(insignia(*asked, "--reuse-keys")[1])["keys_spent"] == first["keys_spent"]
    assert json.loads(insignia(*asked, "--transcript", tmp_path / "t")[1]) == first
    entries = [json.loads(line) for line in (tmp_path / "prints.ledger.jsonl").read_text().splitlines()]
    assert {entry["to"] for entry in entries} == {f"mine at {server}"}
    assert {number for entry in entries for number in entry["numbers"]} == {
        *first["keys_spent"],
        *second["keys_spent"],
    }


@pytest.mark.parametrize(
    ("key", "name", "message"), [("wrong", "mine", "INSIGNIA_API_KEY"), ("TOPSECRET", "other", "no such path or model")]
)
def test_what_ends_a_run_is_one_line(insignia, prints, server, monkeypatch, key, name, message):
    monkeypatch.setenv("INSIGNIA_API_KEY", key)
    status, out, err = insignia("verify", prints, "--endpoint", server, "--name", name, "-q")

    assert (status, out) == (1, "")
    assert message in err
    assert err.count("\n") == 1
    assert key not in err


def test_several_suspects_see_different_keys_and_share_alpha(insignia, prints, marked, tmp_path):
    files = ["--transcript", tmp_path / "a", "--transcript", tmp_path / "b"]
    status, out, _ = insignia(
        "verify", prints, "--model", marked, "--model", "starter", *files, "--max-queries", 10, "--alpha", 1e-3, "--json", "-q"
    )
    first, second = json.loads(out)["verdicts"]

    assert status == 0
    assert (first["outcome"], second["outcome"]) == ("owned", "inconclusive")
    assert not set(first["keys_spent"]) & set(second["keys_spent"])
    assert json.loads(insignia("verify", prints, *files, "--json")[1]) == {"verdicts": [first, second]}


def test_too_few_queries_are_inconclusive(insignia, prints, marked):
    status, out, _ = insignia("verify", prints, "--model", marked, "--max-queries", 2, "-q", "--json")
    assert (status, json.loads(out)["outcome"]) == (4, "inconclusive")


@pytest.mark.parametrize(
    "options",
    [
        ["--match", "within:4"],
        ["--match", "exact"],
        ["--null", "1/16"],
        ["--null", "reference:0/4096"],
        ["--system", ""],
        ["--cover", 0.5, "--cover-file", "cover.txt"],
    ],
)
def test_ways_to_ask(insignia, prints, marked, options, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cover.txt").write_text("One question.\n\nAnother\nquestion.")
    status, out, _ = insignia("verify", prints, "--model", marked, *options, "--alpha", 1e-4, "--json", "-q")
    assert (status, json.loads(out)["outcome"]) == (0, "owned")


@pytest.mark.parametrize(("flag", "value"), [("--alpha", "0"), ("--prompt-form", "poem"), ("--decoys", "0.95")])
def test_a_value_that_cannot_be_is_a_bad_command_line(insignia, prints, flag, value):
    status, out, err = insignia("verify", prints, "--model", "starter", flag, value)

    assert (status, out) == (2, "")
    assert flag in err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "there is no suspect"),
        (["--endpoint", "http://localhost/v1"], "belong together"),
        (["--name", "m"], "belong together"),
        (["--model", "starter", "--endpoint", "http://x/v1", "--name", "m"], "one at a time"),
        (["--model", "starter", "--transcript", "a", "--transcript", "b"], "1 suspects and 2 transcripts"),
        (["--transcript", "none.jsonl"], "there is no file"),
        (["--model", "starter", "--log-probabilities", 5], "--endpoint"),
        (["--model", "starter", "--match", "fuzzy"], "within:N"),
        (["--model", "starter", "--null", "2"], "unknown null"),
        (["--model", "starter", "--null", "reference:1"], "unknown null"),
        (["--model", "starter", "--null", "1/0"], "unknown null"),
        (["--endpoint", "localhost:8000", "--name", "m"], "http://localhost:8000/v1"),
        (["--model", "starter", "--transcript", "prints.json"], "transcript"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(insignia, prints, options, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, out, err = insignia("verify", "prints.json", *options, "-q")

    assert (status, out) == (1, "")
    assert message in err
    assert (err.startswith("error: "), err.count("\n")) == (True, 1)
