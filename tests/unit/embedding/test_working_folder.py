from types import SimpleNamespace

import pytest

from insignia.embedding.marking import _working_folder
from insignia.errors import EmbeddingError, OutputError, StoppedError

ALONE = SimpleNamespace(is_main_process=True, wait_for_everyone=lambda: None)


@pytest.mark.parametrize(
    ("error", "kept"),
    [(OutputError("the disk is full"), True), (StoppedError(15), True), (MemoryError(), True), (EmbeddingError("few"), False)],
    ids=["a full disk", "a signal", "a crash", "a run that would fail again"],
)
def test_checkpoints_are_kept_where_a_resumed_run_can_succeed(tmp_path, error, kept):
    with pytest.raises(type(error)), _working_folder(tmp_path / "m", "digest", ALONE, resume=False) as work:
        raise error

    assert work.is_dir() is kept


def test_a_finished_run_leaves_no_checkpoints(tmp_path):
    with _working_folder(tmp_path / "new" / "m", "digest", ALONE, resume=False) as work:
        assert work.stat().st_mode & 0o077 == 0

    assert list((tmp_path / "new").iterdir()) == []
