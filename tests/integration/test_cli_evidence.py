"""From a set to a judge, by commands: commit, disclose, audit, and the independent script in a process of its own."""

import hashlib
import json
import shutil
import subprocess
import sys

import pytest

from disputed_set import AUDIT_SCRIPT, NONCE, ask
from drawn_prints import chained, drawn
from insignia.cli.main import main
from insignia.evidence.timestamp import timestamp_request
from insignia.statistics.nulls import DeclaredNull
from insignia.suspects.base import Reply, RequestOptions
from insignia.verification.protocol import rules_for
from time_stamping import Authority

PRINTS = drawn()


@pytest.fixture
def insignia(monkeypatch, capsys, tmp_path):
    """Run the command in a folder with a set and a model; returns (exit status, standard output, standard error)."""
    monkeypatch.chdir(tmp_path)
    PRINTS.save("prints.json")
    (tmp_path / "marked").mkdir()
    (tmp_path / "marked" / "model.safetensors").write_text("weights")

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["insignia", *map(str, arguments)])
        with pytest.raises(SystemExit) as caught:
            main()
        captured = capsys.readouterr()
        assert not any(fingerprint.key in captured.out + captured.err for fingerprint in PRINTS)
        return caught.value.code or 0, captured.out, captured.err

    return run


@pytest.fixture
def root(insignia, tmp_path):
    options = ["--model", "marked", "-o", "commitment.json", "--timestamp-request", "request.tsq"]
    status, out, _ = insignia("commit", "prints.json", *options, "--json")
    assert status == 0
    assert hashlib.sha256((tmp_path / "commitment.json").read_bytes()).digest() in (tmp_path / "request.tsq").read_bytes()
    return json.loads(out)["root"]


def test_a_judge_is_convinced_offline(insignia, root, tmp_path):
    ask(PRINTS, lambda number: Reply.said(PRINTS.fingerprints[number].responses[0]), tmp_path / "t.jsonl", root=root)
    evidence = ["--commitment", "commitment.json", "--challenge", NONCE]
    status, out, _ = insignia("disclose", "prints.json", *evidence, "--transcript", "t.jsonl", "-o", "bundle.json", "--json")
    made = json.loads(out)
    assert (status, made["outcome"], made["hits"], len(made["opened"])) == (0, "owned", 8, 8)
    assert (tmp_path / "bundle.json").stat().st_mode & 0o777 == 0o600
    (spent,) = map(json.loads, (tmp_path / "prints.ledger.jsonl").read_text().splitlines())
    assert (spent["numbers"], spent["to"]) == (made["opened"], "readers of bundle.json")

    status, out, _ = insignia("audit", "bundle.json", *evidence, "--json")
    found = json.loads(out)
    assert (status, found["outcome"], found["root"], found["challenge"]) == (0, "owned", root, NONCE)
    assert found["p_value"] == made["p_value"] < 1e-6
    assert found["weights"].keys() == {"model.safetensors"}
    status, out, _ = insignia("audit", "bundle.json")
    out = " ".join(out.split())
    assert status == 0
    assert "--commitment" in out
    assert "raw, likeliest tokens, at most 16 tokens" in out.replace("│ │ ", "")
    assert "No control was asked" in out
    assert found["manner"]["system"] is None
    assert found["match"] == {"how": "prefix", "looks": 1, "fold": "alike"}
    assert "The mark is there: 8 of 8" in out
    assert "No hash binds the responses" in out

    script = [sys.executable, "-I", AUDIT_SCRIPT, "bundle.json", *evidence]
    done = subprocess.run(script, capture_output=True, text=True, check=False, timeout=600)
    assert (done.returncode, json.loads(done.stdout)["outcome"]) == (0, "owned")


def test_a_judge_who_asks_for_more_is_told_why_nothing_is_decided(insignia, root, tmp_path):
    ask(PRINTS, lambda number: Reply.said(PRINTS.fingerprints[number].responses[0]), tmp_path / "t.jsonl", root=root)
    evidence = ["--commitment", "commitment.json", "--challenge", NONCE]
    assert insignia("disclose", "prints.json", *evidence, "--transcript", "t.jsonl", "-o", "bundle.json")[0] == 0
    script = [sys.executable, "-I", AUDIT_SCRIPT, "bundle.json"]
    for options in (["--alpha", "1e-12"], ["--accept-null", "reference"]):
        status, out, _ = insignia("audit", "bundle.json", *evidence, *options, "--json")
        found = json.loads(out)
        assert (status, found["outcome"], len(found["reasons"])) == (4, "inconclusive", 1)
        assert found["claimed"]["outcome"] == "owned"
        assert subprocess.run([*script, *options], capture_output=True, check=False, timeout=600).returncode == 4
    for options, code in ((["--alpha", "2"], 2), (["--alpha", "nan"], 2), (["--accept-null", "wishful"], 1)):
        status, out, err = insignia("audit", "bundle.json", *options)
        assert (status, out, options[0] in err) == (code, "", True)


