"""Files locked in the age format (age-encryption.org/v1), by a passphrase or to recipients, as the ``age`` command does it.

A passphrase is never an argument of a command, where a list of processes would show it. To read a locked file it is
taken from the environment variable ``INSIGNIA_PASSPHRASE``, else asked for on a terminal; where the file was locked to
recipients, ``INSIGNIA_IDENTITY`` names a file of age identities, which may be locked by a passphrase itself.

pyrage is imported by the functions that need it: plain files are read without.
"""

import base64
import binascii
import getpass
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from insignia.errors import FormatError, InputError, WrongKeyError
from insignia.files import read_bytes

__all__ = ["IDENTITY_VARIABLE", "PASSPHRASE_VARIABLE", "is_locked", "lock", "new_passphrase", "read_unlocked", "unlock"]

PASSPHRASE_VARIABLE = "INSIGNIA_PASSPHRASE"  # noqa: S105  a name
IDENTITY_VARIABLE = "INSIGNIA_IDENTITY"

_HEADER = b"age-encryption.org/"
_ARMOR = b"-----BEGIN AGE ENCRYPTED FILE-----"
_BY_PASSPHRASE = b"\n-> scrypt "  # the age format has this stanza alone or not at all
_END_OF_HEADER = b"\n--- "
# pyrage has one error class for all. These two say that the file is whole as far as can be told without the right key.
_WRONG_KEY = {"Decryption failed", "No matching keys found"}


def is_locked(content: bytes) -> bool:
    """Whether the content is in the age format, in its binary or its ASCII form."""
    return content.startswith((_HEADER, _ARMOR))


def lock(content: bytes, *, passphrase: str | None = None, recipients: Sequence[str] = ()) -> bytes:
    """The content, locked by a passphrase or to ``age1...`` recipients, any of whom opens it. A passphrase takes a second.

    Raises:
        InputError: neither or both were given, or a recipient is none.
    """
    import pyrage  # noqa: PLC0415  see the module's docstring

    if bool(passphrase) == bool(recipients):
        raise InputError("expected a passphrase that is not empty, or recipients, not both")
    if passphrase:
        return bytes(pyrage.passphrase.encrypt(content, passphrase))
    try:
        known = [pyrage.x25519.Recipient.from_str(recipient) for recipient in recipients]
    except pyrage.RecipientError:
        raise InputError(
            "a recipient is not one; expected age1 and 58 more letters and digits, as age-keygen prints them"
        ) from None
    return bytes(pyrage.encrypt(content, known))


def unlock(content: bytes, path: Path, *, passphrase: str | None = None, identities: Sequence[str] = ()) -> bytes:
    """What was locked; ``path`` is for messages. A passphrase takes a second.

    Raises:
        WrongKeyError: the file looks whole but does not open with what was given.
        FormatError: the file is damaged.
        InputError: an identity is none.
    """
    import pyrage  # noqa: PLC0415  see the module's docstring

    try:
        if passphrase is not None:
            return bytes(pyrage.passphrase.decrypt(content, passphrase))
        return bytes(pyrage.decrypt(content, [pyrage.x25519.Identity.from_str(identity) for identity in identities]))
    except pyrage.IdentityError:
        raise InputError("an identity is not one; expected lines of AGE-SECRET-KEY-1..., as age-keygen writes them") from None
    except pyrage.DecryptError as error:
        if str(error) not in _WRONG_KEY:
            raise _damaged(path) from None
    what = "none of the identities opens it" if passphrase is None else "the passphrase is wrong"
    raise WrongKeyError(f"{path} is locked, and {what}; expected what it was locked with") from None


def read_unlocked(path: Path) -> bytes:
    """What a file holds, opened if it is locked with what the environment or a person at the terminal gives.

    Raises:
        InputError: no such file, or it cannot be read.
        WrongKeyError, FormatError: as ``unlock``; WrongKeyError too where no key is at hand.
    """
    content = read_bytes(path)
    if not is_locked(content):
        return content
    if content.startswith(_HEADER) and _END_OF_HEADER not in content:
        raise _damaged(path)
    if _BY_PASSPHRASE in _start(content):
        return unlock(content, path, passphrase=_passphrase(path))
    return unlock(content, path, identities=_identities(path))


def new_passphrase() -> str:
    """A passphrase to lock with: that of the environment, else asked for twice on a terminal.

    Raises:
        InputError: there is neither, or the two differ, or it is empty.
    """
    if (found := os.environ.get(PASSPHRASE_VARIABLE)) is None:
        if not sys.stdin.isatty():
            raise InputError(f"a passphrase is needed; set {PASSPHRASE_VARIABLE}, run it on a terminal, or name recipients")
        found = getpass.getpass("New passphrase: ")
        if getpass.getpass("Again: ") != found:
            raise InputError("the two passphrases differ; nothing was locked")
    if not found:
        raise InputError("the passphrase is empty; expected one that nobody guesses: five random words are good")
    return found


def _damaged(path: Path) -> FormatError:
    return FormatError(f"{path} is locked and damaged; expected a whole file: fetch another copy")


def _start(content: bytes) -> bytes:
    """The beginning of the header, long enough to show its first stanza; empty where the ASCII form is damaged."""
    if content.startswith(_HEADER):
        return content[:100]
    try:
        return base64.b64decode(b"".join(content.split(b"\n")[1:3]).replace(b"\r", b""), validate=True)
    except binascii.Error:
        return b""


def _passphrase(path: Path) -> str:
    if (found := os.environ.get(PASSPHRASE_VARIABLE)) is not None:
        return found
    if not sys.stdin.isatty():
        raise WrongKeyError(f"{path} is locked by a passphrase; set {PASSPHRASE_VARIABLE} or run it on a terminal")
    return getpass.getpass(f"Passphrase of {path}: ")


def _identities(path: Path) -> list[str]:
    if not (name := os.environ.get(IDENTITY_VARIABLE)):
        raise WrongKeyError(f"{path} is locked to recipients; set {IDENTITY_VARIABLE} to the file that holds your identity")
    file = Path(name)
    content = read_bytes(file)
    if is_locked(content):
        content = unlock(content, file, passphrase=_passphrase(file))
    lines = (line.strip() for line in content.decode(errors="replace").splitlines())
    return [line for line in lines if line and not line.startswith("#")]
