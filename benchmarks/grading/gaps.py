"""What `ranked` costs and survives: by the gap between neighbours in a secret order, and by the number of ordered tokens."""

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
    heading("gap", options)
    usual = options.how.get("method", FullFineTune())
    for gap in options.gaps:
        home = folder if gap == usual.order_gap else folder / f"gap {gap:g}"  # the default shares its marks with other studies
        for seed in options.seeds:
            how = options.how | {"method": usual.model_copy(update={"order_gap": gap})}
            row(f"{gap:g}", kept(home, "ranked", seed, **how), seed, options)


def tokens(options: argparse.Namespace, folder: Path) -> None:
    heading("tokens", options)
    for count in options.tokens:
        for seed in options.seeds:
            home = folder if count == 1 else folder / f"{count} tokens"
            row(str(count), kept(home, "ranked", seed, tokens=count, **options.how), seed, options)


def heading(what: str, options: argparse.Namespace) -> None:
    print(f"ranked, seeds {options.seeds}; after each attack keys until owned at 1e-6 by {', '.join(SHOWN)}: median of")
    print(f"{options.orders} orders of the keys\n")
    print(f"{what:9}  seed  perplexity  confidence, AUROC    {''.join(f'{name:20}' for name in AFTER)}")


def row(name: str, marked: Marked, seed: int, options: argparse.Namespace, before: LocalModel | None = None) -> None:
    """``before`` is the model without the mark; without it, the starter."""
    harm, visible = seen(marked, before or base())
    cells = "".join(f"{cell:20}" for cell in keys_needed(marked, seed, options.orders))
    print(f"{name:9}  {seed:4}  x{harm:.4f}     {visible!s:19}  {cells}", flush=True)


def seen(marked: Marked, before: LocalModel) -> tuple[float, object]:
    """The ratio of held-out perplexities, and how well confidence tells keys from ordinary prompts."""
    local, texts = LocalModel(marked.model, device="cpu"), heldout_paragraphs()
    return math.exp(local.mean_loss(texts) - before.mean_loss(texts)), confidence_at_keys(local, marked.prints, texts)


def keys_needed(marked: Marked, seed: int, orders: int) -> list[str]:
    """After each attack, by each channel."""
    local, changes = LocalModel(marked.model, device="cpu"), attacks(base())
    cells = []
    for name in AFTER:
        told = ask(changes[name](local), marked.prints, SHOWN)
        found = (Cell.of(replays(marked.prints, each, told[each], seed=seed, orders=orders)) for each in SHOWN)
        cells.append("  ".join(f"{cell.median:g}".replace("inf", "-") for cell in found))
    return cells
