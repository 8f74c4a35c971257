import json
import shlex
import sys
import unicodedata
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insignia.cli import main
from insignia.errors import InputError
from insignia.progress import ConsoleProgress
from insignia.reporting.base import Document, Table
from insignia.reporting.console import print_document, print_json, say
from insignia.terminal import command_line, counted, escape_json, has_control_characters, printable


def test_no_control_character_is_shown():
    hostile = "\x1b[2J\x1b[1Aowned\x9b31m\x00\x7f\u202eevil\u2066\ud800\u2028next\r\nline\ttab"
    assert printable(hostile) == "\ufffd[2J\ufffd[1Aowned\ufffd31m\ufffd\ufffd\ufffdevil\ufffd\ufffd next  line tab"


@given(st.text(st.characters(codec=None)))
def test_what_is_shown_is_one_line_that_can_be_encoded(text):
    line = printable(text)
    assert len(line) == len(text)
    assert not {unicodedata.category(c) for c in line} & {"Cc", "Cs", "Zl", "Zp"}
    line.encode()


def test_a_count_has_the_right_number():
    assert [counted(number, "own key") for number in (0, 1, 2)] == ["0 own keys", "1 own key", "2 own keys"]
    assert counted(2, "near miss") == "2 near misses"


def test_a_command_can_be_pasted_into_a_shell():
    line = command_line("insignia", "check", Path("my prints/it's.json"), "--model", "marked", "--null", "reference:1/2,3/4")
    assert shlex.split(line)[2:] == ["my prints/it's.json", "--model", "marked", "--null", "reference:1/2,3/4"]
    assert line.endswith("--model marked --null reference:1/2,3/4")  # nothing is quoted that need not be


def test_letters_of_any_script_are_left_alone():
    text = "Ünïcode 中文 עברית हिन्दी 👩‍🔬 e\u0301"
    assert printable(text) == text
    assert escape_json(text) == text


@given(st.recursive(st.text(st.characters(codec=None)), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_escaped_json_means_the_same(value):
    text = escape_json(json.dumps(value, ensure_ascii=False, indent=2))
    assert json.loads(text) == json.loads(json.dumps(value))
    assert all(printable(line) == line for line in text.split("\n"))


def test_several_lines_are_no_control_characters():
    assert not has_control_characters("one\n\ttwo\r\n")
    assert has_control_characters("\x1b[2J")
    assert has_control_characters("\x9b")


HOSTILE = "\x1b[2J\x9b1A\u202eowned\ud800\u2028"


def printed(capsys):
    captured = capsys.readouterr()
    return captured.out + captured.err


def test_no_way_to_the_terminal_lets_control_characters_through(capsys):
    say(HOSTILE)
    say(HOSTILE, err=True)
    print_document(Document(HOSTILE, (Table.of(HOSTILE, ["", HOSTILE], [[HOSTILE, HOSTILE]], note=HOSTILE), HOSTILE), {}))
    progress = ConsoleProgress(quiet=False)
    progress.note(HOSTILE)
    text = printed(capsys)

    assert text.count("owned") >= 7
    assert printable(text.replace("\n", "")) == text.replace("\n", "")


def test_json_keeps_what_was_said_and_moves_no_cursor(capsys):
    print_json({HOSTILE: HOSTILE})
    text = printed(capsys)

    assert json.loads(text) == {HOSTILE: HOSTILE}
    assert printable(text.replace("\n", "")) == text.replace("\n", "")


@pytest.mark.parametrize("error", [InputError(f"{HOSTILE}\nsecond"), OSError(2, HOSTILE, f"/x\n{HOSTILE}")])
def test_an_error_is_one_line_without_control_characters(monkeypatch, capsys, error):
    def fail(**_):
        raise error

    monkeypatch.setattr(main, "app", fail)
    monkeypatch.setattr(sys, "argv", ["insignia"])
    with pytest.raises(SystemExit) as caught:
        main.main()
    text = printed(capsys)

    assert (caught.value.code, text.startswith("error: "), text.count("\n")) == (1, True, 1)
    assert printable(text[:-1]) == text[:-1]


def test_arguments_with_control_characters_are_not_repeated(monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["insignia", "plan", "--\x1b[2J"])
    with pytest.raises(SystemExit) as caught:
        main.main()
    assert caught.value.code == 2
    assert "\x1b" not in printed(capsys)
