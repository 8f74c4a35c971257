"""``insignia export --format gguf`` in process: the report and what can go wrong; ``test_llama_cpp.py`` asks llama.cpp."""

import json
import sys

import pytest

from insignia.starter import model_folder
from tiny_models import random_model


def test_a_model_becomes_a_file(insignia, tmp_path):
    out = tmp_path / "starter.gguf"
    status, text, err = insignia("export", "starter", "-o", out, "--format", "gguf", "--outtype", "q8_0", "--json", "-q")
    report = json.loads(text)

    assert (status, err) == (0, "")
    assert report.keys() == {
        "out", "architecture", "outtype", "tensors", "bytes", "tokens", "pre_tokenizer", "notes", "seconds",
    }  # fmt: skip
    assert (report["out"], report["architecture"], report["outtype"]) == (str(out), "llama", "q8_0")
    assert report["bytes"] < out.stat().st_size < report["bytes"] + 200_000
    assert [path.name for path in tmp_path.iterdir()] == ["starter.gguf"]


def test_what_to_do_next_is_said(insignia, tmp_path):
    status, text, _ = insignia("export", "starter", "-o", tmp_path / "m.gguf", "--format", "gguf", "-q")

    assert status == 0
    assert "llama, 56 tensors in bf16, 9.19 MB" in text
    assert "llama-server -m" in text


@pytest.fixture
def broken(tmp_path):
    """Model folders that cannot be exported."""
    cut = tmp_path / "cut"
    cut.mkdir()
    for path in model_folder().iterdir():
        (cut / path.name).write_bytes(path.read_bytes()[:1_000_000])
    random_model("gpt2").save_pretrained(tmp_path / "no-tokenizer")
    (tmp_path / "bert").mkdir()
    (tmp_path / "bert" / "config.json").write_text('{"model_type": "bert"}')
    (tmp_path / "bert" / "model.safetensors").write_bytes((tmp_path / "no-tokenizer" / "model.safetensors").read_bytes())
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["cut", "--format", "gguf"], "damaged or truncated"),
        (["no-tokenizer", "--format", "gguf"], "no tokenizer.json"),
        (["bert", "--format", "gguf"], "expected one of llama, mistral, qwen2"),
        (["nowhere", "--format", "gguf"], "there is no model folder nowhere"),
        (["starter", "--format", "gguf", "--outtype", "q3_k"], "expected auto, f32"),
        (["prints.json", "--outtype", "f16"], "--format gguf"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(insignia, broken, monkeypatch, arguments, message):
    monkeypatch.chdir(broken)
    status, out, err = insignia("export", *arguments, "-o", "new.gguf")

    assert (status, out) == (1, "")
    assert message in err
    assert (err.startswith("error: "), err.count("\n")) == (True, 1)
    assert not (broken / "new.gguf").exists()


def test_an_existing_file_is_replaced_only_when_forced(insignia, tmp_path):
    out = tmp_path / "out.gguf"
    out.write_text("mine")
    arguments = ["export", "starter", "-o", out, "--format", "gguf", "-q"]

    status, _, err = insignia(*arguments)
    assert (status, out.read_text()) == (1, "mine")
    assert "--force" in err
    assert insignia(*arguments, "--force")[0] == 0
    assert out.read_bytes().startswith(b"GGUF")


def test_without_the_library_the_extra_is_named(insignia, tmp_path, monkeypatch):
    for name in [name for name in sys.modules if name.startswith("insignia.gguf")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "gguf", None)
    status, _, err = insignia("export", "starter", "-o", tmp_path / "out.gguf", "--format", "gguf")

    assert status == 1
    assert "pip install 'insignia[gguf]'" in err
    assert list(tmp_path.iterdir()) == []
