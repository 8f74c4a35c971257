import pytest
import torch
from transformers import AutoModelForCausalLM, BertConfig

from insignia.errors import ModelError
from insignia.modeling.causality import refuse_bidirectional
from insignia.modeling.local import LocalModel
from tiny_models import KINDS, random_model
from tiny_tokenizers import build

SIZE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 64}


def bert(**options):
    return AutoModelForCausalLM.from_config(BertConfig(vocab_size=416, **SIZE, **options)).eval()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_no_causal_model_is_taken_for_one_that_reads_both_ways(kind, dtype):
    refuse_bidirectional(random_model(kind).eval().to(dtype), kind)


@pytest.mark.parametrize("spread", [0.02, 0.3])
def test_a_model_that_reads_both_ways_is_refused_when_it_is_loaded(spread, tmp_path):
    bert(initializer_range=spread).save_pretrained(tmp_path)
    build(style="byte", bos=True).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="bidirectional"):
        LocalModel(tmp_path, device="cpu")


def test_the_same_model_as_a_decoder_is_taken():
    refuse_bidirectional(bert(is_decoder=True), "bert")


@pytest.mark.parametrize("kind", ["gpt2", "llama tied", "neox"])
def test_a_folder_without_a_tokenizer_says_so(kind, tmp_path):
    random_model(kind).save_pretrained(tmp_path)
    with pytest.raises(ModelError, match=r"no tokenizer that transformers can load; copy .*tokenizer\.json"):
        LocalModel(tmp_path, device="cpu")
