import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insignia.errors import InputError
from insignia.records import Candidate, Fingerprint
from insignia.statistics.ranks import Place, RankEvidence
from insignia.suspects.base import Alternative, Reply
from insignia.verification.matching import Expected, Match, expected_responses
from insignia.verification.places import handicaps, perfect_places, places

TREES = ("ash", "elm", "fir", "oak")
DRAWN = Expected(("fir",), TREES, (2,))
ORDERED = Expected(("fir",), TREES, (2, 0, 3, 1))  # fir, ash, oak, elm


def scored(*scores):
    return Reply(status="answered", channel="scores", scores=scores)


def top(*tokens):
    shown = tuple(Alternative(text=text, log_probability=-float(place)) for place, text in enumerate(tokens, 1))
    return Reply(status="answered", channel="top", alternatives=shown)


def chosen(text, channel="choice"):
    return Reply(status="answered", channel=channel, text=text)


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        (scored(-1.0, -2.0, -0.5, -3.0), [Place(1, 1, 4)]),
        (scored(-1.0, -2.0, -2.0, -3.0), [Place(2, 3, 4)]),  # tied with another
        (scored(-1.0, -1.0, -1.0, -1.0), []),  # a constant tells nothing
        (top("the", " oak", "Fir", " fir", "a"), [Place(2, 2, 4)]),  # another case is another word
        (top("the", " oak"), [Place(2, 4, 4)]),  # below all that is shown
        (top("the", "a"), []),
        (top("oaken", " ash"), [Place(2, 4, 4)]),  # a longer token is another token
        (top(" oak", "oak", "fir"), [Place(2, 2, 4)]),
        (chosen("fir"), [Place(1, 1, 4)]),
        (chosen(" elm."), [Place(2, 4, 4)]),
        (chosen("yew"), []),
        (chosen("Fir and so on", "text"), []),
        (chosen("fir and so on", "text"), [Place(1, 1, 4)]),
    ],
)
def test_the_place_of_a_drawn_response(reply, found):
    assert [list(view) for view in places(reply, DRAWN, Match())] == [found]


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        (scored(-2.0, -4.0, -1.0, -3.0), [Place(1, 1, 4), Place(1, 1, 3), Place(1, 1, 2)]),
        (scored(-3.0, -1.0, -4.0, -2.0), [Place(4, 4, 4), Place(3, 3, 3), Place(2, 2, 2)]),
        (scored(-1.0, -1.0, -2.0, -3.0), [Place(1, 1, 2)]),  # ash and elm are tied; of the rest, fir comes first
        (scored(-2.0, -2.0, -2.0, -2.0), []),
        (top("a", "ash", "fir"), [Place(2, 2, 4), Place(1, 1, 3)]),
        (top("ash"), [Place(2, 2, 4)]),
        (chosen("oak", "text"), [Place(3, 3, 4)]),
        (chosen("yew", "text"), []),
    ],
)
def test_the_places_of_a_secret_order(reply, found):
    assert [list(view) for view in places(reply, ORDERED, Match())] == [found]


@given(st.lists(st.integers(-3, 0), min_size=5, max_size=5))
def test_the_places_of_all_orders_are_uniform_for_any_scores(values):
    """For each group of tied scores, every combination of places comes equally often over all secret orders."""
    names = tuple("abcde")
    seen = [
        places(scored(*map(float, values)), Expected((names[order[0]],), names, order), Match())[0]
        for order in itertools.permutations(range(5))
    ]
    assert len({tuple(place.of for place in each) for each in seen}) == 1
    counts = [seen.count(each) for each in set(seen)]
    assert len(set(counts)) == 1


def test_what_the_base_thought_is_taken_from_the_scores_and_enlarged():
    """The base puts ash before elm before fir before oak; the suspect has moved fir up, by less than its distance to ash."""
    base = (-1.0, -2.0, -3.0, -4.0)
    views = places(scored(-1.0, -2.0, -2.5, -4.0), DRAWN._replace(log_base=base), Match())
    assert views == ((Place(3, 3, 4),), (Place(1, 2, 4),), (Place(1, 1, 4),), (Place(1, 1, 4),))
    assert places(scored(*base), DRAWN._replace(log_base=base), Match()) == ((Place(3, 3, 4),),) * 4  # the base itself


@given(st.lists(st.floats(-9, 0), min_size=5, max_size=5), st.lists(st.floats(-9, 0), min_size=5, max_size=5))
def test_for_any_base_the_response_is_equally_likely_at_each_place(values, base):
    names = tuple("abcde")
    for view in range(4):
        seen = [
            places(scored(*values), Expected((names[drawn],), names, (drawn,), tuple(base)), Match())[view]
            for drawn in range(5)
        ]
        shown = sum(math.exp(RankEvidence().after([each]).log_e) for each in seen)
        assert shown / 5 == pytest.approx(1)


