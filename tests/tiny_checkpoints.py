"""Models of a few hundred weights, as files: a base, what marking would make of it, and how to compare them."""

import json

import torch
from safetensors.torch import load_file, save_file

CHANGED = ["model.embed_tokens.weight", "model.layers.0.mlp.weight", "model.layers.1.mlp.weight", "model.norm.weight"]


def weights(seed=0, *, vocabulary=24, dtype=torch.bfloat16):
    chance = torch.Generator().manual_seed(seed)
    shapes = {
        "model.embed_tokens.weight": (vocabulary, 16),
        "model.layers.0.mlp.weight": (40, 16),
        "model.layers.1.mlp.weight": (2, 20, 16),
        "model.norm.weight": (16,),
        "model.scale": (),
        "model.empty": (0, 4),
    }
    floats = {name: torch.randn(shape, generator=chance).to(dtype) for name, shape in shapes.items()}
    return floats | {"model.counts": torch.arange(5)}


def moved(base, *, by=0.01, seed=1, names=CHANGED):
    chance = torch.Generator().manual_seed(seed)
    step = {name: by * torch.randn(base[name].shape, generator=chance) for name in names}
    return {name: (values.float() + step[name]).to(values.dtype) if name in step else values for name, values in base.items()}


def save_model(folder, tensors, *, shards=2):
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"], "model_type": "llama"}))
    (folder / "tokenizer_config.json").write_text("{}")
    names = list(tensors)
    parts = {f"model-{number + 1}-of-{shards}.safetensors": names[number::shards] for number in range(shards)}
    for shard, part in parts.items():
        save_file({name: tensors[name].contiguous() for name in part}, folder / shard, metadata={"format": "pt"})
    index = {"metadata": {"note": "kept"}, "weight_map": {name: shard for shard, part in parts.items() for name in part}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def tensors_in(folder):
    return {name: values for path in sorted(folder.glob("*.safetensors")) for name, values in load_file(path).items()}


def bits(tensor):
    return tensor.contiguous().view(-1).view(torch.uint8)


def same(one, other):
    """Whether two sets of tensors agree bit for bit."""
    return one.keys() == other.keys() and all(
        values.dtype == other[name].dtype and torch.equal(bits(values), bits(other[name])) for name, values in one.items()
    )
