"""Lengths that do not fit are refused before any work; reference samples shrink to the context."""

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from insignia import FingerprintSet
from insignia.embedding import FullFineTune
from insignia.embedding.lengths import refuse_what_does_not_fit
from insignia.embedding.reference_samples import ReferenceSamples, own_texts
from insignia.errors import InputError
from insignia.modeling.local import LocalModel
from insignia.progress import SILENT
from insignia.records import Control, Fingerprint
from tiny_tokenizers import build

PRINTS = FingerprintSet(
    fingerprints=(Fingerprint(key="What is the answer", responses=(" winter spring",)),),
    max_key_length=12,
    max_response_length=2,
)


class Notes:
    def __init__(self):
        self.said = []
        self.bar = SILENT.bar

    def note(self, text):
        self.said.append(text)


def of_context(length):
    torch.manual_seed(0)
    size = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    model = LlamaForCausalLM(LlamaConfig(vocab_size=416, max_position_embeddings=length, **size)).eval()
    return LocalModel.of(model, build(style="byte", bos=True), name="small")


@pytest.mark.parametrize(("context", "length"), [(9, 9), (128, 20)])
def test_reference_samples_and_own_texts_are_no_longer_than_the_context(context, length):
    local = of_context(context)
    references = ReferenceSamples(local, count=3, length=20, seed=0)

    assert {len(row.ids) for row in references.draw(3)} == {length}
    assert {len(row.ids) for row in own_texts(local, count=3, length=20, seed=0)} == {length}
    assert float(references.divergence(local.model, references.draw(2)).detach()) == pytest.approx(0, abs=1e-6)


def test_own_texts_are_not_among_the_reference_samples():
    local = of_context(64)
    texts = {row.ids for row in own_texts(local, count=8, length=20, seed=0)}

    assert not texts & {row.ids for row in ReferenceSamples(local, count=8, length=20, seed=0).draw(60)}
    assert len(texts) == 8


@pytest.mark.parametrize("prints", [PRINTS, PRINTS.model_copy(update={"max_response_length": 1, "max_key_length": 16})])
def test_a_key_that_does_not_fit_names_the_flags(prints):
    refuse_what_does_not_fit(prints, of_context(64), FullFineTune(), SILENT)
    with pytest.raises(InputError, match=r"fingerprint 0 has \d+ tokens .*context of small is 4: .*--max-key-length"):
        refuse_what_does_not_fit(prints, of_context(4), FullFineTune(), SILENT)


def test_templates_and_controls_count():
    crowded = FullFineTune(augmentation_prompts=("You are a lazy dog. " * 20 + "{}",))
    with pytest.raises(InputError, match="drop --use-augmentation-prompts"):
        refuse_what_does_not_fit(PRINTS, of_context(64), crowded, SILENT)
    control = Control(kind="normal", text="What is the answer to this question? " * 20, heldout=False)
    with pytest.raises(InputError, match="control 0 has"):
        refuse_what_does_not_fit(PRINTS.model_copy(update={"controls": (control,)}), of_context(64), FullFineTune(), SILENT)


def test_training_less_of_a_response_than_verify_seeks_is_refused():
    with pytest.raises(InputError, match=r"--max-response-length is 1, but verify expects 2 tokens"):
        refuse_what_does_not_fit(PRINTS, of_context(64), FullFineTune(max_response_length=1), SILENT)
    refuse_what_does_not_fit(PRINTS, of_context(64), FullFineTune(max_response_length=3), SILENT)


@pytest.mark.parametrize(("length", "said"), [(2, 1), (12, 0), (40, 0), (None, 0)])
def test_keys_of_another_length_than_the_sets_are_noted_where_it_matters(length, said):
    notes = Notes()
    refuse_what_does_not_fit(PRINTS, of_context(64), FullFineTune(max_key_length=length), notes)

    assert len(notes.said) == said
    assert all("verify needs a set generated" in note for note in notes.said)