def test_what_the_owner_chose_is_in_the_table_and_in_the_sentences(insignia, root, tmp_path):
    rules = rules_for(PRINTS, null=DeclaredNull(chance=0.001), manner=RequestOptions(system="Be kind.", temperature=0.5))
    answers = lambda number: Reply.said(PRINTS.fingerprints[number].responses[0])  # noqa: E731
    ask(PRINTS, answers, tmp_path / "t.jsonl", order=range(64), rules=rules)
    options = ["--commitment", "commitment.json", "--transcript", "t.jsonl", "-o", "bundle.json"]
    assert insignia("disclose", "prints.json", *options)[0] == 0
    status, out, _ = insignia("audit", "bundle.json")
    for text in (
        "Be kind.",
        "temperature 0.5",
        "--accept-null",
        "--accept-manner",
        "declared by the owner",
        "come in runs",
        "choice of keys",
    ):
        assert text in " ".join(out.split()), text
    assert status == 4
    assert "Nobody can have made" not in out


@pytest.mark.parametrize(("count", "sentence"), [(8, "tried sets until one did as well: 2^32"), (24, "Nobody can have made")])
def test_an_audit_says_what_it_takes_to_fit_a_set_to_a_model(insignia, tmp_path, count, sentence):
    prints = chained()
    prints.save("chained.json")
    status, out, _ = insignia("commit", "chained.json", "--model", "marked", "-o", "commitment.json", "--json")
    published = json.loads(out)
    assert (status, published["chain"]) == (0, prints.chain)

    def says(number):
        return Reply.said(prints.fingerprints[number].responses[0])

    ask(prints, says, tmp_path / "t.jsonl", root=published["root"], count=count)
    evidence = ["--commitment", "commitment.json", "--challenge", NONCE]
    assert insignia("disclose", "chained.json", *evidence, "--transcript", "t.jsonl", "-o", "bundle.json")[0] == 0
    status, out, _ = insignia("audit", "bundle.json", *evidence)
    assert status == 0
    assert sentence in " ".join(out.split())
    found = json.loads(insignia("audit", "bundle.json", "--json")[1])
    assert found["grinding_bits"] == pytest.approx(count * 4)
    assert found["chain"] == prints.chain
    script = [sys.executable, "-I", AUDIT_SCRIPT, "bundle.json", *evidence]
    assert subprocess.run(script, capture_output=True, check=False, timeout=600).returncode == 0


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs the openssl command")
def test_a_time_stamp_travels_in_the_bundle_and_is_checked(insignia, root, tmp_path):
    pytest.importorskip("rfc3161_client")
    for name in ("authority", "other"):
        (tmp_path / name).mkdir()
    authority, other = Authority(tmp_path / "authority", "first"), Authority(tmp_path / "other", "other")
    (tmp_path / "answer.tsr").write_bytes(authority.answer((tmp_path / "request.tsq").read_bytes()))
    (tmp_path / "wrong.tsr").write_bytes(authority.answer(timestamp_request(b"another commitment")))
    (tmp_path / "roots.pem").write_bytes(authority.roots)
    (tmp_path / "others.pem").write_bytes(other.roots)
    ask(PRINTS, lambda number: Reply.said(PRINTS.fingerprints[number].responses[0]), tmp_path / "t.jsonl", root=root)
    options = ["--commitment", "commitment.json", "--transcript", "t.jsonl", "--challenge", NONCE]
    assert insignia("disclose", "prints.json", *options, "--timestamp", "answer.tsr", "-o", "bundle.json")[0] == 0
    assert insignia("disclose", "prints.json", *options, "-o", "bare.json")[0] == 0

    status, out, _ = insignia("audit", "bundle.json", "--timestamp-roots", "roots.pem", "--json")
    stamped = json.loads(out)["timestamp"]
    assert (status, stamped[-6:]) == (0, "+00:00")
    given = ["--timestamp", "answer.tsr", "--timestamp-roots", "roots.pem"]
    assert json.loads(insignia("audit", "bare.json", *given, "--json")[1])["timestamp"] == stamped
    assert stamped in insignia("audit", "bundle.json", "--timestamp-roots", "roots.pem")[1]
    assert "nobody trusted" in " ".join(insignia("audit", "bundle.json")[1].split())
    script = [sys.executable, "-I", AUDIT_SCRIPT, "bundle.json"]
    assert subprocess.run(script, capture_output=True, check=False, timeout=600).returncode == 0

    for arguments, message in {
        ("bundle.json", "--timestamp-roots", "others.pem"): "not signed by a trusted authority",
        ("bundle.json", "--timestamp", "wrong.tsr", "--timestamp-roots", "roots.pem"): "of other content",
        ("bare.json", "--timestamp-roots", "roots.pem"): "no time stamp in the bundle",
        ("bare.json", "--timestamp", "answer.tsr"): "--timestamp-roots",
    }.items():
        status, out, err = insignia("audit", *arguments)
        assert (status, out, err.count("\n"), message in err) == (1, "", 1, True), err


