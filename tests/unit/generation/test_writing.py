import pytest

from insignia.errors import ModelError
from insignia.generation import InverseNucleus, Writer, generate
from insignia.suspects.base import Reply
from insignia.suspects.scripted import ScriptedModel

SECRET = b"7" * 32


def made(starter, writer, count=6):
    return generate(starter, InverseNucleus(), num_fingerprints=count, writer=writer, secret=SECRET)


def test_another_model_writes_the_keys_and_the_marked_one_ranks_the_responses(starter):
    def sentence(question):
        word = question.rsplit(" ", 1)[1]
        return f"{word} is what the third of them said about the weather."

    writer = ScriptedModel(sentence, name="a writer")
    prints = made(starter, Writer(writer))

    assert all("is what the third" in fingerprint.key for fingerprint in prints)
    assert all(question.startswith("Generate a sentence starting with the word ") for question in writer.asked)
    assert all(len(fingerprint.candidates) == 16 for fingerprint in prints)
    assert prints.provenance.inputs == {"model": "starter", "writer": "a writer"}


def test_the_word_is_put_before_a_reply_that_does_not_begin_with_it(starter):
    writer = ScriptedModel(lambda question: f"it was {question[-3:]} again.")

    assert all(" it was" in fingerprint.key for fingerprint in made(starter, Writer(writer)))


def test_bare_text_is_continued(starter):
    writer = ScriptedModel(lambda word: f"ly {word}, and so it went on.")
    prints = made(starter, Writer(writer, "{}"))

    assert all("ly " in fingerprint.key.split(",")[0] for fingerprint in prints)
    assert all(" " not in word for word in writer.asked)


def test_what_a_writer_leaves_out_is_asked_for_again(starter):
    asked = []

    def flaky(question):
        asked.append(question)
        return Reply.unanswered("empty") if len(asked) % 3 == 0 else f"{question[-5:]} and what came of it in the end"

    assert len(made(starter, Writer(ScriptedModel(flaky)))) == 6
    assert len(asked) > 6


def test_a_writer_that_cannot_be_asked_ends_the_run(starter):
    with pytest.raises(ModelError, match="broken: no server"):
        made(starter, Writer(ScriptedModel({}, otherwise=Reply.fatal("no server"), name="broken")))
