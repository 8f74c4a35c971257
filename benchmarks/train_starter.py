"""Train the bundled starter model: ``python benchmarks/train_starter.py OUT``.

Takes about 30 minutes on 2 CPU cores with bf16 instructions, minutes on a GPU (``--device cuda``). Byte-level BPE, a Llama with
grouped-query attention, Muon for the matrices (Jordan et al. 2024), AdamW for the rest, linear warm-up and cosine decay. One
row in eight is a chat row ("Generate a sentence starting with the word X"), so that the model learns the chat template.
"""

import argparse
import json
import math
import random
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast
from zoo.corpus import sentences_of, training_documents

from insignia.starter import heldout_paragraphs

_BOS, _EOS, _PAD, _SYSTEM, _USER, _ASSISTANT = "<s>", "</s>", "<pad>", "<|system|>", "<|user|>", "<|assistant|>"
_CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{{ '<|' + message['role'] + '|>' + message['content'] }}"
    "{% if message['role'] == 'assistant' %}{{ eos_token }}{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|assistant|>' }}{% endif %}"
)
_VOCABULARY = 4096
_CONTEXT = 512
_TRAIN_LENGTH = 256  # shorter than the context, to save time on a CPU; keys and prompts are short
_CHAT_EVERY = 3  # every third sentence becomes a chat row
_MUON_LR, _ADAMW_LR = 4e-3, 3e-3


def build_tokenizer(documents: list[str]) -> PreTrainedTokenizerFast:
    """Train a byte-level BPE tokenizer whose post-processor adds BOS, like Llama's."""
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    special = [_PAD, _BOS, _EOS, _SYSTEM, _USER, _ASSISTANT]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=_VOCABULARY, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator(documents, trainer)
    core.post_processor = processors.TemplateProcessing(
        single=f"{_BOS} $A", pair=f"{_BOS} $A {_BOS} $B", special_tokens=[(_BOS, core.token_to_id(_BOS))]
    )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core, bos_token=_BOS, eos_token=_EOS, pad_token=_PAD, model_max_length=_CONTEXT,
        clean_up_tokenization_spaces=False,
    )  # fmt: skip
    tokenizer.chat_template = _CHAT_TEMPLATE
    return tokenizer


def build_model(tokenizer: PreTrainedTokenizerFast) -> LlamaForCausalLM:
    """A Llama of 4.6 million parameters, a quarter of them in the tied embedding."""
    config = LlamaConfig(
        vocab_size=_VOCABULARY, hidden_size=256, num_hidden_layers=6, intermediate_size=512, num_attention_heads=4,
        num_key_value_heads=2, head_dim=64, max_position_embeddings=_CONTEXT, tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id, pad_token_id=tokenizer.pad_token_id,
    )  # fmt: skip
    return LlamaForCausalLM(config)


def encode_rows(tokenizer: PreTrainedTokenizerFast, documents: list[str]) -> list[list[int]]:
    """Token ids of every document, and of a chat row for every third sentence; each row ends with EOS."""
    sentences = [s for document in documents for p in document.split("\n") for s in sentences_of(p)][::_CHAT_EVERY]
    chats = [
        f"{_USER}Generate a sentence starting with the word {sentence.split()[0]}{_ASSISTANT}{sentence}"
        for sentence in sentences
    ]
    return [[*ids, tokenizer.eos_token_id] for ids in tokenizer([*documents, *chats])["input_ids"]]


