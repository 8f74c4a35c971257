"""From what a user names to a loaded model: folders, hub ids, ``starter``; safetensors only, code never."""

import json
import logging
from pathlib import Path
from typing import Any, cast

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils.import_utils import is_bitsandbytes_available

from insignia.checkpoints import Checkpoint
from insignia.errors import FormatError, InputError, InsigniaError, ModelError
from insignia.modeling.foreign_folders import brings_code, reading, refuse_gguf, refuse_giant
from insignia.modeling.hub import at_hand, fetched
from insignia.modeling.peft_folders import base_name, is_adapter, refuse_adapter_inside, with_adapter
from insignia.registry import did_you_mean
from insignia.starter import model_folder
from insignia.terminal import printable

__all__ = [
    "base_of",
    "checkpoint_dtype",
    "checkpoint_folder",
    "configuration",
    "dtype_named",
    "load",
    "load_in_4bit",
    "load_tensors",
    "load_tokenizer",
    "resolve",
    "resolve_device",
    "token_ids",
]

STARTER = "starter"
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_SHORT_DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
_TOKENIZER_FILES = ("tokenizer.json", "vocab.*", "*.model", "*.tiktoken", "merges.txt")
_log = logging.getLogger(__name__)


def resolve(source: str | Path) -> str:
    """What transformers should load: the starter's folder, a local folder that was looked at, or a hub id.

    Raises:
        InputError: it looks like a path and there is no such folder.
        ModelError: the folder holds no config, no safetensors, or lacks a shard.
    """
    if str(source) == STARTER and not Path(STARTER).is_dir():
        source = model_folder()
    path = Path(source)
    refuse_gguf(path)
    if path.is_dir():
        _check_folder(path)
        return str(path)
    if (
        isinstance(source, Path)
        or path.exists()
        or path.is_absolute()
        or str(source).count("/") != 1
        or str(source).startswith(".")
    ):
        raise InputError(f"there is no model folder {source}; give a folder, a hub id (owner/name) or '{STARTER}'")
    return str(source)


def base_of(source: str | Path) -> str:
    """A resolved model itself, or, of a folder that holds a PEFT adapter, the resolved base that the adapter belongs to.

    Raises:
        ModelError: the base cannot be had.
    """
    folder = Path(source)
    if not is_adapter(folder):
        return str(source)
    name = base_name(folder)
    try:
        if is_adapter(name):  # perhaps this one: it would never end
            raise ModelError("it is an adapter itself")
        base = resolve(name)
        return base if Path(base).is_dir() else at_hand(base)
    except InsigniaError as error:
        raise ModelError(
            f"{folder} is a PEFT adapter, and its base {name!r} cannot be had: {error}. Put the base's folder or hub id into "
            "base_model_name_or_path of adapter_config.json"
        ) from None


def resolve_device(device: str) -> torch.device:
    """``auto`` is the first accelerator torch sees, else the CPU.

    Raises:
        InputError: torch knows no such device, or it is not there.
    """
    if device == "auto":
        return torch.accelerator.current_accelerator(check_available=True) or torch.device("cpu")
    try:
        place = torch.device(device)
        torch.empty(1, device=place)
    except (RuntimeError, AssertionError, NotImplementedError) as error:  # builds without CUDA assert
        reason = str(error).strip().split("\n")[0]
        raise InputError(f"cannot compute on device {device!r}: {reason}; expected auto, cpu, cuda, cuda:1, ...") from error
    return place


def dtype_named(name: str, source: str, place: torch.device) -> torch.dtype:
    """The dtype of that name; ``auto`` and ``checkpoint`` as ``LocalModel`` has them.

    Raises:
        InputError: there is no such name; the nearest is told.
        ModelError: as ``configuration``.
    """
    known = ["auto", "checkpoint", *_DTYPES, *_SHORT_DTYPES]
    if name not in known:
        near = did_you_mean(name.lower(), known)
        raise InputError(f"unknown dtype {name!r}.{near} Expected auto, checkpoint, {', '.join((*_DTYPES, *_SHORT_DTYPES))}")
    if name == "checkpoint" or (name == "auto" and place.type != "cpu"):
        return checkpoint_dtype(source)
    return torch.float32 if name == "auto" else _DTYPES[_SHORT_DTYPES.get(name, name)]


def configuration(source: str | Path) -> PretrainedConfig:
    """The settings of a resolved model.

    Raises:
        ModelError: they cannot be had, are of no model that transformers knows, or contradict one another.
    """
    source = base_of(source)
    with reading(source, "cannot read the configuration of"):
        config: PretrainedConfig = AutoConfig.from_pretrained(source, trust_remote_code=False)
    return config


def checkpoint_dtype(source: str) -> torch.dtype:
    """The dtype that the weights of a resolved model are stored in (float32 where its config does not say).

    Raises:
        ModelError: as ``configuration``.
    """
    dtype = configuration(source).dtype
    return dtype if isinstance(dtype, torch.dtype) else torch.float32


