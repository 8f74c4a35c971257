"""The models that ``check`` asks, as options name them. Loads no torch until one is opened."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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

    def open_base(self) -> "LocalModel | None":
        """Load the unmarked model, if one is named."""
        return super().open(self.base) if self.base else None
