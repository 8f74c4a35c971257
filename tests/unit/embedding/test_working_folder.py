import functools
from types import SimpleNamespace

import pytest

from insignia.embedding.working_folder import folder_beside, working_folder
from insignia.errors import EmbeddingError, InputError, ModelError, OutputError, StoppedError
from insignia.resuming import STATE_FILE

ALONE = SimpleNamespace(is_main_process=True, wait_for_everyone=lambda: None)


@pytest.fixture
def notes():
    return []


@pytest.fixture
def beside(notes):
    """``beside(out, resume=False)``, of a run with the settings "these"."""
    return functools.partial(working_folder, settings=["these"], state=ALONE, progress=SimpleNamespace(note=notes.append))


@pytest.mark.parametrize(
    ("error", "kept"),
    [(OutputError("the disk is full"), True), (StoppedError(15), True), (MemoryError(), True), (ModelError("NaN"), False)],
    ids=["a full disk", "a signal", "a crash", "a run that would fail again"],
)
def test_checkpoints_are_kept_where_a_resumed_run_can_succeed(beside, tmp_path, error, kept):
    with pytest.raises(type(error)), beside(tmp_path / "m", resume=False) as work:
        raise error

    assert work.is_dir() is kept


@pytest.mark.parametrize("whole", [True, False])
def test_a_run_that_misses_its_limits_can_go_on_with_others(beside, notes, tmp_path, whole):
    def missing_the_limits():
        with beside(tmp_path / "m", resume=False) as work:
            (work / "checkpoint-3").mkdir()
            if whole:
                (work / "checkpoint-3" / STATE_FILE).touch()
            raise EmbeddingError("too much harm")

    with pytest.raises(EmbeddingError):
        missing_the_limits()
    work = folder_beside(tmp_path / "m")
    assert work.is_dir() is whole
    assert [f"kept in {work}" in note and "--resume" in note for note in notes] == [True] * whole


def test_a_finished_run_leaves_no_checkpoints(beside, notes, tmp_path):
    with beside(tmp_path / "new" / "m", resume=False) as work:
        assert work.stat().st_mode & 0o077 == 0

    assert list((tmp_path / "new").iterdir()) == []
    assert notes == []


@pytest.mark.parametrize(
    ("left", "told"),
    [(".", True), ("checkpoint-3", True), (f"checkpoint-3/{STATE_FILE}", False)],
    ids=["nothing", "half a checkpoint", "a checkpoint"],
)
def test_a_resumed_run_says_when_it_starts_from_the_beginning(beside, notes, tmp_path, left, told):
    (folder_beside(tmp_path / "m") / left).mkdir(parents=True)

    with beside(tmp_path / "m", resume=True):
        assert notes == ["no checkpoint of this run was found; it starts from the beginning"] * told


def test_a_run_with_other_settings_is_not_resumed_and_loses_nothing(beside, tmp_path):
    out, other = tmp_path / "m", functools.partial(beside, settings=["others"])
    with pytest.raises(StoppedError), beside(out, resume=False):
        raise StoppedError(15)

    with pytest.raises(InputError, match="other fingerprints, model or settings"), other(out, resume=True):
        pass

    assert folder_beside(out).is_dir()
