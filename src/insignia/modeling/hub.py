"""Models from the Hugging Face hub, or from the local cache without minutes of retries if the hub does not answer."""

from pathlib import Path

import httpx2
from huggingface_hub import HfApi, constants, file_exists, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from insignia.errors import ModelError

__all__ = ["companions", "download", "hub_or_cache", "text_files"]

_TEXTS = ["README.md", "LICENSE*", "NOTICE*", "USE_POLICY*"]
_COMPANIONS = ["*.json", "*.jinja", "*.txt", "*.model", *_TEXTS]  # no code, no pickles
_FILES = ["*.safetensors", *_COMPANIONS]
_TIMEOUT_S = 2.0  # of one request; the hub usually answers in 0.2 s


def hub_or_cache(hub_id: str) -> str:
    """The hub id if the hub answers, else the folder of the cached copy. A PEFT adapter is always a folder.

    Raises:
        ModelError: the hub does not answer or HF_HUB_OFFLINE is set, and there is no cached copy.
    """
    reason = _unreachable()
    if reason is None:
        return str(download(hub_id)) if _holds_adapter(hub_id) else hub_id
    try:
        return snapshot_download(hub_id, allow_patterns=_FILES, local_files_only=True)
    except HFValidationError:
        raise ModelError(f"{hub_id} is not a hub id; expected owner/name") from None
    except (LocalEntryNotFoundError, OSError):
        raise ModelError(
            f"{hub_id} is not in the local cache and cannot be downloaded: {reason}; go online or give a local folder"
        ) from None


def download(hub_id: str) -> Path:
    """Download a hub model's files, if they are not cached, and return their folder.

    Raises:
        ModelError: the download failed.
    """
    if _unreachable():
        return Path(hub_or_cache(hub_id))
    try:
        return Path(snapshot_download(hub_id, allow_patterns=_FILES))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise _failed(hub_id, error) from error


def companions(hub_id: str) -> tuple[str, Path]:
    """Download all of a hub model's files but its weights; return the present commit and their folder.

    Raises:
        ModelError: the hub does not answer, HF_HUB_OFFLINE is set, or it is a PEFT adapter.
    """
    if reason := _unreachable():
        raise ModelError(f"{hub_id} cannot be read from the hub: {reason}; go online, or drop --stream to use a cached copy")
    try:
        commit = HfApi(endpoint=constants.ENDPOINT).model_info(hub_id).sha or constants.DEFAULT_REVISION
        folder = Path(snapshot_download(hub_id, revision=commit, allow_patterns=_COMPANIONS))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise _failed(hub_id, error) from error
    if (folder / "adapter_config.json").is_file():
        raise ModelError(f"{hub_id} is a PEFT adapter; expected a whole model")
    return commit, folder


def _failed(hub_id: str, error: Exception) -> ModelError:
    return ModelError(f"cannot download the model {hub_id}: {str(error).strip().splitlines()[0]}")


def text_files(hub_id: str) -> Path | None:
    """The folder with a hub model's card and licence; None if they are neither on the hub nor in the cache."""
    for local in (_unreachable() is not None, True):
        try:
            return Path(snapshot_download(hub_id, allow_patterns=_TEXTS, local_files_only=local))
        except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError):
            continue
    return None


def _holds_adapter(hub_id: str) -> bool:
    """Whether the hub id is a PEFT adapter. transformers would apply it silently."""
    try:
        return file_exists(hub_id, "adapter_config.json")
    except (HfHubHTTPError, HFValidationError, httpx2.HTTPError):  # loading reports the reason
        return False


def _unreachable() -> str | None:
    """Why the hub is not asked, or None."""
    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE is set"
    return None if _answers() else f"{constants.ENDPOINT} does not answer"


def _answers() -> bool:
    try:
        httpx2.head(constants.ENDPOINT, timeout=_TIMEOUT_S)
    except (httpx2.HTTPError, httpx2.InvalidURL):
        return False
    return True
