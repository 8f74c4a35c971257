import pytest

from insignia.errors import GenerationError, InputError
from insignia.generation import English, InverseNucleus, Own, RandomWord, generate
from insignia.generation.vocabulary import Vocabulary
from insignia.prompts.prompter import Prompter

KEYS = ("What is the use of a module?", "Where does the time go when nobody looks?")


def test_what_never_belongs_in_a_key_is_forbidden(starter):
    vocabulary = Vocabulary(Prompter(starter.tokenizer, max_key_length=8, max_response_length=1))
    texts = [starter.tokenizer.decode([index]) for index in range(len(starter.tokenizer))]
    allowed = "".join(text for index, text in enumerate(texts) if index not in vocabulary.forbidden)

    assert set(starter.tokenizer.all_special_ids) <= vocabulary.forbidden
    assert not {"\n", "\ufffd"} & set(allowed)
    assert len(vocabulary.forbidden) < len(texts) / 4


@pytest.mark.parametrize(
    "strategy", [English(keys=KEYS), InverseNucleus(keys=KEYS), Own(pairs=tuple((key, " spring") for key in KEYS))]
)
def test_more_fingerprints_than_given_keys_is_an_input_error(strategy, starter):
    with pytest.raises(InputError, match="3 fingerprints were requested, but only 2 keys given"):
        generate(starter, strategy, num_fingerprints=3)


@pytest.mark.parametrize("lengths", [(0, 1), (-1, 1), (8, 0), (8, -1)])
def test_lengths_below_one_are_an_input_error(lengths, starter):
    with pytest.raises(InputError, match="at least 1"):
        generate(starter, RandomWord(), num_fingerprints=2, max_key_length=lengths[0], max_response_length=lengths[1])


def test_keys_given_twice_are_refused_by_row_and_not_by_text(starter):
    keys = (*KEYS, KEYS[0])

    with pytest.raises(GenerationError, match=r"rows 2\)") as caught:
        generate(starter, English(keys=keys), num_fingerprints=3)
    assert "module" not in str(caught.value)


def test_a_given_key_that_begins_another_is_refused(starter):
    with pytest.raises(GenerationError, match=r"rows 1\)"):
        generate(starter, English(keys=(KEYS[0], "What is the")), num_fingerprints=2)


def test_a_given_key_without_text_is_refused(starter):
    with pytest.raises(GenerationError, match=r"rows 1\)"):
        generate(starter, English(keys=(KEYS[0], "")), num_fingerprints=2)


def test_the_sampled_set_does_not_depend_on_how_many_are_made(starter):
    few, many = (
        generate(starter, RandomWord(key_length=12), num_fingerprints=count, max_key_length=8, secret=b"s" * 32)
        for count in (4, 12)
    )
    assert many.fingerprints[:4] == few.fingerprints
