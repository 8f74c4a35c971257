"""Traces of scripted suspects: copies, coalitions, and models that are nobody's."""

import math

import pytest

from drawn_prints import drawn, knowing
from insignia.errors import InputError
from insignia.evidence.publication import owner_rng
from insignia.keyring.keyring import Keyring
from insignia.licensing.book import open_book
from insignia.licensing.codes import Code
from insignia.licensing.leaks import TraceOptions, trace
from insignia.suspects.base import Reply
from insignia.suspects.scripted import ScriptedModel

BLOCKS, NAMES = 64, [f"licensee {number}" for number in range(50)]


@pytest.fixture
def kept(tmp_path):
    """128 fingerprints in 64 blocks, and fifty licensees."""
    drawn(2 * BLOCKS).save(tmp_path / "prints.json")
    found = Keyring.open(tmp_path / "prints.json").only()
    with open_book(found, blocks=BLOCKS) as book:
        for name in NAMES:
            book.begin(name, again=False)
            book.finish(name, {})
    return found


def copy_of(kept, *members, remote=False, otherwise="I do not know.", lost=()):
    """What a coalition shows that takes blocks in turn."""
    words = Code(blocks=BLOCKS).words(owner_rng(kept.prints), members)
    numbers = [
        number
        for number in range(len(kept.prints))
        if words[number % BLOCKS % len(members), number % BLOCKS] and number not in lost
    ]
    model = ScriptedModel(knowing(kept.prints, numbers), name="leak", otherwise=otherwise)
    model.may_refuse = remote
    return model


def traced(kept, model, **options):
    (report,) = trace(kept, [lambda: model], TraceOptions(**options))
    return report


def test_a_leaked_copy_names_its_licensee_and_nobody_else(kept):
    model = copy_of(kept, "licensee 7")
    report = traced(kept, model)

    assert [each.licensee for each in report.named] == ["licensee 7"]
    assert report.named[0].p_value < 1e-6
    assert len(report.keys_asked) == len(model.asked) == BLOCKS  # one key of each block was enough
    assert report.present + report.absent == BLOCKS
    assert report.sentence == (
        "leak comes from the copy of licensee 7. The chance that anybody innocent among 50 licensees is named is at most 1e-06."
        " Others may have taken part."
    )


def test_a_second_key_of_each_block_is_asked_where_one_is_not_enough(kept):
    lost = range(0, BLOCKS, 3)
    report = traced(kept, copy_of(kept, "licensee 7", lost=lost))

    assert [each.licensee for each in report.named] == ["licensee 7"]
    assert len(report.keys_asked) == 2 * BLOCKS


def test_two_who_take_turns_are_traced_where_alpha_allows_it(kept):
    report = traced(kept, copy_of(kept, "licensee 3", "licensee 4"), alpha=0.05)

    assert {each.licensee for each in report.named} <= {"licensee 3", "licensee 4"}


@pytest.mark.parametrize("otherwise", ["I do not know.", Reply.unanswered("refused")], ids=["no mark", "refuses"])
def test_a_model_that_is_nobodys_copy_names_nobody_and_says_what_it_would_have_shown(kept, otherwise):
    model = ScriptedModel({}, name="theirs", otherwise=otherwise)
    model.may_refuse = False
    report = traced(kept, model, alpha=1e-3)

    assert report.named == ()
    assert report.outcome == "nobody"
    assert report.sentence.startswith("theirs: nobody is named.")
    if report.unanswered:
        assert (report.present, report.absent, report.traceable) == (0, 0, 0)
        assert "too few to name even a single leaker" in report.sentence
    else:
        assert report.traceable == 1
        assert "would have named a single leaker with a chance of 95.0 %; 2 who work together could hide" in report.sentence


def test_refused_keys_cost_evidence_and_accuse_nobody(kept):
    script = knowing(
        kept.prints,
        [
            n
            for n in range(len(kept.prints))
            if Code(blocks=BLOCKS).words(owner_rng(kept.prints), ["licensee 9"])[0, n % BLOCKS]
        ],
    )
    refused = {kept.prints.fingerprints[number].key for number in range(len(kept.prints)) if number % BLOCKS < 12}
    model = ScriptedModel(lambda question: Reply.unanswered("no") if question in refused else script.get(question, "no"))
    model.may_refuse = False
    report = traced(kept, model)

    assert [each.licensee for each in report.named] == ["licensee 9"]
    assert report.unanswered >= 12
    assert BLOCKS - report.present - report.absent == 12


