"""``insignia list``: the parts and recipes that there are, a line each."""

from typing import Annotated, Literal

import typer

from insignia.flags.fields import takes
from insignia.reporting.inventory import inventory
from insignia.reporting.output import Output

__all__ = ["list_parts"]


@takes()
def list_parts(
    kind: Annotated[
        Literal["strategies", "methods", "nulls", "suspects", "attacks", "reports", "recipes"],
        typer.Argument(help="What to list."),
    ],
    output: Output,
) -> None:
    """List the strategies, methods, nulls, suspects, attacks, reports or recipes, with a line on each; also those of plug-ins.

    Examples:
        insignia list strategies
        insignia list recipes --json
    """
    output.finish(inventory(kind))
