"""``insignia plan`` and ``null``: what a set can prove, and how innocent models are measured."""

import json
import shutil

import pytest

from drawn_prints import drawn
from insignia.fingerprints.sets import load_fingerprints
from insignia.keyring import ledger
from insignia.verification.innocents import resolve_null
from tiny_server import serving


@pytest.fixture
def prints(tmp_path):
    """64 drawn fingerprints, six of them spent."""
    path = tmp_path / "prints.json"
    drawn().save(path)
    ledger.record(path, drawn(), range(6), to="somebody")
    return path


@pytest.fixture
def own(marked_starter, tmp_path):
    """The pairs of the marked starter, whose responses count as chosen by the owner."""
    whole = load_fingerprints(marked_starter.prints)
    pairs = tuple(fingerprint.model_copy(update={"candidates": None}) for fingerprint in whole)
    whole.model_copy(update={"fingerprints": pairs}).save(tmp_path / "own.json")
    return tmp_path / "own.json"


@pytest.fixture
def server():
    """An innocent model behind an API, which never says a response; yields its address and the number of requests."""
    requests = []

    def answer(path, headers, asked):
        requests.append(asked)
        return 200, {"choices": [{"text": "I do not know.", "finish_reason": "stop"}]}

    with serving(answer) as address:
        yield address, requests


def words(text):
    return " ".join(text.split())


def test_a_bare_plan_is_for_what_a_bare_generate_makes(insignia):
    from insignia.generation import InverseNucleus
    from insignia.statistics.forecasts import plan
    from insignia.statistics.nulls import DesignNull

    status, out, _ = insignia("plan", "--json")
    made = plan(DesignNull(candidates=InverseNucleus().nucleus_k))
    assert (status, json.loads(out)) == (0, made.model_dump(mode="json"))


def test_a_plan_in_numbers(insignia):
    plan = json.loads(insignia("plan", "--alpha", "1e-6", "--survival", 0.3, "--null", "1/16", "--json")[1])

    assert plan["embed"] == plan["test"]["max_queries"] > plan["median"] > 6
    assert plan["power"] >= 0.95
    assert "fingerprints to make" in insignia("plan", "--null", "1/16", "--suspects", 2)[1]
    assert insignia("plan", "--null", "1/2")[0] == 1


def test_a_plan_says_which_options_verify_needs(insignia):
    usual = insignia("plan", "--null", "1/64")[1]
    hard = words(insignia("plan", "--null", "1/16", "--survival", 0.15, "--suspects", 2)[1])

    assert "insignia verify" not in usual
    assert "insignia verify --suspects 2 --survival 0.15 --max-queries" in hard


def test_a_plan_reads_a_set_and_its_ledger(insignia, prints):
    status, out, _ = insignia("plan", prints, "--json")
    found = json.loads(out)

    assert status == 0
    assert found["set"] == {
        "keys": 64,
        "spent": 6,
        "unspent": 58,
        "null": {"name": "design", "candidates": 16, "accepted": 1, "looks": 1},
    }
    assert [chance["survival"] for chance in found["outlook"]["chances"]] == [1.0, 0.9, 0.5, 0.3]
    assert (found["outlook"]["healthy"], found["outlook"]["tests"]) == (6, 9)
    assert (found["lost"], found["embed"]) == ("random", 78)  # these candidates may be what any model says
    assert json.loads(insignia("plan", prints, "--lost", "silent", "--json")[1])["embed"] == 33


def test_lost_fingerprints_of_an_inverse_nucleus_set_are_silent_and_on_the_starter_nearly_all_are(insignia, marked_starter):
    from insignia.modeling.local import LocalModel
    from insignia.verification.innocents import measuring_rules
    from insignia.verification.matching import expected_responses, find

    prints = load_fingerprints(marked_starter.prints)
    rules = measuring_rules(prints)
    replies = LocalModel("starter").reply([each.asked_key for each in prints], rules.manner)
    wanted = [expected_responses(fingerprint, prints.max_response_length, rules.match) for fingerprint in prints]

    assert json.loads(insignia("plan", marked_starter.prints, "--json")[1])["lost"] == "silent"
    met = [find(reply.text, each, rules.match).met for reply, each in zip(replies, wanted, strict=True)]
    assert sum(met) <= 2  # of 24; a word may begin with a candidate


def test_a_plan_of_a_set_in_words(insignia, prints):
    table = words(insignia("plan", prints, "--survival", 0.5)[1])

    for part in (
        "keys unspent 58",
        "9 (6 keys each)",
        "0.0625 (design)",
        "who is asked 58 of these keys at most",
        "any of its candidates",
    ):
        assert part in table


def test_a_set_without_candidates_is_told_how_to_measure_its_null(insignia, own):
    status, out, _ = insignia("plan", own)
    found = json.loads(insignia("plan", own, "--json")[1])

    assert status == 0
    assert "insignia null" in words(out)
    assert (found["set"]["null"], found["outlook"], found["embed"]) == (None, None, None)


