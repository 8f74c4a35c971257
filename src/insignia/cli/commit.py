"""``insignia commit``: a promise of what the fingerprints are, made before anybody disputes them."""

from pathlib import Path
from typing import Annotated

import typer

from insignia.flags.fields import takes
from insignia.reporting.output import Written
from insignia.terminal import counted

__all__ = ["commit"]


@takes()
def commit(
    prints: Annotated[Path, typer.Argument(help="Fingerprint file, locked or plain, with its secret.")],
    model: Annotated[Path, typer.Option("--model", help="Folder of the marked model, as it will be published.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Commitment to write; publish it, it tells no secret.")],
    written: Written,
    timestamp_request: Annotated[
        Path | None, typer.Option(help="Also write an RFC 3161 request, which a time-stamping authority answers.")
    ] = None,
    system: Annotated[
        list[str] | None,
        typer.Option(help="System prompt under which the keys may be asked, too; everybody can read it. Several: repeat it."),
    ] = None,
) -> None:
    """Commit to a set and to the model that carries it; publish the result before the model.

    Examples:
        insignia commit prints.json --model marked -o commitment.json
    """
    from insignia.evidence import timestamp
    from insignia.files import write_bytes
    from insignia.keyring.keyring import Keyring
    from insignia.reporting.base import told

    written.refuse(output, ".json")
    if timestamp_request is not None:
        written.refuse(timestamp_request)
    published = Keyring.open(prints).commit(model, systems=system or ())
    published.save(output)
    if timestamp_request is not None:
        write_bytes(timestamp_request, timestamp.timestamp_request(published.content()))
    root, size, chain = published.commitment.root, published.commitment.size, published.commitment.terms.chain
    about = {"root": root, "chain": chain, "num_fingerprints": size, "public_key": published.public_key}
    line = f"{output}: {counted(size, 'fingerprint')}, root {root}, signed by {published.public_key}"
    after = "Publish it where its date can be proven, before the model. Never change the fingerprint file from now on."
    written.finish(told(line, after, out=str(output), **about))
