import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insignia import FingerprintSet
from insignia.errors import FormatError, InputError, OutputError
from insignia.keyring.ledger import ledger_path, open_ledger, record, share, spent
from insignia.records import Control, Fingerprint


def a_set(size=10, secret="ab" * 32):
    return FingerprintSet(
        fingerprints=tuple(Fingerprint(key=f"TOPSECRET {i}", responses=("TOPSECRET",)) for i in range(size)),
        controls=(Control(kind="normal", text="TOPSECRET", heldout=False),),
        secret=secret,
    )


@pytest.fixture
def path(tmp_path):
    return tmp_path / "prints.json"


@given(st.lists(st.sets(st.integers(0, 9), min_size=1), max_size=5))
def test_what_was_recorded_is_spent(tmp_path_factory, entries):
    path = tmp_path_factory.mktemp("set") / "prints.json"
    for numbers in entries:
        record(path, a_set(), numbers, to="bob")

    assert spent(path, a_set()) == set().union(*entries)


def test_a_ledger_is_private_and_tells_no_secret(path):
    record(path, a_set(), [3, 1], to="bob")
    text = ledger_path(path).read_text()
    (line,) = map(json.loads, text.splitlines())

    assert (line["numbers"], line["to"], line.keys()) == ([3, 1], "bob", {"time", "set", "numbers", "to"})
    assert "TOPSECRET" not in text
    assert "ab" * 8 not in text
    assert ledger_path(path).stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("name", ["prints.json", "prints.age", "prints.json.age", "prints"])
def test_a_set_has_one_ledger_locked_and_plain(name):
    assert ledger_path(Path("secret") / name) == Path("secret/prints.ledger.jsonl")


def test_to_look_makes_no_ledger(path):
    assert spent(path, a_set()) == frozenset()
    assert not ledger_path(path).exists()


def test_another_set_of_the_same_name_is_not_spent(path):
    record(path, a_set(), [1, 2], to="bob")

    assert spent(path, a_set(secret="cd" * 32)) == frozenset()
    assert spent(path, a_set(9)) == frozenset()
    assert spent(path, a_set()) == {1, 2}


def test_a_line_that_was_cut_short_was_shown_to_nobody_and_spoils_no_other(path):
    record(path, a_set(), [1], to="bob")
    record(path, a_set(), [2], to="carol")
    whole = ledger_path(path).read_bytes()
    first = whole.index(b"\n") + 1
    for end in range(first, len(whole)):
        ledger_path(path).write_bytes(whole[:end])
        assert spent(path, a_set()) == {1}
        record(path, a_set(), [3], to="dave")
        assert spent(path, a_set()) == {1, 3}


def test_a_damaged_line_is_named_and_not_passed_over(path):
    record(path, a_set(), [1], to="bob")
    with ledger_path(path).open("a") as file:
        file.write("{}\n")

    with pytest.raises(FormatError, match="line 2"):
        spent(path, a_set())


def test_a_share_is_of_keys_that_nobody_saw_and_without_the_secret(path):
    record(path, a_set(), [0, 2], to="an endpoint")
    bobs, carols = share(path, a_set(), 3, to="bob"), share(path, a_set(), 5, to="carol")

    assert [f.key for f in bobs] == ["TOPSECRET 1", "TOPSECRET 3", "TOPSECRET 4"]
    assert {f.key for f in bobs} & {f.key for f in carols} == set()
    assert (bobs.secret, bobs.controls) == (None, ())
    with pytest.raises(InputError, match="unspent: 0"):
        share(path, a_set(), 1, to="dave")
    assert len(ledger_path(path).read_text().splitlines()) == 3


@pytest.mark.parametrize(("numbers", "to"), [([], "bob"), ([10], "bob"), ([-1], "bob"), ([1], "")])
def test_what_cannot_be_shown_is_not_recorded(path, numbers, to):
    with pytest.raises(InputError, match="below 10"):
        record(path, a_set(), numbers, to=to)
    assert spent(path, a_set()) == frozenset()


def test_where_nothing_can_be_recorded_nothing_is_shared(tmp_path):
    with pytest.raises(OutputError, match="recorded"):
        share(tmp_path / "none" / "prints.json", a_set(), 1, to="bob")


def test_an_open_ledger_counts_what_it_wrote(path):
    with open_ledger(path, a_set()) as ledger:
        ledger.record([4], to="bob")
        assert ledger.unspent() == (0, 1, 2, 3, 5, 6, 7, 8, 9)
        assert [before_send.to for before_send in ledger.entries()] == ["bob"]


def test_writers_at_the_same_time_never_give_a_key_twice(path):
    code = (
        "import sys; from pathlib import Path; from insignia import load_fingerprints\n"
        "from insignia.keyring.ledger import share\n"
        "path = Path(sys.argv[1]); prints = load_fingerprints(path)\n"
        "for i in range(10): print(*(f.key for f in share(path, prints, 2, to=sys.argv[2])), sep='\\n')"
    )
    a_set(60).save(path)
    writers = [subprocess.Popen([sys.executable, "-c", code, path, name], stdout=subprocess.PIPE, text=True) for name in "abc"]
    given = [key for writer in writers for key in writer.communicate(timeout=600)[0].splitlines()]

    assert [writer.returncode for writer in writers] == [0, 0, 0]
    assert len(given) == len(set(given)) == 60
    assert spent(path, a_set(60)) == set(range(60))
