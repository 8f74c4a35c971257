"""How a model that is split over processes is written; here one process stands for all."""

import json
import weakref

import pytest
import torch

from insignia.checkpoints import INDEX
from insignia.errors import OutputError
from insignia.modeling import saving
from insignia.modeling.local import LocalModel
from tiny_checkpoints import same, tensors_in
from tiny_models import random_model
from tiny_tokenizers import build


@pytest.fixture(params=["llama tied", "llama untied"])
def base(request, tmp_path):
    random_model(request.param).to(torch.bfloat16).save_pretrained(tmp_path / "base", max_shard_size="30KB")
    build(style="byte", bos=True).save_pretrained(tmp_path / "base")
    return tmp_path / "base"


@pytest.fixture
def split(monkeypatch):
    """Take models for split ones; the list gets the names of the weights that were gathered."""
    gathered, each = [], saving.each_whole

    def counted(*arguments):
        for names, values in each(*arguments):
            gathered.append(names)
            yield names, values

    monkeypatch.setattr(saving, "is_split", lambda _: True)
    monkeypatch.setattr(saving, "each_whole", counted)
    return gathered


def trained(base):
    local = LocalModel(base, device="cpu", dtype="float32")
    with torch.no_grad():
        for weight in local.model.parameters():
            weight += 0.01
    return local


def files(folder, *names):
    return [json.loads((folder / name).read_text()) for name in names]


def test_each_weight_goes_into_the_shard_that_the_base_has(base, split, monkeypatch, tmp_path):
    saving.save_model(trained(base), tmp_path / "parts")
    monkeypatch.undo()
    saving.save_model(trained(base), tmp_path / "whole")

    assert same(tensors_in(tmp_path / "parts"), tensors_in(tmp_path / "whole"))
    assert files(tmp_path / "parts", INDEX)[0]["weight_map"] == files(base, INDEX)[0]["weight_map"]
    about = "config.json", "generation_config.json", "tokenizer_config.json"
    assert files(tmp_path / "parts", *about) == files(tmp_path / "whole", *about)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_model_that_the_files_of_its_base_do_not_describe_is_written_too(base, split, dtype, tmp_path):
    local = trained(base)
    local.stored_dtype, local.source = dtype, local.source if dtype == torch.float32 else None
    saving.save_model(local, tmp_path / "out")
    found = tensors_in(tmp_path / "out")

    assert {values.dtype for values in found.values()} == {dtype}
    assert found.keys() == tensors_in(base).keys()


def test_every_weight_is_gathered_where_nothing_can_be_written(base, split, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "file").touch()
    with pytest.raises(OutputError, match="exists"):
        saving.save_model(trained(base), tmp_path / "out")

    assert {name for names in split for name in names} >= tensors_in(base).keys()


def test_two_weights_are_in_memory_at_most(base, split, monkeypatch, tmp_path):
    each, met, most = saving.each_whole, [], []

    def watched(*arguments):
        for names, values in each(*arguments):
            met.append(weakref.ref(values))
            most.append(sum(one() is not None for one in met))
            yield names, values

    monkeypatch.setattr(saving, "each_whole", watched)
    saving.save_model(trained(base), tmp_path / "parts")

    assert len(met) > 10
    assert max(most) == 2
