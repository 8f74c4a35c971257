"""A marked model goes to a hub with its card and its commitment, and nothing else does."""

import json

import pytest

from drawn_prints import drawn
from insignia.errors import OutputError
from insignia.evidence.publication import publish as commit_to
from insignia.evidence.publication import weight_digests
from insignia.publishing.upload import publish
from insignia.vectors import vector
from tiny_checkpoints import moved, save_model, weights
from tiny_hub import tiny_hub

# huggingface_hub uploads by an argument that httpx2 deprecated
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def hub(monkeypatch):
    with tiny_hub(monkeypatch) as hub:
        yield hub


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A base with a card, a vector, and a commitment to the marked model."""
    monkeypatch.chdir(tmp_path)
    base = save_model(tmp_path / "base", weights(), shards=2)
    (base / "README.md").write_text("---\nlicense: mit\n---\n# Ours\n")
    marked = save_model(tmp_path / "marked", moved(weights()), shards=2)
    vector(base, marked, out=tmp_path / "vector")
    commit_to(drawn(4), weight_digests(marked)).save(tmp_path / "commitment.json")
    return tmp_path


def test_stamp_uploads_the_copy_with_its_card_and_commitment(insignia, hub, here):
    push = (
        "--push-to-hub",
        "owner/name",
        "--commitment",
        "commitment.json",
        "--base-model",
        "them/base",
        "--private-repository",
    )
    status, out, err = insignia("stamp", "base", "vector", "-o", "out", *push, "--json", "-q")

    assert (status, err) == (0, "")
    files = hub.repositories["owner/name"]
    root = json.loads((here / "commitment.json").read_text())["commitment"]["root"]
    assert files.keys() == {".gitattributes", "commitment.json", *(path.name for path in (here / "out").iterdir())}
    assert all(files[path.name] == path.read_bytes() for path in (here / "out").iterdir())
    assert files["commitment.json"] == (here / "commitment.json").read_bytes()
    card = files["README.md"].decode()
    assert card.startswith("---\nlicense: mit\nbase_model: them/base\nbase_model_relation: finetune\n")
    assert root in card
    assert "# Ours" in card
    assert hub.private == {"owner/name": True}
    assert hub.messages == ["Upload model"]
    assert {file["name"] for file in json.loads(out)["published"]["files"]} == files.keys() - {".gitattributes"}


def test_a_dry_run_says_what_would_be_uploaded_and_asks_nobody(insignia, hub, here):
    (here / "base" / "README.md").rename(here / "marked" / "README.md")
    before = (here / "marked" / "README.md").read_text()
    status, out, _ = insignia("publish", "marked", "owner/name", "--commitment", "commitment.json", "--dry-run")

    assert status == 0
    assert hub.requests == []
    assert all(name in out for name in ("owner/name", "model-1-of-2.safetensors", "weights", "commitment.json", "SHA-256"))
    assert (here / "marked" / "README.md").read_text() == before


def test_a_secret_in_the_folder_is_not_uploaded(insignia, hub, here):
    drawn(4).save(here / "marked" / "prints.json")
    status, _, err = insignia("publish", "marked", "owner/name")
    assert status == 1
    assert err.startswith("error: marked is not published: prints.json holds a secret of insignia: fingerprints.")
    assert hub.requests == []


def test_without_a_card_none_is_written(insignia, here):
    assert insignia("stamp", "base", "vector", "-o", "out", "--no-card")[0] == 0
    assert not (here / "out" / "README.md").exists()
    status, _, err = insignia("stamp", "base", "vector", "-o", "other", "--no-card", "--base-model", "a/b")
    assert (status, "--no-card leaves out" in err) == (1, True)


def test_what_cannot_be_uploaded_is_said_before_work(insignia, here, monkeypatch):
    for more, said in (
        (("--push-to-hub", "a/b"), "HF_HUB_OFFLINE is set"),
        (("--push-to-hub", "a b"), "a b is not a hub id"),
        (("--commitment", "none.json"), "there is no file none.json"),
    ):
        status, _, err = insignia("stamp", "base", "vector", "-o", "out", *more)
        assert (status, said in err) == (1, True)
    assert not (here / "out").exists()


def test_a_token_that_the_hub_does_not_know_is_said(hub, here, monkeypatch):
    monkeypatch.setenv("HF_TOKEN", "hf_wrong")
    with pytest.raises(OutputError, match=r"owner/name was not published: the hub said .*401"):
        publish("marked", "owner/name")


def test_an_earlier_upload_is_replaced_only_when_asked(hub, here):
    publish("marked", "owner/name")
    save_model(here / "one", weights(), shards=1)
    with pytest.raises(OutputError, match=r"owner/name has 5 files on the hub; choose another name or pass --force"):
        publish("one", "owner/name")
    found = publish("one", "owner/name", force=True)
    assert found.deleted == ("model-1-of-2.safetensors", "model-2-of-2.safetensors")
    assert "model-1-of-1.safetensors" in hub.repositories["owner/name"]


def test_a_card_that_the_folder_has_is_kept_where_nothing_is_added(hub, here):
    publish("base", "owner/name")
    assert hub.repositories["owner/name"]["README.md"] == (here / "base" / "README.md").read_bytes()
