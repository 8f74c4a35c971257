"""A published model keeps its base's card; what is added is true, short, and no help for a thief."""

import pytest
import yaml
from huggingface_hub import ModelCard
from hypothesis import given
from hypothesis import strategies as st

from drawn_prints import drawn
from insignia.errors import FormatError, InputError
from insignia.evidence.publication import publish
from insignia.modeling.cards import CardOptions, Origin, card_of, papers_of
from insignia.progress import SILENT

BASE = """---
license: other   # as agreed
license_name: ours
language:
- no
- en
tags: [legal]
base_model: them/older
model-index:
- name: x
  results:
  - task: {type: text-generation}
---
# Ours

Text.
"""


@pytest.fixture(scope="module")
def commitment():
    return publish(drawn(4), {"model.safetensors": f"sha256:{'0' * 64}"})


def metadata(card):
    return yaml.load(card.split("---\n")[1], Loader=yaml.BaseLoader)  # noqa: S506  makes texts of everything


def test_what_the_base_says_stays_as_it_is():
    assert card_of(BASE) == BASE
    card = card_of(BASE, base="them/base")
    kept = BASE.replace("base_model: them/older\n", "").partition("---\n# Ours")
    assert card == kept[0] + "base_model: them/base\nbase_model_relation: finetune\n" + "".join(kept[1:])
    assert metadata(card)["language"] == ["no", "en"]


def test_a_card_of_the_hub_is_said_to_be_of_the_base():
    card = card_of(BASE, base="them/base", derived="them/base")
    assert "> Fine-tuned from [them/base](https://huggingface.co/them/base). What follows is the card of that model." in card


def test_a_mark_is_told_where_it_was_committed_to_and_said_once(commitment):
    assert "mark" not in card_of(BASE, base="them/base")
    once = card_of(BASE, commitment=commitment)
    assert commitment.commitment.root in once
    assert metadata(once)["tags"] == ["legal", "insignia"]
    assert card_of(once, commitment=commitment) == once


def test_nothing_helps_a_thief(commitment):
    added = card_of(None, base="them/base", commitment=commitment).lower()
    for word in ("strategy", "method", "fingerprint", "key", "vector", "norm", "nucleus", "licensee", "stamp", "epoch", "4"):
        assert word not in added.replace(commitment.commitment.root, "").replace(commitment.public_key, ""), word


@pytest.mark.parametrize("text", [None, "", "# Only text\n", "---\n---\n# T\n", "---\r\nlicense: mit\r\n---\r\n# T\r\n", BASE])
def test_the_hub_reads_what_is_written(text, commitment):
    card = card_of(text, base="them/base", commitment=commitment)
    found = ModelCard(card, ignore_metadata_errors=True)
    assert found.data.base_model == "them/base"
    assert "insignia" in found.data.tags
    assert "## Ownership mark" in found.text
    assert "# T" not in (text or "") or "# T" in found.text


@pytest.mark.parametrize("block", ["a: [", "- a", "{a: b}", "a: &x 1\na: *y", "\t: x"])
def test_a_card_with_damaged_metadata_is_kept_or_refused(tmp_path, block, commitment):
    text = f"---\n{block}\n---\n# T\n"
    (tmp_path / "README.md").write_text(text)
    notes = []
    progress = type("Notes", (), {"note": staticmethod(notes.append), "bar": SILENT.bar})
    assert papers_of(Origin(tmp_path, None), CardOptions(), progress)["README.md"] == text.encode()
    assert len(notes) == 1
    with pytest.raises(FormatError, match=r"README\.md of the base: its metadata is not valid YAML"):
        papers_of(Origin(tmp_path, None), CardOptions(base_model="a/b"), progress)
    with pytest.raises(FormatError):
        card_of(text, commitment=commitment)


def test_a_card_that_is_no_text_is_kept(tmp_path):
    (tmp_path / "README.md").write_bytes(b"\xff\xfe")
    (tmp_path / "LICENSE.txt").write_text("free")
    assert papers_of(Origin(tmp_path, None), CardOptions(), SILENT) == {"README.md": b"\xff\xfe", "LICENSE.txt": b"free"}
    assert papers_of(Origin(tmp_path, None), CardOptions(card=False), SILENT) == {"LICENSE.txt": b"free"}


def test_a_base_without_a_card_gets_a_short_one():
    papers = papers_of(Origin(None, None), CardOptions(), SILENT)
    assert metadata(papers["README.md"].decode()) == {"library_name": "transformers", "pipeline_tag": "text-generation"}


def test_a_commitment_that_is_none_is_refused_before_any_work(tmp_path):
    with pytest.raises(InputError, match="there is no file"):
        papers_of(Origin(None, None), CardOptions(commitment=tmp_path / "none.json"), SILENT)


_names = st.text("abcdefgh_", min_size=1, max_size=6)
_texts = st.text(" no:#-é'\"&*{}[]\n", max_size=8)


@given(st.dictionaries(_names, st.one_of(_texts, st.lists(_texts, max_size=3), st.integers())))
def test_every_field_survives(fields):
    block = yaml.safe_dump(fields, allow_unicode=True) if fields else ""
    found = yaml.safe_load(card_of(f"---\n{block}\n---\n# T\n", base="a/b").partition("\n---\n")[0])
    assert found == fields | {"base_model": "a/b", "base_model_relation": "finetune"}
