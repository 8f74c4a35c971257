import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insignia.errors import InputError
from insignia.records import Candidate, Fingerprint
from insignia.verification.matching import Expected, Finding, Match, design_null, expected_responses, find, is_near

PREFIX, EXACT = Match(), Match(how="exact")
TREES = Expected(("elm",), ("elm", "oak", "oaken", "ash"))


def within(looks):
    return Match(how="within", looks=looks)


@pytest.mark.parametrize(
    ("reply", "match", "finding"),
    [
        (" elm", EXACT, (True, 1)),
        ("elm tree", EXACT, (False, 0)),
        ("\n\n elm\ttree", PREFIX, (True, 1)),
        ("elms", PREFIX, (True, 1)),  # the token was trained, what follows was not
        ("Elm", PREFIX, (False, 0)),
        ("an elm", PREFIX, (False, 0)),
        ("oak", PREFIX, (False, 1)),
        ("oaken", PREFIX, (False, 1)),  # not "oak" as well
        ("beech", PREFIX, (False, 0)),
        ("", PREFIX, (False, 0)),
        ("an elm", within(2), (True, 1)),
        ("it is an elm", within(3), (False, 0)),
        ('"elm"', within(2), (True, 1)),
        ("oak, ash, elm", within(5), (True, 3)),
        ("oak, ash, elm", within(4), (False, 2)),
        ("the helm", within(2), (False, 0)),
    ],
)
def test_what_a_reply_gives(reply, match, finding):
    assert find(reply, TREES, match) == Finding(*finding)


def test_any_accepted_response_hits_where_none_was_drawn():
    wanted = Expected(("elm tree", "oak"), ())
    assert [find(reply, wanted, PREFIX) for reply in ("elm  tree!", "oak", "elm")] == [(True, 0), (True, 0), (False, 0)]


@pytest.mark.parametrize(
    ("tokens", "wanted", "match", "near"),
    [
        ([" oak", " elm"], TREES, PREFIX, True),
        ([" oak", "elms"], TREES, PREFIX, True),
        (["elms"], TREES, EXACT, False),
        ([" oaken"], Expected(("oak",), TREES.candidates), PREFIX, False),  # another candidate
        ([" el", "e", "", " "], TREES, PREFIX, False),  # most drawn responses are one token
        ([" el"], Expected(("elm tree",), ()), PREFIX, True),
        ([" ", ""], Expected(("elm tree",), ()), PREFIX, False),
        ([], TREES, PREFIX, False),
    ],
)
def test_a_first_token_is_near_as_a_reply_hits(tokens, wanted, match, near):
    assert is_near(tokens, wanted, match) is near


@given(st.text(max_size=40), st.sampled_from([EXACT, PREFIX, within(1), within(3)]))
def test_a_reply_gives_the_same_candidates_whichever_was_drawn(reply, match):
    findings = [find(reply, Expected((tree,), TREES.candidates), match) for tree in TREES.candidates]

    assert len({finding.met for finding in findings}) == 1
    assert sum(finding.hit for finding in findings) == findings[0].met <= match.looks


@given(st.lists(st.sampled_from(["elm", "oak", "oaken", "ash", "beech", ",", "elms"]), max_size=8), st.integers(1, 8))
def test_more_looks_find_no_less(words, looks):
    reply = " ".join(words)
    few, many = find(reply, TREES, within(looks)), find(reply, TREES, within(looks + 1))

    assert few.hit <= many.hit
    assert few.met <= many.met


@pytest.mark.parametrize("name", ["", "Prefix", "within", "within:", "within:0", "within:-1", "within:x", "prefix:2"])
def test_an_unknown_way_to_match_is_refused(name):
    with pytest.raises(InputError, match="within:N"):
        Match.named(name)


def test_ways_to_match_by_name():
    assert [Match.named(name) for name in ("exact", "prefix", "within:8")] == [EXACT, PREFIX, within(8)]
    with pytest.raises(ValueError, match="more than one place"):
        Match(how="prefix", looks=2)


