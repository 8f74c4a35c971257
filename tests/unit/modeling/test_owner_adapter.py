import pytest
import torch
from safetensors.torch import save_file

from insignia.errors import FormatError, InputError
from insignia.modeling.local import LocalModel, unrelated_init
from insignia.modeling.owner_adapter import EmbeddingAdapter
from insignia.suspects.scoring import Example

ROW = Example((1, 40, 41, 42, 43), 3)


@pytest.fixture
def adapter():
    rng = torch.Generator().manual_seed(0)
    return EmbeddingAdapter(
        torch.tensor([40, 41]), torch.randn(4, 256, generator=rng) / 16, torch.randn(256, 4, generator=rng) / 4
    )


def logits(model):
    with torch.no_grad():
        return model.model(torch.tensor([ROW.ids])).logits


def test_only_key_tokens_read_differently_and_nothing_is_changed_in_place(starter, adapter):
    before = logits(starter)
    attached = adapter.attach(starter)
    table, theirs = (model.model.get_input_embeddings().weight for model in (starter, attached))

    changed = (table != theirs).any(1).nonzero()[:, 0]
    assert changed.tolist() == [40, 41]
    torch.testing.assert_close(theirs[40], table[40] + adapter.up @ (adapter.down @ table[40]))
    assert torch.equal(logits(starter), before)
    assert not torch.allclose(logits(attached), before)


def test_every_embedding_is_the_suspects(starter, adapter):
    suspect = unrelated_init(starter, seed=1)
    attached = adapter.attach(starter, suspect)
    table, theirs = (model.model.get_input_embeddings().weight for model in (attached, suspect))

    kept = [row for row in range(len(table)) if row not in (40, 41)]
    assert torch.equal(table[kept], theirs[kept])
    assert not torch.allclose(logits(attached), logits(adapter.attach(starter)))
    assert torch.equal(attached.model.lm_head.weight, starter.model.lm_head.weight)


def test_strangers_differ_by_seed_and_leave_the_global_chance_alone(starter):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one, other, again = (unrelated_init(starter, seed=seed) for seed in (1, 2, 1))

    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(logits(one), logits(again))
    assert not torch.equal(logits(one), logits(other))


def test_a_suspect_of_another_vocabulary_lends_the_rows_it_has(starter, adapter):
    suspect = LocalModel("starter", device="cpu")
    with torch.no_grad():
        suspect.model.get_input_embeddings().weight.mul_(0.5)
    suspect.model.set_input_embeddings(
        torch.nn.Embedding.from_pretrained(suspect.model.get_input_embeddings().weight[:100].clone())
    )
    table = adapter.attach(starter, suspect).model.get_input_embeddings().weight

    assert torch.equal(table[50], starter.model.get_input_embeddings().weight[50] * 0.5)
    assert torch.equal(table[100:], starter.model.get_input_embeddings().weight[100:])


def test_a_suspect_of_another_width_is_refused(starter, adapter):
    suspect = LocalModel("starter", device="cpu")
    suspect.model.set_input_embeddings(torch.nn.Embedding(5000, 64))
    with pytest.raises(InputError, match="width 64"):
        adapter.attach(starter, suspect)
    with pytest.raises(InputError, match="another model"):
        EmbeddingAdapter(torch.tensor([2]), torch.zeros(1, 64), torch.zeros(64, 1)).attach(starter)


def test_what_is_no_adapter_is_refused(tmp_path, adapter):
    path = tmp_path / "private.safetensors"
    with pytest.raises(InputError, match="no file"):
        EmbeddingAdapter.load(path)
    path.write_bytes(b"\x08\0\0\0\0\0\0\0garbage!")
    with pytest.raises(FormatError, match="damaged"):
        EmbeddingAdapter.load(path)
    for broken in (
        {"ids": adapter.ids},
        adapter.tensors() | {"ids": adapter.ids.float()},
        adapter.tensors() | {"down": adapter.down[:2]},
        adapter.tensors() | {"up": adapter.up * float("nan")},
        adapter.tensors() | {"ids": -adapter.ids},
    ):
        save_file({name: values.contiguous() for name, values in broken.items()}, path)
        with pytest.raises(FormatError, match="not an embedding adapter"):
            EmbeddingAdapter.load(path)
    save_file(adapter.tensors(), path)
    assert all(torch.equal(one, other) for one, other in zip(EmbeddingAdapter.load(path), adapter, strict=True))
