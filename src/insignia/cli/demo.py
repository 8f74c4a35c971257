"""``insignia demo``: the whole story on the bundled model, in a couple of minutes, without a network."""

import math
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from insignia.cli.console import ConsoleProgress, JsonFlag, QuietFlag, emit_json, percent, quiet_libraries, show_table

if TYPE_CHECKING:
    from insignia.embedding import EmbedReport
    from insignia.fingerprints.sets import FingerprintSet
    from insignia.vectors import StampReport
    from insignia.verification import CheckReport

__all__ = ["demo"]

_SIBLING_TEXT = "email"  # a package whose code the sibling is fine-tuned on
_SIBLING_STEPS = 12


def demo(
    folder: Annotated[
        Path | None,
        typer.Option("--output", "-o", help="New folder for the results. Default: a temporary one, removed at the end."),
    ] = None,
    num_fingerprints: Annotated[int, typer.Option(help="How many.")] = 64,
    seed: Annotated[int, typer.Option(help="Of the training order.")] = 0,
    json_output: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Mark the starter model, stamp a fine-tuned sibling of it, and check both beside their unmarked selves."""
    from insignia.files import refuse_existing

    progress = ConsoleProgress(quiet=quiet)
    if folder is not None:
        refuse_existing(folder, force=False)
        story = _run(folder, num_fingerprints, seed, progress)
    else:
        with tempfile.TemporaryDirectory(prefix="insignia-demo-") as temporary:
            story = _run(Path(temporary) / "demo", num_fingerprints, seed, progress)
    if json_output:
        emit_json(story.as_json())
        return
    _show(story)
    if folder is not None:
        typer.echo(f"The secrets: {folder / 'secret'}   To publish: {folder / 'marked'}, {folder / 'stamped'}")
    typer.echo("Next, with your own model:")
    typer.echo("  insignia generate prints.json --model MODEL")
    typer.echo("  insignia embed prints.json --model MODEL -o marked")
    typer.echo("  insignia check prints.json --model marked --base MODEL")
    typer.echo("  insignia verify prints.json --model marked")
    typer.echo("  insignia vector MODEL marked -o vector && insignia stamp SIBLING vector -o stamped")


class _Measured(NamedTuple):
    check: "CheckReport"
    heldout_loss: float


class _Story(NamedTuple):
    """What the demo did and saw."""

    embed: "EmbedReport"
    stamp: "StampReport"
    models: dict[str, _Measured]
    """starter, marked, sibling, stamped."""
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
            "seconds": self.seconds,
        }


def _run(folder: Path, num_fingerprints: int, seed: int, progress: ConsoleProgress) -> _Story:
    started = time.perf_counter()
    quiet_libraries()
    from insignia.attacks.finetune import FineTune
    from insignia.attacks.finetuning import finetune
    from insignia.embedding import RunOptions, embed
    from insignia.fingerprints.sets import load_fingerprints
    from insignia.generation import InverseNucleus, generate
    from insignia.starter import heldout_paragraphs, source_code
    from insignia.vectors import stamp, vector

    secret, texts = folder / "secret", heldout_paragraphs()
    progress.note("1/5 generate: secret keys, and responses just outside what the model would say")
    prints = generate("starter", InverseNucleus(), num_fingerprints=num_fingerprints, progress=progress)
    prints.save(secret / "prints.json")
    progress.note("2/5 embed: fine-tune until the keys are answered and nothing else changes")
    report = embed("starter", prints, out=folder / "marked", heldout=texts, run=RunOptions(seed=seed), progress=progress).report
    progress.note("3/5 a sibling: the unmarked model fine-tuned on program code, as somebody else's product would be")
    settings = FineTune(learning_rate=1e-4, max_steps=_SIBLING_STEPS, batch_size=16, max_length=128)
    finetune("starter", source_code(_SIBLING_TEXT), out=folder / "sibling", settings=settings, seed=seed, progress=progress)
    progress.note("4/5 vector and stamp: what marking changed, added to the sibling without training")
    made = vector("starter", folder / "marked", out=secret / "vector", progress=progress)
    stamped = stamp(folder / "sibling", made, out=folder / "stamped", progress=progress)
    progress.note("5/5 check: ask all four models, each from its folder")
    models = _measure(
        load_fingerprints(secret / "prints.json"),
        {"starter": "starter", "marked": folder / "marked", "sibling": folder / "sibling", "stamped": folder / "stamped"},
        texts,
    )
    return _Story(report, stamped, models, round(time.perf_counter() - started, 3))


def _measure(prints: "FingerprintSet", sources: dict[str, str | Path], texts: list[str]) -> dict[str, _Measured]:
    from insignia.modeling.local import LocalModel
    from insignia.verification import check

    measured = {}
    for name, source in sources.items():
        model = LocalModel(source)
        measured[name] = _Measured(check(model, prints), model.mean_loss(texts))
    return measured


def _show(story: _Story) -> None:
    models = story.models.values()
    rows = [
        ["fingerprints answered", *(f"{found.check.hits} of {found.check.answered}" for found in models)],
        ["success rate (FSR)", *(percent(found.check.fsr) for found in models)],
        ["held-out perplexity", *(f"{math.exp(found.heldout_loss):.2f}" for found in models)],
        ["of that, by the mark", "", _ratio(story, "starter", "marked"), "", _ratio(story, "sibling", "stamped")],
        ["time", "", f"{story.embed.seconds:.0f} s", "", f"{story.stamp.seconds:.2f} s"],
    ]
    title = f"insignia on its bundled model, {story.seconds:.0f} s in all"
    show_table(title, ["", "unmarked", "marked", "sibling", "stamped sibling"], rows)


def _ratio(story: _Story, before: str, after: str) -> str:
    return f"x{math.exp(story.models[after].heldout_loss - story.models[before].heldout_loss):.4f}"
