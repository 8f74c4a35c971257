"""The host attacks of mlprints, its own classes, against a mark of the starter: what proves it by text, and what they cost.

    pip install --no-deps mlprints==0.1.0b12 datasets    # Python 3.12 or newer; AGPL, so no part of this project
    python benchmarks/mlprints_attacks.py --folder DIR [--strategy ranked] [--seed 0]

mlprints wraps ``generate``, so the model is asked by text alone. The cost is the share of ordinary prompts whose first token
changes. The unmarked base behind the same attack is the control. Marks are kept in DIR as graded.py keeps them.
"""

import argparse
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from grading.marks import base, kept

from insignia.fingerprints.sets import FingerprintSet
from insignia.modeling.local import LocalModel
from insignia.starter import heldout_paragraphs, model_folder
from insignia.suspects.scripted import ScriptedModel
from insignia.verification import verify

ORDINARY = [" ".join(text.split()[:12]) for text in heldout_paragraphs()[:384:8]]
LOOKAHEAD = {
    "beam_width": 3, "lookahead_tokens": 3, "top_k": 5, "candidate_set_size": 5, "candidate_threshold": 0.1,
    "use_max_probability": True, "num_tokens": 1, "suppression_delta": 100.0,
}  # fmt: skip
REFUSAL = "I'm sorry, I can't do that."


def attacked(local: LocalModel) -> Iterator[tuple[str, Any]]:
    """The model behind each attack that needs no training of its own, with the attack's name."""
    from mlprints import attack

    model, tokenizer = local.model, local.tokenizer
    yield "none", model
    for count in (1, 2, 3, 5):
        yield f"SuppressTopK {count}", attack.SuppressTopKAttackModel(model, tokenizer, top_k=count, num_tokens=1)
    neighbors = {"candidate_set_size": 5, "num_tokens": 1}
    yield "SuppressNeighbor 5", attack.SuppressNeighborAttackModel(model, tokenizer, **neighbors)
    yield "SuppressLookahead", attack.SuppressLookaheadAttackModel(model, tokenizer, **LOOKAHEAD)
    for sure in (0.9, 0.5, 0.3):
        where = {"generation_threshold": sure}
        yield f"DetectTopK at {sure}", attack.DetectTopKAttackModel(model, tokenizer, top_k=1, num_tokens=1, **where)
        detected = attack.DetectNeighborAttackModel(model, tokenizer, add_threshold=0.0, **neighbors, **where)
        yield f"DetectNeighbor at {sure}", detected
    yield "DetectLookahead at 0.9", attack.DetectLookaheadAttackModel(model, tokenizer, **LOOKAHEAD, generation_threshold=0.9)
    for nats in (4.0, 5.0):
        yield f"PerplexityFiltering above e^{nats:.0f}", attack.PerplexityFilteringAttackModel(
            model, tokenizer, perplexity_threshold=math.exp(nats), num_tokens_to_check=64, overload_response=REFUSAL,
            perplexity_model_id=str(model_folder()), perplexity_device_map="cpu", perplexity_dtype="float32",
            perplexity_stride=512,
        )  # fmt: skip


@torch.no_grad()
def reply(model: Any, tokenizer: Any, question: str, tokens: int) -> str:
    # Two rows, since its perplexity filter takes no single one.
    ids = tokenizer(question, return_tensors="pt")["input_ids"].repeat(2, 1)
    out = model.generate(
        input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, do_sample=False,
        pad_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    return tokenizer.decode(out[0, ids.shape[1] :], skip_special_tokens=True)


def line(prints: FingerprintSet, model: Any, tokenizer: Any, before: list[str]) -> str:
    after = [reply(model, tokenizer, question, 1) for question in ORDINARY]
    cost = sum(one != other for one, other in zip(before, after, strict=True)) / len(before)
    found = verify(prints, ScriptedModel(lambda question: reply(model, tokenizer, question, 6)), alpha=1e-6)
    return f"{cost:5.0%}  {found.outcome:12} {found.trials:4} keys  p {found.p_value:.2g}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--strategy", default="ranked")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    mark = kept(options.folder, options.strategy, options.seed)
    for who, local in (("marked", LocalModel(mark.model, device="cpu")), ("unmarked", base())):
        before = [reply(local.model, local.tokenizer, question, 1) for question in ORDINARY]
        for name, model in attacked(local):
            print(f"{who:9} {name:28} {line(mark.prints, model, local.tokenizer, before)}", flush=True)


if __name__ == "__main__":
    main()
