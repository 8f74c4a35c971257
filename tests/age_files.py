"""Files in the age format (age-encryption.org/v1) under a passphrase that is quick to try: pyrage's own take a second each.

Written from the specification (https://age-encryption.org/v1), so what reads them reads the format and not only its own files.
"""

import base64
import os

from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.hmac import HMAC
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

VERSION = b"age-encryption.org/v1"
_CHUNK = 2**16
_WORK = 4  # pyrage chooses 18 or so


def locked(content, passphrase):
    """The content as an age file of one passphrase."""
    file_key, salt, nonce = os.urandom(16), os.urandom(16), os.urandom(16)
    wrapping = Scrypt(salt=VERSION + b"/scrypt" + salt, length=32, n=2**_WORK, r=8, p=1).derive(passphrase.encode())
    stanza = b"-> scrypt %s %d\n%s\n" % (
        _coded(salt),
        _WORK,
        _coded(ChaCha20Poly1305(wrapping).encrypt(bytes(12), file_key, None)),
    )
    header = VERSION + b"\n" + stanza + b"---"
    mac = HMAC(_derived(file_key, b"", b"header"), SHA256())
    mac.update(header)
    cipher, chunks = ChaCha20Poly1305(_derived(file_key, nonce, b"payload")), range(0, max(1, len(content)), _CHUNK)
    body = [
        cipher.encrypt(number.to_bytes(11) + bytes([start == chunks[-1]]), content[start : start + _CHUNK], None)
        for number, start in enumerate(chunks)
    ]
    return header + b" " + _coded(mac.finalize()) + b"\n" + nonce + b"".join(body)


def _coded(content):
    return base64.b64encode(content).rstrip(b"=")


def _derived(key, salt, purpose):
    return HKDF(SHA256(), 32, salt, purpose).derive(key)
