"""``insignia generate``: make a fingerprint file."""

import time
from pathlib import Path
from typing import Annotated

import typer

from insignia.flags.fields import Chosen, Parts, takes
from insignia.generation import STRATEGIES, Strategy
from insignia.generation import generate as make
from insignia.generation.given import OwnData
from insignia.generation.making import GenerateOptions
from insignia.generation.writer import WriterOptions
from insignia.modeling.placement import Asking
from insignia.records import Flag
from insignia.reporting.base import told
from insignia.reporting.output import Written
from insignia.statistics.separation import Stealth
from insignia.terminal import command_line, counted

__all__ = ["generate"]


class _Source(Asking):
    """The model that makes the set."""

    model: Annotated[str, Flag("--model", "--inverse-nucleus-model")] = "starter"
    """The model to be marked: folder, hub id or 'starter'."""


@takes("generation")
def generate(
    options: GenerateOptions,
    strategy: Annotated[Chosen[Strategy], Parts(STRATEGIES, "inverse_nucleus", "Strategy")],
    source: _Source,
    writer: WriterOptions,
    own: OwnData,
    written: Written,
    output: Annotated[Path, typer.Argument(help="File to write, mode 0600: the only secret.")] = Path("fingerprints.json"),
) -> None:
    """Make secret (key, response) pairs with a language model.

    Examples:
        insignia generate prints.json --model starter
        insignia generate prints.json --strategy english --num-fingerprints 16 --set temperature=0.7
    """
    written.refuse(output, ".json")
    maker, secret = strategy.build(**own.keys(strategy.name)), own.secret()
    started = time.perf_counter()
    prints = make(
        source.model,
        maker,
        device=source.device,
        **options.model_dump(),
        writer=writer.open(source.device),
        secret=secret,
        progress=written.progress(),
    )
    prints.save(output)
    seconds = round(time.perf_counter() - started, 3)
    line = f"{output}: {counted(len(prints), f'{maker.name} fingerprint')} in {seconds:.0f} s. Keep it secret;"
    line += f" next: {command_line('insignia', 'embed', output, '--model', source.model, '-o', 'marked')}"
    about = {"num_fingerprints": len(prints), "strategy": prints.strategy, "seconds": seconds}
    stealth = prints.stealth and prints.stealth.model_dump(mode="json")
    written.finish(told(_hidden(prints.stealth), line, out=str(output), stealth=stealth, **about))


def _hidden(found: Stealth | None) -> str:
    """One line on how far keys differ from ordinary prompts."""
    if found is None:
        return "Keys were not compared with ordinary prompts: give examples of at least their length with --ordinary-text."
    areas = f"perplexity {found.perplexity}, length {found.length}, confidence {found.confidence}"
    return f"Keys against {found.num_ordinary} ordinary prompts, AUROC (95 % interval; 0.5 hides best): {areas}."