BIRDS = ("owl", "owlet", "jay")
TWICE = ORDERED._replace(further=(Expected(("jay",), BIRDS, (2, 0, 1)), Expected(("elm",), TREES, (1, 0, 2, 3))))


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        ("fir jay elm", [Place(1, 1, 4), Place(1, 1, 3), Place(1, 1, 4)]),
        (" fir,  jay", [Place(1, 1, 4)]),  # something stands between them
        ("firjayoak and so on", [Place(1, 1, 4), Place(1, 1, 3), Place(4, 4, 4)]),
        ("fir owlets", [Place(1, 1, 4), Place(3, 3, 3)]),
        ("fir wren elm", [Place(1, 1, 4)]),
        ("ash jay elm", [Place(2, 2, 4)]),  # the birds were chosen to come after fir
        ("yew jay elm", []),
        ("fir", [Place(1, 1, 4)]),
    ],
)
def test_the_places_of_further_tokens(reply, found):
    assert [list(view) for view in places(chosen(reply, "text"), TWICE, Match())] == [found]


def test_further_tokens_count_in_the_beginning_of_a_text_alone():
    assert places(chosen("fir jay"), TWICE, Match()) == ((Place(1, 1, 4),),)  # a forced choice says no more
    assert places(chosen("fir jay", "text"), TWICE, Match(how="within", looks=1)) == ((Place(1, 1, 4),),)


@given(st.lists(st.sampled_from([*"abc", *"xyz", "-"]), max_size=4).map(" ".join))
def test_a_text_pays_one_on_average_over_all_draws_of_two_tokens(reply):
    """The candidates of the second token depend on what was drawn first, as in a set."""
    second = {name: tuple("xyz"[place:] + "abc"[:place]) for place, name in enumerate("abc")}
    paid = [
        math.exp(RankEvidence().after(places(chosen(reply, "text"), drawn, Match())).log_e)
        for order in itertools.permutations(range(3))
        for after in itertools.permutations(range(3))
        for drawn in [_two(tuple("abc"), order, second["abc"[order[0]]], after)]
    ]
    assert sum(paid) / len(paid) == pytest.approx(1)


def _two(names, order, others, after):
    return Expected((names[order[0]],), names, order, (), (Expected((others[after[0]],), others, after),))


def test_perfect_places():
    assert perfect_places(TWICE, whole=False) == ((Place(1, 1, 4), Place(1, 1, 3), Place(1, 1, 4)),)
    assert perfect_places(DRAWN, whole=True) == perfect_places(ORDERED, whole=False) == ((Place(1, 1, 4),),)
    assert perfect_places(ORDERED, whole=True) == ((Place(1, 1, 4), Place(1, 1, 3), Place(1, 1, 2)),)


def test_what_cannot_be_placed_is_refused():
    with pytest.raises(InputError, match="expected 4"):
        places(scored(-1.0), DRAWN, Match())
    with pytest.raises(InputError, match="not drawn"):
        places(chosen("fir"), Expected(("fir",), ()), Match())


def test_a_response_that_is_not_first_in_its_order_is_refused():
    candidates = tuple(Candidate(text=f" {name}", token_id=number) for number, name in enumerate(TREES))
    fields = {"key": "k", "response_ids": ((2,),), "candidates": candidates, "order": (2, 0, 3, 1)}
    good = Fingerprint(responses=(" fir",), **fields)
    assert expected_responses(good, 1, Match()) == ORDERED
    with pytest.raises(InputError, match="first of its secret order"):
        expected_responses(good.model_copy(update={"responses": (" oak",), "response_ids": ((3,),)}), 1, Match())
    with pytest.raises(ValueError, match="not one of the candidates"):
        Fingerprint(responses=(" fir",), **fields | {"order": (2, 0, 3)})


@pytest.mark.parametrize("channel", ["scores", "top"])
def test_as_many_candidates_as_a_file_may_have_are_placed_in_no_time_to_speak_of(channel):
    """Every step that took their square would take minutes."""
    names = tuple(map(str, range(65_536)))
    shown = tuple(Alternative(text=name, log_probability=-1.0 - place) for place, name in enumerate(names))
    replies = {
        "scores": scored(*(-float(place) / 7 - 1 for place in range(len(names)))),
        "top": Reply(status="answered", channel="top", alternatives=shown),
    }
    (view,) = places(replies[channel], Expected(("9",), names, (9,)), Match())
    assert view == (Place(10, 10, 65_536),)
    assert RankEvidence().after([view]).log_e > 0


def fingerprint(*chances, order=None):
    candidates = tuple(
        Candidate(text=name, token_id=number, probability=chance)
        for number, (name, chance) in enumerate(zip(TREES, chances, strict=True))
    )
    return Fingerprint(key="k", responses=("fir",), candidates=candidates, order=order)


def test_handicaps_leave_a_sixteenth_of_what_the_base_thought():
    given = handicaps(fingerprint(0.1, 0.2, 0.01, 0.05))
    assert given == pytest.approx([-15 / 16 * math.log(chance) for chance in (0.1, 0.2, 0.01, 0.05)])


def test_a_candidate_that_the_base_never_says_is_raised_by_no_more_than_a_server_adds():
    given = handicaps(fingerprint(0.5, 0.4, 1e-300, 0.05))
    assert given[2] == min(given) + 40


@pytest.mark.parametrize("other", [{"order": (2, 0, 3, 1)}, {}], ids=["ordered", "no probabilities"])
def test_an_order_and_unknown_probabilities_give_no_handicap(other):
    assert handicaps(fingerprint(*((0.1, 0.2, 0.3, 0.1) if other else (0.1, None, 0.3, 0.1)), **other)) == ()
