"""Depth pruning: whole layers are left out."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from insignia.attacks.base import WeightAttack
from insignia.errors import InputError
from insignia.progress import AUTO, Progress

if TYPE_CHECKING:
    from insignia.modeling.sources import Source

__all__ = ["DropLayers"]


class DropLayers(WeightAttack):
    """Leave out the deepest layers but the last one (Gromov et al. 2024, the simple rule)."""

    name: Literal["drop_layers"] = "drop_layers"
    count: Annotated[int, Field(ge=1)] = 1
    """Layers to leave out. One or more must be left."""

    def apply(self, model: "Source", out: Path, *, seed: int = 0, device: str = "auto", progress: Progress = AUTO) -> None:
        """See ``WeightAttack.apply``. Reads the whole model into memory, because its configuration changes too."""
        from torch import nn

        from insignia.files import refuse_overlap
        from insignia.modeling.saving import save_model
        from insignia.modeling.sources import training_copy

        with progress.bar(self.name):
            local = training_copy(model, device="cpu", dtype="checkpoint")
            if local.source is not None:
                refuse_overlap(out, Path(local.source))
            config = local.model.config
            depth = config.num_hidden_layers
            if self.count >= depth:
                raise InputError(f"{local.name} has {depth} layers; expected a count below that, not {self.count}")
            layers = [each for each in local.model.modules() if isinstance(each, nn.ModuleList) and len(each) == depth]
            for stack in layers:
                del stack[depth - 1 - self.count : depth - 1]
            config.num_hidden_layers = depth - self.count
            if kinds := getattr(config, "layer_types", None):
                config.layer_types = [*kinds[: depth - 1 - self.count], kinds[-1]]
            save_model(local, out, force=True)
