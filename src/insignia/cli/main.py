"""The ``insignia`` command: its verbs, its one error handler and its exit status.

0 done (``check``, ``verify``, ``audit``: the mark was found) · 1 something went wrong · 2 bad command line · 3 asked, and not
found · 4 inconclusive.
"""

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from insignia.cli.audit import audit
from insignia.cli.check import check
from insignia.cli.commit import commit
from insignia.cli.demo import demo
from insignia.cli.disclose import disclose
from insignia.cli.embed import embed
from insignia.cli.env import env
from insignia.cli.evaluate import evaluate
from insignia.cli.export import export
from insignia.cli.finetune import finetune
from insignia.cli.generate import generate
from insignia.cli.listing import list_parts
from insignia.cli.lock import lock, unlock
from insignia.cli.null import null
from insignia.cli.plan import plan
from insignia.cli.share import share
from insignia.cli.show import show
from insignia.cli.stamp import stamp
from insignia.cli.vector import vector
from insignia.cli.verify import verify
from insignia.errors import InsigniaError
from insignia.terminal import has_controls, shown

__all__ = ["app", "main"]

app = typer.Typer(
    name="insignia",
    help="Secret, provable ownership fingerprints for language models.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,  # a traceback with local variables would show secrets
    context_settings={"help_option_names": ["-h", "--help"]},
)
_OF_MODELS = (plan, generate, embed, check, vector, stamp, verify, null, finetune, evaluate)
_OF_SECRETS = (export, lock, unlock, share, commit, disclose, audit)
for verb in (*_OF_MODELS, *_OF_SECRETS, show):
    app.command()(verb)
app.command("list")(list_parts)
app.command()(env)
app.command()(demo)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"insignia {version('insignia')}")
        raise typer.Exit


@app.callback()
def _root(
    show_version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Secret, provable ownership fingerprints for language models."""
    del show_version


def main() -> None:
    """Run the command; errors that are the user's to read become one line and exit status 1."""
    if any(map(has_controls, sys.argv)):  # the parser would repeat what it cannot read
        typer.echo("error: an argument holds control characters; expected printable text", err=True)
        sys.exit(2)
    try:
        app()
    except InsigniaError as error:
        _fail(str(error))
    except ValueError as error:
        from pydantic import ValidationError

        from insignia.registry import explain

        if not isinstance(error, ValidationError):
            raise
        _fail(f"a setting cannot be: {explain(error)}")
    except OSError as error:
        _fail(": ".join(filter(None, (error.filename and str(error.filename), error.strerror or str(error)))))


def _fail(message: str) -> None:
    typer.echo(f"error: {shown(message)}", err=True)
    sys.exit(1)
