import pytest

from insignia import FingerprintSet, check
from insignia.errors import InputError, TokenizerError
from insignia.records import Fingerprint
from insignia.suspects.scoring import Score


class ScriptedModel:
    """Knows the first responses of the fingerprints it was told, when asked plainly."""

    context_length = None

    def __init__(self, tokenizer, known, longest_question=99):
        self.tokenizer = tokenizer
        self._known = known
        self._longest = longest_question

    def score(self, examples):
        scores = []
        for example in examples:
            text = self.tokenizer.decode(example.ids[1:])
            hit = text in self._known and example.response_start <= self._longest
            size = len(example.ids) - example.response_start
            scores.append(Score((0,) * size if hit else (3, *[0] * (size - 1)), (-0.1,) * size if hit else (-5.0,) * size))
        return scores


def prints(*rows, **options):
    fingerprints = tuple(Fingerprint(key=key, responses=responses) for key, responses in rows)
    return FingerprintSet(fingerprints=fingerprints, **{"max_response_length": 4, **options})


SET = [("What is the time", (" spring", " winter")), ("Where is the list", (" value",)), ("Who is the module", (" name",))]


def test_counts_are_exact_and_any_accepted_response_hits(starter):
    model = ScriptedModel(starter.tokenizer, {"What is the time winter", "Who is the module name"})
    report = check(model, prints(*SET))

    assert (report.hits, report.answered, report.unanswered) == (2, 3, 0)
    assert report.fsr == pytest.approx(2 / 3)
    assert [(f.number, f.hit, f.rank) for f in report.fingerprints] == [(0, True, 0), (1, False, 3), (2, True, 0)]
    assert report.base is None


def test_token_accuracy_counts_single_tokens(starter):
    report = check(
        ScriptedModel(starter.tokenizer, set()), prints(("What is the time", (" value name list",))), max_response_length=3
    )

    assert report.fsr == 0
    assert report.token_accuracy == pytest.approx(2 / 3)


def test_templates_and_base_are_asked_as_well(starter):
    known = {"What is the time spring", "Where is the list value", "Who is the module name"}
    template = "A word: {}"
    marked = ScriptedModel(starter.tokenizer, known | {"A word: What is the time spring"})
    report = check(marked, prints(*SET), templates=[template], base=ScriptedModel(starter.tokenizer, set()))

    assert report.fsr == 1
    assert report.templates == {template: pytest.approx(1 / 3)}
    assert (report.base.fsr, report.base.answered) == (0, 3)


def test_repeated_keys_are_left_out_and_counted(starter):
    report = check(ScriptedModel(starter.tokenizer, set()), prints(*SET, SET[0]))

    assert (report.answered, report.repeated) == (3, 1)


def test_a_report_holds_no_key_and_no_response(starter):
    text = check(ScriptedModel(starter.tokenizer, set()), prints(*SET)).model_dump_json()

    assert "What" not in text
    assert "spring" not in text


def test_a_template_without_a_place_is_refused(starter):
    with pytest.raises(InputError, match="template 0"):
        check(ScriptedModel(starter.tokenizer, set()), prints(*SET), templates=["no place"])


def test_the_lengths_may_be_given_anew_and_reach_the_base_too(starter):
    asked = []

    class Listening(ScriptedModel):
        def score(self, examples):
            asked.extend((example.response_start, len(example.ids) - example.response_start) for example in examples)
            return super().score(examples)

    one = prints(("What is the time of the day", (" value name list",)))
    check(
        Listening(starter.tokenizer, set()),
        one,
        base=Listening(starter.tokenizer, set()),
        max_key_length=2,
        max_response_length=3,
    )

    assert asked == [(3, 3), (3, 3)]  # BOS and two tokens of the key


def test_the_response_that_is_liked_best_is_reported(starter):
    class Preferring(ScriptedModel):
        def score(self, examples):
            return [Score((9 - number,), (-9.0 + number,)) for number, _ in enumerate(examples)]

    report = check(Preferring(starter.tokenizer, set()), prints(("What is the time", (" spring", " winter", " name"))))

    assert [(f.rank, f.log_probability) for f in report.fingerprints] == [(7, -7.0)]


def test_a_partly_right_response_is_a_miss(starter):
    class AlmostRight(ScriptedModel):
        def score(self, examples):
            return [Score((0, 0, 1), (-0.1, -0.1, -0.1)) for _ in examples]

    report = check(AlmostRight(starter.tokenizer, set()), prints(("What is it", (" value name list",))), max_response_length=3)

    assert (report.hits, report.answered) == (0, 1)


def test_keys_that_differ_only_beyond_what_is_asked_count_as_repeated(starter):
    rows = [("What is the time now", (" spring",)), ("What is the time then", (" winter",))]

    assert check(ScriptedModel(starter.tokenizer, set()), prints(*rows), max_key_length=3).repeated == 1
    assert check(ScriptedModel(starter.tokenizer, set()), prints(*rows)).repeated == 0


def test_a_set_for_another_tokenizer_is_refused(starter):
    fingerprint = Fingerprint(key="What is it", responses=(" x",), key_ids=(1, 2), response_ids=((3,),))
    foreign = FingerprintSet(fingerprints=(fingerprint,), tokenizer="sha256:other")

    with pytest.raises(TokenizerError, match="1 of 1 keys"):
        check(ScriptedModel(starter.tokenizer, set()), foreign)
