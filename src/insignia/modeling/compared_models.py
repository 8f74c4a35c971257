"""The models that ``check`` asks, as options name them. Loads no torch until one is opened."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from insignia.errors import InputError
from insignia.modeling.placement import Placement
from insignia.records import Flag

if TYPE_CHECKING:
    from insignia.modeling.local import LocalModel

__all__ = ["ComparedModels"]


class ComparedModels(Placement):
    """The models beside the suspects."""

    base: str | None = None
    """Unmarked model to ask as well: folder, hub id or 'starter'."""
    adapter: Annotated[Path | None, Flag(needs="published")] = None
    """Private part of method adapter. It asks the --published model with the rows of the one to check."""
    published: Annotated[str | None, Flag(needs="adapter")] = None
    """With --adapter: the marked model as it was published."""

    def open(self, source: str) -> "LocalModel":
        """Load the model, with the rows of ``adapter`` where there is one."""
        suspect = super().open(source)
        if self.adapter is None or self.published is None:
            return suspect
        from insignia.modeling.owner_adapter import EmbeddingAdapter  # noqa: PLC0415  with torch

        return EmbeddingAdapter.load(self.adapter).attach(super().open(self.published), suspect)

    def open_base(self) -> Any:
        """Load the unmarked model, if one is named, to be asked as the others are."""
        return self.shared(super().open(self.base)) if self.base else None

    def where(self) -> dict[str, str]:
        """See ``Placement.where``; the processes of a torchrun have a device each."""
        if not _launched():
            return super().where()
        from insignia.modeling.process_group import processes  # noqa: PLC0415  as above

        return super().where() | {"device": str(processes(self.device).device)}

    def shared(self, model: Any) -> Any:
        """The model, or under torchrun its copies together, each of which scores a share of what is asked.

        Raises:
            InputError: it is a server, which several processes would ask the same.
        """
        if not _launched():
            return model
        from insignia.modeling.shared_scores import SharedScores  # noqa: PLC0415  as above

        if not hasattr(model, "score"):
            raise InputError("torchrun is for a --model on this machine; ask a server from one process, with --concurrency")
        return SharedScores(model)


def _launched() -> bool:
    """Whether torchrun started several processes."""
    return int(os.environ.get("WORLD_SIZE", "1")) > 1
