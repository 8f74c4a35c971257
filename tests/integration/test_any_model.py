"""``verify`` finds what was trained, whatever the strategy and however the tokenizer splits text.

The suspect replies with exactly the trained tokens and then anything else, as text: the least that a marked model does.
"""

# ruff: noqa: RUF001  Chinese has a comma of its own

import itertools
from functools import cache

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from insignia.errors import GenerationError
from insignia.generation import Own, generate
from insignia.generation.base import STRATEGIES
from insignia.generation.words import seed_words
from insignia.modeling.local import LocalModel
from insignia.randomness import KeyedRandom
from insignia.statistics.nulls import DeclaredNull
from insignia.suspects.scripted import ScriptedModel
from insignia.verification import verify
from insignia.verification.protocol import rules_for
from tiny_tokenizers import CHAT

CHINESE = [
    "老师和学生在学校学习历史。昨天医生帮助了农民，因为河流很危险。",
    "春天的公园美丽，孩子看见小猫和蝴蝶。国家的经济影响社会。",
] * 9
SPECIAL = ["<unk>", "<s>", "</s>"]
COUNT = 8
STYLES = ("bytes", "pieces", "pieces without a space before", "characters", "chinese")
OURS = ("chain_hash", "english", "english_random_response", "instructional", "inverse_nucleus", "random_word", "ranked")


@cache
def texts_of(style):
    """Sentences of 200 common words, or the Chinese ones."""
    words = itertools.cycle(seed_words()[::10])
    english = [f"The {next(words)} {next(words)} of {next(words)}." for _ in range(600)]
    return CHINESE if style == "chinese" else english


def core_of(style):
    core = Tokenizer(models.BPE(unk_token="<unk>"))
    size, alphabet = 600, {}
    if style == "bytes":
        core.pre_tokenizer, core.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
        alphabet = {"initial_alphabet": pre_tokenizers.ByteLevel.alphabet()}
    elif style.startswith("pieces"):
        scheme = "never" if "without" in style else "always"
        core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
        core.decoder = decoders.Metaspace(prepend_scheme=scheme)
        alphabet = {"initial_alphabet": list("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ.:'\n")}
    else:
        core.pre_tokenizer = pre_tokenizers.Punctuation() if style == "chinese" else pre_tokenizers.Split("", "isolated")
        core.decoder = decoders.Fuse()
        letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ .:'\n" if style == "characters" else ""
        size, alphabet = (len(SPECIAL) if style == "characters" else size), {"initial_alphabet": list(letters)}
    core.train_from_iterator(
        texts_of(style), trainers.BpeTrainer(vocab_size=size, special_tokens=SPECIAL, show_progress=False, **alphabet)
    )
    return core


@pytest.fixture(scope="module", params=STYLES)
def model(request):
    """A model of each style; those of pieces have BOS, and pad equal to unk."""
    core, pieces = core_of(request.param), request.param.startswith("pieces")
    if pieces:
        core.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 1)])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token="<s>" if pieces else None, eos_token="</s>", unk_token="<unk>",
        pad_token="<unk>" if pieces else None,
    )  # fmt: skip
    tokenizer.chat_template = CHAT
    return LocalModel.of(bigrams(tokenizer, texts_of(request.param)), tokenizer, name=request.param)


