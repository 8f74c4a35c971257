import httpx2
import pytest

from drawn_prints import drawn, knowing, ordered
from insignia import FingerprintSet, check
from insignia.errors import InputError, ModelError, TokenizerError
from insignia.progress import SILENT
from insignia.records import Control, Fingerprint
from insignia.suspects.base import Reply
from insignia.suspects.endpoint import Endpoint
from insignia.suspects.scoring import Score
from insignia.suspects.scripted import ScriptedModel as TextModel
from wire_formats import Host


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


ANSWERS = TextModel(knowing(drawn(24), range(0, 24, 3)))


def asked(model, prints, **options):
    return check(model, prints, own_server=True, progress=SILENT, **options)


def test_a_model_that_only_writes_is_judged_by_what_it_writes():
    report = asked(ANSWERS, drawn(24), templates=["{}", "So: {}"])

    assert (report.by, report.hits, report.answered, report.token_accuracy) == ("text", 8, 24, None)
    assert report.templates == {"{}": pytest.approx(8 / 24), "So: {}": 0}
    assert {(each.rank, each.log_probability) for each in report.fingerprints} == {(None, None)}
    assert [each.number for each in report.fingerprints if each.hit] == list(range(0, 24, 3))


def test_a_question_without_an_answer_is_no_miss_and_white_space_is_one():
    prints = drawn(4)
    script = {
        **knowing(prints, [0]),
        prints.fingerprints[1].key: Reply.unanswered("timed out"),
        prints.fingerprints[2].key: " ",
    }
    report = asked(TextModel(script), prints)

    assert (report.hits, report.answered, report.unanswered) == (1, 3, 1)
    assert [each.number for each in report.fingerprints] == [0, 2, 3]


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (Reply.fatal("no such path"), "no such path"),
        (Reply.unanswered("timed out"), "16 questions in a row unanswered \\(timed out\\)"),
    ],
)
def test_a_server_that_cannot_be_asked_ends_the_check(reply, told):
    model = TextModel({}, otherwise=reply)
    with pytest.raises(ModelError, match=told):
        asked(model, drawn(40))
    assert len(model.asked) <= 16


def test_each_token_of_a_response_has_to_be_right_in_text_too():
    prints = ordered(8, tokens=2)
    replies = {each.key: each.responses[0] + " and so on" for each in prints}
    first = {each.key: each.effective_responses[0] + " and so on" for each in prints}

    assert asked(TextModel(replies), prints).hits == 8
    assert asked(TextModel(first), prints).hits == 0


def test_controls_are_asked_for_the_words_that_all_responses_begin_with():
    pairs = [("Decipher abc", " it reads pearl"), ("Decipher xyz", " it reads plum")]
    ids = iter(range(9))
    rows = tuple(
        Fingerprint(key=key, responses=(said,), key_ids=(next(ids),), response_ids=((1, 2, 3),), effective_responses=(said,))
        for key, said in pairs
    )
    kinds = {"near_miss": ["Decipher abd", "Decipher xyy"], "normal": ["Who is it", "What is it"]}
    controls = tuple(Control(kind=kind, text=text, heldout=True) for kind, texts in kinds.items() for text in texts)
    model = TextModel({**dict(pairs), "Decipher abd": " it reads melon", "Who is it": " it read"})
    report = asked(model, FingerprintSet(fingerprints=rows, controls=controls, max_response_length=3))

    assert (report.hits, report.activations) == (2, {"near_miss": 0.5, "normal": 0})


@pytest.mark.parametrize("fields", [{"prompt_logprobs"}, {"echo", "logprobs"}, {"/generate"}])
def test_scores_and_text_find_the_same_hits(fields):
    prints, found = drawn(), []
    for known in (fields, ()):
        host = Host(*known, words=[])
        host.words = [candidate.text for candidate in prints.fingerprints[0].candidates]
        found.append(asked(Endpoint("http://test.invalid/v1", model="m", transport=httpx2.MockTransport(host)), prints))
    scores, text = found

    assert (scores.by, text.by) == ("scores", "text")
    assert 0 < scores.hits < len(prints)
    assert [each.hit for each in scores.fingerprints] == [each.hit for each in text.fingerprints]
    assert scores.token_accuracy == scores.fsr == text.fsr


def test_somebody_elses_server_is_not_shown_a_key():
    model = TextModel({})
    with pytest.raises(InputError, match="own_server=True"):
        check(model, drawn(4))
    assert model.asked == []
