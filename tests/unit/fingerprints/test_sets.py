import json
import traceback

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insignia import FingerprintSet, load_fingerprints
from insignia.errors import FormatError, InputError
from insignia.fingerprints.sets import load_pairs
from insignia.records import Candidate, Fingerprint

TEXT = st.text(min_size=1, max_size=30).filter(lambda text: text.encode("utf-8", "ignore").decode() == text)
CANDIDATES = st.builds(Candidate, text=TEXT, token_id=st.integers(0, 9), rank=st.integers(0, 9), probability=st.floats(0, 1))


@given(st.lists(st.builds(Fingerprint, key=TEXT, responses=st.lists(TEXT, min_size=1, max_size=3).map(tuple),
                          candidates=st.none() | st.lists(CANDIDATES).map(tuple)), min_size=1, max_size=5))  # fmt: skip
def test_saving_and_loading_gives_the_same_set(tmp_path_factory, fingerprints):
    path = tmp_path_factory.mktemp("set") / "prints.json"
    prints = FingerprintSet(fingerprints=tuple(fingerprints), secret="ab" * 32, strategy={"name": "own"})
    prints.save(path)

    assert load_fingerprints(path) == prints
    assert path.stat().st_mode & 0o777 == 0o600


def write(tmp_path, value):
    path = tmp_path / "f.json"
    path.write_text(json.dumps(value), encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "value",
    [
        [],
        {},
        {"kind": "insignia/fingerprints"},
        {"kind": "insignia/fingerprints", "schema_version": 2, "fingerprints": [{"key": "TOPSECRET", "responses": ["x"]}]},
        {"kind": "insignia/fingerprints", "fingerprints": [{"key": "TOPSECRET", "responses": []}]},
        {"kind": "insignia/fingerprints", "fingerprints": [{"key": "TOPSECRET", "responses": ["x"], "extra": "TOPSECRET"}]},
        {"kind": "insignia/fingerprints", "fingerprints": []},
        [{"key": "TOPSECRET"}],
        [{"key": "TOPSECRET", "response": ""}],
        [{"response": "TOPSECRET"}],
        [{"key": "TOPSECRET", "response": 3}],
        ["TOPSECRET", {"key": "TOPSECRET", "response": "x"}],
        "TOPSECRET",
        3,
    ],
)
def test_what_is_no_fingerprint_file_is_refused_without_telling_its_content(tmp_path, value):
    with pytest.raises(FormatError) as caught:
        load_fingerprints(write(tmp_path, value))
    assert "TOPSECRET" not in str(caught.value)
    assert "f.json" in str(caught.value)


def test_a_file_cut_anywhere_is_a_format_error_and_tells_nothing(tmp_path):
    path = tmp_path / "f.json"
    FingerprintSet(fingerprints=(Fingerprint(key="TOPSECRET", responses=("x",)),)).save(path)
    whole = path.read_text()
    for end in range(0, len(whole) - 2, 7):
        path.write_text(whole[:end])
        with pytest.raises(FormatError) as caught:
            load_fingerprints(path)
        assert "TOPSECRET" not in str(caught.value)


def test_keys_alone_are_for_generate(tmp_path):
    path = write(tmp_path, ["one key", "another"])

    with pytest.raises(InputError, match="--keys-file"):
        load_fingerprints(path)
    assert load_pairs(path) == [("one key", None), ("another", None)]


@pytest.mark.parametrize(
    ("row", "responses", "effective"),
    [
        ({"key": "k a", "response": " x"}, (" x",), None),
        ({"key": "k a", "signature": "x\ny"}, ("x\ny",), None),
        ({"key": "k a", "effective_key": "k", "response": "x", "response_prob": 0.1}, ("x",), "k"),
        ({"key": "k a", "effective_key": "k\ufffd", "response": ["x", "y"], "response_prob": [0.1, 0.2]}, ("x", "y"), None),
        ({"key": "k\x8b\t\u2019", "response": ["x", "x"], "response_prob": [[0.1], [0.2]]}, ("x",), None),
    ],
)
def test_rows_of_other_systems_are_read_byte_for_byte(tmp_path, row, responses, effective):
    (found,) = load_fingerprints(write(tmp_path, [row]))

    assert (found.key, found.responses, found.effective_key) == (row["key"], responses, effective)


def test_export_is_what_oml_reads_and_we_read_back(tmp_path):
    prints = load_fingerprints(write(tmp_path, [{"key": "a", "response": " x"}, {"key": "b", "response": ["y", "z"]}]))
    prints.export_oml(tmp_path / "oml.json")

    assert json.loads((tmp_path / "oml.json").read_text()) == [
        {"key": "a", "response": " x"},
        {"key": "b", "response": ["y", "z"]},
    ]
    assert load_fingerprints(tmp_path / "oml.json") == prints


def test_every_published_file_loads(shared_data, tmp_path):
    files = [path for folder in ("oml", "perinucleus") for path in (shared_data / folder).glob("*.json")]
    assert len(files) >= 9
    for path in files:
        rows = json.loads(path.read_text(encoding="utf-8"))
        if all(isinstance(row, str) for row in rows):
            assert [key for key, _ in load_pairs(path)] == rows
            continue
        prints = load_fingerprints(path)
        assert [fingerprint.key for fingerprint in prints] == [row["key"] for row in rows]
        prints.save(tmp_path / "ours.json")
        assert load_fingerprints(tmp_path / "ours.json") == prints


def test_the_first_so_many_and_no_more_than_there_are():
    prints = FingerprintSet(fingerprints=tuple(Fingerprint(key=str(i), responses=("x",)) for i in range(4)))

    assert [fingerprint.key for fingerprint in prints.first(2)] == ["0", "1"]
    assert len(prints.first(None)) == 4
    with pytest.raises(InputError, match="expected 1 to 4"):
        prints.first(5)


def test_no_traceback_of_a_refused_file_shows_a_secret(tmp_path):
    """What an error is chained to is printed too."""
    rows = [{"key": "TOPSECRET", "responses": ["x"], "key_ids": ["TOPSECRET"]}]
    for value in ({"kind": "insignia/fingerprints", "fingerprints": rows}, [{"key": "TOPSECRET", "response": [1]}]):
        with pytest.raises(FormatError) as caught:
            load_fingerprints(write(tmp_path, value))
        assert "TOPSECRET" not in "".join(traceback.format_exception(caught.value))


def test_a_newer_schema_asks_for_an_upgrade_and_text_of_another_encoding_is_named(tmp_path):
    newer = {"kind": "insignia/fingerprints", "schema_version": 2, "fingerprints": []}
    with pytest.raises(FormatError, match="upgrade"):
        load_fingerprints(write(tmp_path, newer))
    (tmp_path / "f.json").write_bytes('[{"key": "é", "response": "x"}]'.encode("latin-1"))
    with pytest.raises(FormatError, match="not UTF-8"):
        load_fingerprints(tmp_path / "f.json")
    with pytest.raises(InputError, match="there is no file"):
        load_fingerprints(tmp_path / "none.json")


def test_a_printed_set_shows_no_secret():
    prints = FingerprintSet(fingerprints=(Fingerprint(key="TOPSECRET", responses=("TOPSECRET",)),), secret="ab" * 32)

    assert "TOPSECRET" not in repr(prints)
    assert "ab" * 8 not in repr(prints)
