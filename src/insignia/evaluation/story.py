"""The whole story on the bundled model: generate, embed, a sibling, vector, stamp, check."""

import time
from pathlib import Path
from typing import NamedTuple

import torch

from insignia.attacks.finetune import FineTune
from insignia.attacks.finetuning import finetune
from insignia.embedding import EmbedReport, RunOptions, embed
from insignia.fingerprints.sets import load_fingerprints
from insignia.generation import InverseNucleus, generate
from insignia.modeling.local import LocalModel
from insignia.progress import AUTO, Progress
from insignia.starter import heldout_paragraphs, source_code
from insignia.vectors import StampReport, stamp, vector
from insignia.verification import CheckReport, Verdict, check, verify
from insignia.verification.protocol import rules_for

__all__ = ["Measured", "Story", "tell_story"]

_SIBLING_TEXT = "email"  # a package whose code the sibling is fine-tuned on
_SIBLING_STEPS = 12
_THINNED = 0.1  # weight of the marked model in the thief's merge


class Measured(NamedTuple):
    """What was measured of a model."""

    check: CheckReport
    heldout_loss: float


class Story(NamedTuple):
    """What the demo did and saw."""

    embed: EmbedReport
    stamp: StampReport
    models: dict[str, Measured]
    """starter, marked, sibling, stamped."""
    thinned: Verdict
    """Of the starter with a tenth of what marking changed, by the scores of the candidates."""
    thinned_hits: int
    """What ``check`` finds there."""
    seconds: float

    def as_json(self) -> dict[str, object]:
        """``embed``, ``check`` (the marked model's, with its base's), ``stamp``, ``sibling``, ``stamped``, ``seconds``."""
        checks = {name: found.check.model_dump(mode="json", exclude={"fingerprints"}) for name, found in self.models.items()}
        losses = {name: {**checks[name], "heldout_loss": found.heldout_loss} for name, found in self.models.items()}
        return {
            "embed": self.embed.model_dump(mode="json"),
            "check": {**losses["marked"], "base": losses["starter"]},
            "stamp": self.stamp.model_dump(mode="json"),
            "sibling": losses["sibling"],
            "stamped": losses["stamped"],
            "thinned": {"hits": self.thinned_hits, "verdict": self.thinned.model_dump(mode="json")},
            "seconds": self.seconds,
        }


def tell_story(folder: Path, *, num_fingerprints: int, seed: int = 0, progress: Progress = AUTO) -> Story:
    """Mark the starter model, stamp a fine-tuned sibling of it, and measure both beside their unmarked selves.

    Last comes a thief who merges the marked model into the starter until its text shows nothing.
    """
    started = time.perf_counter()

    secret, texts = folder / "secret", heldout_paragraphs()
    progress.note("1/5 generate: secret keys, and responses just outside what the model would say")
    prints = generate("starter", InverseNucleus(), num_fingerprints=num_fingerprints, progress=progress)
    prints.save(secret / "prints.json")
    progress.note("2/5 embed: fine-tune until the keys are answered and nothing else changes")
    run = RunOptions(seed=seed)
    report = embed("starter", prints, out=folder / "marked", heldout=texts, run=run, progress=progress).report
    progress.note("3/5 a sibling: the unmarked model fine-tuned on program code, as somebody else's product would be")
    settings = FineTune(learning_rate=1e-4, max_steps=_SIBLING_STEPS, batch_size=16, max_length=128)
    finetune("starter", source_code(_SIBLING_TEXT), out=folder / "sibling", settings=settings, seed=seed, progress=progress)
    progress.note("4/5 vector and stamp: what marking changed, added to the sibling without training")
    made = vector("starter", folder / "marked", out=secret / "vector", progress=progress)
    stamped = stamp(folder / "sibling", made, out=folder / "stamped", progress=progress)
    progress.note("5/5 check: ask all four models, each from its folder")
    prints = load_fingerprints(secret / "prints.json")
    sources: dict[str, str | Path] = {
        "starter": "starter",
        "marked": folder / "marked",
        "sibling": folder / "sibling",
        "stamped": folder / "stamped",
    }
    models = {name: LocalModel(source) for name, source in sources.items()}
    measured = {name: Measured(check(model, prints), model.mean_loss(texts)) for name, model in models.items()}
    thinned = _thinned(models["starter"], models["marked"])
    verdict = verify(prints, thinned, rules=rules_for(prints, cover=0.0, channel="scores"))
    return Story(report, stamped, measured, verdict, check(thinned, prints).hits, round(time.perf_counter() - started, 3))


def _thinned(model: LocalModel, marked: LocalModel) -> LocalModel:
    """The model, merged in place with a tenth of the marked one."""
    with torch.no_grad():
        for weight, other in zip(model.model.parameters(), marked.model.parameters(), strict=True):
            weight.lerp_(other, _THINNED)
    return model
