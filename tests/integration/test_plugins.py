"""Parts from files outside the package: the page about plug-ins is run as it is printed."""

import csv
import json
import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

import insignia as library
from documented_commands import PageRunner, outdated, write_files
from insignia.attacks.base import ATTACKS
from insignia.embedding import METHODS
from insignia.errors import InputError
from insignia.generation import STRATEGIES
from insignia.registry import load_plugin
from insignia.reporting.base import REPORTS
from insignia.statistics.nulls import NULLS, DesignNull
from insignia.suspects.base import SUSPECTS, RequestOptions
from insignia.suspects.scripted import ScriptedModel

PAGE = Path(__file__).resolve().parents[2] / "docs" / "how-to" / "write-a-plugin.md"
REGISTRIES = (STRATEGIES, METHODS, NULLS, SUSPECTS, ATTACKS, REPORTS)


@pytest.fixture(autouse=True)
def unregistered(monkeypatch):
    """Parts of a test are gone after it."""
    for registry in REGISTRIES:
        monkeypatch.setattr(registry, "_registered", {})
    known = set(sys.modules)
    yield
    for name in {name for name in sys.modules if name.startswith("insignia_plugin_")} - known:
        del sys.modules[name]


@pytest.fixture
def page(tmp_path, monkeypatch):
    """The page's text; its files are in the current folder."""
    monkeypatch.chdir(tmp_path)
    text = PAGE.read_text(encoding="utf-8")
    write_files(text, tmp_path)
    return text


@pytest.mark.slow
def test_a_strategy_a_method_a_null_and_a_report_format_of_plug_ins_go_the_whole_way(page, monkeypatch, made_once):
    results = PageRunner(monkeypatch, made_once, quick=True).run(PAGE)

    verbs = ["list", "generate", "embed", "check", "verify", "attack", "check", "verify"]
    assert [(result.verb, result.status) for result in results] == [(verb, 0) for verb in verbs], results
    assert outdated(page, results) == []
    prints = library.load_fingerprints("prints.json")
    assert (prints.strategy["name"], len(prints)) == ("riddles", 8)
    verdict = json.loads(Path("verdict.json").read_text())
    assert (verdict["outcome"], verdict["null"]) == ("owned", {"kind": "word_list", "bound": 0.004})
    assert "word_list" in verdict["sentence"]
    assert ["outcome", "owned"] in list(csv.reader(Path("verdict.csv").read_text().splitlines()))


class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(200)
        self.end_headers()
        answers = [response for key, response in self.server.answers.items() if key.startswith(body["text"])]
        self.wfile.write(json.dumps({"answer": answers[0] if answers else "I do not know."}).encode())

    def log_message(self, *_):
        pass


def test_a_suspect_of_a_plug_in_is_asked(page, starter):
    load_plugin(Path("my_api.py"))
    prints = library.generate(starter, num_fingerprints=8, secret=b"1" * 32)
    prints.save("prints.json")
    server = HTTPServer(("127.0.0.1", 0), Handler)
    server.answers = {fingerprint.key: fingerprint.responses[0] for fingerprint in prints}
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        spec = f"{{name: my_api, url: 'http://127.0.0.1:{server.server_port}'}}"
        verdict = library.Keyring.open("prints.json").verify(SUSPECTS.build(spec), alpha=1e-6)
    finally:
        server.shutdown()
        server.server_close()

    assert verdict.outcome == "owned"
    assert str(verdict) == verdict.sentence


def test_a_host_of_a_plug_in_goes_around_any_suspect(page):
    load_plugin(Path("two_attacks.py"))
    suspect = ATTACKS.build("shout").wrap(ScriptedModel(lambda question: question))

    assert [reply.text for reply in suspect.reply(["why?"], RequestOptions())] == ["WHY?"]
    assert suspect.name == "scripted behind shout"


def test_a_plug_in_is_loaded_once_and_its_faults_are_told(tmp_path, page):
    load_plugin(Path("riddles.py"))
    load_plugin(Path("riddles.py"))
    (tmp_path / "broken.py").write_text("import nothing_of_this_name")
    (tmp_path / "taken.py").write_text(Path("riddles.py").read_text().replace('"riddles"', '"english"'))
    (tmp_path / "nameless.py").write_text(
        Path("word_list.py").read_text().replace('name: Literal["word_list"] = "word_list"', "")
    )

    assert STRATEGIES.get("riddles").__name__ == "Riddles"
    for name, message in {
        "none.py": "there is no plug-in",
        "broken.py": "cannot be imported: No module named 'nothing_of_this_name'",
        "taken.py": "a strategy 'english' already",
        "nameless.py": "has no name",
    }.items():
        with pytest.raises(InputError, match=message):
            load_plugin(tmp_path / name)


def test_a_record_with_an_unknown_null_says_that_a_plug_in_is_missing():
    from insignia.verification.transcript import Rules

    rules = {
        "null": {"name": "theirs"},
        "match": {},
        "manner": {},
        "alpha": 0.1,
        "suspects": 1,
        "survival": 0.3,
        "futility": 0.1,
    }
    with pytest.raises(ValueError, match=r"unknown null 'theirs'.*--plugin"):
        Rules.model_validate(rules | {"cover": 0.0})
    known = Rules.model_validate(rules | {"null": {"name": "design", "candidates": 4}, "cover": 0.0})
    assert known.null == DesignNull(candidates=4)
    assert known.model_dump(mode="json")["null"] == {"name": "design", "candidates": 4, "accepted": 1, "looks": 1}
