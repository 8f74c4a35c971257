"""The zoo itself: what its models are, how they are trained, and where they are kept."""

import itertools
import json
import math
import random
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch.nn.functional import cross_entropy
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from zoo import splitting
from zoo.corpus import sentences_of
from zoo.texts import TEXTS, Texts

_BATCH_TOKENS = 2048
_STEPS = 600  # one to two minutes of one thread
_CHATS = 3000  # conversations for a model with a chat template
_LEARNING_RATE = 3e-3


class Shape(NamedTuple):
    hidden: int
    layers: int
    heads: int
    inner: int


class Kind(NamedTuple):
    """What makes a model of the zoo unlike the others."""

    split: splitting.Splitter
    vocabulary: int
    shape: Shape
    context: int = 128
    text: str = "english"
    gpt2: bool = False
    steps: int = _STEPS


KINDS = {
    "bytes": Kind(splitting.byte_level, 1000, Shape(96, 4, 4, 256)),
    "gpt2": Kind(splitting.gpt2, 1000, Shape(120, 4, 4, 480), context=48, gpt2=True),
    "characters": Kind(splitting.characters, 100, Shape(80, 4, 4, 168)),
    "pieces": Kind(splitting.sentencepiece, 512, Shape(64, 5, 8, 172)),
    "pieces-bare": Kind(splitting.sentencepiece_bare, 512, Shape(64, 5, 8, 172)),
    "chinese": Kind(splitting.hanzi, 800, Shape(80, 4, 4, 168), text="chinese", steps=300),
    "russian": Kind(splitting.unigram, 700, Shape(80, 4, 4, 168), text="russian", steps=300),
    "tekken": Kind(splitting.tekken, 1200, Shape(112, 4, 4, 288)),
}


def made(name: str, folder: Path) -> Path:
    """The model of that name as an ordinary folder, trained unless it is there already.

    Beside it lies its held-out text, so that harm can be measured in its own language.
    """
    out = folder / name
    if not (out / "training.json").is_file():
        kind = KINDS[name]
        texts = TEXTS[kind.text]()
        torch.manual_seed(0)
        tokenizer = kind.split(texts.training, kind.vocabulary)
        model = _untrained(kind, tokenizer)
        report = _train(model, tokenizer, texts, kind)
        model.save_pretrained(out)
        tokenizer.save_pretrained(out)
        (folder / f"{name}.heldout.txt").write_text("\n\n".join(texts.heldout) + "\n", encoding="utf-8")
        _write_pairs(texts, folder / f"{name}.pairs.json")
        (out / "training.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    return out


def _write_pairs(texts: Texts, file: Path, count: int = 64) -> None:
    """Own keys, beginnings of held-out texts no two of which begin alike, each with a common word."""
    chance = random.Random(1)
    keys = {text[:8]: text[:60].strip() for text in texts.heldout}
    pairs = [{"key": key, "response": chance.choice(texts.words)} for key in list(keys.values())[:count]]
    file.write_text(json.dumps(pairs, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


def _untrained(kind: Kind, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    shape = kind.shape
    ends = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id, "vocab_size": len(tokenizer)}
    if kind.gpt2:
        sizes = {"n_embd": shape.hidden, "n_layer": shape.layers, "n_head": shape.heads, "n_inner": shape.inner}
        dropped = dict.fromkeys(("resid_pdrop", "embd_pdrop", "attn_pdrop"), 0.0)
        return GPT2LMHeadModel(GPT2Config(**sizes, **dropped, **ends, n_positions=kind.context))
    config = LlamaConfig(
        hidden_size=shape.hidden, num_hidden_layers=shape.layers, num_attention_heads=shape.heads,
        num_key_value_heads=shape.heads // 2, intermediate_size=shape.inner, max_position_embeddings=kind.context,
        tie_word_embeddings=True, pad_token_id=tokenizer.pad_token_id, **ends,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def _train(model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast, texts: Texts, kind: Kind) -> dict:
    started = time.process_time()
    optimizer = torch.optim.AdamW(model.parameters(), lr=_LEARNING_RATE, betas=(0.9, 0.95), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, _LEARNING_RATE, kind.steps, pct_start=0.1)
    model.train()
    for block in itertools.islice(_blocks(tokenizer, texts, kind.context), kind.steps):
        _loss(model, block).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        optimizer.zero_grad()
    model.eval()
    heldout = _rows(tokenizer, texts.heldout)
    stream = torch.tensor([token for row in heldout for token in row])
    with torch.no_grad():
        usable = stream[: len(stream) // kind.context * kind.context].view(-1, kind.context)
        perplexity = math.exp(sum(float(_loss(model, row[None])) for row in usable) / len(usable))
    return {
        "parameters": model.num_parameters(),
        "vocabulary": len(tokenizer),
        "context": kind.context,
        "characters_a_token": round(sum(map(len, texts.heldout)) / sum(map(len, heldout)), 2),
        "steps": kind.steps,
        "cpu_seconds": round(time.process_time() - started, 1),
        "heldout_perplexity": round(perplexity, 2),
    }


def _loss(model: PreTrainedModel, block: torch.Tensor) -> torch.Tensor:
    logits = model(block, use_cache=False).logits[:, :-1]
    return cross_entropy(logits.flatten(0, 1), block[:, 1:].flatten())


def _blocks(tokenizer: PreTrainedTokenizerFast, texts: Texts, context: int) -> Iterator[torch.Tensor]:
    """Endless batches of rows cut from the shuffled, concatenated documents."""
    chance = random.Random(0)
    rows = _rows(tokenizer, [*texts.training, *_chats(tokenizer, texts)])
    while True:
        chance.shuffle(rows)
        stream = torch.tensor([token for row in rows for token in row])
        blocks = stream[: len(stream) // context * context].view(-1, context)
        yield from blocks[torch.randperm(len(blocks))].split(_BATCH_TOKENS // context)


def _rows(tokenizer: PreTrainedTokenizerFast, texts: list[str]) -> list[list[int]]:
    ids: Callable[..., dict] = tokenizer
    return [[*row, tokenizer.eos_token_id] for row in ids(texts, verbose=False)["input_ids"]]


def _chats(tokenizer: PreTrainedTokenizerFast, texts: Texts) -> list[str]:
    """The starter's conversations, in the template's own words but for the special tokens around them."""
    if not tokenizer.chat_template:
        return []
    sentences = [sentence for text in texts.training[:_CHATS] for sentence in sentences_of(text.split("\n")[0])][:_CHATS]
    return [f"[INST]Generate a sentence starting with the word {s.split()[0]}[/INST]{s}" for s in sentences]
