"""Whether the hub can be asked: where it cannot, what is on this machine is taken at once, without minutes of retries."""

from pathlib import Path

import httpx2
from huggingface_hub import constants, file_exists, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

from insignia.errors import ModelError

__all__ = ["at_hand", "fetched"]

_FILES = ["*.safetensors", "*.json", "*.jinja", "*.txt", "*.model"]  # no code, and no pickle
_PATIENCE_S = 2.0  # for the hub's first answer, which takes 0.2 s on a usual line


def at_hand(hub_id: str) -> str:
    """The hub id where the hub answers; else, and of a PEFT adapter, the folder of the copy on this machine.

    Raises:
        ModelError: the hub does not answer, or is not to be asked (HF_HUB_OFFLINE), and there is no copy.
    """
    offline = constants.HF_HUB_OFFLINE
    if not offline and _answers():
        return str(fetched(hub_id)) if _holds_adapter(hub_id) else hub_id
    try:
        return snapshot_download(hub_id, allow_patterns=_FILES, local_files_only=True)
    except HFValidationError:
        raise ModelError(f"{hub_id} is no hub id; expected owner/name") from None
    except (LocalEntryNotFoundError, OSError):
        reason = "HF_HUB_OFFLINE is set" if offline else f"{constants.ENDPOINT} does not answer"
        raise ModelError(
            f"{hub_id} is not on this machine and cannot be fetched: {reason}; go online, or give the folder of a copy"
        ) from None


def fetched(hub_id: str) -> Path:
    """The folder of a hub id's files, which are fetched where they are not on this machine.

    Raises:
        ModelError: they cannot be had.
    """
    if constants.HF_HUB_OFFLINE or not _answers():
        return Path(at_hand(hub_id))
    try:
        return Path(snapshot_download(hub_id, allow_patterns=_FILES))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise ModelError(f"cannot fetch the model {hub_id}: {str(error).strip().splitlines()[0]}") from error


def _holds_adapter(hub_id: str) -> bool:
    """Transformers would apply it without a word; from a folder it is read as one."""
    try:
        return file_exists(hub_id, "adapter_config.json")
    except (HfHubHTTPError, HFValidationError, httpx2.HTTPError):  # loading tells the reason
        return False


def _answers() -> bool:
    try:
        httpx2.head(constants.ENDPOINT, timeout=_PATIENCE_S)
    except (httpx2.HTTPError, httpx2.InvalidURL):
        return False
    return True
