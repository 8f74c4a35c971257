"""What may leave with a model is known by name and content; a secret is refused whatever it is called."""

import json
import shutil

import pytest
from safetensors.torch import save_file

from drawn_prints import drawn
from insignia.errors import InputError
from insignia.evidence.publication import publish
from insignia.fingerprints.locks import lock
from insignia.publishing.public_files import public_files
from insignia.vectors import vector
from tiny_checkpoints import moved, save_model, weights

RECIPIENT = "age1ql3z7hjy54pw3hyww5ayyfg7zqgvc7w3j2elw8zmrj2kg5sfn9aqmcac8p"


@pytest.fixture
def model(tmp_path):
    return save_model(tmp_path / "model", weights(), shards=1)


def test_a_model_is_public(model):
    for name in ("README.md", "LICENSE", "USE_POLICY.md", "merges.txt", ".gitattributes"):
        (model / name).write_text("text")
    found = {file.name: file for file in public_files(model)}
    assert found.keys() == {path.name for path in model.iterdir()}
    assert found["README.md"].digest == "sha256:982d9e3eb996f559e633f4d194def3761d909f5a3b647d1a851fead67c32c9d1"


def _secrets(folder):
    prints, ledger = drawn(4), {"time": "2026-01-01T00:00:00Z", "set": "0" * 64, "numbers": [1], "to": "them"}
    prints.save(folder / "prints.json")
    content = (folder / "prints.json").read_bytes()
    return {
        "a set": content,
        "a locked set": lock(content, recipients=[RECIPIENT]),
        "a set in OML's form": json.dumps([{"key": "a", "response": "b"}]).encode(),
        "a ledger": json.dumps(ledger).encode() + b"\n" + json.dumps(ledger).encode(),
        "a book": b'{"kind": "insignia/licensees", "schema_version": 1}\n{"time": "now", "licensee": "Acme"}\n',
        "the line of a book": b'{"time": "now", "licensee": "Acme"}',
        "a transcript": b'{"kind": "insignia/transcript"}\n{}\n',
        "evidence": b'{"kind": "insignia/evidence", "openings": []}',
        "a vector's file": b'{"kind": "insignia/vector"}',
        "a verdict": b'{"outcome": "owned", "p_value": 1e-6}',
        "a report": b'{"fsr": 1.0, "method": {"name": "full"}}',
        "an identity": b"AGE-SECRET-KEY-1QQQ",
        "a private key": b"-----BEGIN OPENSSH PRIVATE KEY-----\n",
        "a token": b'{"token": "hf_' + b"a" * 34 + b'"}',
    }


@pytest.mark.parametrize("name", ["tokenizer_config.json", "README.md", "LICENSE", "config.json", "notes.txt"])
def test_a_secret_is_known_by_its_content(model, tmp_path, name):
    for kind, content in _secrets(tmp_path).items():
        (model / name).write_bytes(content)
        with pytest.raises(InputError, match=f"{name} holds ") as caught:
            public_files(model, also=[name])
        assert "many roads" not in str(caught.value), kind


def test_vectors_and_owner_weights_are_no_weights(model, tmp_path):
    marked = save_model(tmp_path / "marked", moved(weights()), shards=1)
    vector(model, marked, out=tmp_path / "vector")
    vector(model, marked, out=tmp_path / "factors", rank=1)
    some = weights()["model.norm.weight"]
    for about, tensors in (
        ({"insignia": "owner weights"}, {"w": some}),
        ({"blocks": "4"}, {"w": some}),
        ({}, {"ids": some, "down": some.clone(), "up": some.clone()}),
        ({}, {"w.left": some, "w.right": some.clone()}),
        ({}, {"w.lora_A.weight": some}),
    ):
        save_file(tensors, model / "model.safetensors", metadata=about)
        with pytest.raises(InputError, match=r"model\.safetensors holds "):
            public_files(model)
    for folder in ("vector", "factors"):
        shutil.copyfile(tmp_path / folder / "model-1-of-1.safetensors", model / "model.safetensors")
        with pytest.raises(InputError, match=r"model\.safetensors holds a secret of insignia: vector"):
            public_files(model)
    (model / "model.safetensors").write_bytes(b"short")
    with pytest.raises(InputError, match="its header is damaged"):
        public_files(model)


def test_files_of_no_known_kind_are_named(model):
    (model / "original").mkdir()
    for name in ("original/notes.md", "optimizer.pt", "training_args.bin"):
        (model / name).write_text("x")
    with pytest.raises(InputError, match=r"optimizer\.pt is no file .*original/notes\.md is no file .*training_args\.bin"):
        public_files(model)
    assert public_files(model, also=["original/notes.md", "optimizer.pt", "training_args.bin"])


def test_what_is_no_model_is_said(model, tmp_path):
    with pytest.raises(InputError, match="there is no folder"):
        public_files(tmp_path / "none")
    (model / "config.json").write_text("{}")
    with pytest.raises(InputError, match="is not the configuration of a model"):
        public_files(model)
    (model / "config.json").unlink()
    with pytest.raises(InputError, match=r"has no config\.json"):
        public_files(model)


def test_a_commitment_is_public(model):
    publish(drawn(4), {"model.safetensors": f"sha256:{'0' * 64}"}).save(model / "commitment.json")
    assert public_files(model, also=["commitment.json"])
