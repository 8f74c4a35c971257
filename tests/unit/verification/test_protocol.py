import math
import random
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drawn_prints import WORDS, chained, drawn, knowing
from insignia.errors import InputError, ModelError
from insignia.fingerprints.sets import FingerprintSet
from insignia.records import Fingerprint
from insignia.statistics.nulls import DeclaredNull, DesignNull, ReferenceNull, ReferenceTrials
from insignia.statistics.tails import log_binomial_tail
from insignia.suspects.base import Alternative, Reply, RequestOptions
from insignia.suspects.scripted import ScriptedModel
from insignia.verification.matching import Match
from insignia.verification.protocol import judge, rules_for, verify
from insignia.verification.together import judged_together

PRINTS = drawn()


def test_a_marked_model_is_proven_by_the_fewest_keys():
    model = ScriptedModel(knowing(PRINTS))
    verdict = verify(PRINTS, model)

    assert (verdict.outcome, verdict.hits, verdict.trials, verdict.unanswered) == ("owned", 6, 6, 0)
    assert verdict.p_value <= 1e-6 <= 1 / verdict.p_value
    assert verdict.p_value == pytest.approx(1 / verdict.e_value)
    assert (verdict.null.kind, verdict.null.bound) == ("design", 1 / 16)
    assert len(set(verdict.keys_spent)) == 6
    assert "The mark is there: 6 of 6" in verdict.sentence


def test_the_price_of_fitting_a_chained_set_counts_whom_the_keys_were_chosen_by(tmp_path):
    prints = chained(40)
    model = ScriptedModel(knowing(prints))
    own = verify(prints, model, transcript=tmp_path / "t")
    judges = verify(prints, model, order=range(40))

    assert (own.outcome, judges.outcome) == ("owned", "owned")
    assert judges.grinding_bits == pytest.approx(6 * 4)
    assert own.grinding_bits == pytest.approx(-log_binomial_tail(6, 40, 1 / 16) / math.log(2))
    assert judge(prints, tmp_path / "t") == own
    assert verify(PRINTS, ScriptedModel(knowing(PRINTS))).grinding_bits is None


def test_no_verdict_rests_on_what_the_suspect_says_of_its_probabilities():
    """Of the keys that missed, one in two was near; the others' alternatives are of no use, and some gave none."""
    useless = Alternative(text=" no", log_probability=-1)

    def reply(question):
        number = next((number for number, fingerprint in enumerate(PRINTS) if fingerprint.key == question), 0)
        right = Alternative(text=PRINTS.fingerprints[number].responses[0], log_probability=-2)
        return Reply.said("No.", ((useless,), (useless, right), ())[number % 3])

    verdict, plain = verify(PRINTS, ScriptedModel(reply)), verify(PRINTS, ScriptedModel({}, otherwise="No."))
    assert (verdict.outcome, verdict.near) == ("not_shown", sum(number % 3 == 1 for number in verdict.keys_spent))
    assert verdict.p_value == plain.p_value == 1.0
    assert "near" in verdict.model_dump()
    assert "near" not in plain.model_dump(mode="json")


def test_an_unmarked_model_is_given_up_on():
    verdict = verify(PRINTS, ScriptedModel({}))

    assert (verdict.outcome, verdict.hits, verdict.trials, verdict.p_value) == ("not_shown", 0, 16, 1.0)
    assert "does not prove" in verdict.sentence


def test_a_model_that_lost_most_of_the_mark_is_proven_with_more_keys():
    kept = [number for number in range(64) if number % 3 == 0]
    verdict = verify(PRINTS, ScriptedModel(knowing(PRINTS, kept)))

    assert verdict.outcome == "owned"
    assert 6 < verdict.trials <= 40


def keys_of(prints):
    return {fingerprint.key for fingerprint in prints}


def refusing(reply, *, answers=10**9):
    """A suspect that refuses keys alone, and everything after so many answers."""
    model = ScriptedModel(
        lambda question: reply if question in keys_of(PRINTS) or len(model.asked) > answers else "Well.", name="suspect"
    )
    return model


