"""What an error of a verb says in one line, and what it means for the user."""

from insignia.errors import InsigniaError, MissingExtraError

__all__ = ["explained"]

# What the extra 'torch' installs, by the names that a module imports first.
_OF_TORCH = {"torch", "transformers", "tokenizers", "safetensors", "accelerate", "peft"}


def explained(error: Exception) -> str | None:
    """The line for an error that is the user's to read; None for one that is a defect of the program."""
    if isinstance(error, InsigniaError):
        return str(error)
    if isinstance(error, ModuleNotFoundError):
        missing = (error.name or "").partition(".")[0] in _OF_TORCH
        return str(MissingExtraError("running or changing a model on this machine", "torch")) if missing else None
    if isinstance(error, ValueError):
        from pydantic import ValidationError

        from insignia.registry import explain

        return f"a setting cannot be: {explain(error)}" if isinstance(error, ValidationError) else None
    if type(error).__name__ == "OutOfMemoryError":  # torch's, which a light command has not loaded
        return "the device is out of memory; use a smaller --batch-size, --dtype bfloat16, --method lora or --device cpu"
    if isinstance(error, OSError):
        return ": ".join(filter(None, (error.filename and str(error.filename), error.strerror or str(error))))
    return None
