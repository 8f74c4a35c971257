import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from insignia import FingerprintSet, load_fingerprints
from insignia.errors import FormatError, InputError
from insignia.fingerprints.rows import fingerprints_from_rows, pairs_from_rows, rows_from_csv, rows_from_fingerprints
from insignia.fingerprints.sets import load_pairs
from insignia.records import Fingerprint

ODD_TEXTS = [
    "  two spaces before",
    "line\nbreak\r\n",
    "cut \ufffd here",
    "C1 \x80\x9f control",
    "tab\tand\x00nul",
    "ünï → 漢",
    "\u2028",
]


def published(folder: Path) -> Iterator[Path]:
    for system in ("oml", "perinucleus"):
        yield from sorted((folder / system).glob("*.json"))


@pytest.mark.parametrize("field", ["response", "signature"])
@pytest.mark.parametrize("text", ODD_TEXTS)
def test_odd_text_is_kept_to_the_byte(text, field):
    (found,) = fingerprints_from_rows([{"key": text, field: text}])

    assert (found.key, found.responses) == (text, (text,))


@pytest.mark.parametrize("probability", [0.25, [0.25, 0.5], [[0.25, 0.5], [0.1]], None])
def test_the_probability_may_have_any_shape(probability):
    (found,) = fingerprints_from_rows([{"key": "k", "response": ["x", "y"], "response_prob": probability}])

    assert found.responses == ("x", "y")


def test_a_response_wins_over_a_signature_and_other_fields_are_passed_over():
    (found,) = fingerprints_from_rows([{"key": "k", "signature": "y", "response": "x", "something": {"else": 1}}])

    assert found == Fingerprint(key="k", responses=("x",))


@pytest.mark.parametrize(
    ("asked", "effective"),
    [("What", "What"), ("What is it", None), ("What i\ufffd", None), ("is", None), ("", None), (None, None), (3, None)],
)
def test_the_asked_part_counts_only_where_it_truly_begins_the_key(asked, effective):
    (found,) = fingerprints_from_rows([{"key": "What is it", "effective_key": asked, "response": "x"}])

    assert found.effective_key == effective


def test_rows_keep_their_order_and_repeated_keys():
    rows = [{"key": "b", "response": "1"}, {"key": "a", "response": "2"}, {"key": "b", "response": "3"}]

    assert [(f.key, f.responses) for f in fingerprints_from_rows(rows)] == [("b", ("1",)), ("a", ("2",)), ("b", ("3",))]
    assert pairs_from_rows(rows) == [("b", "1"), ("a", "2"), ("b", "3")]


def test_keys_alone_are_pairs_without_a_response_and_no_fingerprints():
    assert pairs_from_rows(["a", "b", "a"]) == [("a", None), ("b", None), ("a", None)]
    with pytest.raises(InputError, match="keys without responses"):
        fingerprints_from_rows(["a", "b"])


@pytest.mark.parametrize("bad", [None, 3, [], "TOPSECRET", {}, {"key": ""}, {"key": ["TOPSECRET"]}, {"key": "TOPSECRET"},
                                 {"key": "TOPSECRET", "response": None}, {"key": "TOPSECRET", "response": []},
                                 {"key": "TOPSECRET", "response": ["x", ""]}, {"key": "TOPSECRET", "response": ["x", 1]},
                                 {"key": "TOPSECRET", "response": {"text": "TOPSECRET"}}])  # fmt: skip
def test_a_row_that_is_no_fingerprint_is_named_by_its_number_alone(bad):
    with pytest.raises(FormatError, match="row 1 ") as caught:
        fingerprints_from_rows([{"key": "TOPSECRET", "response": "TOPSECRET"}, bad])
    assert "TOPSECRET" not in str(caught.value)


@pytest.mark.parametrize("read", [fingerprints_from_rows, pairs_from_rows])
def test_an_empty_list_is_refused(read):
    with pytest.raises(FormatError, match="empty"):
        read([])


def test_an_empty_key_among_bare_keys_is_refused():
    with pytest.raises(FormatError, match="row 1 "):
        pairs_from_rows(["a", ""])


TEXT = st.text(st.characters(exclude_categories=["Cs"]), min_size=1)


@given(st.lists(st.tuples(TEXT, st.lists(TEXT, min_size=1, max_size=3, unique=True)), min_size=1, max_size=4))
def test_what_is_written_for_oml_is_read_back(pairs):
    fingerprints = tuple(Fingerprint(key=key, responses=tuple(responses)) for key, responses in pairs)
    rows = json.loads(json.dumps(rows_from_fingerprints(fingerprints)))

    assert fingerprints_from_rows(rows) == fingerprints


def test_text_that_no_file_can_hold_is_refused_at_once(tmp_path):
    path = tmp_path / "rows.json"
    path.write_text('[{"key": "half a character \\ud83d", "response": "x"}]')

    with pytest.raises(FormatError, match=r"rows\.json contains an unpaired surrogate"):
        load_fingerprints(path)


