"""Progress by default: in a terminal or a notebook, unless quiet; never on the second process of several."""

import io
import sys
import time
from types import SimpleNamespace

import pytest

import insignia
from insignia.progress import AUTO, SILENT, ConsoleProgress


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def seen(monkeypatch):
    """What work shows; pytest puts its own standard error back before the test, so it is replaced in the call."""

    def work(progress, stream=None):
        with monkeypatch.context() as patch:
            patch.setattr(sys, "stderr", stream := stream or Terminal())
            progress.note("a note")
            with progress.bar("working", 2) as advance:
                advance(2, "done")
        return stream.getvalue()

    return work


def test_a_terminal_sees_notes_and_bars(seen):
    text = seen(AUTO)
    assert "a note" in text
    assert "working" in text


@pytest.fixture(autouse=True)
def xterm(monkeypatch):
    monkeypatch.setenv("TERM", "xterm")


def test_a_terminal_that_cannot_move_its_cursor_sees_lines(seen, monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    lines = seen(AUTO).splitlines()

    assert lines[:2] == ["a note", "working ..."]
    assert lines[2].startswith("working      2 of 2, done, ")


def test_a_phase_that_reports_nothing_moves_all_the_same(monkeypatch):
    monkeypatch.setattr(sys, "stderr", stream := Terminal())
    with ConsoleProgress().bar("loading"):
        for _ in range(3):
            shown = stream.tell()
            while stream.tell() == shown:
                time.sleep(0.01)


def test_what_is_no_terminal_sees_nothing(seen):
    assert seen(AUTO, io.StringIO()) == ""


def test_quiet_hides_progress_for_a_block(seen):
    with insignia.quiet():
        assert seen(AUTO) == ""
    assert "a note" in seen(AUTO)


def test_the_second_process_is_silent(seen, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    assert seen(AUTO) == ""


def test_a_notebook_is_watched(monkeypatch):
    shell = type("ZMQInteractiveShell", (), {})()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: shell))
    assert isinstance(AUTO._chosen(), ConsoleProgress)


def test_silent_says_nothing(seen):
    assert seen(SILENT) == ""
