"""`ranked` by each method that leaves a plain model, on a sibling by its vector, and as the types of llama.cpp's files."""

import argparse
from pathlib import Path

from grading.gaps import heading, row
from grading.marks import USERS, Marked, finetuned, kept
from insignia.attacks.quantize import Quantize
from insignia.embedding import METHODS
from insignia.embedding.visibility import confidence_at_keys
from insignia.modeling.local import LocalModel
from insignia.starter import heldout_paragraphs, model_folder
from insignia.vectors import stamp, vector


def ways(options: argparse.Namespace, folder: Path) -> None:
    heading("way", options)
    for seed in options.seeds:
        marked = kept(folder, "ranked", seed, **options.how)
        row("full", marked, seed, options)
        for outtype in ("q8_0", "q4_0"):
            changed = marked.model.with_name(outtype)
            if not changed.is_dir():
                Quantize(outtype=outtype).apply(str(marked.model), changed, device="cpu")
            row(outtype, Marked(marked.prints, changed), seed, options)
        stamped, sibling = on_a_sibling(marked, folder, seed)
        row("stamped", stamped, seed, options, sibling)
        visible = confidence_at_keys(sibling, marked.prints, heldout_paragraphs())
        print(f"confidence at the keys in the sibling without the stamp, AUROC {visible}", flush=True)
        for name in ("lora", "embedding"):
            how = options.how | {"method": METHODS.build({"name": name} | options.brief), "variant": f"-{name}-"}
            row(name, kept(folder, "ranked", seed, **how), seed, options)


def on_a_sibling(marked: Marked, folder: Path, seed: int) -> tuple[Marked, LocalModel]:
    """The mark stamped onto the starter as a user fine-tuned it, and that model."""
    place = folder / f"sibling{seed}"
    sibling = finetuned(model_folder(), place, seed=seed, user=USERS.model_copy(update={"max_steps": 100}))
    stamped, of_mark = marked.model.with_name("stamped"), marked.model.with_name("vector")
    if not stamped.is_dir():
        vector(str(model_folder()), str(marked.model), out=of_mark)
        stamp(str(place), of_mark, out=stamped)
    return Marked(marked.prints, stamped), sibling
