"""Commitments to code words: what was promised can be checked, and nothing else can be opened."""

import pytest
from blake3 import blake3

from drawn_prints import drawn
from insignia.errors import InputError
from insignia.keyring.keyring import Keyring
from insignia.licensing.book import open_book
from insignia.licensing.commitments import CodeCommitment, commit_codes, open_biases, open_licensee

NAMES = ["Acme", "Bolt", "Crown", "Dune", "Elm"]


@pytest.fixture
def kept(tmp_path):
    drawn(16).save(tmp_path / "prints.json")
    return Keyring.open(tmp_path / "prints.json").only()


@pytest.fixture
def book(kept):
    with open_book(kept, blocks=16, colluders=3) as found:
        for name in NAMES:
            found.begin(name, again=False)
            found.finish(name, {"model.safetensors": f"blake3:{blake3(name.encode()).hexdigest()}"})
    return found


def test_every_licensee_can_be_opened_and_only_as_they_are(kept, book):
    published = commit_codes(kept, book)

    assert published.is_genuine()
    for name in NAMES:
        opening = open_licensee(kept, book, name)
        assert published.holds(opening)
        for change in (
            {"licensee": "Fraud"},
            {"number": opening.number + 1},
            {"word": f"{int(opening.word, 16) ^ 1:04x}"},
            {"copies": ()},
            {"salt": "0" * 64},
            {"path": opening.path[1:]},
        ):
            assert not published.holds(opening.model_copy(update=change)), change


def test_biases_are_committed_to(kept, book):
    published, opened = commit_codes(kept, book), open_biases(kept, book)

    assert published.has_biases(opened)
    assert {round(bias, 4) for bias in opened.biases} == {0.2113, 0.7887}
    other = (1 - opened.biases[0], *opened.biases[1:])
    assert not published.has_biases(opened.model_copy(update={"biases": other}))


def test_the_commitment_names_nobody_and_changes_with_a_new_licensee(kept, book, tmp_path):
    before = commit_codes(kept, book)
    before.save(tmp_path / "codes.json")
    text = (tmp_path / "codes.json").read_text()
    assert not any(name in text for name in NAMES)
    assert CodeCommitment.model_validate_json(text) == before

    with open_book(kept) as more:
        more.begin("Fir", again=False)
        more.finish("Fir", {})
        after = commit_codes(kept, more)
    assert (after.size, after.biases) == (6, before.biases)
    assert after.root != before.root


def test_a_licensee_can_tell_that_their_copy_is_the_one_in_the_book(kept, book, tmp_path):
    opening = open_licensee(kept, book, "Acme")
    (tmp_path / "copy").mkdir()
    (tmp_path / "copy" / "model.safetensors").write_bytes(b"Acme")
    assert opening.is_copy(tmp_path / "copy")
    (tmp_path / "copy" / "model.safetensors").write_bytes(b"Acme!")
    assert not opening.is_copy(tmp_path / "copy")


def test_strangers_and_empty_books_are_refused(kept, book, tmp_path):
    with pytest.raises(InputError, match="Fraud is not in the book"):
        open_licensee(kept, book, "Fraud")
    drawn(16, secret=b"new").save(tmp_path / "new.json")
    new = Keyring.open(tmp_path / "new.json").only()
    with open_book(new, blocks=16) as empty, pytest.raises(InputError, match="nothing to commit to"):
        commit_codes(new, empty)