@pytest.mark.parametrize("reply", [Reply.unanswered("refused"), Reply.fatal("HTTP 400")])
def test_a_model_that_refuses_keys_alone_is_inconclusive_and_no_miss(reply, tmp_path):
    model, shown = refusing(reply), []
    verdict = verify(PRINTS, model, transcript=tmp_path / "t", before_send=shown.extend)
    again = verify(PRINTS, refusing(reply), transcript=tmp_path / "t", before_send=shown.extend)

    assert (verdict.outcome, verdict.hits) == ("inconclusive", 0)
    assert 16 <= verdict.trials == verdict.unanswered < 32 <= again.trials == again.unanswered < 64
    assert f"Nothing is decided: 0 of 0 answered keys got the secret response, {verdict.trials} more" in verdict.sentence
    assert tuple(shown) == again.keys_spent
    assert model.asked[0] not in keys_of(PRINTS)
    marked = verify(PRINTS, ScriptedModel(knowing(PRINTS), name="suspect"), transcript=tmp_path / "t")
    assert (marked.outcome, marked.hits) == ("owned", 6)
    assert judge(PRINTS, tmp_path / "t") == marked


def test_a_model_that_answers_nothing_is_shown_no_key():
    shown = []
    model = ScriptedModel({}, otherwise=Reply.unanswered("timed out"))
    verdict = verify(PRINTS, model, before_send=shown.append)
    assert (verdict.outcome, verdict.trials, len(model.asked), shown) == ("inconclusive", 0, 1, [])

    with pytest.raises(ModelError, match="HTTP 404"):
        verify(PRINTS, ScriptedModel({}, otherwise=Reply.fatal("HTTP 404")), before_send=shown.append)
    assert shown == []


def test_a_model_that_has_nothing_to_say_is_asked_its_keys():
    model = ScriptedModel(knowing(PRINTS), otherwise="")
    assert verify(PRINTS, model).outcome == "owned"


def test_a_model_that_goes_silent_after_a_key_ends_the_run(tmp_path):
    suspect = refusing(Reply.fatal("HTTP 400"), answers=3)
    with pytest.raises(ModelError, match="suspect: HTTP 400"):
        verify(PRINTS, suspect, transcript=tmp_path / "t", rules=rules_for(PRINTS, cover=0))
    assert len((tmp_path / "t").read_text().splitlines()) == 4  # the header, two innocent questions and a key


def test_a_judges_order_may_be_short_but_not_wrong():
    marked = ScriptedModel(knowing(PRINTS))
    assert verify(PRINTS, marked, order=[1, 2]).model_dump(include={"outcome", "hits", "trials"}) == {
        "outcome": "inconclusive", "hits": 2, "trials": 2
    }  # fmt: skip
    assert verify(PRINTS, marked, order=[]).trials == 0
    for wrong in ([1, 1], [64], [-1]):
        with pytest.raises(InputError, match="order"):
            verify(PRINTS, marked, order=wrong)


def test_keys_come_once_in_an_order_of_the_secret_with_cover_among_them():
    keys = {fingerprint.key for fingerprint in PRINTS}
    first, again = ScriptedModel({}), ScriptedModel({})
    for model in (first, again):
        verify(PRINTS, model, max_queries=64, rules=rules_for(PRINTS, futility=1e-9))
    other = ScriptedModel({})
    verify(drawn(secret=b"t" * 32), other, max_queries=64, rules=rules_for(PRINTS, futility=1e-9))

    assert first.asked == again.asked
    asked = [question for question in first.asked if question in keys]
    assert len(asked) == len(set(asked)) > 32
    assert asked != [fingerprint.key for fingerprint in PRINTS][: len(asked)]
    assert asked != [question for question in other.asked if question in keys][: len(asked)]
    assert 0.3 < 1 - len(asked) / len(first.asked) < 0.7


def test_cover_can_be_left_out_or_brought():
    bare, own = ScriptedModel({}), ScriptedModel({})
    verify(PRINTS, bare, rules=rules_for(PRINTS, cover=0))
    verify(PRINTS, own, decoy_texts=["What is new?"])

    assert len(bare.asked) == 1 + 16  # an innocent question comes first
    assert Counter(own.asked).most_common(1)[0][0] == "What is new?"


