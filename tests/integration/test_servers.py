"""Real servers of a marked model, started here: ``make test-server``."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from typing import NamedTuple

import pytest

from insignia.records import Candidate
from insignia.starter import heldout_paragraphs
from insignia.suspects.base import CHANNELS, Inquiry, RequestOptions
from insignia.suspects.endpoint import Endpoint
from llama_cpp import LlamaServer

pytestmark = [pytest.mark.server, pytest.mark.timeout(600)]

NEAR = 0.02  # in log-probability, by which llama.cpp rounds otherwise
START_S = 180  # transformers takes 11 s on an idle machine


class Server(NamedTuple):
    url: str
    name: str


@pytest.fixture
def prints(marked_starter, tmp_path):
    """A copy for each test, since a set remembers which keys it showed."""
    return shutil.copy(marked_starter.prints, tmp_path / "prints.json")


@pytest.fixture(scope="module")
def transformers_serve(marked_starter, tmp_path_factory):
    folder = tmp_path_factory.mktemp("serve")
    (folder / "hub").mkdir()  # without it, the list of models is an error
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(marked_starter.model)]
    environment = os.environ | {"HF_HOME": str(folder), "HF_HUB_OFFLINE": "1"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)], env=environment, stdout=log, stderr=subprocess.STDOUT
        )
    try:
        _wait_for(f"http://127.0.0.1:{port}/health", process, folder / "log")
        yield Server(f"http://127.0.0.1:{port}/v1", str(marked_starter.model))
    finally:
        process.terminate()
        process.wait(30)


@pytest.fixture(scope="module")
def llama_serve(marked_starter, tmp_path_factory):
    """Start llama.cpp on an export of a model, each once."""
    folder = tmp_path_factory.mktemp("gguf")
    started = {}

    def serve(model, outtype="auto"):
        if (model, outtype) not in started:
            file = folder / f"{len(started)}.gguf"
            command("export", model, "-o", file, "--format", "gguf", "--outtype", outtype).communicate()
            started[model, outtype] = LlamaServer(file)
        return Server(f"{started[model, outtype].address}/v1", "any")

    return serve


def _wait_for(url, process, log):
    for _ in range(START_S):
        assert process.poll() is None, log.read_text()
        try:
            with urllib.request.urlopen(url, timeout=5):  # noqa: S310  an address of ours
                return
        except OSError:
            time.sleep(1)
    pytest.fail(f"the server did not start in {START_S} s: {log.read_text()}")


def command(*arguments):
    code = "from insignia.cli.main import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


def verify(*arguments):
    run = command("verify", *arguments, "--json", "-q")
    out, err = run.communicate()
    return run.returncode, json.loads(out) if out else None, err


def at(server, **options):
    return ["--endpoint", server.url, "--name", options.get("name", server.name)]


def facts(verdict):
    return {name: value for name, value in verdict.items() if name not in {"suspect", "transcript"}}


@pytest.mark.parametrize("channel", ["choice", "text"])
def test_the_server_gets_the_verdict_of_the_folder(marked_starter, prints, transformers_serve, channel):
    status, verdict, err = verify(prints, *at(transformers_serve), "--channel", channel)
    _, local, _ = verify(prints, "--model", marked_starter.model, "--channel", channel)

    assert (status, verdict["outcome"], err) == (0, "owned", "")
    assert facts(verdict) == facts(local)


@pytest.mark.parametrize("server", ["transformers", "llama.cpp"])
def test_check_of_a_server_is_check_of_the_folder(marked_starter, prints, request, server):
    served = (
        request.getfixturevalue("llama_serve")(marked_starter.model)
        if server == "llama.cpp"
        else request.getfixturevalue("transformers_serve")
    )
    told = command("check", prints, *at(served), "--own-server", "--json", "-q").communicate()[0]
    known = command("check", prints, "--model", marked_starter.model, "--json", "-q").communicate()[0]
    there, here = json.loads(told), json.loads(known)

    assert (there["by"], there["hits"], there["answered"]) == ("text", here["hits"], here["answered"])
    assert not prints.with_name("prints.ledger.jsonl").exists()


def test_a_killed_run_goes_on_to_the_same_questions(prints, transformers_serve, tmp_path):
    def entries(file):
        return [{**json.loads(line), "previous": ""} for line in file.read_text().splitlines()[1:]]

    def planned(file, innocent):
        """All but the innocent question that each run begins with."""
        found = entries(file)
        return [entry for place, entry in enumerate(found) if place not in innocent]

    asked = [prints, *at(transformers_serve), "--reuse-keys", "--transcript"]
    _, whole, _ = verify(*asked, tmp_path / "whole")
    killed = command("verify", *asked, tmp_path / "killed", "--requests-per-second", 2, "-q")
    while killed.poll() is None and not (
        (tmp_path / "killed").exists() and len((tmp_path / "killed").read_bytes().split(b"\n")) > 4
    ):
        time.sleep(0.05)
    killed.kill()
    killed.communicate()
    kept = entries(tmp_path / "killed")
    _, verdict, _ = verify(*asked, tmp_path / "killed")

    assert 0 < len(kept) < len(entries(tmp_path / "whole"))
    assert planned(tmp_path / "killed", {0, len(kept)}) == planned(tmp_path / "whole", {0})
    assert facts(verdict) == facts(whole)


def test_a_chat_is_understood(prints, transformers_serve):
    """The mark was made for raw text and need not answer here; the server must."""
    _, verdict, _ = verify(prints, *at(transformers_serve), "--prompt-form", "chat", "--system", "Be brief.")

    assert verdict["trials"] > 0
    assert verdict["unanswered"] < verdict["trials"]


def test_another_name_ends_the_run_in_one_line(prints, transformers_serve):
    status, _, err = verify(prints, *at(transformers_serve, name="other"))

    assert status == 1
    assert "--name" in err or "no such path or model" in err
    assert err.count("\n") == 1


@pytest.mark.parametrize("channel", CHANNELS)
def test_llama_cpp_gets_the_verdict_of_the_folder(marked_starter, prints, llama_serve, channel):
    status, verdict, err = verify(prints, *at(llama_serve(marked_starter.model)), "--channel", channel)
    _, local, _ = verify(prints, "--model", marked_starter.model, "--channel", channel)

    assert (status, verdict["outcome"], err) == (0, "owned", "")
    assert facts(verdict) == facts(local)


@pytest.mark.parametrize("channel", CHANNELS)
def test_llama_cpp_accuses_no_unmarked_model(prints, llama_serve, channel):
    status, verdict, err = verify(prints, *at(llama_serve("starter")), "--channel", channel)
    _, local, _ = verify(prints, "--model", "starter", "--channel", channel)

    assert (status, verdict["outcome"], err) in {(3, "not_shown", ""), (4, "inconclusive", "")}
    assert channel != "text" or facts(verdict) == facts(local)  # elsewhere rounding decides between near ties


def test_a_quantised_suspect_is_recognised(marked_starter, prints, llama_serve):
    status, verdict, _ = verify(prints, *at(llama_serve(marked_starter.model, "q8_0")))

    assert (status, verdict["outcome"]) == (0, "owned")


def test_llama_cpp_understands_a_chat(marked_starter, prints, llama_serve):
    """As above: the server must answer, in the template that the file has."""
    _, verdict, _ = verify(prints, *at(llama_serve(marked_starter.model)), "--prompt-form", "chat", "--system", "Be brief.")

    assert verdict["trials"] > 0
    assert verdict["unanswered"] < verdict["trials"]


@pytest.fixture(scope="module")
def local():
    from insignia.modeling.local import LocalModel

    return LocalModel("starter")


HANDICAPS = tuple(1.37 * (number % 4) for number in range(16))


def totals(asked, own):
    """The scores of the candidates and their handicaps."""
    return [
        {text: score + extra for (text, score), extra in zip(scores.items(), each.handicaps, strict=True)}
        for each, scores in zip(asked, own, strict=True)
    ]


def inquiries(local):
    """Beginnings of documentation, and words that may follow them, more or less likely. Some begin with other tokens."""
    words = " number, value, list, of, same, is, file, new, size, bytes, given, current, result, the,., (".split(",")
    ids = [local.tokenizer(word, add_special_tokens=False).input_ids for word in words]
    candidates = tuple(Candidate(text=word, token_id=token) for word, (token,) in zip(words, ids, strict=True))
    questions = [" ".join(paragraph.split()[:8]) for paragraph in heldout_paragraphs()[:40]]
    return [Inquiry(question, candidates, HANDICAPS) for question in questions]


def scores_of(local, asked, options):
    """The local model's score of each candidate, by its text."""
    weighed = zip(asked, local.weigh(asked, options, "scores"), strict=True)
    return [dict(zip([each.text for each in inquiry.candidates], reply.scores, strict=True)) for inquiry, reply in weighed]


