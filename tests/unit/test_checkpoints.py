import json
import struct

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file

from insignia.checkpoints import INDEX, Checkpoint, CheckpointWriter, header_of
from insignia.errors import ModelError

TWO = {"a": torch.arange(6.0).view(2, 3), "b": torch.arange(4, dtype=torch.bfloat16)}
A = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def packed(header, data=b"", *, length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(text) if length is None else length) + text + data


def sharded(folder, index, **shards):
    folder.mkdir(exist_ok=True)
    for name, tensors in shards.items():
        save_file(tensors, folder / f"{name}.safetensors")
    (folder / INDEX).write_text(index if isinstance(index, str) else json.dumps(index))
    return folder


def test_tensors_are_read_where_the_library_wrote_them(tmp_path):
    save_file(TWO, tmp_path / "model.safetensors")
    with Checkpoint(tmp_path) as checkpoint:
        read = {name: bytes(checkpoint.read(entry)) for name, entry in checkpoint.entries.items()}
        part = bytearray(4)
        checkpoint.read_into(checkpoint.entries["a"], 8, memoryview(part))

    assert read == {name: values.contiguous().view(torch.uint8).numpy().tobytes() for name, values in TWO.items()}
    assert struct.unpack("<f", part) == (2.0,)


def test_a_layout_that_is_kept_gives_the_same_file(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "out").mkdir()
    save_file(TWO, tmp_path / "in" / "model.safetensors", metadata={"format": "pt"})
    with Checkpoint(tmp_path / "in") as source, CheckpointWriter(tmp_path / "out", source.headers) as writer:
        for entry in source.entries.values():
            writer.write(entry.name, 0, memoryview(source.read(entry)))

    assert (tmp_path / "out" / "model.safetensors").read_bytes() == (tmp_path / "in" / "model.safetensors").read_bytes()


SPELLED = {"F32": torch.float32, "BF16": torch.bfloat16, "I64": torch.int64, "U8": torch.uint8, "BOOL": torch.bool}