def test_a_set_is_reported_on_even_where_no_plan_helps(insignia, prints):
    status, out, _ = insignia("plan", prints, "--null", "1/2")
    found = json.loads(insignia("plan", prints, "--null", "1/2", "--json")[1])

    assert (status, found["embed"], found["outlook"]["healthy"]) == (0, None, 25)
    assert "No number of fingerprints is enough" in words(out)


def test_plans_that_cannot_be_are_one_line(insignia, prints, tmp_path):
    for arguments in (["--lost", "loudly"], ["--alpha", 0], [prints, "--alpha", 2]):
        status, out, err = insignia("plan", *arguments)
        assert (status, out, arguments[-2] in err) == (2, "", True)
    for arguments in (
        ["--null", tmp_path / "none.json"],
        [tmp_path / "none.json"],
    ):
        status, out, err = insignia("plan", *arguments)
        assert (status, out, err.startswith("error: "), err.count("\n")) == (1, "", True, 1)


def test_pairs_of_the_owner_are_proven_against_a_null_measured_by_one_command(insignia, own, marked_starter, tmp_path):
    status, _, err = insignia("verify", own, "--model", marked_starter.model, "-q")
    assert status == 1
    assert "insignia null" in err

    file = tmp_path / "null.json"
    status, out, _ = insignia("null", own, "--model", "starter", "-o", file, "-q", "--alpha", 1e-3, "--risk", 1e-4)
    assert status == 0
    assert "--model SUSPECT --null" in out
    assert not (tmp_path / "own.ledger.jsonl").exists()

    status, out, _ = insignia("verify", own, "--model", marked_starter.model, "--null", file, "--alpha", 1e-3, "--json", "-q")
    assert (status, json.loads(out)["null"]["kind"]) == (0, "reference")
    assert insignia("verify", own, "--model", "starter", "--null", file, "--alpha", 1e-3, "-q")[0] == 3
    assert json.loads(insignia("plan", own, "--null", file, "--alpha", 1e-3, "--json")[1])["outlook"]["healthy"] > 0
    status, _, err = insignia("verify", own, "--model", "starter", "--null", file, "--match", "exact", "-q")
    assert (status, "measure the null again" in err) == (1, True)


def test_the_measured_null_as_an_argument_is_the_same(insignia, own, tmp_path):
    status, out, _ = insignia(
        "null", own, "--model", "starter", "--model", "starter", "--json", "-q", "-o", tmp_path / "null.json"
    )
    found = json.loads(out)

    (first, second) = found["models"]
    assert (status, first) == (0, second)
    assert (first["model"], first["hits"], first["trials"] + first["unanswered"]) == ("starter", 0, 24)
    assert found["null"] == f"reference:0/{first['trials']},0/{first['trials']}"
    assert resolve_null(found["null"]) == resolve_null(str(tmp_path / "null.json"))


def test_a_marked_model_is_no_innocent_and_the_result_says_that_it_is_worthless(insignia, own, marked_starter):
    out = words(insignia("null", own, "--model", marked_starter.model, "-q")[1])

    assert "too weak" in out


def test_an_endpoint_spends_the_keys_that_it_is_asked_and_no_more(insignia, prints, server):
    address, requests = server
    status, out, _ = insignia(
        "null", prints, "--endpoint", address, "--name", "a", "--name", "b", "--max-queries", 10, "--json", "-q"
    )

    assert (status, json.loads(out)["null"]) == (0, "reference:0/10,0/10")
    assert len(requests) >= 20
    assert len(ledger.spent(prints, load_fingerprints(prints))) == 16


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ([], "--model"),
        (["--endpoint", "http://127.0.0.1:9/v1"], "--name"),
        (["--model", "starter", "--endpoint", "http://127.0.0.1:9/v1", "--name", "m"], "either"),
        (["--endpoint", "http://127.0.0.1:9/v1", "--name", "m"], "58 are unspent"),
        (["--model", "starter", "--risk", "1e-6"], "below alpha"),
        (["--model", "starter", "--match", "fuzzy"], "within:N"),
        (["--model", "starter", "-o", "prints.json"], "prints.json"),
    ],
)
def test_what_cannot_be_measured_is_one_line_and_spends_nothing(insignia, prints, options, message, monkeypatch):
    monkeypatch.chdir(prints.parent)
    status, out, err = insignia("null", "prints.json", *options, "-q")

    assert (status, out, err.count("\n")) == (1, "", 1)
    assert message in err
    assert len(ledger.spent(prints, load_fingerprints(prints))) == 6


def test_a_verdict_says_keys_asked_where_a_folder_spends_none(insignia, marked_starter, tmp_path):
    prints = shutil.copy(marked_starter.prints, tmp_path / "prints.json")
    out = insignia("verify", prints, "--model", marked_starter.model, "--max-queries", 2, "-q")[1]

    assert "keys asked" in out
    assert "spent" not in out


def test_a_verdict_on_an_endpoint_says_that_its_keys_are_spent(insignia, prints, server):
    out = insignia("verify", prints, "--endpoint", server[0], "--name", "m", "--max-queries", 2, "-q")[1]

    assert "keys asked, and so spent" in words(out)
