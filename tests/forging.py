"""Bundles as an owner makes them who does not mind signing a lie: plain data, changed at will, signed anew."""

import hashlib
import json

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from insignia.evidence.publication import owner_rng
from insignia.files import canonical


def signed(record, prints):
    """The record with a signature of the set's owner."""
    key = Ed25519PrivateKey.from_private_bytes(owner_rng(prints).derive("signing key").secret)
    record |= {"public_key": key.public_key().public_bytes_raw().hex()}
    message = canonical({name: part for name, part in record.items() if name != "signature"})
    return record | {"signature": key.sign(message).hex()}


def chained_lines(lines):
    """The lines (plain data, or text that is none), each with the digest of the one before it."""
    previous, result = "0" * 64, []
    for line in lines:
        result.append(line if isinstance(line, str) else canonical(line | {"previous": previous}).decode())
        previous = hashlib.sha256(result[-1].encode()).hexdigest()
    return result


def with_rules(bundle, prints, change, *, says=None, claim=()):
    """The bundle's bytes after ``change`` worked on the rules of every transcript; ``says``: another text of all replies."""
    value = bundle if isinstance(bundle, dict) else json.loads(bundle.content())

    def changed(lines):
        header, *entries = map(json.loads, lines)
        change(header["rules"])
        for entry in entries:
            if says is not None:
                entry["reply"]["text"] = says
        return chained_lines([header, *entries])

    value["transcript"] = changed(value["transcript"])
    if "controls" in value:
        value["controls"] = [changed(lines) for lines in value["controls"]]
    value["claim"] |= dict(claim)
    return canonical(signed(value, prints)) + b"\n"
