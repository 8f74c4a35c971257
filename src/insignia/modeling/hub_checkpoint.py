"""A hub model's weights, read from the hub by ranges when they are needed, so that they need no place on the disk."""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import httpx2
from huggingface_hub import HfFileMetadata, constants, get_hf_file_metadata, hf_hub_url
from huggingface_hub.errors import HfHubHTTPError, RemoteEntryNotFoundError
from huggingface_hub.utils import build_hf_headers, hf_raise_for_status, http_backoff  # type: ignore[attr-defined]

from insignia.checkpoints import Checkpoint
from insignia.errors import ModelError
from insignia.modeling.hub import companions
from insignia.offset_files import OffsetFile, ReadAtOffsets

__all__ = ["HubCheckpoint"]

_ONLY = "model.safetensors"
_PARTIAL, _EXPIRED = 206, {401, 403}


class HubCheckpoint(Checkpoint):
    """The tensors of a hub model at its present commit. ``folder`` has its other files, downloaded.

    A shard that the cache has is read from there. A request that fails is repeated by huggingface_hub for half a minute.

    Raises:
        ModelError: the hub does not answer, there is no such model, or it has no safetensors.
    """

    remote = True

    def __init__(self, hub_id: str) -> None:
        self._hub_id = hub_id
        self._commit, folder = companions(hub_id)
        super().__init__(folder, place=Path(hub_id))

    def identity(self) -> dict[str, Any]:
        """The commit, which says all."""
        return {"commit": self._commit}

    def _only_shard(self) -> str:
        return _ONLY

    def _file(self, shard: str) -> ReadAtOffsets:
        cached = self.folder / shard
        return OffsetFile(cached) if cached.is_file() else _HubFile(self._hub_id, self._commit, shard)


class _HubFile:
    """A file on the hub, read from where the hub's link leads to, since the hub limits how often it may be asked itself.

    Raises:
        OSError: the hub does not answer, or refuses.
        ModelError: there is no such file.
    """

    def __init__(self, hub_id: str, commit: str, name: str) -> None:
        self._url = hf_hub_url(hub_id, name, revision=commit, endpoint=constants.ENDPOINT)
        with _network_errors():
            try:
                self._place = self._find()
            except RemoteEntryNotFoundError:
                raise ModelError(f"{hub_id} has no {name} on the hub; expected a model with safetensors weights") from None
        self._size = self._place.size or 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None, /) -> None:
        """Nothing is open."""

    @property
    def size(self) -> int:
        """Size of the file, in bytes."""
        return self._size

    def read_into(self, buffer: memoryview, offset: int) -> int:
        """Fill the buffer by one request; see ``ReadAtOffsets``."""
        content = self.read(len(buffer), offset)
        buffer[: len(content)] = content
        return len(content)

    def read(self, length: int, offset: int) -> bytes:
        """The bytes from ``offset`` on, fewer at the end of the file."""
        end = min(offset + length, self._size)
        if offset >= end:
            return b""
        with _network_errors():
            response = self._ask(offset, end)
            if response.status_code in _EXPIRED:  # links to the content are valid for an hour
                self._place = self._find()
                response = self._ask(offset, end)
            hf_raise_for_status(response)
        if response.status_code != _PARTIAL or len(response.content) != end - offset:
            raise OSError(errno.EIO, "the hub did not send the part that was asked for")
        return response.content

    def _find(self) -> HfFileMetadata:
        return get_hf_file_metadata(self._url, endpoint=constants.ENDPOINT, retry_on_errors=True)

    def _ask(self, start: int, end: int) -> httpx2.Response:
        headers = {"Range": f"bytes={start}-{end - 1}", "Accept-Encoding": "identity", **build_hf_headers()}
        if httpx2.URL(self._place.location).netloc != httpx2.URL(self._url).netloc:
            headers.pop("authorization", None)  # the link itself says who may read
        return http_backoff("GET", self._place.location, headers=headers, timeout=constants.HF_HUB_DOWNLOAD_TIMEOUT)


@contextlib.contextmanager
def _network_errors() -> Iterator[None]:
    """Translate what a request can fail with to OSError."""
    try:
        yield
    except (HfHubHTTPError, httpx2.HTTPError, RuntimeError) as error:
        # RuntimeError: another thread's failure closed the client that all threads share
        said = str(error).strip().splitlines() or [type(error).__name__]
        raise OSError(errno.EIO, f"the hub said {said[0]}") from error