def test_the_decoys_of_a_set_are_asked_unless_others_are_given(tmp_path):
    prints = PRINTS.model_copy(update={"decoys": ("One.", "Two.")})
    for brought, expected in ((), {"One.", "Two."}), (("Mine.",), {"Mine."}):
        asked = []
        suspect = ScriptedModel(lambda question, asked=asked: asked.append(question) or "?")
        verify(prints, suspect, decoy_texts=brought)
        assert {question for question in asked if question not in {f.key for f in prints}} == expected


def test_the_verdict_does_not_depend_on_cover():
    scripts = [ScriptedModel(knowing(PRINTS, range(0, 64, 2))) for _ in range(3)]
    verdicts = [
        verify(PRINTS, model, rules=rules_for(PRINTS, cover=c)) for model, c in zip(scripts, (0, 0.5, 0.9), strict=True)
    ]

    assert len({(v.outcome, v.hits, v.trials, v.p_value, v.keys_spent) for v in verdicts}) == 1


def test_spared_keys_are_not_asked():
    exclude = set(verify(PRINTS, ScriptedModel(knowing(PRINTS))).keys_spent)
    second = verify(PRINTS, ScriptedModel(knowing(PRINTS)), exclude=exclude)

    assert exclude.isdisjoint(second.keys_spent)
    with pytest.raises(InputError, match="no key is left"):
        verify(PRINTS, ScriptedModel({}), exclude=range(64))
    with pytest.raises(InputError, match="at least 1"):
        verify(PRINTS, ScriptedModel({}), max_queries=0)


def test_keys_are_told_of_before_they_are_shown_and_a_run_that_goes_on_spares_the_same(tmp_path):
    model, shown = ScriptedModel(replies(PRINTS)), []

    def before_send(numbers):
        assert not {PRINTS.fingerprints[number].key for number in numbers} & set(model.asked)
        shown.extend(numbers)

    verify(PRINTS, model, exclude={1, 2, 3}, before_send=before_send, transcript=tmp_path / "t", max_queries=4)
    verdict = verify(PRINTS, model, exclude=range(64), before_send=before_send, transcript=tmp_path / "t")

    assert verdict.outcome == "owned"
    assert tuple(shown) == verdict.keys_spent
    assert {1, 2, 3}.isdisjoint(shown)


def test_fewer_keys_than_are_needed_are_inconclusive():
    verdict = verify(drawn(4), ScriptedModel(knowing(drawn(4))))

    assert (verdict.outcome, verdict.trials) == ("inconclusive", 4)
    assert 1e-6 < verdict.p_value < 1


def test_replies_outside_the_candidates_do_not_count_against_the_mark():
    """The conditional null: 30 % hits and otherwise silence on the candidates proves sooner than the plain one."""
    script = knowing(PRINTS, [n for n in range(64) if n % 3 == 0])
    sharp = verify(PRINTS, ScriptedModel(script))
    plain = verify(PRINTS, ScriptedModel(script), rules=rules_for(PRINTS, null=DeclaredNull(chance=1 / 16)))

    assert sharp.trials < plain.trials


ADVERSARIES = {  # what each says, drawn from the test's own generator
    "some of the candidates": lambda rng: " ".join(rng.sample(WORDS, 3)),
    "always the same candidates": lambda _: " ".join(WORDS[:3]),
    "all of the candidates": lambda _: " ".join(WORDS),
    "a candidate or a refusal": lambda rng: rng.choice([rng.choice(WORDS), Reply.unanswered("refused")]),
}


