"""``insignia lock`` and ``insignia unlock``: fingerprint files that only their owner can read."""

from pathlib import Path
from typing import Annotated

import typer

from insignia.cli.console import JsonFlag, emit_json, say
from insignia.errors import InputError

__all__ = ["lock", "unlock"]


def lock(
    prints: Annotated[Path, typer.Argument(help="Fingerprint file in any supported format.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Locked file to write; the age command opens it, too.")],
    recipient: Annotated[
        list[str] | None,
        typer.Option(help="age1... to lock to, repeatable. Default: a passphrase, from INSIGNIA_PASSPHRASE or asked for."),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    json_output: JsonFlag = False,
) -> None:
    """Lock a fingerprint file by a passphrase or to recipients, in the age format; every command reads it so."""
    from insignia.files import read_bytes, refuse_existing, write_bytes
    from insignia.fingerprints import locks as vault
    from insignia.fingerprints.sets import load_pairs

    refuse_existing(output, force=force)
    content = read_bytes(prints)
    if vault.is_locked(content):
        raise InputError(f"{prints} is locked already; unlock it first to lock it otherwise")
    count = len(load_pairs(prints))  # what is locked broken is found out too late
    recipients = recipient or []
    passphrase = None if recipients else vault.new_passphrase()
    write_bytes(output, vault.lock(content, passphrase=passphrase, recipients=recipients), secret=True)
    if json_output:
        emit_json({"out": str(output), "num_fingerprints": count, "recipients": len(recipients)})
    else:
        say(f"{output}: {count} fingerprints, locked. Try it with 'insignia unlock', then delete {prints}")


def unlock(
    prints: Annotated[Path, typer.Argument(help="File locked by 'insignia lock' or by age.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Plain file to write, mode 0600.")],
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    json_output: JsonFlag = False,
) -> None:
    """Write a locked fingerprint file as it was; INSIGNIA_PASSPHRASE or INSIGNIA_IDENTITY (a file) opens it."""
    from insignia.files import read_bytes, refuse_existing, write_bytes
    from insignia.fingerprints import locks as vault

    refuse_existing(output, force=force)
    if not vault.is_locked(read_bytes(prints)):
        raise InputError(f"{prints} is not locked; expected a file made by 'insignia lock' or by age")
    write_bytes(output, vault.read_unlocked(prints), secret=True)
    if json_output:
        emit_json({"out": str(output)})
    else:
        say(f"{output}: as it was before it was locked, readable by you alone.")
