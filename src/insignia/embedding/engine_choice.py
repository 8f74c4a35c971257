"""Which engine trains a method, and which method no engine may split."""

from insignia.embedding.base import Method, RunOptions
from insignia.engines import Engine
from insignia.errors import InputError

__all__ = ["engine_for"]


def engine_for(method: Method, run: RunOptions) -> Engine:
    """The engine of a run.

    Raises:
        InputError: the method cannot be trained by it.
    """
    engine = Engine(run.device, run.deepspeed)
    if engine.splits and not method.can_be_split:
        raise InputError(
            f"method {method.spec()['name']!r} with these options needs whole weights in each process; use torchrun alone or "
            "ZeRO stage 2, or method full or lora"
        )
    if engine.by_zero3 and getattr(method, "weight_deviation_strength", False):
        raise InputError("a weight deviation is not computed under ZeRO stage 3; use FSDP2, ZeRO stage 2, or strength 0")
    return engine
