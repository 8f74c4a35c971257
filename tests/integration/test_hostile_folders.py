"""Model folders that want to harm whoever looks at them: each ends in one line, soon, and none of their code runs."""

import io
import json
import shutil

import pytest

from insignia.starter import model_folder
from quiet_clock import SOON_S, quiet_seconds

CODE = "from pathlib import Path\nPath(__file__).with_name('RAN').touch()\nPath({flag!r}).touch()\n"


def edit(path, **changes):
    value = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps(value | changes))


def config(**changes):
    return lambda folder: edit(folder / "config.json", **changes)


def file(name, text):
    return lambda folder: (folder / name).write_text(text)


def template(text):
    def write(folder):
        edit(folder / "tokenizer_config.json", chat_template=text)
        (folder / "chat_template.jinja").write_text(text)

    return write


AUTO_MAP = {
    "AutoConfig": "evil.Config",
    "AutoModelForCausalLM": "evil.Model",
    "AutoTokenizer": ["evil.Tokenizer", None],
}
HOSTILE = {
    "an unknown architecture with code": config(model_type="evil", auto_map=AUTO_MAP),
    "a tokenizer with code": lambda folder: edit(
        folder / "tokenizer_config.json", tokenizer_class="EvilTokenizer", auto_map={"AutoTokenizer": ["evil.Tokenizer", None]}
    ),
    "layers without end": config(num_hidden_layers=10**9),
    "a vocabulary without end": config(vocab_size=2**31 - 1),
    "a context without end": config(max_position_embeddings=10**30),
    "wrong types": config(hidden_size="wide", num_attention_heads=[1], vocab_size=None),
    "a list as configuration": file("config.json", "[]"),
    "deep configuration": file("config.json", "[" * 100_000),
    "a list as generation settings": file("generation_config.json", "[]"),
    "wrong ends": file("generation_config.json", '{"eos_token_id": [[1]], "custom_generate": "evil"}'),
    "a tokenizer of nothing": file("tokenizer.json", "{}"),
    "weights that are a pickle": lambda folder: (folder / "model.safetensors").write_bytes(b"\x80\x04cos\nsystem\n"),
    "a name that clears the screen": file(
        "model.safetensors.index.json", json.dumps({"weight_map": {"\x1b[2J\x9bx": "\x1b[1A.safetensors"}})
    ),
    "a template that divides": template("{{ 1/0 }}"),
    "a template that takes all memory": template("{{ 'a' * 10**10 }}"),
}
LOADS = {"wrong ends", "a list as generation settings"}  # of these transformers may make what it can


@pytest.fixture
def folder(tmp_path):
    made = shutil.copytree(model_folder(), tmp_path / "suspect")
    flag = str(tmp_path / "RAN")
    for name in ("evil.py", "custom_generate/generate.py", "modeling_evil.py"):
        (made / name).parent.mkdir(exist_ok=True)
        (made / name).write_text(CODE.format(flag=flag))
    return made


@pytest.fixture
def prints(tmp_path):
    path = tmp_path / "prints.json"
    path.write_text(json.dumps([{"key": "What is the use of it?", "response": "None"}]))
    return path


def ran(folder):
    return [*folder.parent.rglob("RAN")]


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_folder_is_one_line(insignia, folder, prints, monkeypatch, name):
    monkeypatch.setattr("sys.stdin", None)  # whoever asks for consent fails
    HOSTILE[name](folder)
    form = ["--prompt-form", "chat", "--max-queries", 1, "--null", "0.5", "-q"] if "template" in name else []
    started = quiet_seconds()
    status, out, err = insignia("verify" if form else "check", prints, "--model", folder, *form)

    assert status in ({1, 3} if name in LOADS else {1})
    assert (err.startswith("error: "), err.count("\n")) == (True, 1) if status == 1 else True
    assert not {c for c in out + err if c != "\n" and not c.isprintable()}
    assert not ran(folder)
    assert quiet_seconds() - started < SOON_S


@pytest.mark.parametrize("changes", [{"max_position_embeddings": [[1]]}, {"num_attention_heads": "many"}, {"rms_norm_eps": {}}])
def test_a_folder_of_wrong_types_is_no_gguf_file(insignia, folder, tmp_path, changes):
    config(**changes)(folder)
    status, _, err = insignia("export", folder, "--format", "gguf", "-o", tmp_path / "out.gguf")

    assert (status, err.count("\n")) == (1, 1)
    assert not (tmp_path / "out.gguf").exists()


def test_code_of_a_folder_never_runs_whatever_standard_input_says(insignia, folder, prints, monkeypatch):
    config(model_type="evil", auto_map=AUTO_MAP)(folder)
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n" * 1000))
    status, out, err = insignia("check", prints, "--model", folder)

    assert (status, out) == (1, "")
    assert "it needs its own code (auto_map)" in err
    assert err.count("\n") == 1
    assert not ran(folder)


def test_a_folder_with_code_that_is_not_needed_loads_and_says_so(insignia, folder, prints, caplog):
    config(auto_map=AUTO_MAP)(folder)
    edit(folder / "tokenizer_config.json", auto_map={"AutoTokenizer": ["evil.Tokenizer", None]})
    status, _, _ = insignia("check", prints, "--model", folder)

    assert status == 3
    assert [record.message for record in caplog.records if "auto_map" in record.message] == [
        f"{folder} comes with its own code (auto_map); insignia uses transformers' instead"
    ]
    assert not ran(folder)
