import json
import sys
import types
from pathlib import Path

import pytest

from insignia.attacks.conversations import load_conversations
from insignia.errors import FormatError, InputError, MissingExtraError
from insignia.records import Turn

SECRET = "xyzzy"
ASKED_AND_ANSWERED = (Turn("user", "Why?"), Turn("assistant", "So."))
ROWS = [
    ({"instruction": "Why?", "output": "So."}, ASKED_AND_ANSWERED),
    ({"instruction": "Why?", "input": "", "output": "So.", "text": "of the hub's copy"}, ASKED_AND_ANSWERED),
    ({"instruction": "Add.", "input": "1, 2", "output": "3"}, (Turn("user", "Add.\n\n1, 2"), Turn("assistant", "3"))),
    ({"instruction": "Add.", "context": "1, 2", "response": "3"}, (Turn("user", "Add.\n\n1, 2"), Turn("assistant", "3"))),
    ({"instruction": "Why?", "context": None, "response": "So.", "category": "open_qa"}, ASKED_AND_ANSWERED),
    ({"question": "Why?", "answer": "So."}, ASKED_AND_ANSWERED),
    ({"prompt": "Why?", "completion": "So."}, ASKED_AND_ANSWERED),
    ({"conversations": [{"from": "human", "value": "Why?"}, {"from": "gpt", "value": "So."}]}, ASKED_AND_ANSWERED),
    ({"messages": [{"role": "user", "content": "Why?"}, {"role": "assistant", "content": "So."}]}, ASKED_AND_ANSWERED),
    (
        {"messages": [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"},
                      {"role": "assistant", "content": "So."}, {"role": "user", "content": "Thanks."}]},
        (Turn("system", "Be brief."), *ASKED_AND_ANSWERED, Turn("user", "Thanks.")),
    ),
    (
        {"conversations": [{"from": "system", "value": ""}, {"from": "human", "value": "Why?"},
                           {"from": "gpt", "value": "So."}]},
        ASKED_AND_ANSWERED,
    ),
    ({"text": " One.\nTwo. "}, " One.\nTwo. "),
]  # fmt: skip


def _write(tmp_path, value, name="data.json"):
    path = tmp_path / name
    path.write_text(value if isinstance(value, str) else json.dumps(value), encoding="utf-8")
    return path


@pytest.mark.parametrize(("row", "expected"), ROWS)
def test_a_row_is_recognised_by_its_fields(tmp_path, row, expected):
    assert load_conversations(_write(tmp_path, [row])) == [expected]


def test_json_lines_a_list_and_any_name_are_the_same_data(tmp_path):
    rows = [row for row, _ in ROWS]
    lines = "\n\n".join(json.dumps(row, ensure_ascii=False) for row in [*rows, {"text": "a\u2028b"}])

    assert load_conversations(_write(tmp_path, lines + "\n", "data")) == [*(expected for _, expected in ROWS), "a\u2028b"]
    assert load_conversations(_write(tmp_path, f"\ufeff{json.dumps(rows, indent=1)}")) == [expected for _, expected in ROWS]
    assert load_conversations(_write(tmp_path, rows), max_rows=2) == [ASKED_AND_ANSWERED] * 2


def test_a_paragraph_of_a_text_file_is_a_text(tmp_path):
    path = _write(tmp_path, "\nOne,\n  two.\n\n \n{three}\r\n\r\nFour.\n", "data.txt")

    assert load_conversations(path) == ["One,\n  two.", "{three}", "Four."]


