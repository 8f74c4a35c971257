"""The book of licensees: nobody is given a copy who is not in it, and nobody two without being asked."""

import json
import shutil
from pathlib import Path

import pytest

from drawn_prints import drawn
from insignia.errors import FormatError, InputError
from insignia.keyring.keyring import Keyring
from insignia.licensing.book import book_path, open_book

SAMPLES = Path(__file__).parents[2] / "samples" / "0.1.0"
DIGESTS = {"model.safetensors": "blake3:0"}


@pytest.fixture
def kept(tmp_path):
    drawn(8).save(tmp_path / "prints.json")
    return Keyring.open(tmp_path / "prints.json").only()


def test_a_book_of_the_first_version_is_read(tmp_path):
    for name in ("prints.json", "prints.licensees.jsonl"):
        shutil.copy(SAMPLES / name, tmp_path)
    kept = Keyring.open(tmp_path / "prints.json").only()
    with open_book(kept) as book:
        assert {name: len(copies) for name, copies in book.copies.items()} == {"Acme": 1, "Bolt": 1}
        assert (book.code.blocks, book.code.colluders) == (4, 2)


def issued(kept, *names, again=False, blocks=8):
    with open_book(kept, blocks=blocks) as book:
        for name in names:
            book.begin(name, again=again)
            book.finish(name, DIGESTS)
        return book


def test_a_licensee_is_in_the_book_before_the_copy_is_made(kept):
    with open_book(kept, blocks=8) as book:
        book.begin("Acme", again=False)
        assert "Acme" in book_path(kept.path).read_text()
    with open_book(kept) as later:
        assert later.copies == {"Acme": []}


def test_names_stay_in_the_order_of_issue_with_every_copy(kept):
    issued(kept, "Bolt", "Acme")
    issued(kept, "Bolt", again=True)
    with open_book(kept) as book:
        assert [(name, len(copies)) for name, copies in book.copies.items()] == [("Bolt", 2), ("Acme", 1)]
        assert book.copies["Acme"][0].weights == DIGESTS


def test_nobody_is_given_two_copies_by_mistake_and_a_copy_that_was_never_finished_is_none(kept):
    with open_book(kept, blocks=8) as book:
        book.begin("Acme", again=False)
        book.begin("Acme", again=False)
        book.finish("Acme", DIGESTS)
        with pytest.raises(InputError, match=r"Acme was given a copy already.*--again"):
            book.begin("Acme", again=False)


def test_a_line_that_a_crash_cut_short_is_dropped_and_others_must_be_whole(kept):
    issued(kept, "Acme")
    path = book_path(kept.path)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"time":"2026-11-22","licen')
    issued(kept, "Bolt")
    with open_book(kept) as book:
        assert list(book.copies) == ["Acme", "Bolt"]
    path.write_bytes(whole.replace(b'"licensee"', b'"licence"', 1))
    with pytest.raises(FormatError, match="line 2 is damaged"), open_book(kept):
        pass


def test_a_book_is_of_one_set_and_one_code(kept, tmp_path):
    issued(kept, "Acme")
    with pytest.raises(InputError, match="was begun for 8 blocks and 2 colluders"):
        issued(kept, "Bolt", blocks=4)
    drawn(8, secret=b"another").save(tmp_path / "prints.json")
    with pytest.raises(FormatError, match="the book of another set"), open_book(Keyring.open(kept.path).only()):
        pass


def test_without_a_book_a_file_or_a_header_it_says_what_to_do(kept):
    with pytest.raises(InputError, match="no copy was issued"), open_book(kept):
        pass
    with pytest.raises(InputError, match="save it first"), open_book(Keyring.of(drawn(8)).only(), blocks=8):
        pass
    book_path(kept.path).write_text("{}\n")
    with pytest.raises(FormatError, match="not a book of licensees"), open_book(kept):
        pass


def test_the_book_tells_no_secret_and_only_its_owner_can_read_it(kept):
    issued(kept, "Acme")
    path = book_path(kept.path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert kept.prints.secret not in path.read_text()
    assert [set(json.loads(line)) for line in path.read_text().splitlines()] == [
        {"kind", "schema_version", "set", "code"},
        {"time", "licensee"},
        {"time", "licensee", "weights"},
    ]
