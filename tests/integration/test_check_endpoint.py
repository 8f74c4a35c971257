"""``check`` of a model behind a server says what ``check`` of its folder says."""

import json
import threading

import pytest
import torch

from insignia.suspects.base import RequestOptions
from tiny_server import serving


@pytest.fixture(scope="module")
def served(marked_starter):
    """The addresses of two servers of the marked model, one of text alone and one that scores prompts as vLLM does."""
    from insignia.modeling.local import LocalModel

    model, lock = LocalModel(marked_starter.model), threading.Lock()

    def told(prompt):
        ids = model.tokenizer(prompt, return_tensors="pt").input_ids
        with torch.no_grad():
            logs = model.model(ids).logits[0].log_softmax(-1)
        steps = [(i, model.tokenizer.decode(i), log) for i, log in zip(ids[0, 1:].tolist(), logs, strict=False)]
        return [None, *({str(i): place(text, log[i], int((log > log[i]).sum()))} for i, text, log in steps)]

    def place(text, log, above):
        return {"logprob": float(log), "rank": above + 1, "decoded_token": text}

    def text(path, headers, asked):
        assert headers["authorization"] == "Bearer TOPSECRET"
        if asked["model"] != "mine":
            return 404, {}
        prompts = asked["prompt"] if isinstance(asked["prompt"], list) else [asked["prompt"]]
        with lock:
            replies = list(model.reply(prompts, RequestOptions(max_tokens=asked["max_tokens"])))
        choices = [{"index": i, "text": each.text, "finish_reason": "length"} for i, each in enumerate(replies)]
        return 200, {"choices": choices}

    def scores(path, headers, asked):
        status, value = text(path, headers, asked)
        if status == 200 and "prompt_logprobs" in asked:
            with lock:
                for choice, prompt in zip(value["choices"], asked["prompt"], strict=True):
                    choice["prompt_logprobs"] = told(prompt)
        return status, value

    with serving(text) as by_text, serving(scores) as by_scores:
        yield {"text": by_text, "scores": by_scores}


@pytest.fixture
def check(insignia, monkeypatch, marked_starter):
    """``check(*arguments)``: the exit status and the object of a check of the first three fingerprints."""
    monkeypatch.setenv("INSIGNIA_API_KEY", "TOPSECRET")

    def run(*arguments):
        status, out, err = insignia("check", marked_starter.prints, "--num-fingerprints", 3, "--json", *arguments)
        assert "TOPSECRET" not in out + err
        return status, json.loads(out) if out else err

    return run


@pytest.mark.parametrize("by", [pytest.param("text", marks=pytest.mark.slow), "scores"])
def test_the_server_gets_the_report_of_the_folder(check, served, marked_starter, by):
    options = ["--base", "starter", "--use-augmentation-prompts"]
    status, report = check("--endpoint", served[by], "--name", "mine", "--own-server", *options)
    found, local = check("--model", marked_starter.model, *options)

    assert (status, report["by"], local["by"]) == (found, by, "tokens")
    same = {"fsr", "hits", "answered", "unanswered", "repeated", "templates", "base", "activations", "found"}
    assert {name: report[name] for name in same} == {name: local[name] for name in same}
    assert [each["hit"] for each in report["fingerprints"]] == [each["hit"] for each in local["fingerprints"]]
    if by == "scores":
        assert report["token_accuracy"] == local["token_accuracy"]
        assert [each["rank"] for each in report["fingerprints"]] == [each["rank"] for each in local["fingerprints"]]
        told, known = ([each["log_probability"] for each in of["fingerprints"]] for of in (report, local))
        assert told == pytest.approx(known, abs=1e-3)
    assert not marked_starter.prints.with_name("prints.ledger.jsonl").exists()


def test_what_text_does_not_tell_is_said_in_one_line(insignia, served, marked_starter, monkeypatch):
    monkeypatch.setenv("INSIGNIA_API_KEY", "TOPSECRET")
    asked = ["check", marked_starter.prints, "--num-fingerprints", 2, "--details", "-q"]
    _, out, _ = insignia(*asked, "--endpoint", served["scores"], "--name", "mine", "--own-server", "--channel", "text")

    assert "mine was asked for text, which tells neither ranks nor log-probabilities nor single tokens." in out


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--name", "mine"], "--own-server"),
        (["--name", "other", "--own-server"], "no such path or model"),
        (["--name", "mine", "--own-server", "--channel", "scores"], "does not score the tokens"),
        (["--name", "mine", "--own-server", "--max-response-length", 7], "need the tokenizer"),
        (["--name", "mine", "--own-server", "--adapter", "a", "--published", "b"], "on this machine"),
        ([], "belong together"),
    ],
)
def test_what_cannot_be_is_told_in_one_line(check, served, options, told):
    status, err = check("--endpoint", served["text"], *options)

    (line,) = [line for line in err.splitlines() if line.startswith("error: ")]  # beside what the stand-in says of hang-ups
    assert status == 1
    assert told in line


def test_several_processes_do_not_ask_one_server(check, served, monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")

    assert "ask a server from one process" in check("--endpoint", served["text"], "--name", "mine", "--own-server")[1]


def test_no_model_is_told(insignia, marked_starter):
    assert "give --model, or --endpoint and --name" in insignia("check", marked_starter.prints)[2]
