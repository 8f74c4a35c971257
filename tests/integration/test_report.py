"""``insignia report``, from results that commands wrote."""

import json
import sys

import pytest

from disputed_set import NONCE, ask
from drawn_prints import drawn
from handed_results import embedding, evaluation, robustness
from insignia.evidence.bundle import disclose
from insignia.evidence.publication import publish
from insignia.figures import can_draw
from insignia.files import write_json
from insignia.fingerprints.sets import load_fingerprints
from insignia.suspects.base import Reply

needs_figures = pytest.mark.skipif(not can_draw(), reason="matplotlib is not installed")
PRINTS = drawn()


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a set, its commitment, and a bundle of a challenged test of a marked model."""
    monkeypatch.chdir(tmp_path)
    PRINTS.save("prints.json")
    signed = publish(PRINTS, {"model.safetensors": f"sha256:{'0' * 64}"})
    signed.save(tmp_path / "commitment.json")
    said = lambda number: Reply.said(f"{PRINTS.fingerprints[number].responses[0]} <b>indeed</b>")  # noqa: E731
    transcript = ask(PRINTS, said, tmp_path / "t.jsonl", root=signed.commitment.root)
    disclose(PRINTS, signed, transcript, nonce=NONCE).save(tmp_path / "bundle.json")
    return tmp_path


def holds_a_secret(text, prints=PRINTS):
    """Whether a key is on the page, or a response beside it."""
    return any(each.asked_key in text for each in prints)


def test_a_test_of_a_model_becomes_a_page_without_a_key(insignia, marked_starter, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    asked = ["verify", marked_starter.prints, "--model", marked_starter.model, "--transcript", "t.jsonl", "-o", "v.json"]
    assert insignia(*asked, "--control", "starter", "-q")[0] == 0
    assert insignia("report", "v.json", "-o", "v.md")[0] == 0
    assert insignia("report", "t.jsonl", "--prints", marked_starter.prints, "-o", "t.md")[0] == 0
    page, again = (tmp_path / "v.md").read_text(), (tmp_path / "t.md").read_text()

    for part in (f"The mark is in {marked_starter.model}.", "Control 1, starter: 0 of 6", "ranked the secret answer"):
        assert part in page
    assert page.partition("## For experts")[0] == again.partition("## For experts")[0]
    prints = load_fingerprints(marked_starter.prints)
    assert not holds_a_secret(page + again, prints)
    assert not any(f" {response} " in page for each in prints for response in each.responses)


def test_a_bundle_is_audited_and_shows_no_key_unless_asked(insignia, here):
    status, out, _ = insignia("report", "bundle.json", "--commitment", "commitment.json", "--challenge", NONCE, "-o", "b.md")
    page = (here / "b.md").read_text()
    assert status == 0
    assert out.splitlines() == [
        "The audit of bundle.json: The mark is in api.",
        "b.md: No key and no response is in it.",
    ]
    assert "An audit of the owner's evidence says so." in page
    assert f"insignia audit bundle.json --commitment commitment.json --challenge '{NONCE}'" in page
    assert "nobody compared it" not in page
    assert not holds_a_secret(page)

    assert insignia("report", "bundle.json", "--show-keys", "-o", "keys.md")[0] == 0
    opened = (here / "keys.md").read_text()
    assert sum(each.asked_key in opened for each in PRINTS) == 8
    assert r"\<b>indeed" in opened
    assert "keep it as you keep the bundle" in opened
    assert "nobody compared it" in opened
    assert (here / "keys.md").stat().st_mode & 0o777 == 0o600


def test_a_stricter_judge_reads_why_nothing_is_decided(insignia, here):
    assert insignia("report", "bundle.json", "--alpha", "1e-12", "-o", "b.md")[0] == 0
    page = (here / "b.md").read_text()

    assert "Nothing is decided about api." in page
    assert "Not accepted: the p-value is 4.2e-09; the judge requires 1e-12" in page


@needs_figures
def test_all_kinds_are_one_web_page(insignia, here):
    write_json(here / "embed.json", embedding().model_dump(mode="json"))
    (here / "study").mkdir()
    write_json(here / "study" / "evaluation.json", evaluation().model_dump(mode="json"))
    (here / "grid").mkdir()
    write_json(here / "grid" / "robustness.json", robustness().model_dump(mode="json"))
    files = ["bundle.json", "study", "grid", "embed.json"]
    status, out, _ = insignia("report", *files, "-o", "all.html", "--title", "<All> of it", "--json")
    page = (here / "all.html").read_text(encoding="utf-8")

    assert status == 0
    assert [result["answer"] for result in json.loads(out)["results"]] == [
        "The mark is in api.",
        "All of 3 suspects did as expected.",
        "The mark harmless is still proven after 2 of 3 attacks.",
        "The marked model answers 100.0 % of 64 fingerprints.",
    ]
    assert "<title>&lt;All&gt; of it</title>" in page
    assert page.count("<svg") == 5
    assert not holds_a_secret(page)
    assert not {"<script", "<img", "<link", "<iframe", "http-equiv=refresh"} & set(page.split())
    assert len(page.encode()) < 200_000


def test_nothing_is_written_where_something_is_wrong(insignia, here):
    bundle = (here / "bundle.json").read_text()
    (here / "forged.json").write_text(bundle.replace('"hits":8', '"hits":9'))
    (here / "taken.md").write_text("mine")
    before = sorted(path.name for path in here.iterdir())
    for arguments, words in (
        (["forged.json", "-o", "r.md"], "a signature is invalid"),
        (["t.jsonl", "-o", "r.md"], "by --prints"),
        (["prints.json", "-o", "r.md"], "which is secret"),
        (["bundle.json", "missing.json", "-o", "r.md"], "there is no file missing.json"),
        (["bundle.json", ".", "-o", "r.md"], "no evaluation.json"),
        (["bundle.json", "bundle.json", "-o", "r.md"], "named twice"),
        (["bundle.json", "-o", "r.pdf"], "ends in one of .html"),
        (["bundle.json", "-o", "taken.md"], "exists"),
        (["bundle.json", "-o", "bundle.json", "--force"], "one of the files to tell of"),
    ):
        status, out, err = insignia("report", *arguments)
        assert (status, out, err.count("\n")) == (1, "", 1), arguments
        assert words in err
    assert sorted(path.name for path in here.iterdir()) == before
    assert insignia("report", "bundle.json", "-o", "taken.md", "--force")[0] == 0
    assert (here / "taken.md").read_text().startswith("# The audit of bundle.json")


def test_without_matplotlib_a_page_in_markdown_is_left(insignia, here, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    status, _, err = insignia("report", "bundle.json", "-o", "b.html")

    assert (status, err.count("\n")) == (1, 1)
    assert "pip install 'insignia[report]'" in err
    assert not (here / "b.html").exists()
    assert insignia("report", "bundle.json", "-o", "b.md")[0] == 0