def test_keys_that_a_host_sees_are_recorded_and_not_asked_of_the_next(kept):
    first = traced(kept, copy_of(kept, "licensee 1", remote=True))
    assert kept.spent() == set(first.keys_asked)
    second = traced(kept, copy_of(kept, "licensee 1", remote=True))
    assert set(second.keys_asked).isdisjoint(first.keys_asked)
    assert [each.licensee for each in second.named] == ["licensee 1"]


def test_a_transcript_goes_on_where_it_stopped(kept, tmp_path):
    model = copy_of(kept, "licensee 7")
    for most in (10, 30, None):
        (report,) = trace(kept, [lambda: model], TraceOptions(max_queries=most), transcripts=[tmp_path / "t.jsonl"])
    assert len(model.asked) == len(report.keys_asked) == BLOCKS
    assert [each.licensee for each in report.named] == ["licensee 7"]


class Scoring(ScriptedModel):
    """Tells the log-probability of each candidate: the response's has gained some nats where its block is in."""

    channels = ("scores", "text")

    def __init__(self, kept, numbers, gain):
        super().__init__({}, name="leak")
        self.may_refuse = False
        self._of = {
            fingerprint.key: [
                math.log(0.01) + gain * (number in numbers and candidate.text == fingerprint.responses[0])
                for candidate in fingerprint.candidates
            ]
            for number, fingerprint in enumerate(kept.prints)
        }

    def weigh(self, inquiries, options, channel):
        for each in inquiries:
            scores = self._of.get(each.question, [-5.0] * len(each.candidates))
            yield Reply(status="answered", channel=channel, scores=tuple(scores))


@pytest.mark.parametrize("gain", [4.5, 2.0], ids=["whole", "merged"])
def test_scores_trace_a_copy_whose_text_shows_nothing(kept, gain):
    word = Code(blocks=BLOCKS).words(owner_rng(kept.prints), ["licensee 7"])[0]
    numbers = {number for number in range(len(kept.prints)) if word[number % BLOCKS]}
    model = Scoring(kept, numbers, gain)

    assert [each.licensee for each in traced(kept, model).named] == ["licensee 7"]
    assert traced(kept, model, channel="text").named == ()


def test_several_suspects_share_alpha(kept):
    reports = trace(kept, [lambda: copy_of(kept, "licensee 1"), lambda: copy_of(kept, "licensee 2")], TraceOptions())
    alone = traced(kept, copy_of(kept, "licensee 1"))

    assert [report.named[0].licensee for report in reports] == ["licensee 1", "licensee 2"]
    assert reports[0].named[0].p_value == pytest.approx(2 * alone.named[0].p_value)


def test_a_later_round_counts_when_it_is_whole(kept, tmp_path):
    """Two looks at the same code words are two tests: halfway through the second round there would be many."""
    lost = range(0, BLOCKS, 3)
    model = copy_of(kept, "licensee 7", lost=lost)
    found = []
    for most in (BLOCKS, BLOCKS + 40, 2 * BLOCKS):
        (report,) = trace(kept, [lambda: model], TraceOptions(max_queries=most), transcripts=[tmp_path / "t.jsonl"])
        found.append((report.present, report.absent, [each.licensee for each in report.named]))
    assert found[0] == found[1]
    assert found[2][2] == ["licensee 7"]


def test_there_must_be_a_suspect_and_somebody_to_name(kept, tmp_path):
    with pytest.raises(InputError, match="one transcript for each suspect"):
        trace(kept, [])
    drawn(4).save(tmp_path / "new.json")
    new = Keyring.open(tmp_path / "new.json").only()
    with pytest.raises(InputError, match="no copy was issued"):
        trace(new, [lambda: ScriptedModel({})])
    with open_book(new, blocks=4):
        pass
    with pytest.raises(InputError, match="nobody to name"):
        trace(new, [lambda: ScriptedModel({})])