def test_published_rows_are_counted_and_kept_as_they_are(shared_data):
    seen = 0
    for path in published(shared_data):
        rows = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(rows[0], str):
            continue
        prints = load_fingerprints(path)
        assert len(prints) == len(rows)
        for row, fingerprint in zip(rows, prints, strict=True):
            said = row.get("response", row.get("signature"))
            assert fingerprint.responses == tuple(dict.fromkeys([said] if isinstance(said, str) else said))
            assert fingerprint.key.startswith(fingerprint.effective_key or "")
        assert load_pairs(path) == [(f.key, f.responses[0]) for f in prints]
        seen += 1
    assert seen >= 6


def test_published_lists_of_keys_say_what_to_do_and_load_as_pairs(shared_data):
    seen = 0
    for path in published(shared_data):
        rows = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(rows[0], str):
            continue
        with pytest.raises(InputError, match=f"{path.name}.*--keys-file"):
            load_fingerprints(path)
        assert load_pairs(path) == [(row, None) for row in rows]
        seen += 1
    assert seen >= 1


def test_published_fingerprints_survive_an_export(shared_data, tmp_path):
    prints = load_fingerprints(shared_data / "perinucleus" / "output_fingerprints-perinucleus-google-gemma-2b.json")
    prints.export_oml(tmp_path / "oml.json")
    again = load_fingerprints(tmp_path / "oml.json")

    assert [(f.key, f.responses) for f in again] == [(f.key, f.responses) for f in prints]
    assert (tmp_path / "oml.json").stat().st_mode & 0o777 == 0o600
    assert isinstance(again, FingerprintSet)


PAIR = [("  What, is\tit? ", ' "x"\r\n')]
NAMES = [("key", "response"), ("question", "answer"), ("prompt", "completion"), ("instruction", "output"), ("key", "signature")]


@pytest.mark.parametrize(("key", "response"), NAMES)
@pytest.mark.parametrize("form", ["list", "lines", "csv", "semicolons", "tsv", "bare csv"])
def test_pairs_are_read_to_the_byte_in_every_form_that_people_have(tmp_path, key, response, form):
    row = {key: PAIR[0][0], response: PAIR[0][1]}
    table = io.StringIO(newline="")
    path = tmp_path / {"list": "p.json", "lines": "p.jsonl", "tsv": "p.tsv"}.get(form, "p.csv")
    if form in ("list", "lines"):
        text = json.dumps([row, row]) if form == "list" else f"{json.dumps(row)}\n\n{json.dumps(row)}\n"
    else:
        writer = csv.writer(table, delimiter={"semicolons": ";", "tsv": "\t"}.get(form, ","))
        writer.writerows([*([] if form == "bare csv" else [["id", key.upper(), response]])])
        writer.writerows([[*([] if form == "bare csv" else ["7"]), *PAIR[0]]] * 2)
        text = "\ufeff" + table.getvalue()
    path.write_bytes(text.encode())

    assert load_pairs(path) == PAIR * 2


@pytest.mark.parametrize(
    ("name", "text"), [("k.csv", "question\nOne\nTwo"), ("k.csv", "One\nTwo\n"), ("k.jsonl", '"One"\n"Two"\n')]
)
def test_keys_alone_are_read_in_every_form_that_people_have(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert load_pairs(tmp_path / name) == [("One", None), ("Two", None)]


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("k.txt", "TOPSECRET,x", r"k\.txt is neither JSON nor.*expected a JSON list or JSON lines of texts.*\.csv"),
        ("k.csv", "", "empty"),
        ("k.csv", "key,response\nTOPSECRET", "row 2 has 1 columns, not 2"),
        ("k.csv", "a,b\nTOPSECRET, and,x", "row 2 has 3 columns, not 2"),
        ("k.csv", "TOPSECRET,b,c", "columns are ambiguous"),
        ("k.csv", "TOPSECRET;b\nc;d", "columns are ambiguous"),
        ("k.csv", 'key,response\n"TOPSECRET,b', "quotes do not match"),
        ("k.csv", "key,response\nTOPSECRET,", "row 0 has no 'response'"),
        ("k.jsonl", '{"question": "TOPSECRET"}', "row 0 has no 'response'"),
        ("k.jsonl", '{"question": "q", "answer": "a"}\n{"question": "TOPSECRET', "not valid JSON"),
        ("k.json", '[{"instruction": "q", "input": "TOPSECRET", "output": "a"}]', "row 0 has an 'input'"),
    ],
)
def test_what_is_none_of_these_forms_is_told_in_one_line(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(FormatError, match=message) as caught:
        load_pairs(tmp_path / name)
    assert "TOPSECRET" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_table_of_nothing_has_no_rows():
    assert rows_from_csv("\n\n") == rows_from_csv("key,response\n") == []