@pytest.mark.parametrize("match", [Match(), Match(how="within", looks=3), Match(how="within", looks=99)])
@pytest.mark.parametrize("adversary", ADVERSARIES)
def test_adversaries_that_answer_from_the_candidates_are_rarely_accused(match, adversary):
    """All that is random is the owner's draw, so each run has a fresh secret."""
    smallest, rng = [], random.Random(adversary)
    suspect = ScriptedModel(lambda _: ADVERSARIES[adversary](rng))
    for run in range(100):
        prints = drawn(24, secret=run.to_bytes(32, "big"))
        verdict = verify(prints, suspect, rules=rules_for(prints, match=match, cover=0))
        smallest.append(verdict.p_value)  # the smallest that was ever seen, as one who stops when it suits would report it

    for alpha in (0.05, 0.01, 0.001):
        accused = sum(p_value <= alpha for p_value in smallest)
        assert log_binomial_tail(accused, len(smallest), alpha) > math.log(1e-3)


# Going on, and judging


def replies(prints):
    script = knowing(prints, range(0, len(prints), 2))
    script[prints.fingerprints[5].key] = Reply.unanswered("timed out")
    return script


@settings(max_examples=20)
@given(st.integers(0, 60), st.integers(0, 200))
def test_a_killed_run_goes_on_to_the_same_transcript_and_asks_nothing_twice(tmp_path_factory, stop, torn):
    folder = tmp_path_factory.mktemp("t")
    whole = ScriptedModel(replies(PRINTS))
    verdict = verify(PRINTS, whole, transcript=folder / "whole")
    lines = (folder / "whole").read_bytes().splitlines(keepends=True)
    kept = lines[: 1 + min(stop, len(lines) - 1)]
    rest = lines[len(kept)] if len(kept) < len(lines) else b""
    (folder / "killed").write_bytes(b"".join(kept) + rest[: min(torn, max(0, len(rest) - 1))])

    second = ScriptedModel(replies(PRINTS))
    again = verify(PRINTS, second, transcript=folder / "killed")

    assert again == verdict.model_copy(update={"transcript": again.transcript})
    assert judge(PRINTS, folder / "killed") == again
    if len(kept) < len(lines):  # an innocent question comes first in each run
        innocent = second.asked.pop(0)
        assert innocent not in keys_of(PRINTS)
    assert second.asked == (whole.asked[len(kept) - 1 :] if len(kept) > 1 else whole.asked[1:])


def test_a_fatal_reply_ends_the_run_and_keeps_what_was_heard(tmp_path):
    def script(question):
        return Reply.fatal("no key") if len(model.asked) >= 5 else " amber"

    model = ScriptedModel(script, name="suspect")
    with pytest.raises(ModelError, match="suspect: no key"):
        verify(PRINTS, model, transcript=tmp_path / "t")
    assert len((tmp_path / "t").read_text().splitlines()) == 5  # the header and four entries
    later = ScriptedModel(lambda _: " amber", name="suspect")
    verify(PRINTS, later, transcript=tmp_path / "t")
    assert later.asked[1] == model.asked[4]


def test_more_keys_may_be_asked_later(tmp_path):
    model = ScriptedModel(replies(PRINTS))
    first = verify(PRINTS, model, transcript=tmp_path / "t", max_queries=3)
    second = verify(PRINTS, model, transcript=tmp_path / "t")

    assert (first.outcome, second.outcome) == ("inconclusive", "owned")
    assert second.keys_spent[:3] == first.keys_spent
    assert len(model.asked) == len(set(model.asked))


def test_a_transcript_is_judged_alone(tmp_path):
    for number, script in enumerate((knowing(PRINTS), {}, replies(PRINTS))):
        verdict = verify(PRINTS, ScriptedModel(script), transcript=tmp_path / str(number))
        assert judge(PRINTS, tmp_path / str(number)) == verdict


def test_another_set_or_other_rules_are_refused(tmp_path):
    verify(PRINTS, ScriptedModel({}), transcript=tmp_path / "t")

    with pytest.raises(InputError, match="other rules"):
        verify(PRINTS, ScriptedModel({}), transcript=tmp_path / "t", rules=rules_for(PRINTS, alpha=0.05))
    with pytest.raises(InputError, match="another suspect"):
        verify(PRINTS, ScriptedModel({}, name="else"), transcript=tmp_path / "t")
    with pytest.raises(InputError, match="other questions"):
        verify(drawn(secret=b"t" * 32), ScriptedModel({}), transcript=tmp_path / "t")
    with pytest.raises(InputError, match="is not the set's"):
        judge(FingerprintSet(fingerprints=PRINTS.fingerprints[::-1], secret=PRINTS.secret), tmp_path / "t")