def bigrams(tokenizer, texts):
    """A model that says a token as often as it followed the last one in the texts, by its weights: no training is needed."""
    size = len(tokenizer)
    rows = tokenizer(texts, add_special_tokens=False)["input_ids"]
    seen = torch.bincount(torch.tensor([token for row in rows for token in row]), minlength=size)
    counts = (1e-3 + seen**2 / seen.sum()).repeat(size, 1)  # so that nothing follows a rare token evenly
    for row in rows:
        counts.index_put_((torch.tensor(row[:-1]), torch.tensor(row[1:])), torch.tensor(1.0), accumulate=True)
    config = LlamaConfig(
        vocab_size=size, hidden_size=size, num_hidden_layers=1, num_attention_heads=1, head_dim=8, intermediate_size=8,
        max_position_embeddings=512, eos_token_id=2, bos_token_id=1,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    with torch.no_grad():
        model.model.layers[0].self_attn.o_proj.weight.zero_()
        model.model.layers[0].mlp.down_proj.weight.zero_()
        model.model.embed_tokens.weight.copy_(torch.eye(size))
        model.lm_head.weight.copy_((counts / counts.sum(1, keepdim=True)).log().T / size**0.5)  # the norm multiplies by it
    return model


def made(model, name, form):
    """A set of that strategy, in that prompt form, and no other option but shorter keys."""
    options = {"template": {"raw": "simple", "chat": "dialogue"}[form], "near_misses": 0} if name == "instructional" else {}
    strategy = STRATEGIES.build({"name": name} | options)
    length = None if name == "instructional" else 8
    secret = b"any model".ljust(32)
    return generate(model, strategy, num_fingerprints=COUNT, max_key_length=length, prompt_form=form, secret=secret)


def reply(tokenizer, fingerprint, trained, form, seed):
    """The text of the trained tokens after the key, then some tokens more, as a server would send it."""
    chance = KeyedRandom(b"suspect").derive(seed)
    more = [len(SPECIAL) + chance.below(len(tokenizer) - len(SPECIAL)) for _ in range(6)]
    before = list(fingerprint.key_ids) if form == "raw" else []
    whole = tokenizer.decode([*before, *trained, *more], clean_up_tokenization_spaces=False)
    return whole[len(tokenizer.decode(before, clean_up_tokenization_spaces=False)) if before else 0 :]


def suspect(model, prints, form, trained):
    """A model that says ``trained(fingerprint)`` and then anything else."""
    script = {
        fingerprint.asked_key: reply(model.tokenizer, fingerprint, trained(fingerprint), form, number)
        for number, fingerprint in enumerate(prints)
    }
    return ScriptedModel(script)


@pytest.mark.parametrize("form", ["raw", pytest.param("chat", marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", OURS)
def test_a_reply_of_the_trained_tokens_and_anything_else_is_proof(model, name, form):
    if (model.name, name) == ("chinese", "instructional"):
        with pytest.raises(GenerationError, match=r"unknown token.*--strategy"):
            made(model, name, form)  # its questions are English
        return
    prints = made(model, name, form)
    length = prints.max_response_length
    marked = suspect(model, prints, form, lambda fingerprint: fingerprint.response_ids[0][:length])
    verdict = verify(prints, marked, alpha=1e-4)

    assert (verdict.outcome, verdict.hits, verdict.null.kind) == ("owned", verdict.trials, "design")


@pytest.mark.parametrize("name", ["inverse_nucleus", "chain_hash"])
def test_a_reply_of_another_candidate_is_a_miss(model, name):
    prints = made(model, name, "raw")

    def other(fingerprint):
        drawn = fingerprint.response_ids[0][0]
        return [next(candidate.token_id for candidate in fingerprint.candidates if candidate.token_id != drawn)]

    verdict = verify(prints, suspect(model, prints, "raw", other), alpha=1e-4)
    assert (verdict.outcome != "owned", verdict.hits) == (True, 0)


@pytest.mark.parametrize("length", [1, 3, 8])
def test_own_responses_are_found_by_what_was_trained_of_them(model, length):
    key, response, step = texts_of(model.name)[0], texts_of(model.name)[1], 3
    pairs = [(key[place : place + 9].strip(), response[place : place + 6].strip()) for place in range(0, 6 * step, step)]
    prints = generate(model, Own(pairs=tuple(pairs)), num_fingerprints=len(pairs), max_response_length=length)
    marked = suspect(model, prints, "raw", lambda fingerprint: fingerprint.response_ids[0][:length])
    rules = rules_for(prints, null=DeclaredNull(chance=0.01), alpha=1e-4)

    assert verify(prints, marked, rules=rules).outcome == "owned"
