"""``insignia report``: one page of results, to hand over."""

from pathlib import Path
from typing import Annotated

import typer

from insignia.errors import OutputError
from insignia.evidence.judge import Judge
from insignia.evidence.standard import Standard
from insignia.flags.fields import takes
from insignia.reporting.output import Written
from insignia.reporting.readers import PageOptions

__all__ = ["report"]


@takes()
def report(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="Results: verdicts, bundles, evaluations, and more.")],
    out: Annotated[Path, typer.Option("--output", "-o", help="Page to write: .html or .md.")],
    page: PageOptions,
    judge: Judge,
    standard: Standard,
    written: Written,
) -> None:
    """Put results on one page that anybody can read: is it mine, how sure is that, what could be wrong, and every number.

    It takes verdicts ('verify -o v.json'), transcripts (with --prints), bundles ('disclose'), which are audited, evaluations,
    and what 'embed --json' printed. A page shows no key, unless --show-keys says so. Figures need the extra 'report'; a page
    in Markdown has none.

    Examples:
        insignia report verdict.json -o report.html
        insignia report evidence.json study --commitment commitment.json -o report.html
    """
    from insignia.reporting.base import refuse_format, told, write_report
    from insignia.reporting.handover import hand_over

    refuse_format(out)
    written.refuse(out)
    if out.resolve() in {file.resolve() for file in files}:
        raise OutputError(f"{out} is one of the files to tell of; choose another output")
    document = hand_over(files, page, judge, standard)
    write_report(document, out, secret=page.show_keys)
    lines = [f"{result['title']}: {result['answer']}" for result in document.data["results"]]
    kept = "It shows keys: keep it as you keep the bundle." if page.show_keys else "No key and no response is in it."
    written.finish(told(*lines, f"{out}: {kept}", out=str(out), **document.data))
