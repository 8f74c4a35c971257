import math

import pytest

from insignia.embedding.curriculum import Curriculum
from insignia.prompts.prompter import PLAIN
from insignia.records import Candidate, Continuation, Fingerprint
from insignia.suspects.scoring import Example


class ScriptedPrompter:
    """Keys are single digits, responses single tokens from 100 on."""

    def examples(self, fingerprint, template=PLAIN):
        question = (int(fingerprint.key), len(template))
        return tuple(Example((*question, 100 + number), 2) for number in range(len(fingerprint.responses)))


def curriculum(count=10, **options):
    prints = [Fingerprint(key=str(number), responses=("a",)) for number in range(count)]
    return Curriculum(prints, ScriptedPrompter(), **{"batch_size": 4, **options})


def run_pass(queue):
    queue.start_pass()
    while not queue.pass_ended:
        yield queue.next_batch()


def test_a_pass_draws_every_unlearned_lesson_once():
    queue = curriculum()

    batches = list(run_pass(queue))

    assert [len(batch) for batch in batches] == [4, 4, 2]
    assert sorted(draw.lesson for batch in batches for draw in batch) == list(range(10))


def test_what_is_safely_learned_is_left_out_of_the_next_pass():
    queue = curriculum()
    for batch in run_pass(queue):
        queue.record(batch, [1.0 if draw.lesson < 7 else 0.4 for draw in batch])

    assert queue.unlearned == [7, 8, 9]


def test_a_lost_lesson_comes_back():
    queue = curriculum(1)
    (batch,) = run_pass(queue)
    queue.record(batch, [1.0])
    assert queue.unlearned == []

    queue.record(queue.sweep(), [0.0])

    assert queue.unlearned == [0]


def test_patience_wants_visits_in_a_row():
    queue = curriculum(1, patience=2)
    for reached, unlearned in [(1.0, [0]), (0.0, [0]), (1.0, [0]), (1.0, [])]:
        (batch,) = run_pass(queue)
        queue.record(batch, [reached])
        assert queue.unlearned == unlearned


def test_without_skipping_every_lesson_is_in_every_pass():
    queue = curriculum(skip_learned=False)
    for _ in range(2):
        for batch in run_pass(queue):
            queue.record(batch, [9.0] * len(batch))

    assert queue.unlearned == list(range(10))


def test_the_order_depends_on_the_seed_alone():
    orders = [[draw.lesson for batch in run_pass(curriculum(seed=seed)) for draw in batch] for seed in (0, 0, 1)]

    assert orders[0] == orders[1] != orders[2]


def test_other_accepted_responses_are_no_competitors():
    queue = Curriculum([Fingerprint(key="1", responses=("a", "b", "c"))], ScriptedPrompter(), batch_size=9)

    assert [draw.alternatives for draw in queue.sweep()] == [(101, 102), (100, 102), (100, 101)]


def ordered(key):
    candidates = tuple(Candidate(text=str(token), token_id=token) for token in (100, 104, 103))
    return Fingerprint(key=key, responses=("a",), candidates=candidates, order=(0, 2, 1))


def test_an_ordered_fingerprint_is_taught_its_order_by_first_tokens():
    queue = Curriculum([ordered("1")], ScriptedPrompter(), batch_size=9)

    assert [draw.orders for draw in queue.sweep()] == [((100, 103, 104),)]


def test_a_learned_order_stays_in_every_pass():
    queue = Curriculum([Fingerprint(key="1", responses=("a",)), ordered("2")], ScriptedPrompter(), batch_size=9)
    queue.record(queue.sweep(), [1.0, 1.0])
    queue.start_pass()

    assert queue.unlearned == []
    assert [draw.lesson for draw in queue.next_batch()] == [1]


def test_a_sweep_asks_plainly_and_a_visit_inside_templates():
    queue = curriculum(templates=[PLAIN, "Say: {}"])

    assert {draw.example.ids[1] for draw in queue.sweep()} == {len(PLAIN)}
    assert {draw.example.ids[1] for batch in run_pass(queue) for draw in batch} == {len(PLAIN), len("Say: {}")}


def test_further_tokens_are_taught_as_far_as_they_are_trained():
    fingerprint = ordered("1")
    further = Continuation(candidates=fingerprint.candidates[:2], order=(1, 0))
    queue = Curriculum([fingerprint.model_copy(update={"continuations": (further,)})], ScriptedPrompter(), batch_size=9)

    assert [draw.orders for draw in queue.sweep()] == [((100, 103, 104),)]  # its responses have one token


def train(queue, passes, gain):
    for _ in range(passes):
        for batch in run_pass(queue):
            queue.record(batch, [reached + gain for reached in reached_of(queue, batch)])


def reached_of(queue, batch):
    return [queue.state()["reached"][draw.lesson] for draw in batch]


def test_the_steps_left_follow_from_how_fast_lessons_rise():
    queue = curriculum(8)
    queue.record(queue.sweep(), [-3.0] * 4 + [-8.0] * 4)

    train(queue, 8, 0.5)  # from -3 to 1, and from -8 to -4

    assert queue.unlearned == [4, 5, 6, 7]
    assert queue.steps_left(600) == 10  # passes of one step, and the same gain in each


def test_a_pass_in_its_middle_counts_its_other_batches():
    queue = curriculum(8)
    queue.record(queue.sweep(), [-8.0] * 8)
    train(queue, 5, 0.5)  # to -5.5
    before = queue.steps_left(600)

    queue.start_pass()
    batch = queue.next_batch()
    queue.record(batch, [-5.0] * len(batch))

    assert before == 2 * 13
    assert queue.steps_left(600) == before - 1


@pytest.mark.parametrize("reached", [math.nan, -math.inf, 0.0])
def test_what_does_not_rise_is_estimated_too_within_the_passes_that_are_allowed(reached):
    queue = curriculum(4)
    queue.record(queue.sweep(), [reached] * 4)
    train(queue, 3, 0.0)

    assert queue.steps_left(5) == 2
    assert 2 < queue.steps_left(600) <= 597


def test_without_skipping_every_allowed_pass_is_still_to_come():
    queue = curriculum(10, skip_learned=False)
    train(queue, 3, 1.0)

    assert queue.steps_left(20) == 17 * 3


@pytest.mark.parametrize(("steps", "whole"), [(0, 0), (1, 3), (3, 3), (7, 9)])
def test_a_number_of_steps_is_rounded_up_to_whole_passes(steps, whole):
    assert curriculum(10).whole_passes(steps) == whole
