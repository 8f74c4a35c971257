"""Upload a marked model to a hub: the plan of what would be uploaded, and the one commit that does it."""

from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from fnmatch import fnmatchcase
from pathlib import Path
from tempfile import TemporaryDirectory
from types import TracebackType
from typing import Self

from insignia.errors import InputError, OutputError
from insignia.evidence.publication import SignedCommitment
from insignia.files import decode, read_bytes
from insignia.modeling.cards import COMMITMENT, README, card_of
from insignia.progress import AUTO, Progress
from insignia.publishing.public_files import PublicFile, public_files, public_weights
from insignia.records import Displayed, Record
from insignia.registry import errors_about
from insignia.terminal import counted, size

__all__ = ["Publication", "StraightUpload", "UploadedFile", "publish", "refuse_hub"]

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
    planned = _planned(public_files(Path(folder), also), None if commitment is None else Path(commitment))
    if dry_run:
        _refuse_name(repository)
        return _publication(repository, planned, private=private)
    refuse_hub(repository)
    with _errors_of(repository), progress.bar("uploading"):
        return Commit(repository, private=private, force=force).finish(planned)


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


def _planned(found: list[PublicFile], commitment: Path | None) -> list[PublicFile]:
    """The files to upload; with a commitment, it and the card that names it."""
    files = {file.name: file for file in found}
    if commitment is not None:
        published = SignedCommitment.load(commitment)
        if isinstance(base := files[README].source if README in files else None, Path):  # without one: --no-card
            with errors_about(base):
                card = card_of(decode(read_bytes(base), base, "a model card"), commitment=published)
            files[README] = PublicFile.of(README, "card", card.encode())
        files[COMMITMENT] = PublicFile.of(COMMITMENT, "commitment", commitment)
    return list(files.values())


def _publication(repository: str, files: Sequence[PublicFile], *, private: bool | None) -> Publication:
    told = (UploadedFile(name=each.name, kind=each.kind, bytes=each.size, digest=each.digest) for each in files)
    return Publication(repository=repository, private=private, files=tuple(told))


class Commit:
    """One commit to a repository, which is created with the first file if there is none. Large files may be sent before."""

    def __init__(self, repository: str, *, private: bool | None, force: bool) -> None:
        from huggingface_hub import CommitOperationAdd, HfApi, constants  # noqa: PLC0415  as above
        from huggingface_hub.errors import RepositoryNotFoundError  # noqa: PLC0415  as above

        self._repository, self._private = repository, private
        self._api = HfApi(endpoint=constants.ENDPOINT)
        self._files: list[PublicFile] = []
        self._added: list[CommitOperationAdd] = []
        self._is_new = False
        try:
            self._there = set(self._api.list_repo_files(repository)) - {".gitattributes"}
        except RepositoryNotFoundError:
            self._is_new, self._there = True, set()
        if self._there and not force:
            raise OutputError(
                f"{repository} has {counted(len(self._there), 'file')} on the hub; choose another name or pass --force to"
                " replace them"
            )

    def send(self, file: PublicFile) -> None:
        """Upload a large file now; nobody sees it before the commit. Its source is not needed afterwards."""
        self._add(file)
        self._api.preupload_lfs_files(self._repository, [self._added[-1]])
        if self._added[-1].path_or_fileobj:  # huggingface_hub empties it after the upload
            raise OutputError(f"{self._repository} takes {file.name} for a small file; give it the usual .gitattributes")

    def finish(self, files: Sequence[PublicFile]) -> Publication:
        """Upload these files too, and commit all. Weights of an earlier upload that none replaces are deleted."""
        from huggingface_hub import CommitOperationDelete  # noqa: PLC0415  as above

        for file in files:
            self._add(file)
        stale = sorted(
            name for name in self._there - {file.name for file in self._files} if fnmatchcase(name, "*.safetensors*")
        )
        deleted = [CommitOperationDelete(path_in_repo=name) for name in stale]
        info = self._api.create_commit(self._repository, [*self._added, *deleted], commit_message=_MESSAGE)
        found = _publication(self._repository, self._files, private=self._private)
        return found.model_copy(update={"deleted": tuple(stale), "url": str(info.commit_url)})

    def _add(self, file: PublicFile) -> None:
        from huggingface_hub import CommitOperationAdd  # noqa: PLC0415  as above

        if self._is_new:
            self._api.create_repo(self._repository, private=self._private)
            self._is_new = False
        source = file.source if isinstance(file.source, bytes) else str(file.source)
        self._files.append(file)
        self._added.append(CommitOperationAdd(path_in_repo=file.name, path_or_fileobj=source))


class StraightUpload:
    """Uploads files of weights as they are made, each while the next one is made, and the rest of the model in one commit.

    Use it as a context manager; it has a thread and a temporary folder.

    Raises:
        InputError, OutputError: as ``publish``.
    """

    def __init__(
        self, repository: str, *, commitment: Path | None = None, private: bool | None = None, force: bool = False
    ) -> None:
        refuse_hub(repository)
        self._repository, self._commitment = repository, commitment
        with _errors_of(repository):
            self._commit = Commit(repository, private=private, force=force)
        self._temporary = TemporaryDirectory(prefix="insignia-")
        self.folder = Path(self._temporary.name) / "model"
        """Where to make the model."""
        self._thread = ThreadPoolExecutor(1)
        self._sending: Future[None] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._thread.shutdown()
        self._temporary.cleanup()

    def send(self, path: Path) -> None:
        """Take a file of weights away and begin to upload it; waits for the one before."""
        self._wait()
        taken = path.replace(Path(self._temporary.name) / path.name)
        self._sending = self._thread.submit(self._send, public_weights(taken), taken)

    def finish(self) -> Publication:
        """Upload the rest of the model and commit all."""
        self._wait()
        with _errors_of(self._repository):
            return self._commit.finish(_planned(public_files(self.folder, weights=False), self._commitment))

    def _send(self, file: PublicFile, path: Path) -> None:
        with _errors_of(self._repository):
            self._commit.send(file)
        path.unlink()

    def _wait(self) -> None:
        if self._sending is not None:
            self._sending.result()


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
