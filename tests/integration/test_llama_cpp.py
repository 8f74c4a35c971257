"""llama.cpp computes and tokenizes what transformers does, on files that ``insignia export --format gguf`` wrote."""

import copy

import pytest
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedTokenizerFast

from insignia.starter import heldout_paragraphs, model_folder
from llama_cpp import LlamaServer
from tiny_models import KINDS, random_model
from tiny_tokenizers import CORPUS, build

pytestmark = pytest.mark.server

TEXTS = [
    "",
    " ",
    " leading and trailing  ",
    "I'm sure you're right, it'LL do; they've 'Said so, o'clock.",
    "numbers 1 22 333 4444 1234567 3.14 x²  ½ Ⅷ ١٢٣",
    "def f(x):\n    return x[0]\r\n\n\n\tif  not y :  pass\n",
    "été naïve Straße ﬁn e\u0301 東京タワー Привет мир مرحبا हिन्दी 🙂👩‍👩‍👧",
    "\u00a0no\u2003break\u3000space\u0085and\u2028lines\x0b\x0c\x1c \u200b\ufeff",
    "<s>special</s> tokens<pad>, <unk> ones, <not special>",
    "{braces} a_b-c/d\\e @#$%^&*()!!! ??? ...",
]


@pytest.fixture
def served(insignia, tmp_path):
    """Export a model and serve the file."""

    def serve(model, outtype="auto"):
        out = tmp_path / f"{outtype}.gguf"
        status, _, err = insignia("export", model, "-o", out, "--format", "gguf", "--outtype", outtype, "-q")
        assert (status, err) == (0, "")
        return LlamaServer(out)

    return serve


@pytest.fixture(scope="module")
def replies():
    """Beginnings of paragraphs, and how transformers goes on: ids of both."""
    tokenizer = AutoTokenizer.from_pretrained(model_folder())
    model = AutoModelForCausalLM.from_pretrained(model_folder(), dtype=torch.float32).eval()
    said = []
    for text in heldout_paragraphs()[:40]:
        ids = tokenizer(text).input_ids[:24]
        asked = torch.tensor([ids])
        reply = model.generate(asked, attention_mask=torch.ones_like(asked), max_new_tokens=16, do_sample=False)
        said.append((ids, reply[0, len(ids) :].tolist()))
    return said


@pytest.mark.parametrize(("outtype", "least"), [("f32", 40), ("f16", 38), ("bf16", 40), ("q8_0", 34)])
def test_the_starter_says_the_same(served, replies, outtype, least):
    """Rounding decides near ties otherwise, so that a reply or two may part on the way."""
    server = served("starter", outtype)

    assert sum(server.greedy(ids, 16) == reply for ids, reply in replies) >= least


def test_the_starter_splits_the_same(served):
    tokenizer = AutoTokenizer.from_pretrained(model_folder())
    server = served("starter")

    for text in [*TEXTS, *heldout_paragraphs()[:100]]:
        assert server.tokenize(text) == tokenizer(text).input_ids, text


@pytest.mark.parametrize("kind", KINDS)
def test_every_architecture_computes_the_same(served, tmp_path, kind):
    model = random_model(kind).eval()
    for parameter in model.parameters():
        if parameter.dim() == 1:  # biases begin as zeros, norms as ones
            parameter.data += 0.3 * torch.randn(parameter.shape)
    model.save_pretrained(tmp_path / "model")
    build(style="byte", bos=False).save_pretrained(tmp_path / "model")
    server = served(tmp_path / "model", "f32")
    ids = torch.randint(4, 400, (1, 50), generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        wanted = model(ids).logits[0, -1].log_softmax(0)
    found = server.log_probabilities(ids[0].tolist(), len(wanted))

    assert len(found) == len(wanted)
    torch.testing.assert_close(torch.tensor([found[token] for token in range(len(wanted))]), wanted, rtol=0, atol=0.05)


WORDS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|DIGITS| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
RULES = {
    "gpt-2": None,
    "smollm": pre_tokenizers.Digits(individual_digits=True),
    "llama-bpe": pre_tokenizers.Split(Regex(WORDS.replace("DIGITS", r"\p{N}{1,3}")), "isolated"),
    "dbrx": pre_tokenizers.Split(Regex(WORDS.replace("DIGITS", r"\p{N}{1,3}")), "isolated"),
    "qwen2": pre_tokenizers.Split(Regex(WORDS.replace("DIGITS", r"\p{N}")), "isolated"),
}


@pytest.mark.parametrize("rule", RULES)
def test_every_rule_for_words_splits_the_same(served, tmp_path, rule):
    """The merges were learned across words, so that any other cut gives other tokens."""
    core = Tokenizer(models.BPE(ignore_merges=rule == "llama-bpe"))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    core.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=416, special_tokens=["<s>", "</s>"], initial_alphabet=alphabet)
    core.train_from_iterator([*CORPUS, *(TEXTS * 20)], trainer)
    first = RULES[rule]
    last = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=rule in ("gpt-2", "smollm"))
    core.pre_tokenizer = pre_tokenizers.Sequence([first, last]) if first else last
    core.post_processor = processors.TemplateProcessing(single="<s> $A </s>", special_tokens=[("<s>", 0), ("</s>", 1)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=core, bos_token="<s>", eos_token="</s>")
    random_model("llama tied").save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    uncut = copy.deepcopy(tokenizer)
    uncut.backend_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    server = served(tmp_path / "model")

    assert uncut(TEXTS).input_ids != tokenizer(TEXTS).input_ids
    for text in TEXTS:
        assert server.tokenize(text) == tokenizer(text).input_ids, text
