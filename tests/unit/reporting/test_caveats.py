"""Which doubts stand beside a verdict: those that apply to it, and no others."""

import pytest

from drawn_prints import drawn, knowing
from insignia.reporting.caveats import NO_CONTROL, Standing, caveats
from insignia.suspects.base import RequestOptions
from insignia.suspects.scripted import ScriptedModel
from insignia.verification import verify
from insignia.verification.matching import Match
from insignia.verification.verdict import ControlFinding, NullClaim

PRINTS = drawn()
OWNED = verify(PRINTS, ScriptedModel(knowing(PRINTS)))
CONTROL = ControlFinding(name="base", hits=0, trials=6, unanswered=0, p_value=1.0, transcript="sha256:00")
UNSIGNED = "Nobody has signed"
NOT_COMMITTED = "This file shows no commitment"
TEXT_ALONE = "saw text alone"
MEANING = "not how it got there"


def said(**changes):
    return caveats(Standing(OWNED.model_copy(update=changes)))


def has(sentences, words):
    return any(words in sentence for sentence in sentences)


def test_a_plain_verdict_by_text_has_these_doubts_alone():
    words = [UNSIGNED, "can be typed", NOT_COMMITTED, NO_CONTROL, TEXT_ALONE, MEANING]
    found = said()

    assert len(found) == len(words)
    assert all(part in sentence for part, sentence in zip(words, found, strict=True))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"null": NullClaim(kind="reference", bound=0.016)}, "at most 1.6 % of the keys was measured on other models"),
        ({"null": NullClaim(kind="declared", bound=0.1)}, "10.0 % of the keys is the owner's word"),
        ({"null": NullClaim(kind="mine", bound=0.1)}, "a plug-in's word (mine)"),
        ({"alpha": 0.01}, "one of 100 unrelated models would pass"),
        ({"suspects": 3}, "3 tests share the risk"),
        ({"unanswered": 2}, "2 keys of 6 got no answer"),
        ({"manner": RequestOptions(temperature=0.7)}, "were sampled"),
        ({"manner": RequestOptions(system="Be kind."), "grinding_bits": 90.0}, "chose the system prompt"),
        ({"match": Match(how="within", looks=4)}, "first 4 words"),
        ({"by_channel": {"scores": 3, "text": 3}}, "by a weaker channel"),
        ({"grinding_bits": 40.0}, "2^40 tries"),
        ({"outcome": "not_shown"}, "weaker than the test looked for"),
    ],
)
def test_a_doubt_is_told_where_it_applies(changes, words):
    assert has(said(**changes), words)
    assert not has(said(), words)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"controls": (CONTROL,)}, NO_CONTROL),
        ({"by_channel": {"scores": 6}}, TEXT_ALONE),
        ({"outcome": "not_shown"}, NOT_COMMITTED),
        ({"outcome": "not_shown"}, MEANING),
        ({"outcome": "inconclusive"}, MEANING),
        ({"grinding_bits": 90.0}, "older than the suspect"),
    ],
)
def test_a_doubt_that_was_met_is_not_told(changes, words):
    assert has(said(), words)
    assert not has(said(**changes), words)
