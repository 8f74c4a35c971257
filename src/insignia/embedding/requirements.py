"""What marking takes in memory, disk and steps, told from the model's configuration alone: no weights are loaded."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from pydantic import computed_field

from insignia.embedding.base import Method
from insignia.embedding.full import EmbeddingTune, FullFineTune
from insignia.embedding.gradient import GradientMethod
from insignia.embedding.low_rank import LoRA
from insignia.errors import InputError
from insignia.fingerprints.sets import FingerprintSet
from insignia.records import Displayed
from insignia.terminal import counted, size

if TYPE_CHECKING:
    from torch import nn

__all__ = ["PARTS", "Needs", "free_bytes", "needs_of", "refuse_what_needs_more"]

PARTS = ("weights", "gradients", "states", "activations", "reference", "process")
"""Fields of ``Needs`` that make up the memory."""

_KNOWN = (FullFineTune, EmbeddingTune, LoRA)
_PASSES = 25  # until all is learned; 64 fingerprints in the starter took 18 to 34 (docs/lab-log.md)
_PROCESS = 2**29  # Python, torch and transformers with nothing loaded; benchmarks/memory.py prints it
_FOUR_BITS = 0.516  # bytes a weight in NF4 with double quantization
_KEPT_BYTES = 8  # of a token kept of a reference distribution


class Needs(Displayed):
    """What marking takes on one device, in bytes, and how long it trains."""

    method: dict[str, object]
    parameters: int
    """Weights of the model."""
    trained: int
    """Weights that are trained."""
    weights: int
    """Bytes of the weights as they are held while training."""
    gradients: int
    states: int
    """Moments and masters of the optimizer."""
    activations: int
    """What the forward passes of a step keep for the gradient, logits included."""
    reference: int
    """What the base says on the reference samples, on the CPU."""
    process: int
    """Python and its libraries."""
    disk: int
    """The marked model and two checkpoints."""
    steps: int
    """An estimate: when all is learned is known only then."""
    tokens: int
    """Tokens that are trained on."""

    @computed_field  # type: ignore[prop-decorator]  # as pydantic has it
    @property
    def memory(self) -> int:
        """All bytes together."""
        return sum(getattr(self, part) for part in PARTS)

    @property
    def heading(self) -> str:
        """What it takes, in one line."""
        return f"marking takes about {size(self.memory)} of memory: {self.memory / self.parameters:.1f} bytes a parameter"

    def summary(self) -> list[tuple[str, str]]:
        """Where the bytes go, and the steps."""
        return [
            ("weights", f"{size(self.weights)}, {self.parameters / 1e6:.4g} million parameters"),
            ("gradients", f"{size(self.gradients)}, {100 * self.trained / self.parameters:.3g} % are trained"),
            ("optimizer states", size(self.states)),
            ("activations and logits", size(self.activations)),
            ("the base's distributions", size(self.reference)),
            ("Python and its libraries", size(self.process)),
            ("disk", size(self.disk)),
            ("training", f"about {counted(self.steps, 'step')}, {self.tokens / 1e6:.3g} million tokens"),
        ]


def needs_of(source: str, method: Method, prints: FingerprintSet) -> Needs:
    """What marking a model of files takes by this method.

    Raises:
        InputError: nothing is known of the method.
        ModelError: the configuration cannot be read, or the hub does not answer.
    """
    import torch
    from transformers import AutoModelForCausalLM

    from insignia.modeling.hub import hub_or_cache
    from insignia.modeling.loading import configuration, resolve
    from insignia.modeling.untrusted_folders import loading_errors, refuse_oversized

    if not isinstance(method, _KNOWN):
        raise InputError(
            f"nothing is known of the memory of method {method.spec()['name']!r}; expected full, sft, embedding or lora"
        )
    source = resolve(source)
    source = source if Path(source).is_dir() else resolve(hub_or_cache(source))
    config = configuration(source)
    refuse_oversized(source, config)
    stored = config.dtype.itemsize if isinstance(config.dtype, torch.dtype) else 4
    with loading_errors(source, "cannot tell the size of"), torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config, trust_remote_code=False)
    return _Plan(model, config.get_text_config(), stored, method, prints).needs()


@dataclasses.dataclass
class _Plan:
    model: "nn.Module"
    config: Any
    stored: int
    """Bytes of a stored weight."""
    method: GradientMethod
    prints: FingerprintSet

    def needs(self) -> Needs:
        method, count = self.method, len(self.prints)
        parameters = sum(weight.numel() for weight in self.model.parameters())
        linear = sum(layer.weight.numel() for layer in self._layers())
        held = float(method.dtype == "float32") * 4 or (2 if method.dtype == "bfloat16" else self.stored)
        weights = parameters * held
        if isinstance(method, LoRA):
            trained = sum(method.rank * sum(layer.weight.shape) for layer in self._layers())
            if method.base_precision == "4bit":  # beside the checkpoint's weights, into which the product goes
                weights += linear * _FOUR_BITS + (parameters - linear) * 4
            weights, each = weights + 4 * trained, 4.0
        else:
            method._prepare(SimpleNamespace(model=self.model), (), 0)  # type: ignore[arg-type]  # noqa: SLF001  of this package
            trained = sum(weight.numel() for weight in self.model.parameters() if weight.requires_grad)
            each = held
            if isinstance(method, FullFineTune) and method.merge_weight < 1:
                weights += trained * held
        moments = 2 * (1 + 4 / 256) if method.optimizer_states == "8bit" else 8.0
        master = 2.0 if isinstance(method, FullFineTune) and method.precision == "mixed" else 0.0
        batch = min(method.batch_size or count, count)
        key = batch * (self.prints.max_key_length + self.prints.max_response_length + 1)
        reference = method.reference_rows * method.reference_length if method.reference_strength else 0
        batches = -(-count // batch)
        steps = min(_PASSES, method.epochs or _PASSES) * batches + method.cooldown(self.prints, batches)
        states = trained * (moments + master)
        return Needs(
            method=method.spec(),
            parameters=parameters,
            trained=trained,
            weights=round(weights),
            gradients=round(trained * each),
            states=round(states),
            activations=round(self._activations(key, reference, batch)),
            reference=method.reference_count * method.reference_length * self._kept_bytes() if reference else 0,
            process=_PROCESS,
            disk=round(parameters * self.stored + 2 * (parameters * held + states)),
            steps=steps,
            tokens=steps * (key + reference),
        )

    def _kept_bytes(self) -> int:
        """Bytes kept of each reference distribution."""
        from insignia.embedding.reference_cache import KEPT

        return min(KEPT, int(self.config.vocab_size)) * _KEPT_BYTES

    def _layers(self) -> Iterator[Any]:
        """Linear layers but the head."""
        from torch import nn
        from transformers.pytorch_utils import Conv1D

        head = self.model.get_output_embeddings()  # type: ignore[operator]  # torch types attributes of modules loosely
        return (layer for layer in self.model.modules() if isinstance(layer, nn.Linear | Conv1D) and layer is not head)

    def _activations(self, key: int, reference: int, batch: int) -> float:
        """What is kept for the gradient: inputs of every layer's products, norms and attention, and logits."""
        config, method = self.config, self.method
        width: int = getattr(config, "hidden_size", 0)
        inner: int = getattr(config, "intermediate_size", None) or 4 * width
        layers: int = getattr(config, "num_hidden_layers", 0)
        small = method.dtype == "bfloat16" or (isinstance(method, LoRA) and method.dtype == "checkpoint" and self.stored == 2)
        bytes_each = 2 if small else 4
        # Norms compute in float32 whatever the weights are: two of them keep their input and its normal form.
        layer = (key + reference) * (bytes_each * (8 * width + 4 * inner) + 4 * 4 * width * (bytes_each == 2))
        if method.gradient_checkpointing:
            kept = (key + reference) * width * bytes_each * layers + layer
        else:
            kept = layer * layers
        logits = 4 * config.vocab_size * (4 * batch * self.prints.max_response_length + 3 * min(reference, _logits(config)))
        return float(kept + logits)


