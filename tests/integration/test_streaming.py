"""Vectors and stamps straight from and to a hub: no file of weights is kept, a failure can be resumed, a commit is whole."""

import re

import pytest
from huggingface_hub import constants

from insignia.errors import ModelError, ReadError
from insignia.vectors import stamp, vector
from tiny_checkpoints import moved, same, save_model, tensors_in, weights
from tiny_hub import tiny_hub

# huggingface_hub uploads by an argument that httpx2 deprecated
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")


@pytest.fixture
def hub(monkeypatch, tmp_path):
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    with tiny_hub(monkeypatch) as hub:
        yield hub


@pytest.fixture
def here(tmp_path, hub, monkeypatch):
    """A base and its marked copy, as folders and on the hub."""
    monkeypatch.chdir(tmp_path)
    base = weights()
    hub.put_files("them/base", save_model(tmp_path / "base", base, shards=3))
    hub.put_files("us/marked", save_model(tmp_path / "marked", moved(base), shards=3))
    return tmp_path


def cached_weights(here):
    return list((here / "cache").rglob("*.safetensors"))


def contents(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def told(folder):
    """The contents, without the time when they were made."""
    return {name: re.sub(rb'"created": ".*?"', b"", content) for name, content in contents(folder).items()}


def read_weights(hub):
    """What was asked for of the weights, as (repository, file)."""
    return [tuple(path.split("/", 3)[3].rsplit("/", 1)) for _, path in hub.requests if path.startswith("/content/")]


def test_a_vector_and_a_stamp_of_hub_models_are_those_of_folders(insignia, hub, here):
    vector("base", "marked", out="wanted vector")
    assert insignia("vector", "them/base", "us/marked", "-o", "vector", "--stream", "-q")[0] == 0
    found, wanted = contents(here / "vector"), contents(here / "wanted vector")
    assert {name for name in wanted if found[name] != wanted[name]} == {
        next(name for name in wanted if name.name == "vector.json")
    }

    assert insignia("stamp", "them/base", "vector", "-o", "stamped", "--stream", "-q")[0] == 0
    assert same(tensors_in(here / "stamped"), tensors_in(here / "marked"))
    assert (here / "stamped" / "config.json").read_bytes() == (here / "base" / "config.json").read_bytes()
    assert cached_weights(here) == []


def test_a_shard_that_the_cache_has_is_read_from_there(hub, here):
    vector("base", "marked", out="vector")
    stamp("them/base", "vector", out="one")
    assert len(cached_weights(here)) == 3
    hub.requests.clear()
    stamp("them/base", "vector", out="other", stream=True)

    assert contents(here / "one") == contents(here / "other")
    assert read_weights(hub) == []


def test_links_that_expire_are_asked_for_again(hub, here, monkeypatch):
    vector("base", "marked", out="vector")
    answer = hub.get

    def get(path, headers):
        status, *rest = answer(path, headers)
        hub.round += status == 206
        return status, *rest

    monkeypatch.setattr(hub, "get", get)
    monkeypatch.setattr("insignia.vectors.threads._MOST", 1)
    stamp("them/base", "vector", out="stamped", stream=True)
    assert same(tensors_in(here / "stamped"), tensors_in(here / "marked"))


@pytest.mark.parametrize("verb", ["vector", "stamp"])
def test_a_hub_that_fails_is_said_and_the_run_goes_on_from_its_whole_shards(insignia, hub, here, monkeypatch, verb):
    vector("base", "marked", out="made")
    given = {"vector": ["them/base", "us/marked"], "stamp": ["them/base", "made"]}[verb]
    vector("them/base", "us/marked", out="whole", stream=True) if verb == "vector" else stamp("base", "made", out="whole")
    monkeypatch.setattr("insignia.vectors.threads._MOST", 1)  # one shard after the other
    answer, left = hub.get, [10**9]

    def get(path, headers):
        if path.startswith("/content/") and headers.get("range"):
            left[0] -= 1
            if left[0] < 0:
                return 410, {}, b"gone"
        return answer(path, headers)

    monkeypatch.setattr(hub, "get", get)
    hub.requests.clear()
    assert insignia(verb, *given, "-o", "out", "--stream", "-q")[0] == 0
    needed = len(read_weights(hub))
    (here / "out").rename(here / "first")

    left[0] = needed - 2  # the last shard is not whole
    status, _, err = insignia(verb, *given, "-o", "out", "--stream")
    assert (status, "the hub said" in err, "--resume goes on" in err) == (1, True, True), err
    assert not (here / "out").exists()
    left[0] = 10**9
    hub.requests.clear()
    assert insignia(verb, *given, "-o", "out", "--stream", "--resume", "-q")[0] == 0
    assert told(here / "out") == told(here / "first")
    assert len(read_weights(hub)) < needed
    assert [path.name for path in here.iterdir() if path.name.startswith(".out")] == []


def test_a_stamp_without_a_folder_goes_straight_to_the_hub(insignia, hub, here, monkeypatch):
    vector("base", "marked", out="vector")
    stamp("base", "vector", out="wanted")
    (here / "temporary").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(here / "temporary"))
    answer, kept = hub.put, []

    def put(path, body):
        kept.append(len(list((here / "temporary").rglob("*.safetensors"))))
        return answer(path, body)

    monkeypatch.setattr(hub, "put", put)
    push = ("--push-to-hub", "us/stamped", "--private-repository")
    status, out, err = insignia("stamp", "them/base", "vector", "--stream", *push, "--json", "-q")

    assert (status, err) == (0, "")
    assert '"out": "us/stamped"' in out
    files = hub.repositories["us/stamped"]
    there = {path.name: path.read_bytes() for path in (here / "wanted").iterdir() if path.name != "README.md"}
    assert {name: files[name] for name in there} == there
    assert files.keys() == there.keys() | {"README.md", ".gitattributes"}
    assert len(hub.messages) == 1
    assert hub.private == {"us/stamped": True}
    assert len(kept) == 4  # three files of weights, and the index
    assert max(kept) <= 2  # one that is sent, and the next
    assert list((here / "temporary").iterdir()) == []
    assert cached_weights(here) == []


