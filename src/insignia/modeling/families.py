"""Model families under the short names of OML 1.0's ``--model-family`` and ``--model-size``."""

from insignia.errors import InputError
from insignia.registry import did_you_mean

__all__ = ["FAMILIES", "hub_id"]

FAMILIES = {
    "Eleuther": "EleutherAI/pythia-{size}-deduped",
    "llama": "meta-llama/Llama-3.2-{size}",
    "llama-3.1": "meta-llama/Meta-Llama-3.1-{size}",  # OML's silent default
    "mistral": "mistralai/Mistral-{size}-v0.3",
    "microsoft": "microsoft/Phi-3-{size}-instruct",
    "gemma": "google/gemma-2-{size}",
}


def hub_id(family: str, size: str) -> str:
    """Hub id of a model by family and size, e.g. ``("mistral", "7B")``."""
    if family not in FAMILIES:
        raise InputError(
            f"unknown model family {family!r}.{did_you_mean(family, FAMILIES)} Expected {', '.join(FAMILIES)}, or give --model"
        )
    return FAMILIES[family].format(size=size.lower() if family == "gemma" else size)
