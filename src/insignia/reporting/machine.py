"""The machine and the installed versions, for a report of a bug; no secret, and no path."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version

from insignia.reporting.base import Document, Table
from insignia.terminal import size

__all__ = ["machine_report"]

_PACKAGES = (
    "torch transformers peft accelerate safetensors tokenizers huggingface_hub numpy pydantic typer rich httpx2 cryptography "
    "pyrage datasets bitsandbytes deepspeed gguf"
).split()


def machine_report() -> Document:
    """Versions, processors, memory and devices."""
    found: dict[str, str] = {
        "insignia": version("insignia"),
        "Python": f"{platform.python_implementation()} {platform.python_version()}",
        "platform": platform.platform(),
        "processors": f"{_usable()} of {os.cpu_count()}",
        "memory": _memory(),
        "devices": _devices(),
    }
    found |= {name: _version(name) for name in _PACKAGES}
    title = "For a report of a bug"
    return Document(title, (Table.of(title, ("", ""), found.items()),), found)


def _usable() -> int:
    """Processors that this process may use; not every system tells."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _memory() -> str:
    """Windows does not tell without a library of its own."""
    return size(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")) if hasattr(os, "sysconf") else "not known"


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _devices() -> str:
    try:
        import torch
    except ModuleNotFoundError:
        return "not known without torch"

    names = [
        f"{torch.cuda.get_device_name(index)} ({size(torch.cuda.get_device_properties(index).total_memory)})"
        for index in range(torch.cuda.device_count())
    ]
    place = torch.accelerator.current_accelerator(check_available=True)
    return "; ".join(names) or (str(place) if place is not None else "CPU alone")
