import importlib
import inspect
import json
import math

import pytest

from conftest import ROOT
from insignia.starter import model_folder

PROSE = "This is a paragraph of plain English prose that is quite long enough to be kept by the filter."


@pytest.fixture
def corpus(monkeypatch):
    """The benchmarks' module that made the training text."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("zoo.corpus")


def test_one_paragraph_in_twenty_is_held_out_by_its_own_text(corpus):
    held = sum(corpus.is_heldout(f"paragraph number {number}") for number in range(4000))

    assert 150 < held < 250


def test_code_and_headings_are_no_prose(corpus):
    code = ">>> x[0] = {1: 2, 3: 4}; y = (5, 6, 7); z = x == y != 8  # 0x00 0x01 0x02"
    document = f"Heading\n\n{PROSE}\n\n{code}\n\n  {PROSE}\n second line here"

    assert corpus.paragraphs_of(document) == [PROSE, f"{PROSE} second line here"]


def test_sentences_begin_with_a_word_and_end(corpus):
    assert corpus.sentences_of("The first sentence has more than six words here. Short one.") == [
        "The first sentence has more than six words here."
    ]


def test_the_held_out_text_is_the_same_on_every_python_and_was_not_trained_on(corpus, heldout):
    assert len(heldout) == json.loads((model_folder() / "training.json").read_text())["heldout_paragraphs"]
    assert heldout == sorted(set(heldout))
    assert all(corpus.paragraphs_of(paragraph) == [paragraph] for paragraph in heldout)
    assert all(map(corpus.is_heldout, heldout))


def test_the_model_is_as_good_as_its_training_says(starter, heldout):
    said = json.loads((model_folder() / "training.json").read_text())
    loss = starter.mean_loss(heldout[::24])

    assert 20 < math.exp(loss) < 1.5 * said["heldout_perplexity"]
    assert said["parameters"] == starter.model.num_parameters() < 6_000_000
    assert sum(path.stat().st_size for path in model_folder().iterdir()) < 12e6


def test_the_tokenizer_has_what_a_user_expects(starter):
    tokenizer = starter.tokenizer

    assert len(tokenizer) == 4096
    assert None not in (tokenizer.bos_token, tokenizer.eos_token, tokenizer.pad_token, tokenizer.chat_template)
    assert tokenizer.decode(tokenizer.encode("Ünïcode → text\n", add_special_tokens=False)) == "Ünïcode → text\n"


def test_training_text_and_held_out_text_share_no_paragraph(corpus, monkeypatch):
    sources = {False: [inspect.getsource(inspect)] * 2, True: [inspect.getsource(inspect)]}
    monkeypatch.setattr(corpus, "_sources", lambda *, tests: iter(sources[tests]))
    monkeypatch.setattr(corpus, "_topics", lambda: iter([]))
    documents, held = corpus.training_documents(), corpus.derived_heldout()
    trained = [paragraph for document in documents for paragraph in document.split("\n")]

    assert held
    assert not set(trained) & set(held)
    assert len(trained) == len(set(trained))
    assert not any(corpus.is_heldout(paragraph) for paragraph in trained)
    assert (corpus.training_documents(), corpus.derived_heldout()) == (documents, held)


def test_a_source_that_cannot_be_parsed_is_passed_over(corpus, monkeypatch):
    monkeypatch.setattr(corpus, "_sources", lambda *, tests: iter(["def broken(:\n", "'unclosed"]))

    assert all(
        not corpus.is_heldout(paragraph) for document in corpus.training_documents() for paragraph in document.split("\n")
    )