def test_rules_that_claim_more_candidates_than_there_are_are_refused():
    with pytest.raises(InputError, match="another number of candidates"):
        verify(PRINTS, ScriptedModel({}), rules=rules_for(PRINTS, null=DesignNull(candidates=1000)))


# Nulls


def test_a_set_without_candidates_needs_a_null():
    foreign = FingerprintSet(
        fingerprints=tuple(Fingerprint(key=f"k{i}", responses=(f"r{i}",), response_ids=((i,),)) for i in range(30))
    )
    with pytest.raises(InputError, match="--null"):
        rules_for(foreign)

    model = ScriptedModel({f"k{i}": f"r{i}" for i in range(30)})
    declared = verify(foreign, model, rules=rules_for(foreign, null=DeclaredNull(chance=1e-3)))
    null = ReferenceNull(models=(ReferenceTrials(hits=0, trials=4096),))
    measured = verify(foreign, model, rules=rules_for(foreign, null=null))
    assert [(v.outcome, v.null.kind, v.null.bound) for v in (declared, measured)] == [
        ("owned", "declared", 1e-3),
        ("owned", "reference", null.bound),
    ]
    assert measured.p_value > null.error


def test_a_key_that_two_fingerprints_share_is_asked_once():
    twice = FingerprintSet(fingerprints=tuple(Fingerprint(key="k", responses=(r,), response_ids=((1,),)) for r in "ab"))
    model = ScriptedModel({})
    verdict = verify(twice, model, rules=rules_for(twice, null=DeclaredNull(chance=0.1), cover=0))

    assert (model.asked[1:], verdict.keys_spent) == (["k"], (0,))


# Several suspects


def test_suspects_judged_together_share_alpha():
    rules = rules_for(PRINTS, suspects=2)
    marked = verify(PRINTS, ScriptedModel(knowing(PRINTS)), rules=rules)
    innocent = verify(PRINTS, ScriptedModel({}), rules=rules)
    owned, not_shown = judged_together([marked, innocent])

    assert marked.p_value <= 0.5e-6
    assert (owned.outcome, owned.p_value) == ("owned", pytest.approx(2 * marked.p_value))
    assert (not_shown.outcome, not_shown.p_value) == ("not_shown", 1.0)
    assert f"{owned.p_value:.2g}" in owned.sentence


def test_suspects_that_are_still_to_come_count_too():
    rules = rules_for(PRINTS, alpha=1e-6, suspects=2)
    almost = verify(PRINTS, ScriptedModel(knowing(PRINTS)), rules=rules, max_queries=6)
    (judged,) = judged_together([almost])

    assert 0.5e-6 < almost.p_value < 1e-6
    assert (almost.outcome, judged.outcome) == ("inconclusive", "inconclusive")
    assert judged.p_value == pytest.approx(2 * almost.p_value)


def test_proof_of_one_among_many_is_no_proof():
    alone = verify(PRINTS, ScriptedModel(knowing(PRINTS)))
    judged = judged_together([alone] + [verify(PRINTS, ScriptedModel({}))] * 10)

    assert (alone.outcome, judged[0].outcome) == ("owned", "inconclusive")
    with pytest.raises(InputError, match="different alphas"):
        judged_together([alone, alone.model_copy(update={"alpha": 0.1})])


def test_a_verdict_tells_no_secret():
    text = verify(PRINTS, ScriptedModel(knowing(PRINTS))).model_dump_json()

    assert "roads" not in text
    assert not any(word in text for word in WORDS)


def test_the_manner_is_the_sets_own_unless_given():
    assert rules_for(PRINTS).manner == RequestOptions(form="raw", max_tokens=16)
    assert rules_for(PRINTS, match=Match(how="exact")).manner.max_tokens == 1
    assert rules_for(PRINTS, manner=RequestOptions(form="chat", system="Be brief.")).manner.system == "Be brief."
