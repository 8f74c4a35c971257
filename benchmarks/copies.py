"""Copies of the starter for licensees: what blocks do in any combination, and whose copy a changed or joined model is.

insignia generate prints.json --model starter --num-fingerprints 64
insignia embed prints.json --model starter -o every --method blocks --blocks 32 --private blocks.safetensors
insignia vector starter every --factors blocks.safetensors -o blocks
python benchmarks/copies.py prints.json blocks       # ten minutes; writes the book of 1,000 licensees beside prints.json
"""

import argparse
import math
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from insignia.attacks.round import Round
from insignia.keyring.keyring import Keyring
from insignia.licensing.book import book_path, open_book
from insignia.licensing.issuing import IssueOptions, issue
from insignia.licensing.leaks import TraceOptions, trace
from insignia.modeling.loading import STARTER, resolve
from insignia.modeling.local import LocalModel
from insignia.progress import SILENT
from insignia.prompts.prompter import Prompter
from insignia.starter import heldout_paragraphs
from insignia.suspects.base import Inquiry, RequestOptions
from insignia.vectors import FingerprintVector, stamp

LICENSEES = 1000
ALPHA = 1e-3


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


def issued(kept, vector, folder, names):
    """Copies of these licensees, and how long the last took beside a plain copy of the folder."""
    for name in names:
        report = issue(kept, name, model=STARTER, vector=vector, out=folder / name, options=IssueOptions(), progress=SILENT)
    started = time.perf_counter()
    shutil.copytree(resolve(STARTER), folder / "plain")
    print(f"issue: {report.seconds:.2f} s for {report.bytes / 1e6:.0f} MB; a plain copy {time.perf_counter() - started:.2f} s")
    return [LocalModel(folder / name, device="cpu") for name in names]


def traced(kept, what, model, guilty, channels=("auto", "text")):
    for channel in channels:
        options = TraceOptions(alpha=ALPHA, channel=channel)
        started = time.perf_counter()
        (report,) = trace(kept, [lambda: model], options, progress=SILENT)
        names = [each.licensee for each in report.named]
        right = "right" if names and set(names) <= set(guilty) else "nobody" if not names else "WRONG"
        p_value = f"{report.named[0].p_value:.1e}" if names else "-"
        print(
            f"  {what:28} {'scores' if channel == 'auto' else channel:7} {right:7} named {len(names)} of {len(guilty)},"
            f" p {p_value}, {len(report.keys_asked)} keys, blocks {report.present} present {report.absent} absent,"
            f" {time.perf_counter() - started:.1f} s",
            flush=True,
        )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("prints", type=Path)
    parser.add_argument("vector", type=Path)
    parser.add_argument("--runs", type=int, default=3)
    options = parser.parse_args()
    kept = Keyring.open(options.prints).only()
    book_path(options.prints).unlink(missing_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        halves(kept, options.vector, folder, options.runs)
        one, two, three = issued(kept, options.vector, folder, ["Acme", "Bolt", "Crown"])
        with open_book(kept) as book:
            for number in range(LICENSEES - len(book.copies)):
                book.begin(f"licensee {number}", again=False)
        base, mine, theirs, others = state(LocalModel(STARTER, device="cpu")), state(one), state(two), state(three)
        print(f"traces among {LICENSEES} licensees at alpha {ALPHA:g}")
        traced(kept, "a copy", one, ["Acme"])
        Round().apply(folder / "Acme", folder / "rounded", progress=SILENT)
        traced(kept, "rounded to four bits", LocalModel(folder / "rounded", device="cpu"), ["Acme"])
        for share in (0.5, 0.3):
            traced(kept, f"merged, {share:g} of the copy", mixed(one, (share, mine), (1 - share, base)), ["Acme"])
        traced(kept, "two averaged", mixed(one, (0.5, mine), (0.5, theirs)), ["Acme", "Bolt"])
        traced(kept, "two, tensors in turn", in_turns(one, mine, theirs), ["Acme", "Bolt"])
        third = mixed(one, *((1 / 3, part) for part in (mine, theirs, others)))
        traced(kept, "three averaged", third, ["Acme", "Bolt", "Crown"])
        traced(kept, "the model without blocks", LocalModel(STARTER, device="cpu"), [])


if __name__ == "__main__":
    main()