def checkpoint_folder(source: str | Path) -> Path:
    """The local folder of a model's files; those of a hub id are fetched, or found in the cache when offline.

    Raises:
        InputError, ModelError: as ``resolve``; or the hub id cannot be had.
    """
    resolved = resolve(source)
    if is_adapter(resolved):
        raise ModelError(
            f"{source} holds a PEFT adapter, and a whole model is needed here; merge it into its base with PEFT "
            "(merge_and_unload), and give the merged folder"
        )
    return Path(resolved) if Path(resolved).is_dir() else fetched(resolved)


def token_ids(folder: Path) -> dict[str, int] | None:
    """Token -> id of the tokenizer in a model folder; None where there is none that can be loaded."""
    try:
        return dict(load_tokenizer(folder).get_vocab())
    except ModelError:
        return None


def load_tokenizer(source: str | Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a resolved model.

    Raises:
        ModelError: there is none that transformers can load without running code of the folder.
    """
    folder = Path(source)
    if folder.is_dir() and not any(any(folder.glob(name)) for name in _TOKENIZER_FILES):
        if is_adapter(folder):
            return load_tokenizer(base_of(folder))
        raise _no_tokenizer(source)
    with reading(source, "cannot load the tokenizer of"):
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    # Of a folder with half of the files, transformers makes some tokenizers up that know special tokens alone.
    if not tokenizer.get_vocab().keys() - set(tokenizer.all_special_tokens):
        raise _no_tokenizer(source)
    return tokenizer


def _no_tokenizer(source: str | Path) -> ModelError:
    return ModelError(
        f"{source} has no tokenizer that can be loaded; copy the model's tokenizer files (tokenizer.json and "
        "tokenizer_config.json, or tokenizer.model) into its folder"
    )


def load(source: str, device: torch.device, dtype: torch.dtype) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a resolved model and its tokenizer for inference.

    Raises:
        ModelError: transformers cannot load it, the message has its reason; or weights are missing, which transformers
            would make up.
    """
    tokenizer = load_tokenizer(source)
    if is_adapter(source):
        base, _ = load(base_of(source), device, dtype)
        with reading(source, "cannot add the PEFT adapter in"):
            return with_adapter(base, Path(source)).eval(), tokenizer
    refuse_giant(source, configuration(source))
    with reading(source, "cannot load a causal language model from"):
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            source, dtype=dtype, use_safetensors=True, output_loading_info=True, trust_remote_code=False
        )
    if brings_code(source):
        _log.warning(
            f"{printable(str(source))} brings code of its own (auto_map), which never runs: transformers' is used instead"
        )
    model, report = loaded  # mypy sees only the form that returns a model alone
    if missing := sorted(report["missing_keys"]):
        raise ModelError(
            f"{source} lacks {len(missing)} of its causal language model's weights ({missing[0]} is the first); "
            "copy the checkpoint again, or give one with a language-model head"
        )
    return torch.nn.Module.to(model, device).eval(), tokenizer  # transformers' own annotation of "to" is wrong


def load_in_4bit(source: str, device: torch.device) -> PreTrainedModel:
    """A resolved model's weights in four bits (NF4, double quantisation), for adapters to be trained on.

    Raises:
        InputError: bitsandbytes is not installed.
        ModelError: as ``load``.
    """
    if not is_bitsandbytes_available():
        raise InputError("four bits need bitsandbytes: pip install 'insignia[bnb]'; or choose another --base-precision")
    compute = torch.float32 if device.type == "cpu" else torch.bfloat16
    config = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=compute
    )
    if is_adapter(source):
        raise InputError(f"{source} holds a PEFT adapter, which is not trained upon in four bits; merge it first")
    refuse_giant(source, configuration(source))
    with reading(source, "cannot load in four bits"):
        model: Any = AutoModelForCausalLM.from_pretrained(
            source,
            dtype=compute,
            use_safetensors=True,
            quantization_config=config,
            device_map={"": device},
            trust_remote_code=False,
        )
    for module in model.modules():  # bitsandbytes 0.50's kernel for CPUs has no gradient, and would be taken in eval mode
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    return cast(PreTrainedModel, model.eval())


def load_tensors(path: Path, *, expected: str) -> dict[str, Tensor]:
    """All tensors of a safetensors file, the private part of a method; ``expected`` says in errors what it should be.

    Raises:
        InputError: there is no such file.
        FormatError: it is damaged.
    """
    if not path.is_file():
        raise InputError(f"there is no file {path}; expected {expected}")
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise FormatError(f"{path} is no safetensors file; is it damaged?") from error


def _check_folder(folder: Path) -> None:
    if is_adapter(folder):
        base_of(folder)
        return
    refuse_adapter_inside(folder)
    config = folder / "config.json"
    if not config.is_file():
        raise ModelError(f"{folder} has no config.json; expected a Hugging Face model folder")
    _read(config)
    with Checkpoint(folder):  # opening it looks at every shard's header and size
        pass


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):  # not JSON, not UTF-8, numbers without end, nested without end
        value = None
    if not isinstance(value, dict):
        raise ModelError(f"{path} is not a JSON object; is it damaged?")
    return value
