"""Load models from folders, hub ids or ``starter``. Only safetensors are read and no model code runs."""

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
from insignia.modeling.devices import spread
from insignia.modeling.hub import download, hub_or_cache
from insignia.modeling.peft_folders import base_name, is_adapter, refuse_adapter_inside, with_adapter
from insignia.modeling.untrusted_folders import has_own_code, loading_errors, refuse_gguf, refuse_oversized
from insignia.registry import did_you_mean
from insignia.starter import model_folder
from insignia.terminal import counted, printable

__all__ = [
    "STARTER",
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
    "token_ids",
]

STARTER = "starter"
_DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_SHORT_DTYPES = {"fp32": "float32", "bf16": "bfloat16", "fp16": "float16"}
_TOKENIZER_FILES = ("tokenizer.json", "vocab.*", "*.model", "*.tiktoken", "merges.txt")
_log = logging.getLogger(__name__)


def resolve(source: str | Path) -> str:
    """The name to load from: the starter's folder, a checked local folder or a hub id.

    Raises:
        InputError: the name is a path and there is no such folder.
        ModelError: the folder has no config.json, no safetensors, or lacks a shard.
    """
    if str(source) == STARTER and not Path(STARTER).is_dir():
        source = model_folder()
    if not str(source).strip():  # a shell's variable that is not set; as a path it would be the current folder
        raise InputError(f"the name of the model is empty; expected a folder, a hub id (owner/name) or '{STARTER}'")
    refuse_gguf(path := Path(source))
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
        raise InputError(f"there is no model folder {source}; expected a folder, a hub id (owner/name) or '{STARTER}'")
    return str(source)


def base_of(source: str | Path) -> str:
    """The base model of a folder with a PEFT adapter, resolved; any other resolved model itself.

    Raises:
        ModelError: the base cannot be resolved.
    """
    folder = Path(source)
    if not is_adapter(folder):
        return str(source)
    name = base_name(folder)
    try:
        if is_adapter(name):  # perhaps this one, which would never end
            raise ModelError("it is an adapter itself")
        base = resolve(name)
        return base if Path(base).is_dir() else hub_or_cache(base)
    except InsigniaError as error:
        raise ModelError(
            f"{folder} is a PEFT adapter, and its base {name!r} cannot be loaded: {error}. Write the base's folder or hub id "
            "into base_model_name_or_path of adapter_config.json"
        ) from None


def dtype_named(name: str, source: str, place: torch.device) -> torch.dtype:
    """The dtype of that name; see ``LocalModel`` for ``auto`` and ``checkpoint``.

    Raises:
        InputError: the name is unknown.
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
    """The configuration of a resolved model.

    Raises:
        ModelError: it is missing, inconsistent, or of a model that transformers does not know.
    """
    source = base_of(source)
    with loading_errors(source, "cannot read the configuration of"):
        config: PretrainedConfig = AutoConfig.from_pretrained(source, trust_remote_code=False)
    return config


def checkpoint_dtype(source: str) -> torch.dtype:
    """The dtype in the configuration of a resolved model; float32 if it names none.

    Raises:
        ModelError: as ``configuration``.
    """
    dtype = configuration(source).dtype
    return dtype if isinstance(dtype, torch.dtype) else torch.float32


def checkpoint_folder(source: str | Path) -> Path:
    """The local folder of a model's files. A hub id is downloaded, or found in the cache when offline.

    Raises:
        InputError, ModelError: as ``resolve``; or the download failed.
    """
    resolved = resolve(source)
    if is_adapter(resolved):
        raise ModelError(
            f"{source} is a PEFT adapter; expected a whole model: merge the adapter into its base with PEFT "
            "(merge_and_unload) and give the merged folder"
        )
    return Path(resolved) if Path(resolved).is_dir() else download(resolved)


def token_ids(folder: Path) -> dict[str, int] | None:
    """The vocabulary (token -> id) of the tokenizer in a model folder; None if no tokenizer can be loaded."""
    try:
        return dict(load_tokenizer(folder).get_vocab())
    except ModelError:
        return None


def load_tokenizer(source: str | Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a resolved model.

    Raises:
        ModelError: transformers cannot load one without running code from the folder.
    """
    folder = Path(source)
    if folder.is_dir() and not any(any(folder.glob(name)) for name in _TOKENIZER_FILES):
        if is_adapter(folder):
            return load_tokenizer(base_of(folder))
        raise _no_tokenizer(source)
    with loading_errors(source, "cannot load the tokenizer of"):
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(source, trust_remote_code=False)
    # If files are missing, transformers builds some tokenizers with special tokens only.
    if not tokenizer.get_vocab().keys() - set(tokenizer.all_special_tokens):
        raise _no_tokenizer(source)
    return tokenizer


