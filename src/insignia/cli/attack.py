"""``insignia attack``: what others do to the weights of a marked model."""

from pathlib import Path
from typing import Annotated

import typer

from insignia.attacks.base import ATTACKS, Attack, WeightAttack, on_weights
from insignia.flags.fields import Chosen, Parts, takes
from insignia.modeling.placement import Seeded
from insignia.reporting.output import Written
from insignia.terminal import command_line

__all__ = ["attack"]


@takes("attack")
def attack(
    attack: Annotated[Chosen[Attack], Parts(ATTACKS, "merge", "Attack", of=WeightAttack, named_first=True)],
    model: Annotated[str, typer.Option("--model", "--model-path", help="Model to attack: folder, hub id or 'starter'.")],
    out: Annotated[Path, typer.Option("--output", "-o", help="Folder of the attacked model.")],
    run: Seeded,
    written: Written,
) -> None:
    """Attack the weights of a model: will the mark outlive it?

    Examples:
        insignia attack merge --model marked --base starter --weight 0.3 -o merged
        insignia attack round --model marked --to int4 -o rounded
    """
    written.refuse_folder(out)
    chosen = on_weights(attack.build())
    from insignia.reporting.base import report_of, told

    report = chosen.apply(model, out, seed=run.seed, device=run.device, progress=written.progress())
    next_step = f"Next: {command_line('insignia', 'check', 'PRINTS', '--model', out)}"
    if report is None:
        written.finish(told(f"{out}: attacked by {chosen.name}.", next_step, out=str(out), attack=chosen.spec()))
    else:
        written.finish(report_of(report, next_step))
