"""How several processes train one model: whole copies (DDP), or weights split over them by FSDP2 or DeepSpeed ZeRO.

The launcher decides, as for any program of accelerate: ``torchrun``, or ``accelerate launch`` with a configuration file.
Each engine gives the result of a single process, up to rounding.
"""

import contextlib
import logging
import os
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import torch
from accelerate import Accelerator, DistributedType
from accelerate.utils import FullyShardedDataParallelPlugin, fsdp2_apply_ac, fsdp2_prepare_model
from peft import PeftModel
from transformers import PreTrainedModel
from transformers.integrations.deepspeed import is_deepspeed_available

from insignia.errors import FormatError, InputError, MissingExtraError
from insignia.files import read_json
from insignia.modeling.causality import refuse_bidirectional
from insignia.modeling.devices import resolve_device
from insignia.modeling.process_group import processes

__all__ = ["Engine"]


class Engine:
    """The processes of a run, and how they share the weights of its model.

    ``deepspeed`` is a DeepSpeed configuration; without one, the launcher's environment is read.

    Raises:
        InputError: the configuration cannot be used, or there is no launcher.
        MissingExtraError: DeepSpeed is not installed.
    """

    def __init__(self, device: str = "auto", deepspeed: Path | None = None) -> None:
        self._fsdp = _is_set("ACCELERATE_USE_FSDP")
        self.deepspeed: dict[str, Any] | None = None if deepspeed is None else _configuration(deepspeed)
        """DeepSpeed's configuration, if a file was given."""
        with_deepspeed = deepspeed is not None or _is_set("ACCELERATE_USE_DEEPSPEED")
        # accelerate imports DeepSpeed where it is installed, and DeepSpeed prints that it found no accelerator.
        if resolve_device(device).type == "cpu":
            os.environ.setdefault("DS_ACCELERATOR", "cpu")
        if with_deepspeed:
            _refuse_deepspeed_without_launcher()
            _quiet_deepspeed()
        if self._fsdp and int(os.environ.get("FSDP_VERSION", "1")) != 2:
            raise InputError("FSDP version 1 is not supported; write fsdp_version: 2 into the configuration of accelerate")
        self.state = processes(device)
        self._plugin: Any = None
        if with_deepspeed:
            with _prints_to_stderr():
                self._plugin = self._deepspeed_plugin()
        self._serving: Any = None  # DeepSpeed's engine of a split model that is not trained yet

    @property
    def splits(self) -> bool:
        """Whether each process holds a part of the weights only."""
        return self._fsdp or self.by_zero3

    @property
    def by_zero3(self) -> bool:
        """Whether DeepSpeed splits the weights, which then are nowhere outside a forward pass."""
        return self._plugin is not None and self._plugin.zero_stage == 3

    def device(self, wanted: str) -> str:
        """The device to load this process's model on."""
        if self._fsdp:
            return "cpu"  # its part goes to the process's own device when the model is split
        return str(self.state.device) if self.state.num_processes > 1 or self.splits else wanted

    def split(self, model: PreTrainedModel, name: str) -> None:
        """Leave each process its part of the weights, if the engine does that. Forward passes then need all processes.

        Which weights are trained must be fixed by now.
        """
        if not self.splits:
            return
        if self._fsdp:
            accelerator, inner = Accelerator(cpu=self.state.device.type == "cpu"), self.inner(model)
            plugin = self._fsdp_plugin(accelerator)
            plugin.set_auto_wrap_policy(inner)
            if plugin.activation_checkpointing:
                fsdp2_apply_ac(accelerator, inner)
            split: Any = fsdp2_prepare_model(accelerator, inner)
            split.set_reshard_after_forward(True)  # accelerate keeps the last layers whole, which nobody else expects
        else:
            import deepspeed  # noqa: PLC0415  an extra

            zero = self._plugin.deepspeed_config["zero_optimization"]
            kept = {"stage": 3} | {name: zero[name] for name in ("offload_param",) if name in zero}
            plain = {"train_micro_batch_size_per_gpu": 1, "zero_optimization": kept}  # neither gradients nor an optimizer
            with _prints_to_stderr():
                self._serving, *_ = deepspeed.initialize(model=model, config=plain)
        refuse_bidirectional(model, name)

    def inner(self, model: PreTrainedModel) -> PreTrainedModel:
        """The model that Trainer gets: with FSDP the one inside of PEFT's wrapper, which is used without it later."""
        wrapped: Any = model  # PeftModel is not a subclass
        if self._fsdp and isinstance(wrapped, PeftModel):
            return cast(PreTrainedModel, wrapped.get_base_model())
        return model

    def adopt(self, accelerator: Accelerator) -> None:
        """Prepare Trainer's accelerator for a model that is split already."""
        if self._fsdp:
            plugin = self._fsdp_plugin(accelerator)
            plugin.auto_wrap_policy, plugin.activation_checkpointing = None, False  # done

    @contextlib.contextmanager
    def training(self) -> Iterator[None]:
        """Train within the block: the way in which a split model only computed ends."""
        serving, self._serving = self._serving, None
        if serving is not None:
            serving.optimizer.destroy()  # its hooks; the weights stay split
        with contextlib.ExitStack() as stack:
            stack.enter_context(warnings.catch_warnings())
            if self._plugin is not None:  # DeepSpeed 0.19 calls collectives by names that torch 2.13 is about to drop
                warnings.filterwarnings("ignore", message=r"`torch\.distributed\..*is deprecated", category=FutureWarning)
                stack.enter_context(_prints_to_stderr())
            yield

    def _fsdp_plugin(self, accelerator: Accelerator) -> Any:
        """Accelerate's settings of FSDP. On a CPU its FSDP runs, but by itself it would take DDP there without a word."""
        state: Any = accelerator.state
        if state.distributed_type == DistributedType.MULTI_CPU:
            plugin = FullyShardedDataParallelPlugin()
            if accelerator.mixed_precision != "no":
                plugin.set_mixed_precision(accelerator.mixed_precision)
            state.distributed_type, state.fsdp_plugin = DistributedType.FSDP, plugin
        return state.fsdp_plugin

    def _deepspeed_plugin(self) -> Any:
        import deepspeed  # noqa: PLC0415  an extra
        from accelerate.utils import DeepSpeedPlugin  # noqa: PLC0415  needs DeepSpeed

        if torch.distributed.is_initialized():
            deepspeed.init_distributed(auto_mpi_discovery=False)  # now, while standard output is redirected
        plugin = DeepSpeedPlugin(hf_ds_config=self.deepspeed) if self.deepspeed is not None else DeepSpeedPlugin()
        if plugin.zero_stage == 3:
            plugin.set_deepspeed_weakref()  # transformers splits the weights as it loads them
        return plugin


