"""What the gap between neighbours in a secret order costs and buys: harm, stealth, and keys until proof after a merge."""

import argparse
import math
from pathlib import Path

from grading.marks import Marked, attacks, base, kept
from grading.replays import Cell, replays
from insignia.embedding import FullFineTune
from insignia.embedding.visibility import confidence_at_keys
from insignia.evaluation.replays import ask
from insignia.modeling.local import LocalModel
from insignia.starter import heldout_paragraphs
from insignia.suspects.base import Channel

AFTER = ("none", "merged at 0.5", "merged at 0.3", "3 bits")
SHOWN: tuple[Channel, ...] = ("scores", "top", "text")


def gaps(options: argparse.Namespace, folder: Path) -> None:
    print(f"ranked, seeds {options.seeds}; after each attack keys until owned at 1e-6 by {', '.join(SHOWN)}: median of")
    print(f"{options.orders} orders of the keys\n")
    print(f"gap  seed  perplexity  confidence, AUROC    {''.join(f'{name:20}' for name in AFTER)}")
    for gap in options.gaps:
        for seed in options.seeds:
            marked = marked_with(gap, seed, options, folder)
            harm, visible = seen(marked)
            cells = "".join(f"{cell:20}" for cell in keys_needed(marked, seed, options.orders))
            print(f"{gap:<4g} {seed:4}  x{harm:.4f}     {visible!s:19}  {cells}", flush=True)


def marked_with(gap: float, seed: int, options: argparse.Namespace, folder: Path) -> Marked:
    """The default gap shares its marks with the other studies."""
    usual = options.how.get("method", FullFineTune())
    home = folder if gap == usual.order_gap else folder / f"gap {gap:g}"
    return kept(home, "ranked", seed, **options.how | {"method": usual.model_copy(update={"order_gap": gap})})


def seen(marked: Marked) -> tuple[float, object]:
    """The ratio of held-out perplexities, and how well confidence tells keys from ordinary prompts."""
    local, texts = LocalModel(marked.model, device="cpu"), heldout_paragraphs()
    return math.exp(local.mean_loss(texts) - base().mean_loss(texts)), confidence_at_keys(local, marked.prints, texts)


def keys_needed(marked: Marked, seed: int, orders: int) -> list[str]:
    """After each attack, by each channel."""
    local, changes = LocalModel(marked.model, device="cpu"), attacks(base())
    cells = []
    for name in AFTER:
        told = ask(changes[name](local), marked.prints, SHOWN)
        found = (Cell.of(replays(marked.prints, each, told[each], seed=seed, orders=orders)) for each in SHOWN)
        cells.append("  ".join(f"{cell.median:g}".replace("inf", "-") for cell in found))
    return cells
