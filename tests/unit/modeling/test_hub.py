"""A hub that cannot be asked costs seconds, not minutes, and a copy that is on this machine is used."""

import pytest
from huggingface_hub import constants

from insignia.errors import ModelError
from insignia.modeling import hub
from quiet_clock import SOON_S, quiet_seconds


@pytest.fixture
def asleep(monkeypatch):
    """A hub that is not there; port 9 is closed."""
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")


def test_a_hub_that_does_not_answer_is_said_at_once(asleep):
    started = quiet_seconds()
    for get in (hub.hub_or_cache, hub.download):
        with pytest.raises(ModelError, match=r"owner/name is not in the local cache .* http://127.0.0.1:9 does not answer"):
            get("owner/name")
    assert quiet_seconds() - started < SOON_S


def test_a_copy_on_this_machine_is_used_where_the_hub_does_not_answer(asleep, monkeypatch, tmp_path):
    monkeypatch.setattr(hub, "snapshot_download", lambda _id, *, local_files_only, **_: str(tmp_path) * local_files_only)
    assert hub.hub_or_cache("owner/name") == str(tmp_path)
    assert hub.download("owner/name") == tmp_path


@pytest.mark.parametrize("adapter", [False, True])
def test_a_hub_that_answers_gives_models_by_id_and_adapters_as_folders(monkeypatch, tmp_path, adapter):
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(hub, "_answers", lambda: True)
    monkeypatch.setattr(hub, "file_exists", lambda *_: adapter)
    monkeypatch.setattr(hub, "snapshot_download", lambda *_, **__: str(tmp_path))
    assert hub.hub_or_cache("owner/name") == (str(tmp_path) if adapter else "owner/name")


def test_what_is_no_hub_id_is_said():
    with pytest.raises(ModelError, match="is not a hub id"):
        hub.hub_or_cache("--/..")