@pytest.mark.parametrize("form", ["raw", "chat"])
def test_llama_cpp_tells_what_the_model_says_by_every_channel(local, llama_serve, form):
    asked, options = inquiries(local), RequestOptions(form=form)
    own = scores_of(local, asked, options)
    with contextlib.closing(Endpoint(llama_serve("starter", "f32").url, model="any")) as suspect:
        scores, top, chosen = (list(suspect.weigh(asked, options, channel)) for channel in ("scores", "top", "choice"))

    for reply, wanted in zip(scores, own, strict=True):
        differences = [there - here for there, here in zip(reply.scores, wanted.values(), strict=True)]
        assert differences == pytest.approx([differences[0]] * len(wanted), abs=NEAR)
    for reply, wanted in zip(top, local.weigh(asked, options, "top"), strict=True):
        shown, known = ([each.log_probability for each in one.alternatives] for one in (reply, wanted))
        assert shown == pytest.approx(known, abs=NEAR)
        first = wanted.alternatives[0].text
        assert reply.alternatives[0].text in {first, ""} or known[0] - known[1] < NEAR  # special tokens have no text there
    for reply, wanted in zip(chosen, totals(asked, own), strict=True):
        assert wanted[reply.text] > max(wanted.values()) - NEAR


@pytest.mark.parametrize("form", ["raw", "chat"])
def test_transformers_serve_offers_a_forced_choice_alone(marked_starter, transformers_serve, form):
    from insignia.modeling.local import LocalModel

    local = LocalModel(marked_starter.model, dtype="checkpoint")  # as it is served
    asked, options = inquiries(local), RequestOptions(form=form)
    with contextlib.closing(Endpoint(transformers_serve.url, model=transformers_serve.name)) as suspect:
        closed = [reply for channel in ("scores", "top") for reply in suspect.weigh(asked, options, channel)]
        chosen = list(suspect.weigh(asked, options, "choice"))

    assert {reply.status for reply in closed} == {"unanswered"}
    for reply, wanted in zip(chosen, totals(asked, scores_of(local, asked, options)), strict=True):
        assert wanted[reply.text] > max(wanted.values()) - 5 * NEAR  # it computes in half precision
