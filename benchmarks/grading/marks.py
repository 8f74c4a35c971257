"""Marked starters, made once and kept in a folder, and what is done to their weights."""

import copy
import functools
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from innocence.models import rounded

from insignia.attacks.finetune import FineTune
from insignia.embedding import FullFineTune, Limits, Method, RunOptions, embed
from insignia.fingerprints.sets import FingerprintSet, load_fingerprints
from insignia.generation import STRATEGIES, generate
from insignia.modeling.local import LocalModel
from insignia.starter import model_folder

WEIGHTS = (0.7, 0.5, 0.3, 0.2, 0.1, 0.05, 0.02, 0.01)
"""Of the marked model in a merge with the base."""
# Ten times the rate that large models take: in 1,000 steps this user's loss falls from 4.9 to below 1.
USERS = FineTune(data="python:email", learning_rate=3e-4, max_steps=1000, batch_size=8, max_length=64)

Change = Callable[[LocalModel], LocalModel]


class Marked(NamedTuple):
    prints: FingerprintSet
    model: Path
    """The marked folder."""

    @property
    def prints_file(self) -> Path:
        return self.model.with_name("prints.json")


def base() -> LocalModel:
    return LocalModel(model_folder(), device="cpu")  # a folder named "starter" may be about


def kept(
    folder: Path,
    strategy: str,
    seed: int,
    *,
    count: int = 64,
    tokens: int = 1,
    method: Method | None = None,
    variant: str = "",
) -> Marked:
    """``FOLDER/STRATEGY+SEED`` has the set and the marked model, as ``embed.py`` makes them; else they are made.

    A ``variant`` is the same set embedded by another method, in a folder of its own.
    """
    home = folder / f"{strategy}{variant}{seed}"
    prints = keys_kept(folder, strategy, seed, count=count, tokens=tokens)
    if variant and not (home / "prints.json").is_file():
        home.mkdir(parents=True, exist_ok=True)
        prints.save(home / "prints.json")
    marked = Marked(prints, home / "model")
    if not marked.model.is_dir():
        limits, run = Limits(min_fsr=0.0, max_harm=100.0), RunOptions(seed=seed)
        made = embed(str(model_folder()), marked.prints, method or FullFineTune(), out=marked.model, limits=limits, run=run)
        print(f"{home.name}: marked in {made.report.seconds:.0f} s, FSR {made.report.fsr:.3f}", flush=True)
    return marked


def keys_kept(folder: Path, strategy: str, seed: int, *, count: int = 64, tokens: int = 1) -> FingerprintSet:
    """The set alone; its responses have so many tokens."""
    file = folder / f"{strategy}{seed}" / "prints.json"
    if not file.is_file():
        file.parent.mkdir(parents=True, exist_ok=True)
        longer = {} if tokens == 1 else {"response_length": tokens}
        built, secret = STRATEGIES.build({"name": strategy} | longer), seed.to_bytes(32, "big")
        made = generate(base(), built, num_fingerprints=count, max_response_length=longer.get("response_length"), secret=secret)
        made.save(file)
    return load_fingerprints(file)


def attacks(starter: LocalModel) -> dict[str, Change]:
    """Name -> what is done to a model's weights."""
    changes: dict[str, Change] = {"none": lambda model: model}
    changes |= {f"merged at {weight}": functools.partial(merged, other=starter, weight=weight) for weight in WEIGHTS}
    changes |= {f"{share:.0%} pruned": functools.partial(pruned, share=share) for share in (0.5, 0.7)}
    return changes | {f"{bits} bits": functools.partial(rounded, bits=bits) for bits in (4, 3)}


def finetuned(model: str | Path, out: Path, *, seed: int, user: FineTune = USERS) -> LocalModel:
    """Trained on by a user; kept in ``out``."""
    if not out.is_dir():
        report = user.apply(str(model), out, seed=seed, device="cpu")
        print(f"{out.name}: user's loss {report.loss_before:.2f} -> {report.loss_after:.2f}", flush=True)
    return LocalModel(out, device="cpu")


def merged(local: LocalModel, other: LocalModel, weight: float) -> LocalModel:
    """The weighted mean of the weights of both; ``weight`` is of the first."""
    model = copy.deepcopy(local.model)
    with torch.no_grad():
        for own, second in zip(model.parameters(), other.model.parameters(), strict=True):
            own.lerp_(second, 1 - weight)
    return local.wrapping(model)


def pruned(local: LocalModel, share: float) -> LocalModel:
    """The smallest of each linear layer's weights set to zero; embeddings and head are left whole."""
    model = copy.deepcopy(local.model)
    head = model.get_output_embeddings()
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, torch.nn.Linear) and layer is not head:
                weight = layer.weight
                smallest = weight.abs().flatten().kthvalue(int(share * weight.numel())).values
                weight[weight.abs() <= smallest] = 0
    return local.wrapping(model)