def test_nothing_is_committed_when_a_shard_fails(insignia, hub, here, monkeypatch):
    vector("base", "marked", out="vector")
    answer, sent = hub.put, []

    def put(path, body):
        sent.append(path)
        return answer(path, body) if len(sent) < 2 else (400, {}, b"no")

    monkeypatch.setattr(hub, "put", put)
    status, _, err = insignia("stamp", "base", "vector", "--push-to-hub", "us/stamped")
    assert status == 1
    assert "us/stamped was not published: the hub said" in err
    assert hub.repositories["us/stamped"].keys() == {".gitattributes"}
    assert hub.messages == []


def test_a_stamp_that_is_refused_makes_no_repository(insignia, hub, here):
    vector("base", "marked", out="vector")
    save_model(here / "stranger", weights(seed=9), shards=3)
    status, _, err = insignia("stamp", "stranger", "vector", "--push-to-hub", "us/stamped")
    assert (status, "is not derived from the base" in err) == (1, True)
    assert "us/stamped" not in hub.repositories


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "without --output the model goes straight to a hub: give --push-to-hub"),
        (("--push-to-hub", "us/stamped", "--push-dry-run"), "and no dry run"),
        (("--push-to-hub", "us/stamped", "--resume"), "nothing to --resume"),
        (("-o", "out", "--stream", "--scale", "auto", "--fingerprints", "prints.json"), "--stream cannot help"),
    ],
)
def test_what_does_not_go_together_is_refused_before_any_work(insignia, hub, here, arguments, said):
    status, _, err = insignia("stamp", "them/base", "vector", *arguments)
    assert status == 1
    assert said in err
    assert hub.requests == []


def test_what_cannot_be_streamed_is_said(hub, here, monkeypatch):
    vector("base", "marked", out="vector")
    hub.repositories["them/pickle"] = {"config.json": b"{}", "pytorch_model.bin": b"pickle"}
    hub.repositories["them/adapter"] = {"adapter_config.json": b"{}"}
    with pytest.raises(ModelError, match=r"them/pickle has no model.safetensors on the hub"):
        stamp("them/pickle", "vector", out="out", stream=True)
    with pytest.raises(ModelError, match="them/adapter is a PEFT adapter"):
        stamp("them/adapter", "vector", out="out", stream=True)
    with pytest.raises(ModelError, match="cannot download the model them/nothing"):
        stamp("them/nothing", "vector", out="out", stream=True)
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=r"them/base cannot be read from the hub: HF_HUB_OFFLINE is set; .* drop --stream"):
        stamp("them/base", "vector", out="out", stream=True)


def test_a_shard_that_is_deleted_meanwhile_is_said(hub, here, monkeypatch):
    vector("base", "marked", out="vector")
    answer = hub.get

    def get(path, headers):
        status, *rest = answer(path, headers)
        if status == 206:
            hub.round += 1
            del hub.repositories["them/base"]["model-1-of-3.safetensors"]
            monkeypatch.setattr(hub, "get", answer)
        return status, *rest

    monkeypatch.setattr(hub, "get", get)
    with pytest.raises(ModelError, match=r"cannot read them/base/model-1-of-3.safetensors: the hub said 404"):
        stamp("them/base", "vector", out="out", stream=True)


def test_a_hub_that_sends_something_else_is_refused(hub, here, monkeypatch):
    vector("base", "marked", out="vector")
    answer = hub.get

    def get(path, headers):
        if path.startswith("/content/"):
            headers = {name: value for name, value in headers.items() if name != "range"}
        return answer(path, headers)

    monkeypatch.setattr(hub, "get", get)
    with pytest.raises(ModelError, match=r"cannot read them/base/model-1-of-3.safetensors: the hub did not send the part"):
        stamp("them/base", "vector", out="out", stream=True)
    assert issubclass(ReadError, ModelError)
