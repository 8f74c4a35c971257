"""``insignia plan``: how many keys to embed and to ask."""

from typing import Annotated

import typer

from insignia.cli.console import JsonFlag, emit_json, percent, show_table

__all__ = ["plan"]


def plan(
    null: Annotated[
        str,
        typer.Option(
            help="How often an innocent model hits: 1/K where the secret draws each response from K candidates, "
            "or as in 'verify'."
        ),
    ],
    alpha: Annotated[float, typer.Option(help="Largest chance of accusing an innocent suspect.")] = 1e-6,
    survival: Annotated[float, typer.Option(help="Share of the fingerprints that a thief's work leaves.")] = 0.3,
    power: Annotated[float, typer.Option(help="Chance of proof that the keys must give.")] = 0.95,
    suspects: Annotated[int, typer.Option(help="Suspects in all, each of which is asked keys of its own.")] = 1,
    json_output: JsonFlag = False,
) -> None:
    """Say how many fingerprints to embed, and how many keys a verdict will cost, before a mark is made."""
    from insignia.verification.null import null_named
    from insignia.verification.plan import plan as make_plan

    made = make_plan(null_named(null), alpha=alpha, survival=survival, power=power, suspects=suspects)
    if json_output:
        emit_json(made.model_dump(mode="json"))
        return
    rows = [
        ["fingerprints to embed, at least", str(made.embed)],
        ["keys to ask a suspect, at most", str(made.test.max_queries)],
        ["keys after which half of such marks are proven", str(made.median)],
        ["chance of proof", percent(made.power)],
    ]
    show_table(f"To prove a mark of which {percent(survival)} survives, at alpha {alpha:g}", ["", ""], rows)