def _logits(config: Any) -> int:
    """Places whose logits are in memory at once."""
    from insignia.modeling.batches import LOGITS

    return max(1, LOGITS // int(config.vocab_size))


def free_bytes(device: str) -> int | None:
    """Bytes that are free on the device; None where nobody says."""
    import torch

    from insignia.modeling.devices import resolve_device

    place = resolve_device(device)
    if place.type == "cuda":
        return int(torch.cuda.mem_get_info(place)[0])
    try:
        with open("/proc/meminfo", encoding="ascii") as lines:  # noqa: PTH123  not a file of anybody's
            return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        return None


def refuse_what_needs_more(source: str, method: Method, prints: FingerprintSet, device: str) -> None:
    """Raise InputError if the device has too little memory for the run, with what to change; unknown needs pass."""
    free = free_bytes(device)
    if free is None or not isinstance(method, _KNOWN):
        return
    needs = needs_of(source, method, prints)
    if needs.memory <= free:
        return
    for flags, cheaper in _cheaper(method):
        less = needs_of(source, cheaper, prints).memory
        if less <= free:
            way = f"{flags} takes about {size(less)}"
            break
    else:
        way = "no method of this library fits; use a device with more memory, or several"
    raise InputError(
        f"marking {source} this way takes about {size(needs.memory)} of memory and {size(free)} is free: {way}"
        " ('insignia embed --dry-run' has the parts)"
    )


def _cheaper(method: GradientMethod) -> Iterator[tuple[str, GradientMethod]]:
    """Ways to take less memory, those that change least first."""
    lean: dict[str, object] = {"gradient_checkpointing": True}
    yield "--gradient-checkpointing", method.model_copy(update=lean)
    lean |= {"optimizer_states": "8bit"}
    yield "--gradient-checkpointing --optimizer-states 8bit", method.model_copy(update=lean)
    if isinstance(method, FullFineTune):
        for precision in ("mixed", "bfloat16"):
            flags = f"--gradient-checkpointing --optimizer-states 8bit --precision {precision}"
            yield flags, method.model_copy(update=lean | {"precision": precision})
    small = LoRA(gradient_checkpointing=True, batch_size=8)
    for base in ("checkpoint", "4bit"):
        flags = f"--method lora --base-precision {base} --gradient-checkpointing --batch-size 8"
        yield flags, small.model_copy(update={"base_precision": base})
