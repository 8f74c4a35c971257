"""The flags by which a verb that writes a model also uploads it."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from insignia.errors import InputError
from insignia.modeling.cards import CardOptions
from insignia.progress import Progress
from insignia.records import Flag

if TYPE_CHECKING:
    from insignia.publishing.upload import Publication, StraightUpload

__all__ = ["PushFlags"]


class PushFlags(CardOptions):
    """The model card, and where the model is uploaded to."""

    push_to_hub: str | None = None
    """Upload the folder to this repository of a Hugging Face hub (owner/name), with the commitment beside it."""
    private_repository: Annotated[bool, Flag(needs="push_to_hub")] = False
    """With --push-to-hub: create the repository as a private one."""
    push_dry_run: Annotated[bool, Flag(needs="push_to_hub")] = False
    """With --push-to-hub: say what would be uploaded, with sizes and digests, and upload nothing."""

    def refuse_push(self, *, kept: bool = True) -> None:
        """Raise an error, before long work, where the upload could not be made. ``kept``: whether a folder holds the model."""
        self.opened()
        if not kept and (self.push_to_hub is None or self.push_dry_run):
            raise InputError("without --output the model goes straight to a hub: give --push-to-hub, and no dry run")
        if not self.card and (self.base_model or (self.commitment and not self.push_to_hub)):
            raise InputError("--no-card leaves out what --base-model and --commitment would tell; give one or the other")
        if self.push_to_hub and not self.push_dry_run:
            from insignia.publishing.upload import refuse_hub  # noqa: PLC0415  with the extra 'torch'

            refuse_hub(self.push_to_hub)

    def straight(self, *, force: bool) -> "StraightUpload":
        """An upload whose weights are sent as they are made, so that no folder holds them."""
        from insignia.publishing.upload import StraightUpload  # noqa: PLC0415  as above

        private = self.private_repository or None
        return StraightUpload(self.push_to_hub or "", commitment=self.commitment, private=private, force=force)

    def push(self, folder: Path, *, force: bool, progress: Progress) -> "Publication | None":
        """Upload the folder, where that was asked for."""
        if self.push_to_hub is None:
            return None
        from insignia.publishing.upload import publish  # noqa: PLC0415  as above

        return publish(
            folder,
            self.push_to_hub,
            commitment=self.commitment,
            private=self.private_repository or None,
            dry_run=self.push_dry_run,
            force=force,
            progress=progress,
        )