def tree(**options):
    candidates = tuple(
        Candidate(text=f" {t}", token_id=i, rank=i, probability=0.1) for i, t in enumerate(("elm", "oak", "ash"))
    )
    return Fingerprint(
        **{"key": "k", "responses": (" oak is a",), "response_ids": ((1, 7, 8),), "candidates": candidates, **options}
    )


def test_a_drawn_response_counts_by_the_drawn_token():
    assert expected_responses(tree(), 3, PREFIX) == Expected(("oak",), ("elm", "oak", "ash"), (1,), (math.log(0.1),) * 3)


def test_what_was_trained_counts_where_the_set_says_it():
    whole = tree(
        effective_responses=(" oak is",), candidates=(*(Candidate(text=t, token_id=1) for t in (" oak is", " oak was")),)
    )

    assert expected_responses(whole, 1, PREFIX) == Expected(("oak is",), ("oak is", "oak was"), (0,))
    assert expected_responses(tree(candidates=None, effective_responses=(" g",)), 3, PREFIX) == Expected(("g",), ())


@pytest.mark.parametrize(
    ("options", "length", "accepted"),
    [
        ({"candidates": None}, 3, "oak is a"),
        ({"candidates": None}, 2, "oak"),  # two of three tokens were trained
        ({"response_ids": ((9, 7, 8),)}, 3, "oak is a"),  # begins with none of the candidates
    ],
)
def test_other_responses_count_as_far_as_they_were_trained(options, length, accepted):
    assert expected_responses(tree(**options), length, PREFIX) == Expected((accepted,), ())


def test_a_response_without_tokens_is_refused_and_the_cure_is_named():
    with pytest.raises(InputError, match="generate SET --keys-file FILE") as caught:
        expected_responses(Fingerprint(key="TOPSECRET", responses=(" TOPSECRET",)), 1, PREFIX)
    assert "TOPSECRET" not in str(caught.value)


@pytest.mark.parametrize("texts", [("elm", "еlm"), (" elm", "el\u200bm"), ("“elm”", '"elm"')])  # noqa: RUF001
def test_candidates_that_look_alike_are_refused(texts):
    alike = tuple(Candidate(text=text, token_id=number) for number, text in enumerate(texts))

    with pytest.raises(InputError, match="look alike"):
        expected_responses(tree(candidates=alike), 3, PREFIX)


@given(st.sampled_from(TREES.candidates), st.text(max_size=20), st.sampled_from(["alike", "case"]))
def test_what_a_server_adds_hides_no_response(word, more, folding):
    disguised = "\u200b".join(word.replace("e", "\u0435").replace("a", "\u0430"))  # zero-width spaces, Cyrillic letters
    match = Match(fold=folding)

    assert find(f"\u2060 {disguised}. {more}", Expected((word,), TREES.candidates), match).hit
    assert not find(f"\u2060 {disguised}. {more}", Expected((word,), TREES.candidates), Match(fold="spaces")).hit


def test_case_counts_unless_it_is_folded():
    assert not find("ELM", TREES, PREFIX).hit
    assert find("ELM", TREES, Match(fold="case")).hit


def test_a_blank_response_is_refused_without_being_shown():
    with pytest.raises(InputError, match="white space"):
        expected_responses(Fingerprint(key="TOPSECRET", responses=(" \n",), response_ids=((1,),)), 1, PREFIX)


def test_the_design_null_counts_with_the_fewest_candidates_and_the_looks():
    two, three = Expected(("elm",), ("elm", "oak")), Expected(("elm",), ("elm", "oak", "ash"))

    assert design_null([three, two], PREFIX).bound == 1 / 2
    assert design_null([three, three], PREFIX).bound == pytest.approx(1 / 3)
    assert design_null([TREES], within(3)).bound == 3 / 4
    assert design_null([TREES], within(9)).bound == 1
    assert design_null([three, Expected(("elm",), ())], PREFIX) is None
    assert design_null([], PREFIX) is None
