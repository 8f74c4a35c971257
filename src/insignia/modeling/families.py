"""Model families under the short names of OML 1.0's ``--model-family`` and ``--model-size``."""

from typing import Annotated

from pydantic import ConfigDict, Field

from insignia.errors import InputError
from insignia.records import Flag, Record
from insignia.registry import did_you_mean

__all__ = ["FAMILIES", "NamedModel", "hub_id"]

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


class NamedModel(Record):
    """The model to be marked."""

    model_config = ConfigDict(title="Model")

    model: Annotated[str | None, Flag("--model", "--model-path")] = None
    """The model to be marked: folder, hub id or 'starter'."""
    model_family: Annotated[str | None, Field(examples=list(FAMILIES))] = None
    """Instead of --model: Eleuther, llama, llama-3.1, mistral, microsoft or gemma."""
    model_size: str | None = None
    """With --model-family: 7B, say."""

    def named(self) -> str:
        """The model, by its name or by its family and size."""
        if self.model is not None and self.model_family is None and self.model_size is None:
            return self.model
        if self.model is None and self.model_family is not None and self.model_size is not None:
            return hub_id(self.model_family, self.model_size)
        raise InputError("name the model either by --model or by --model-family and --model-size together")