@pytest.mark.parametrize(
    ("reply", "status", "outcome"),
    [(Reply.said("No."), 3, "not_shown"), (Reply.unanswered("timed out"), 4, "inconclusive")],
)
def test_the_exit_status_is_the_verdicts(insignia, root, tmp_path, reply, status, outcome):
    ask(PRINTS, lambda number: reply, tmp_path / "t.jsonl", root=root, count=20)
    options = ["--commitment", "commitment.json", "--transcript", "t.jsonl", "-o", "bundle.json"]
    assert insignia("disclose", "prints.json", *options)[0] == 0
    assert insignia("audit", "bundle.json")[0] == status
    script = [sys.executable, "-I", AUDIT_SCRIPT, "bundle.json"]
    done = subprocess.run(script, capture_output=True, text=True, check=False, timeout=600)
    assert (done.returncode, json.loads(done.stdout)["outcome"]) == (status, outcome)


def test_a_changed_bundle_is_rejected_in_one_line(insignia, root, tmp_path):
    ask(PRINTS, lambda number: Reply.said("No."), tmp_path / "t.jsonl", root=root)
    options = ["--commitment", "commitment.json", "--transcript", "t.jsonl", "-o", "bundle.json"]
    assert insignia("disclose", "prints.json", *options)[0] == 0
    bundle = tmp_path / "bundle.json"
    bundle.write_text(bundle.read_text().replace("No.", "Yes", 1))

    status, out, err = insignia("audit", "bundle.json")
    assert (status, out, err.count("\n")) == (1, "", 1)
    script = [sys.executable, "-I", AUDIT_SCRIPT, "bundle.json"]
    done = subprocess.run(script, capture_output=True, text=True, check=False, timeout=600)
    assert (done.returncode, done.stdout, done.stderr.startswith("rejected: ")) == (1, "", True)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["commit", "part.json", "--model", "marked", "-o", "new"], "no secret"),
        (["commit", "prints.json", "--model", "none", "-o", "new"], "there is no folder none"),
        (["commit", "prints.json", "--model", "marked", "-o", "commitment.json"], "--force"),
        (["disclose", "prints.json", "--commitment", "t.jsonl", "--transcript", "t.jsonl", "-o", "new"], "t.jsonl"),
        (["disclose", "prints.json", "--commitment", "commitment.json", "--transcript", "no", "-o", "new"], "no file"),
        (["audit", "commitment.json"], "not an evidence bundle"),
        (["audit", "prints.json", "--commitment", "prints.json"], "not a commitment"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_and_nothing_is_written(insignia, root, tmp_path, arguments, message):
    ask(PRINTS, lambda number: Reply.said("No."), tmp_path / "t.jsonl", root=root)
    PRINTS.model_copy(update={"secret": None}).save("part.json")
    status, out, err = insignia(*arguments)

    assert (status, out, err.count("\n")) == (1, "", 1)
    assert message in err
    assert not (tmp_path / "new").exists()


def test_an_owner_and_an_auditor_need_no_torch_installed(insignia, root, tmp_path):
    """As ``verify --endpoint`` in test_verify.py: importing any of them is an error."""
    absent = ["torch", "transformers", "tokenizers", "safetensors", "accelerate", "peft", "pyrage", "rfc3161_client"]
    blocked = f"import sys; sys.modules.update(dict.fromkeys({absent}))\nfrom insignia.cli.main import main; main()"
    ask(PRINTS, lambda number: Reply.said(PRINTS.fingerprints[number].responses[0]), tmp_path / "t.jsonl", root=root)
    evidence = ["--commitment", "commitment.json", "--challenge", NONCE]
    for arguments in (
        ["commit", "prints.json", "--model", "marked", "-o", "again.json"],
        ["disclose", "prints.json", *evidence, "--transcript", "t.jsonl", "-o", "bundle.json"],
        ["audit", "bundle.json", *evidence],
    ):
        command = [sys.executable, "-c", blocked, *arguments]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=600)
        assert done.returncode == 0, done.stderr
    assert "The mark is there: 8 of 8" in done.stdout