def _no_tokenizer(source: str | Path) -> ModelError:
    return ModelError(
        f"{source} has no tokenizer that transformers can load; copy the model's tokenizer files (tokenizer.json and "
        "tokenizer_config.json, or tokenizer.model) into the folder"
    )


def load(source: str, device: torch.device | None, dtype: torch.dtype) -> tuple[PreTrainedModel, PreTrainedTokenizerBase]:
    """Load a resolved model and its tokenizer for inference on a device, or spread over all (None).

    Raises:
        InputError: an adapter cannot be spread.
        ModelError: transformers cannot load it, or weights are missing, which transformers would initialize at random.
    """
    tokenizer = load_tokenizer(source)
    if is_adapter(source):
        if device is None:
            raise InputError(f"{source} is a PEFT adapter, which --device all does not take; merge it into its base first")
        base, _ = load(base_of(source), device, dtype)
        with loading_errors(source, "cannot add the PEFT adapter in"):
            return with_adapter(base, Path(source)).eval(), tokenizer
    refuse_oversized(source, configuration(source))
    with loading_errors(source, "cannot load a causal language model from"):
        loaded: Any = AutoModelForCausalLM.from_pretrained(
            source,
            dtype=dtype,
            use_safetensors=True,
            output_loading_info=True,
            trust_remote_code=False,
            **(spread() if device is None else {}),
        )
    if has_own_code(source):
        _log.warning(f"{printable(str(source))} comes with its own code (auto_map); insignia uses transformers' instead")
    model, report = loaded  # the annotation covers only the call that returns a model
    if missing := sorted(report["missing_keys"]):
        raise ModelError(
            f"{source} lacks weights of a causal language model ({counted(len(missing), 'tensor')}, the first is {missing[0]});"
            " copy the checkpoint again or give one with a language-model head"
        )
    if device is not None:
        torch.nn.Module.to(model, device)  # transformers annotates its own wrongly
    return model.eval(), tokenizer


def load_in_4bit(source: str, device: torch.device) -> PreTrainedModel:
    """Load a resolved model in 4 bits (NF4, double quantization), to train adapters on it.

    Raises:
        InputError: bitsandbytes is not installed.
        ModelError: as ``load``.
    """
    if not is_bitsandbytes_available():
        raise InputError("4-bit loading needs bitsandbytes: pip install 'insignia[bnb]', or choose another --base-precision")
    compute = torch.float32 if device.type == "cpu" else torch.bfloat16
    config = BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=compute
    )
    if is_adapter(source):
        raise InputError(f"{source} is a PEFT adapter and cannot be loaded in 4 bits; merge it into its base first")
    refuse_oversized(source, configuration(source))
    with loading_errors(source, "cannot load in 4 bits"):
        model: Any = AutoModelForCausalLM.from_pretrained(
            source,
            dtype=compute,
            use_safetensors=True,
            quantization_config=config,
            device_map={"": device},
            trust_remote_code=False,
        )
    for module in model.modules():  # bitsandbytes 0.50 uses a CPU kernel without gradients in eval mode
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    return cast(PreTrainedModel, model.eval())


def load_tensors(path: Path, *, expected: str) -> dict[str, Tensor]:
    """All tensors of a safetensors file with owner weights; ``expected`` describes the file in error messages.

    Raises:
        InputError: there is no such file.
        FormatError: it is damaged.
    """
    if not path.is_file():
        raise InputError(f"there is no file {path}; expected {expected}")
    try:
        return load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise FormatError(f"{path} is not a safetensors file; is it damaged?") from error


def _check_folder(folder: Path) -> None:
    if is_adapter(folder):
        base_of(folder)
        return
    refuse_adapter_inside(folder)
    config = folder / "config.json"
    if not config.is_file():
        raise ModelError(f"{folder} has no config.json; expected a Hugging Face model folder")
    _read(config)
    with Checkpoint(folder):  # checks every shard's header and size
        pass


def _read(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError):  # not JSON or UTF-8, huge numbers, deep nesting
        value = None
    if not isinstance(value, dict):
        raise ModelError(f"{path} is not a JSON object; is it damaged?")
    return value
