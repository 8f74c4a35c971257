"""Copies of the starter for licensees: what blocks do in any combination. Whose copy was leaked: leaks.py.

insignia generate prints.json --model starter --num-fingerprints 64
insignia embed prints.json --model starter -o every --method blocks --blocks 32 --private blocks.safetensors
insignia vector starter every --factors blocks.safetensors -o blocks
python benchmarks/copies.py prints.json blocks
"""

import argparse
import math
import tempfile
from pathlib import Path

import numpy as np

from insignia.keyring.keyring import Keyring
from insignia.modeling.loading import STARTER
from insignia.modeling.local import LocalModel
from insignia.progress import SILENT
from insignia.prompts.prompter import Prompter
from insignia.starter import heldout_paragraphs
from insignia.suspects.base import Inquiry, RequestOptions
from insignia.vectors import FingerprintVector, stamp


def hits_and_gains(model, prints):
    """For each fingerprint, whether the model's text is the response, and the log-probability that it gained."""
    prompter = Prompter.for_set(prints, model.tokenizer)
    hits = np.array([score.hit for score in model.score([prompter.examples(each)[0] for each in prints])])
    inquiries = [Inquiry(each.asked_key, each.candidates) for each in prints]
    gains = []
    for fingerprint, reply in zip(prints, model.weigh(inquiries, RequestOptions(), "scores"), strict=True):
        place = [candidate.text for candidate in fingerprint.candidates].index(fingerprint.responses[0])
        gains.append(reply.scores[place] - math.log(fingerprint.candidates[place].probability))
    return hits, np.array(gains)


def state(model):
    return {name: values.clone() for name, values in model.model.state_dict().items()}


def mixed(model, *parts):
    """The model with the weighted sum of these weights."""
    model.model.load_state_dict({name: sum(share * part[name] for share, part in parts) for name in parts[0][1]})
    return model


def in_turns(model, *parts):
    """The model with tensors of these weights in turn."""
    model.model.load_state_dict({name: parts[n % len(parts)][name] for n, name in enumerate(parts[0])})
    return model


def halves(kept, vector, folder, runs):
    """Random halves of the blocks: success of those in and out, gains, and harm."""
    base = LocalModel(STARTER, device="cpu")
    before = base.mean_loss(heldout_paragraphs())
    with FingerprintVector(vector) as every:
        blocks = every.file.blocks
    print(f"{runs} random halves of {blocks} blocks, {len(kept.prints)} fingerprints")
    for seed in range(runs):
        chosen = np.random.default_rng(seed).random(blocks) < 0.5
        out = folder / f"half-{seed}"
        stamp(STARTER, FingerprintVector(vector, blocks=np.flatnonzero(chosen).tolist()), out=out, progress=SILENT)
        model = LocalModel(out, device="cpu")
        inside = chosen[np.arange(len(kept.prints)) % blocks]
        whole = state(model)
        for what, share in (("copy", 1.0), ("merged by half", 0.5)):
            mixed(model, (share, whole), (1 - share, state(base)))
            harm = math.exp(model.mean_loss(heldout_paragraphs()) - before)
            hits, gains = hits_and_gains(model, kept.prints)
            print(
                f"  seed {seed} {what:15} text: in {hits[inside].mean():.1%}, out {hits[~inside].mean():.1%};"
                f" nats gained: in at least {gains[inside].min():.2f}, out at most {gains[~inside].max():.2f};"
                f" perplexity x{harm:.4f}",
                flush=True,
            )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prints", type=Path)
    parser.add_argument("vector", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        halves(Keyring.open(options.prints).only(), options.vector, Path(scratch), options.runs)


if __name__ == "__main__":
    main()
