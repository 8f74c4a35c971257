"""``insignia publish``: upload a marked model to a hub, after a look for secrets."""

from pathlib import Path
from typing import Annotated

import typer

from insignia.flags.fields import takes
from insignia.reporting.output import Output

__all__ = ["publish"]


@takes()
def publish(
    folder: Annotated[Path, typer.Argument(help="Folder of a marked, stamped or issued model.")],
    repository: Annotated[str, typer.Argument(help="Repository of a Hugging Face hub: owner/name.")],
    output: Output,
    commitment: Annotated[
        Path | None, typer.Option(help="What 'insignia commit' wrote: uploaded beside the model, and named by its card.")
    ] = None,
    also: Annotated[
        list[str] | None, typer.Option(help="Name of a further file in the folder to upload; holds no secret. Repeatable.")
    ] = None,
    private: Annotated[bool, typer.Option("--private-repository", help="Create the repository as a private one.")] = False,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be uploaded, with sizes and digests, and upload nothing.")
    ] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the files of a repository that has some.")] = False,
) -> None:
    """Upload the folder of a marked model to a hub, in one commit.

    Every file has to be of a kind that a published model has. Fingerprints, vectors, owner weights, ledgers, evidence and
    private keys are known by their content and refused, whatever they are called. The token is that of 'hf auth login'.

    Examples:
        insignia publish marked owner/name --commitment commitment.json --dry-run
        insignia publish marked owner/name --commitment commitment.json
    """
    from insignia.publishing.upload import publish as upload
    from insignia.reporting.publications import publication_report

    found = upload(
        folder,
        repository,
        commitment=commitment,
        also=also or (),
        private=private or None,
        dry_run=dry_run,
        force=force,
        progress=output.progress(),
    )
    output.finish(publication_report(found))