def test_what_teaches_nothing_is_left_out_and_counted(tmp_path):
    rows = [
        {"question": "Why?", "answer": "So."},
        {"question": "Why?", "answer": " "},
        {"question": None, "answer": "So."},
        {"conversations": [{"from": "gpt", "value": "So."}, {"from": "human", "value": "Why?"}]},
        {"conversations": []},
        {"messages": [{"role": "user", "content": "Why?"}]},
        {"text": "\n"},
    ]
    said = []

    assert load_conversations(_write(tmp_path, rows), progress=types.SimpleNamespace(note=said.append)) == [ASKED_AND_ANSWERED]
    assert said == ["6 of 7 rows skipped: 2 with an empty turn, 2 not started by the user, 1 without a reply, 1 without text"]
    with pytest.raises(InputError, match=r"no usable row: 2 with an empty turn"):
        load_conversations(_write(tmp_path, rows[1:3]))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ([], "it is empty"),
        ("", "it is empty"),
        ('[{"text": "xyzzy"}', r"not valid JSON \(line 1, column 19\)"),
        ('{"text": "xyzzy"}\n\n{"text": "xyz', r"not valid JSON \(line 3, column 10\)"),
        ([SECRET], "row 0 of .* is of type str"),
        (
            [{"text": "a"}, {"query": SECRET, "reply": SECRET}],
            "row 1 of .* has the fields query, reply; expected .*instruction",
        ),
        ([{"instruction": SECRET}], "has the fields instruction; expected"),
        ([{"text": [SECRET]}], "'text' in row 0 of .* is of type list"),
        ([{"question": SECRET, "answer": 7}], "'answer' in row 0 of .* is of type int"),
        ([{"messages": SECRET}], "'messages' in row 0 of .* is not a list of turns"),
        ([{"messages": [{"role": "user", "value": SECRET}]}], "expected .*role: ..., content: ..."),
        ([{"messages": [{"role": SECRET, "content": "a"}]}], "turn 0 of 'messages' in row 0 of .* unknown 'role'"),
        ([{"conversations": [{"from": "human", "value": {"a": SECRET}}]}], "'value' in turn 0 of .* is of type dict"),
    ],
)
def test_what_is_wrong_is_named_and_not_quoted(tmp_path, content, message):
    with pytest.raises(InputError, match=message) as caught:
        load_conversations(_write(tmp_path, content))
    assert SECRET not in str(caught.value)


def test_what_is_no_text_is_refused(tmp_path):
    (tmp_path / "rows.parquet").write_bytes(b"PAR1\xff\xfe")
    with pytest.raises(FormatError, match="not UTF-8"):
        load_conversations(tmp_path / "rows.parquet")
    with pytest.raises(InputError, match="there is no file"):
        load_conversations("data/missing.jsonl")


def test_a_model_is_not_data(tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(InputError, match="is a model"):
        load_conversations(tmp_path)


@pytest.fixture
def datasets(monkeypatch):
    """Stands for the library; ``load`` is what it finds."""
    library = types.ModuleType("datasets")
    library.exceptions = types.SimpleNamespace(DatasetsError=KeyError)
    library.load_from_disk = library.load_dataset = lambda _source: library.found
    monkeypatch.setitem(sys.modules, "datasets", library)
    return library


def test_saved_folders_and_the_hub_are_read_by_the_library(tmp_path, datasets):
    datasets.found = [row for row, _ in ROWS]
    assert load_conversations(tmp_path) == [expected for _, expected in ROWS]
    datasets.found = {"test": [], "train": [ROWS[0][0]]}
    assert load_conversations("owner/name") == [ASKED_AND_ANSWERED]
    datasets.found = {"test": [], "rest": []}
    with pytest.raises(InputError, match="no split 'train' but test, rest"):
        load_conversations("owner/name")


def test_a_failure_of_the_library_is_ours(tmp_path, datasets):
    datasets.load_from_disk = lambda source: (Path(source) / "none").read_text()
    with pytest.raises(InputError, match="cannot read a data set"):
        load_conversations(tmp_path)


def test_without_the_library_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "datasets", None)
    for source in (tmp_path, "owner/name"):
        with pytest.raises(MissingExtraError, match=r"insignia\[data\]"):
            load_conversations(source)


def test_published_user_data_is_read(shared_data):
    rows = load_conversations(shared_data / "downstream" / "gsm8k-train.jsonl")

    assert len(rows) == 7473
    assert {tuple(turn.role for turn in row) for row in rows} == {("user", "assistant")}


def test_docstrings_of_the_standard_library_are_questions_and_answers():
    (asked, answered), *more = load_conversations("docstrings:json,html")
    assert asked.text.startswith("What is the ")
    assert len(answered.text) > 40
    packages = {turns[0].text.split()[-2] for turns in [(asked, answered), *more]}
    assert packages == {"json", "html"}
    with pytest.raises(InputError, match="has no usable row"):
        load_conversations("docstrings:no_such_package")