@settings(max_examples=30)
@given(
    st.dictionaries(
        st.text(st.characters(codec="utf-8"), min_size=1, max_size=8).filter(lambda name: name != "__metadata__"),
        st.tuples(st.sampled_from(sorted(SPELLED)), st.lists(st.integers(0, 3), max_size=3)),
        min_size=1,
        max_size=5,
    )
)
def test_the_library_reads_what_is_written(tmp_path_factory, tensors):
    folder = tmp_path_factory.mktemp("written")
    header = header_of((name, dtype, shape) for name, (dtype, shape) in tensors.items())
    contents = {}
    with CheckpointWriter(folder, {"model.safetensors": header}) as writer:
        for name, entry in reversed(writer.entries.items()):
            contents[name] = bytes(number % 2 for number in range(entry.size))
            writer.write(name, 0, memoryview(contents[name]))
    loaded = load_file(folder / "model.safetensors")

    assert loaded.keys() == tensors.keys()
    for name, (dtype, shape) in tensors.items():
        assert (loaded[name].dtype, list(loaded[name].shape)) == (SPELLED[dtype], shape)
        assert loaded[name].contiguous().view(-1).view(torch.uint8).numpy().tobytes() == contents[name]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0" * 7,
        packed({}, length=0),
        packed({}, length=1),
        packed({}, length=3),
        packed({}, length=2**63),
        packed({}, length=2**64 - 1),
        packed(b"not json"),
        packed(b"[]"),
        packed(b"\xff\xfe"),
        packed(b"[" * 100_000),
        packed({"a": 3}, b"12345678"),
        packed({"a": [1, 2]}),
        packed({"a": {}}),
        packed({"a": A}),
        packed({"a": A}, b"1234567"),
        packed({"a": A}, b"123456789"),
        packed({"a": {**A, "dtype": "F31"}}, b"12345678"),
        packed({"a": {**A, "dtype": ["F32"]}}, b"12345678"),
        packed({"a": {**A, "dtype": None}}, b"12345678"),
        packed({"a": {**A, "shape": [-2]}}, b"12345678"),
        packed({"a": {**A, "shape": [-1, -2]}}, b"12345678"),
        packed({"a": {**A, "shape": "2"}}, b"12345678"),
        packed({"a": {**A, "shape": [2.0]}}, b"12345678"),
        packed({"a": {**A, "shape": [3]}}, b"12345678"),
        packed({"a": {**A, "shape": 2}}, b"12345678"),
        packed({"a": {**A, "data_offsets": [0]}}, b"12345678"),
        packed({"a": {**A, "data_offsets": [8, 0]}}, b"12345678"),
        packed({"a": {**A, "data_offsets": [-8, 0]}}, b"12345678"),
        packed({"a": {**A, "data_offsets": [0.0, 8.0]}}, b"12345678"),
        packed({"a": {**A, "data_offsets": ["0", "8"]}}, b"12345678"),
        packed({"a": {**A, "data_offsets": [4, 12]}}, b"123456789012"),
        packed({"a": {"dtype": "F32", "shape": [2]}}, b"12345678"),
        packed({"a": A, "b": A}, b"12345678"),
        packed({"a": A, "b": {**A, "data_offsets": [4, 12]}}, b"123456789012"),
        packed({"a": A, "b": {**A, "data_offsets": [16, 24]}}, b"1" * 24),
        packed({"a": {**A, "shape": [10**30], "data_offsets": [0, 4 * 10**30]}}),
    ],
)
def test_a_damaged_file_is_a_model_error(tmp_path, content):
    (tmp_path / "model.safetensors").write_bytes(content)

    with pytest.raises(ModelError, match=r"model\.safetensors"):
        Checkpoint(tmp_path)


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ("", "damaged"),
        ("[]", "expected a JSON object"),
        ("{", "damaged"),
        ({}, "no weight_map"),
        ({"weight_map": []}, "no weight_map"),
        ({"weight_map": {}}, "no weight_map"),
        ({"weight_map": {"a": 3}}, "outside its folder"),
        ({"weight_map": {"a": "../one.safetensors"}}, "outside its folder"),
        ({"weight_map": {"a": "/etc/passwd"}}, "outside its folder"),
        ({"weight_map": {"a": ""}}, "cannot read|outside its folder"),
        ({"weight_map": {"a": "one.safetensors", "b": "three.safetensors"}}, "lacks the shard three"),
        ({"weight_map": {"a": "one.safetensors", "c": "one.safetensors"}}, "lacks the tensor c"),
        ({"weight_map": {"a": "two.safetensors", "b": "two.safetensors"}}, "lacks the tensor a"),
        ({"weight_map": {"b": "two.safetensors", "x": "two.safetensors"}}, "lacks the tensor x"),
    ],
)
def test_an_index_that_does_not_fit_is_a_model_error(tmp_path, index, message):
    sharded(tmp_path / "model", index, one={"a": TWO["a"]}, two={"b": TWO["b"]})

    with pytest.raises(ModelError, match=message):
        Checkpoint(tmp_path / "model")


def test_a_tensor_that_the_index_does_not_know_or_that_is_there_twice_is_a_model_error(tmp_path):
    known = {"weight_map": {"a": "one.safetensors"}}
    with pytest.raises(ModelError, match="does not list the tensor b"):
        Checkpoint(sharded(tmp_path / "one", known, one=TWO))
    twice = {"weight_map": {"a": "one.safetensors", "b": "two.safetensors"}}
    with pytest.raises(ModelError, match="in two shards"):
        Checkpoint(sharded(tmp_path / "two", twice, one=TWO, two={"b": TWO["b"]}))


def test_weights_that_are_not_there_are_a_model_error(tmp_path):
    with pytest.raises(ModelError, match="no safetensors"):
        Checkpoint(tmp_path / "nowhere")
    (tmp_path / "pytorch_model.bin").write_bytes(b"pickle")
    with pytest.raises(ModelError, match="pickled"):
        Checkpoint(tmp_path)
    (tmp_path / "model.safetensors").mkdir()
    with pytest.raises(ModelError, match="cannot read"):
        Checkpoint(tmp_path)
    for name in ("a", "b"):
        save_file(TWO, tmp_path / f"{name}.safetensors")
    (tmp_path / "model.safetensors").rmdir()
    with pytest.raises(ModelError, match="2 safetensors files and no"):
        Checkpoint(tmp_path)


def test_a_file_that_shrinks_while_it_is_read_is_a_model_error(tmp_path):
    save_file(TWO, tmp_path / "model.safetensors")
    with Checkpoint(tmp_path) as checkpoint:
        with (tmp_path / "model.safetensors").open("r+b") as file:
            file.truncate(100)
        with pytest.raises(ModelError, match="became shorter"):
            checkpoint.read(checkpoint.entries["b"])