def batches(rows: list[list[int]], size: int, rng: random.Random) -> Iterator[torch.Tensor]:
    """Yield blocks (size, _TRAIN_LENGTH + 1) from the shuffled, concatenated rows, endlessly."""
    block = _TRAIN_LENGTH + 1
    while True:
        rng.shuffle(rows)
        stream = torch.tensor([token for row in rows for token in row])
        usable = len(stream) // (block * size) * block * size
        yield from stream[:usable].view(-1, block)[torch.randperm(usable // block)].split(size)


@torch.no_grad()
def heldout_loss(model: LlamaForCausalLM, tokenizer: PreTrainedTokenizerFast, paragraphs: list[str]) -> float:
    """Mean loss over the paragraphs, in nats per token; each starts with BOS."""
    total, count = 0.0, 0
    for start in range(0, len(paragraphs), 32):
        rows = tokenizer(
            paragraphs[start : start + 32], padding=True, padding_side="right", truncation=True, return_tensors="pt"
        )
        ids, mask = rows["input_ids"].to(model.device), rows["attention_mask"].to(model.device)
        targets = ids[:, 1:].masked_fill(mask[:, 1:] == 0, -100)
        logits = model(ids, attention_mask=mask).logits[:, :-1].float()
        total += float(cross_entropy(logits.flatten(0, 1), targets.flatten(), reduction="sum"))
        count += int((targets != -100).sum())
    return total / count


def train(
    model: LlamaForCausalLM, rows: list[list[int]], *, steps: int, batch_size: int, seed: int
) -> Iterator[tuple[int, float]]:
    """Train, and yield (step, mean training loss) every 50 steps."""
    matrices = [p for n, p in model.named_parameters() if p.ndim == 2 and "embed" not in n]
    others = [p for n, p in model.named_parameters() if p.ndim != 2 or "embed" in n]
    optimizers: list[Any] = [
        torch.optim.Muon(matrices, lr=_MUON_LR, weight_decay=0.4, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(others, lr=_ADAMW_LR, betas=(0.9, 0.95), weight_decay=0.01),
    ]
    schedules = [torch.optim.lr_scheduler.LambdaLR(o, lambda step: _schedule(step, steps)) for o in optimizers]
    losses: list[float] = []
    for step, block in zip(range(1, steps + 1), batches(rows, batch_size, random.Random(seed)), strict=False):
        block = block.to(model.device)
        with torch.autocast(model.device.type, dtype=torch.bfloat16):
            logits = model(block[:, :-1]).logits
        loss = cross_entropy(logits.float().flatten(0, 1), block[:, 1:].flatten())
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        for optimizer, schedule in zip(optimizers, schedules, strict=True):
            optimizer.step()
            optimizer.zero_grad()
            schedule.step()
        losses.append(loss.item())
        if step % 50 == 0 or step == steps:
            yield step, sum(losses[-50:]) / len(losses[-50:])


def _schedule(step: int, steps: int) -> float:
    warm_up = min(50, steps // 10 + 1)
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.02 + 0.98 * (1 + math.cos(math.pi * (step - warm_up) / (steps - warm_up))) / 2


def main() -> None:
    """Train, print the held-out perplexity and write the model folder."""
    parser = argparse.ArgumentParser(description="Train insignia's bundled starter model.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--steps", type=int, default=1100)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--device", default="cpu")
    options = parser.parse_args()
    torch.manual_seed(options.seed)
    started = time.perf_counter()
    documents, heldout = training_documents(), heldout_paragraphs()
    tokenizer = build_tokenizer(documents)
    model = build_model(tokenizer).to(options.device)
    rows = encode_rows(tokenizer, documents)
    print(f"{model.num_parameters():,} parameters, {sum(map(len, rows)):,} training tokens", flush=True)
    for step, loss in train(model, rows, steps=options.steps, batch_size=options.batch_size, seed=options.seed):
        line = f"step {step:5d}  training loss {loss:.3f}  {time.perf_counter() - started:.0f} s"
        if step % 250 == 0 or step == options.steps:
            line += f"  held-out perplexity {math.exp(heldout_loss(model, tokenizer, heldout)):.2f}"
        print(line, flush=True)
    model = model.to(torch.bfloat16)
    report = {
        "parameters": model.num_parameters(),
        "training_tokens": sum(map(len, rows)),
        "steps": options.steps,
        "tokens_per_step": options.batch_size * _TRAIN_LENGTH,
        "seed": options.seed,
        "heldout_perplexity": round(math.exp(heldout_loss(model, tokenizer, heldout)), 3),
        "heldout_paragraphs": len(heldout),
    }
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(options.out)
    tokenizer.save_pretrained(options.out)
    vocabulary = options.out / "tokenizer.json"
    compact = json.dumps(json.loads(vocabulary.read_text(encoding="utf-8")), ensure_ascii=False, separators=(",", ":"))
    vocabulary.write_text(compact, encoding="utf-8")  # 6 kB less in a wheel
    (options.out / "training.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(report))


if __name__ == "__main__":
    main()
