"""``insignia lock`` and ``insignia unlock``: fingerprint files that only their owner can read."""

from pathlib import Path
from typing import Annotated

import typer

from insignia.errors import InputError
from insignia.files import read_bytes, write_bytes
from insignia.fingerprints import locks
from insignia.flags.fields import takes
from insignia.reporting.base import told
from insignia.reporting.output import Written
from insignia.terminal import counted

__all__ = ["lock", "unlock"]


@takes()
def lock(
    prints: Annotated[Path, typer.Argument(help="Fingerprint file in any supported format.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Locked file to write; the age command opens it, too.")],
    written: Written,
    recipient: Annotated[
        list[str] | None,
        typer.Option(help="age1... to lock to, repeatable. Default: a passphrase, from INSIGNIA_PASSPHRASE or asked for."),
    ] = None,
) -> None:
    """Lock a fingerprint file by a passphrase or to recipients, in the age format; every command reads it so.

    Examples:
        insignia lock prints.json -o prints.age
        insignia lock prints.json -o prints.age --recipient age1qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqs3290gq
    """
    from insignia.fingerprints.sets import load_pairs

    written.refuse(output)
    content = read_bytes(prints)
    if locks.is_locked(content):
        raise InputError(f"{prints} is locked already; unlock it first to lock it otherwise")
    count = len(load_pairs(prints))  # a damaged file is found out now: nobody sees it once it is locked
    recipients = recipient or []
    passphrase = None if recipients else locks.new_passphrase()
    write_bytes(output, locks.lock(content, passphrase=passphrase, recipients=recipients), secret=True)
    line = f"{output}: {counted(count, 'fingerprint')}, locked. Try it with 'insignia unlock', then delete {prints}"
    written.finish(told(line, out=str(output), num_fingerprints=count, recipients=len(recipients)))


@takes()
def unlock(
    prints: Annotated[Path, typer.Argument(help="File locked by 'insignia lock' or by age.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Plain file to write, mode 0600.")],
    written: Written,
) -> None:
    """Write a locked fingerprint file as it was; INSIGNIA_PASSPHRASE or INSIGNIA_IDENTITY (a file) opens it.

    Examples:
        insignia unlock prints.age -o prints.json
        INSIGNIA_IDENTITY=key.txt insignia unlock prints.age -o prints.json
    """
    written.refuse(output)
    if not locks.is_locked(read_bytes(prints)):
        raise InputError(f"{prints} is not locked; expected a file made by 'insignia lock' or by age")
    write_bytes(output, locks.read_unlocked(prints), secret=True)
    written.finish(told(f"{output}: as it was before it was locked, readable by you alone.", out=str(output)))
