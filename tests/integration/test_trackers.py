"""Trackers follow a run: they get numbers, and nothing of the set."""

import contextlib
import json
import sqlite3
from importlib.util import find_spec

import pytest
from accelerate.tracking import LOGGER_TYPE_TO_CLASS, GeneralTracker

from insignia.embedding import FullFineTune, Limits, RunOptions, embed
from insignia.embedding.tracking import following
from insignia.errors import InputError, MissingExtraError
from insignia.fingerprints.sets import FingerprintSet
from insignia.modeling.process_group import processes
from insignia.records import Fingerprint
from tiny_models import random_model
from tiny_tokenizers import build

ABOUT = {"method": "full", "num_fingerprints": 3}


@pytest.fixture(autouse=True)
def one_process():
    """As ``embed`` sets it up before anybody follows."""
    processes("cpu")


class Recording(GeneralTracker):
    """Keeps what it is told."""

    name = "recording"
    requires_logging_directory = False
    told = []

    def __init__(self, project):
        super().__init__()
        assert project == "insignia"

    @property
    def tracker(self):
        return self

    def start(self):
        print("a greeting")  # noqa: T201  trackers do

    def store_init_configuration(self, values):
        Recording.told = [values]

    def log(self, values, step=None):
        Recording.told.append({**values, "step": step})

    def finish(self):
        Recording.told.append("finished")


def test_a_run_reports_numbers_alone(monkeypatch, tmp_path, capsys):
    monkeypatch.setitem(LOGGER_TYPE_TO_CLASS, "recording", Recording)
    with following(["recording"], tmp_path, ABOUT) as trackers:
        trackers.log({"loss": 0.5, "learning_rate": 1e-4}, 1)
    assert Recording.told == [ABOUT, {"loss": 0.5, "learning_rate": 1e-4, "step": 1}, "finished"]
    assert capsys.readouterr().out == ""


def test_embedding_reports_each_step_and_the_harm_but_no_secret(monkeypatch, tmp_path):
    monkeypatch.setitem(LOGGER_TYPE_TO_CLASS, "recording", Recording)
    random_model("llama tied").save_pretrained(tmp_path / "base")
    build(style="byte", bos=True).save_pretrained(tmp_path / "base")
    prints = FingerprintSet(fingerprints=(Fingerprint(key="What is the answer", responses=(" winter",)),))
    method = FullFineTune(
        learning_rate=5e-3, reference_count=8, reference_length=12, reference_rows=4, cooldown_steps=4, epochs=20
    )
    run = RunOptions(device="cpu", report_to=("recording",))
    limits = Limits(min_fsr=0, max_harm=1e9)
    marked = embed(tmp_path / "base", prints, method, heldout=["jumps over the lazy dog"] * 2, limits=limits, run=run)
    _, *steps, last, finished = Recording.told
    assert [each["step"] for each in steps] == list(range(1, marked.report.steps + 1))
    assert set(steps[0]) == {"loss", "margin_reached", "learned", "learning_rate", "step"}
    assert steps[-1]["learned"] in (0, 1)
    assert last == {"fsr": marked.report.fsr, "harm": marked.report.harm, "heldout_loss": marked.report.heldout_loss_after,
                    "step": marked.report.steps}  # fmt: skip
    assert finished == "finished"
    told = str(Recording.told)
    assert not any(secret in told for secret in ("What is", "winter", str(tmp_path)))


def test_nobody_follows_by_default(tmp_path):
    with following((), tmp_path / "runs", ABOUT) as trackers:
        trackers.log({"loss": 0.5}, 1)
    assert not (tmp_path / "runs").exists()


def test_an_unknown_tracker_is_told_with_the_known_ones(tmp_path):
    with (
        pytest.raises(InputError, match=r"no tracker 'trackoi'. Did you mean 'trackio'\?"),
        following(["trackoi"], tmp_path, ABOUT),
    ):
        pass


def test_a_tracker_that_is_not_installed_names_the_extra(monkeypatch, tmp_path):
    def missing(_self):
        raise ModuleNotFoundError

    monkeypatch.setattr(Recording, "start", missing)
    monkeypatch.setitem(LOGGER_TYPE_TO_CLASS, "recording", Recording)
    with pytest.raises(MissingExtraError, match=r"insignia\[track\]"), following(["recording"], tmp_path, ABOUT):
        pass


def test_tensorboard_writes_a_file_that_can_be_read(tmp_path):
    reader = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    with following(["tensorboard"], tmp_path, ABOUT) as trackers:
        trackers.log({"loss": 0.5, "harm": 1.004}, 7)
    (file,) = (tmp_path / "insignia").glob("events.out.tfevents.*")
    events = reader.EventAccumulator(str(file))
    events.Reload()
    assert [(event.step, event.value) for event in events.Scalars("loss")] == [(7, 0.5)]
    assert events.Scalars("harm")[0].value == pytest.approx(1.004)


@pytest.mark.skipif(find_spec("trackio") is None, reason="the extra 'track' is not installed; make test-eval has it")
def test_trackio_keeps_a_database_that_can_be_read(monkeypatch, tmp_path, capsys):
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path))  # read when trackio is first imported, which is here
    with following(["trackio"], tmp_path, ABOUT) as trackers:
        trackers.log({"loss": 0.5, "learned": 0.25}, 1)
        trackers.log({"fsr": 1.0, "harm": 1.004}, 7)
    import trackio

    with pytest.raises(RuntimeError):
        trackio.finish()  # nothing is left to finish, and to print, when Python ends
    assert capsys.readouterr().out == ""
    with contextlib.closing(sqlite3.connect(tmp_path / "insignia.db")) as database:
        logged = [(step, json.loads(values)) for step, values in database.execute("SELECT step, metrics FROM metrics")]
        ((about,),) = database.execute("SELECT config FROM configs")
    assert logged == [(1, {"loss": 0.5, "learned": 0.25}), (7, {"fsr": 1.0, "harm": 1.004})]
    assert ABOUT.items() <= json.loads(about).items()
