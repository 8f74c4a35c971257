"""Upload a marked model to a hub: the plan of what would be uploaded, and the one commit that does it."""

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from typing import NamedTuple

from insignia.errors import InputError, OutputError
from insignia.evidence.publication import SignedCommitment
from insignia.files import decode, read_bytes
from insignia.modeling.cards import COMMITMENT, README, card_of
from insignia.progress import AUTO, Progress
from insignia.publishing.public_files import PublicFile, public_files
from insignia.records import Displayed, Record
from insignia.registry import errors_about
from insignia.terminal import counted, size

__all__ = ["Publication", "UploadedFile", "publish", "refuse_hub"]

_MESSAGE = "Upload model"  # what others read in the history


class UploadedFile(Record):
    """A file on the hub."""

    name: str
    kind: str
    bytes: int
    digest: str


class Publication(Displayed):
    """What was uploaded, or with ``url`` None what would be."""

    repository: str
    private: bool | None
    """None: as the hub does by default."""
    files: tuple[UploadedFile, ...]
    deleted: tuple[str, ...] = ()
    """Weights of an earlier upload that the new ones do not replace."""
    url: str | None = None
    """The commit."""

    @property
    def heading(self) -> str:
        """Where the model is."""
        total = size(sum(file.bytes for file in self.files))
        what = f"{counted(len(self.files), 'file')}, {total}"
        return (
            f"{self.repository}: {what}, not uploaded (dry run)" if self.url is None else f"{self.repository}: uploaded {what}"
        )

    def summary(self) -> list[tuple[str, str]]:
        """The files."""
        return [(file.name, f"{size(file.bytes)}, {file.digest}") for file in self.files]


def publish(
    folder: str | Path,
    repository: str,
    *,
    commitment: str | Path | None = None,
    also: Collection[str] = (),
    private: bool | None = None,
    dry_run: bool = False,
    force: bool = False,
    progress: Progress = AUTO,
) -> Publication:
    """Upload the folder of a marked model in one commit, a commitment beside it; ``dry_run`` only says what it would do.

    Every file has to be of a kind that a published model has, and what holds a secret is refused by its content. The card on
    the hub names the commitment; the folder is not changed. A repository that has files is added to only with ``force``.

    Raises:
        InputError: a file is a secret or of no known kind, ``repository`` is no hub id, or HF_HUB_OFFLINE is set.
        OutputError: the hub refused, did not answer, or the repository has files and ``force`` is off.
    """
    planned = _planned(Path(folder), None if commitment is None else Path(commitment), also)
    files = tuple(UploadedFile(name=each.name, kind=each.kind, bytes=each.size, digest=each.digest) for each in planned)
    found = Publication(repository=repository, private=private, files=files)
    if dry_run:
        _refuse_name(repository)
        return found
    refuse_hub(repository)
    with _errors_of(repository), progress.bar("uploading"):
        sent = _commit(repository, planned, private=private, force=force)
    return found.model_copy(update={"deleted": sent.deleted, "url": sent.url})


def refuse_hub(repository: str) -> None:
    """Raise an error, before long work, if the repository cannot be one, or the hub does not know whose token this is."""
    from huggingface_hub import HfApi, constants  # noqa: PLC0415  with the extra 'torch'

    _refuse_name(repository)
    if constants.HF_HUB_OFFLINE:
        raise InputError("HF_HUB_OFFLINE is set, so nothing can be uploaded; unset it, or look at the plan by a dry run")
    with _errors_of(repository):
        HfApi(endpoint=constants.ENDPOINT).whoami()


def _refuse_name(repository: str) -> None:
    from huggingface_hub.errors import HFValidationError  # noqa: PLC0415  as above
    from huggingface_hub.utils._validators import validate_repo_id  # noqa: PLC0415  as above

    try:
        validate_repo_id(repository)
    except HFValidationError:
        raise InputError(f"{repository} is not a hub id; expected owner/name") from None


def _planned(folder: Path, commitment: Path | None, also: Collection[str]) -> list[PublicFile]:
    """The files to upload, checked; with a commitment, it and the card that names it."""
    files = {file.name: file for file in public_files(folder, also)}
    if commitment is not None:
        published = SignedCommitment.load(commitment)
        if README in files:  # a folder without a card was made with --no-card
            base = folder / README
            with errors_about(base):
                card = card_of(decode(read_bytes(base), base, "a model card"), commitment=published)
            files[README] = PublicFile.of(README, "card", card.encode())
        files[COMMITMENT] = PublicFile.of(COMMITMENT, "commitment", commitment)
    return list(files.values())


class _Sent(NamedTuple):
    url: str
    deleted: tuple[str, ...]


def _commit(repository: str, planned: list[PublicFile], *, private: bool | None, force: bool) -> _Sent:
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, constants  # noqa: PLC0415  as above
    from huggingface_hub.errors import RepositoryNotFoundError  # noqa: PLC0415  as above

    api = HfApi(endpoint=constants.ENDPOINT)
    try:
        there = set(api.list_repo_files(repository)) - {".gitattributes"}
    except RepositoryNotFoundError:
        api.create_repo(repository, private=private)
        there = set()
    if there and not force:
        raise OutputError(
            f"{repository} has {counted(len(there), 'file')} on the hub; choose another name or pass --force to replace them"
        )
    names = {file.name for file in planned}
    stale = sorted(name for name in there - names if fnmatchcase(name, "*.safetensors*"))
    added = [CommitOperationAdd(path_in_repo=each.name, path_or_fileobj=_opened(each)) for each in planned]
    deleted = [CommitOperationDelete(path_in_repo=name) for name in stale]
    info = api.create_commit(repository, [*added, *deleted], commit_message=_MESSAGE)
    return _Sent(str(info.commit_url), tuple(stale))


def _opened(file: PublicFile) -> str | bytes:
    return file.source if isinstance(file.source, bytes) else str(file.source)


@contextmanager
def _errors_of(repository: str) -> Iterator[None]:
    """Translate the errors of the hub and of the way to it."""
    import httpx2  # noqa: PLC0415  as above
    from huggingface_hub.errors import HfHubHTTPError, LocalTokenNotFoundError  # noqa: PLC0415  as above

    try:
        yield
    except LocalTokenNotFoundError:
        raise InputError("there is no token of the hub; log in by 'hf auth login', or set HF_TOKEN") from None
    except (HfHubHTTPError, httpx2.HTTPError, RuntimeError, ValueError) as error:
        said = str(error.__cause__ or error).strip().splitlines() or [type(error).__name__]
        raise OutputError(f"{repository} was not published: the hub said {said[0]}") from error
