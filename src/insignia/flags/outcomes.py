"""What an error of a verb says in one line, and what it means for the user."""

from insignia.errors import InsigniaError, MissingExtraError

__all__ = ["explained"]

# What extras install, by the names that a module imports first.
_MISSING = {
    **dict.fromkeys(
        ("torch", "transformers", "tokenizers", "safetensors", "accelerate", "peft", "huggingface_hub"),
        MissingExtraError("running or changing a model on this machine", "torch"),
    ),
    "numpy": MissingExtraError("the arithmetic of licensees", "licensing"),
}


def explained(error: Exception) -> str | None:
    """The line for an error that is the user's to read; None for one that is a defect of the program."""
    if isinstance(error, InsigniaError):
        return str(error)
    if isinstance(error, ModuleNotFoundError):
        missing = _MISSING.get((error.name or "").partition(".")[0])
        return None if missing is None else str(missing)
    if isinstance(error, ValueError):
        from pydantic import ValidationError

        from insignia.registry import explain

        return f"a setting cannot be: {explain(error)}" if isinstance(error, ValidationError) else None
    if type(error).__name__ == "OutOfMemoryError":  # torch's, which a light command has not loaded
        return "the device is out of memory; use a smaller --batch-size, --dtype bfloat16, --method lora or --device cpu"
    if isinstance(error, OSError):
        return ": ".join(filter(None, (error.filename and str(error.filename), error.strerror or str(error))))
    return None
