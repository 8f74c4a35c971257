"""Files locked in the age format (age-encryption.org/v1), with a passphrase or to recipients.

A passphrase is never a command-line argument, since process lists show those. It is read from the environment variable
``INSIGNIA_PASSPHRASE`` or asked for on the terminal. For a file locked to recipients, ``INSIGNIA_IDENTITY`` names a file of
age identities, which may itself be locked with a passphrase.

pyrage is imported only where it is needed, since plain files do without it.
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
_BY_PASSPHRASE = b"\n-> scrypt "  # in the age format, this stanza is the only one if it occurs
_END_OF_HEADER = b"\n--- "
# pyrage has one error class. These two messages mean that the file seems intact but the key is wrong.
_WRONG_KEY = {"Decryption failed", "No matching keys found"}
_TOO_MUCH_WORK = "Excessive work parameter"
# age refuses a passphrase that takes 16 times the work of one second here. It times the machine for a millisecond, so one that
# does other things looks too slow. One timing of many is undisturbed; a file that asks for too much fails them all.
_TIMINGS = 100


def is_locked(content: bytes) -> bool:
    """Whether the content is in the age format, binary or ASCII-armored."""
    return content.startswith((_HEADER, _ARMOR))


def lock(content: bytes, *, passphrase: str | None = None, recipients: Sequence[str] = ()) -> bytes:
    """Lock content with a passphrase, which takes a second, or to ``age1...`` recipients, each of whom can open it.

    Raises:
        InputError: neither or both were given, or a recipient is malformed.
    """
    import pyrage  # noqa: PLC0415  see the module's docstring

    if bool(passphrase) == bool(recipients):
        raise InputError("expected either a non-empty passphrase or recipients")
    if passphrase:
        return bytes(pyrage.passphrase.encrypt(content, passphrase))
    try:
        known = [pyrage.x25519.Recipient.from_str(recipient) for recipient in recipients]
    except pyrage.RecipientError:
        raise InputError(
            "a recipient is malformed; expected age1 and 58 more letters and digits, as age-keygen prints them"
        ) from None
    return bytes(pyrage.encrypt(content, known))


def unlock(content: bytes, path: Path, *, passphrase: str | None = None, identities: Sequence[str] = ()) -> bytes:
    """Unlock content; ``path`` is for messages. A passphrase takes a second.

    Raises:
        WrongKeyError: the passphrase or the identities do not open the file.
        FormatError: the file is damaged.
        InputError: an identity is malformed.
    """
    import pyrage  # noqa: PLC0415  see the module's docstring

    try:
        if passphrase is not None:
            return _tried_often(content, path, passphrase)
        return bytes(pyrage.decrypt(content, [pyrage.x25519.Identity.from_str(identity) for identity in identities]))
    except pyrage.IdentityError:
        raise InputError("an identity is malformed; expected lines of AGE-SECRET-KEY-1..., as age-keygen writes them") from None
    except pyrage.DecryptError as error:
        if str(error) not in _WRONG_KEY:
            raise _damaged(path) from None
    what = "none of the identities opens it" if passphrase is None else "the passphrase is wrong"
    raise WrongKeyError(f"{path} is locked, and {what}; use what it was locked with") from None


def read_unlocked(path: Path) -> bytes:
    """Return the content of a file. A locked file is opened with the key from the environment or the terminal.

    Raises:
        InputError: the file does not exist or cannot be read.
        WrongKeyError: the file is locked, and the key is missing or wrong.
        FormatError: the file is damaged.
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
    """Return a passphrase to lock with, from the environment or typed twice on the terminal.

    Raises:
        InputError: there is neither, the two entries differ, or the passphrase is empty.
    """
    if (found := os.environ.get(PASSPHRASE_VARIABLE)) is None:
        if not sys.stdin.isatty():
            raise InputError(f"a passphrase is needed; set {PASSPHRASE_VARIABLE}, run on a terminal, or name recipients")
        found = getpass.getpass("New passphrase: ")
        if getpass.getpass("Again: ") != found:
            raise InputError("the two passphrases differ; nothing was locked")
    if not found:
        raise InputError("the passphrase is empty; choose one that is hard to guess, such as five random words")
    return found


def _tried_often(content: bytes, path: Path, passphrase: str) -> bytes:
    import pyrage  # noqa: PLC0415  see the module's docstring

    for _ in range(_TIMINGS):
        try:
            return bytes(pyrage.passphrase.decrypt(content, passphrase))
        except pyrage.DecryptError as error:
            if not str(error).startswith(_TOO_MUCH_WORK):
                raise
    raise InputError(f"{path} is locked so that its passphrase takes minutes to try; lock it again where it was made")


def _damaged(path: Path) -> FormatError:
    return FormatError(f"{path} is locked and damaged; use an undamaged copy")


def _start(content: bytes) -> bytes:
    """Return the start of the header, with its first stanza; empty if the ASCII form is damaged."""
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
        raise WrongKeyError(f"{path} is locked with a passphrase; set {PASSPHRASE_VARIABLE} or run on a terminal")
    return getpass.getpass(f"Passphrase of {path}: ")


def _identities(path: Path) -> list[str]:
    if not (name := os.environ.get(IDENTITY_VARIABLE)):
        raise WrongKeyError(f"{path} is locked to recipients; set {IDENTITY_VARIABLE} to the file with your identity")
    file = Path(name)
    content = read_bytes(file)
    if is_locked(content):
        content = unlock(content, file, passphrase=_passphrase(file))
    lines = (line.strip() for line in content.decode(errors="replace").splitlines())
    return [line for line in lines if line and not line.startswith("#")]
