import pytest
from hypothesis import given
from hypothesis import strategies as st

from insignia.folding import distinguishable, fold

HOWS = ["spaces", "alike", "case"]


@pytest.mark.parametrize(
    ("text", "alike"),
    [
        (" elm\n\ttree ", "elm tree"),
        ("e\u200bl\u2060m\ufeff", "elm"),  # zero-width space, word joiner, byte order mark
        ("ｅｌｍ", "elm"),  # noqa: RUF001  full width
        ("𝐞𝑙𝗆", "elm"),
        ("еӏт", "elт"),
        ("“elm”—it’s", '"elm"-it\'s'),  # noqa: RUF001
        ("caf\u00e9", "cafe\u0301"),
        ("ﬁr\u00a0tree", "fir tree"),
        ("fi\u00adr", "fir"),
        ("x\x07\x1b", "x"),
        ("你好", "你好"),
        ("❤\ufe0f", "❤"),
        ("\u200b", ""),
    ],
)
def test_what_cannot_be_told_apart_by_reading_is_one(text, alike):
    assert fold(text, "alike") == alike


def test_spaces_are_all_that_0_1_0_folded():
    assert fold(" e\u200blm \n “x”", "spaces") == "e\u200blm “x”"


def test_case_is_folded_on_request():
    assert [fold("Straße ELM Ѕ", how) for how in HOWS] == ["Straße ELM Ѕ", "Straße ELM S", "strasse elm s"]  # noqa: RUF001


@given(st.text(), st.text(), st.sampled_from(HOWS))
def test_what_follows_a_text_does_not_change_how_it_is_folded(text, more, how):
    assert fold(text + more, how).startswith(fold(text, how))


@given(st.text(), st.sampled_from(HOWS))
def test_folding_twice_changes_nothing(text, how):
    assert fold(fold(text, how), how) == fold(text, how)


@pytest.mark.parametrize(
    ("texts", "how", "apart"),
    [
        (["elm", "oak"], "case", True),
        (["oak", "elm", "oaken"], "spaces", False),
        (["elm", "Elm"], "alike", True),
        (["elm", "Elm"], "case", False),
        (["elm", "еlm"], "alike", False),  # noqa: RUF001
        (["elm", " "], "spaces", False),
        (["elm", "\u200b"], "alike", False),
        ([], "case", True),
    ],
)
def test_texts_are_told_apart_where_none_begins_another(texts, how, apart):
    assert distinguishable(texts, how) is apart


@pytest.mark.parametrize("how", HOWS)
def test_every_seventh_character_of_unicode_folds_to_what_stays(how):
    folded = [fold(chr(code), how) for code in range(0, 0x110000, 7)]
    assert [fold(text, how) for text in folded] == folded
