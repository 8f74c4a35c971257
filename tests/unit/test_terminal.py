import json
import unicodedata

from hypothesis import given
from hypothesis import strategies as st

from insignia.terminal import escaped, has_controls, shown


def test_no_control_character_is_shown():
    hostile = "\x1b[2J\x1b[1Aowned\x9b31m\x00\x7f\u202eevil\u2066\ud800\u2028next\r\nline\ttab"
    assert shown(hostile) == "\ufffd[2J\ufffd[1Aowned\ufffd31m\ufffd\ufffd\ufffdevil\ufffd\ufffd next  line tab"


@given(st.text(st.characters(codec=None)))
def test_what_is_shown_is_one_line_that_can_be_encoded(text):
    line = shown(text)
    assert len(line) == len(text)
    assert not {unicodedata.category(c) for c in line} & {"Cc", "Cs", "Zl", "Zp"}
    line.encode()


def test_letters_of_any_script_are_left_alone():
    text = "Ünïcode 中文 עברית हिन्दी 👩‍🔬 e\u0301"
    assert shown(text) == text
    assert escaped(text) == text


@given(st.recursive(st.text(st.characters(codec=None)), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)))
def test_escaped_json_means_the_same(value):
    text = escaped(json.dumps(value, ensure_ascii=False, indent=2))
    assert json.loads(text) == json.loads(json.dumps(value))
    assert all(shown(line) == line for line in text.split("\n"))


def test_several_lines_are_no_control_characters():
    assert not has_controls("one\n\ttwo\r\n")
    assert has_controls("\x1b[2J")
    assert has_controls("\x9b")