def _is_set(variable: str) -> bool:
    return os.environ.get(variable, "").lower() in {"1", "true", "yes"}


def _configuration(path: Path) -> dict[str, Any]:
    """A DeepSpeed configuration; what it leaves open follows the method's options, so that the result is the same."""
    config = read_json(path)
    if not isinstance(config, dict) or not isinstance(config.get("zero_optimization", {}), dict):
        raise FormatError(f"{path} is not a DeepSpeed configuration; expected a JSON object with zero_optimization")
    follow = ("train_micro_batch_size_per_gpu", "gradient_accumulation_steps", "gradient_clipping")
    return dict.fromkeys(follow, "auto") | config


def _refuse_deepspeed_without_launcher() -> None:
    if not is_deepspeed_available():
        raise MissingExtraError("training by DeepSpeed", "deepspeed")
    if "LOCAL_RANK" not in os.environ:
        raise InputError(
            "DeepSpeed needs a launcher: torchrun --nproc-per-node DEVICES --no-python insignia ..., or accelerate launch"
        )


def _prints_to_stderr() -> contextlib.AbstractContextManager[Any]:
    """Send what DeepSpeed prints, such as what it has built, to standard error: standard output is for results."""
    return contextlib.redirect_stdout(sys.stderr)


def _quiet_deepspeed() -> None:
    """Send DeepSpeed's log to standard error, too."""
    with _prints_to_stderr():
        from deepspeed.utils import logger  # noqa: PLC0415  an extra

    for handler in logger.handlers:
        if isinstance(handler, logging.StreamHandler):
            handler.setStream(sys.stderr)
    logger.setLevel(logging.ERROR)
