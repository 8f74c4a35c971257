"""What an owner publishes before a release: the commitment to the set, the digests of the marked weights, a signature."""

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from insignia.errors import FormatError, InputError
from insignia.evidence.commitment import Commitment, commit
from insignia.evidence.signing import Signed
from insignia.files import digest_of_file, json_bytes, read_json, write_bytes
from insignia.fingerprints.sets import FingerprintSet
from insignia.randomness import KeyedRandom
from insignia.registry import explain
from insignia.verification.system_prompts import reveals_secret

__all__ = ["SignedCommitment", "owner_rng", "publish", "weight_digests"]

FileDigest = Annotated[str, Field(pattern="^sha256:[0-9a-f]{64}$")]


class SignedCommitment(Signed):
    """The content of ``commitment.json``; tells nothing of the keys."""

    kind: Literal["insignia/signed-commitment"] = "insignia/signed-commitment"
    schema_version: Literal[1] = 1
    commitment: Commitment
    weights: Annotated[dict[str, FileDigest], Field(min_length=1)]
    """File name -> digest of each safetensors file of the marked model."""
    created: str
    """UTC, ISO 8601, by the owner's own clock: only a time stamp or a newspaper proves it."""

    def content(self) -> bytes:
        """The commitment as a file holds it, which is what a time stamp is of."""
        return json_bytes(self.plain())

    def save(self, path: Path) -> None:
        """Write it, whole or not at all; it is no secret."""
        write_bytes(path, self.content())

    @classmethod
    def load(cls, path: Path) -> "SignedCommitment":
        """Read one whose signature holds.

        Raises:
            InputError: there is no such file.
            FormatError: it is no commitment, or something in it was changed.
        """
        value = read_json(path)
        try:
            found = cls.model_validate(value)
        except ValidationError as error:
            raise FormatError(f"{path} is no commitment; expected one of 'insignia commit': {explain(error)}") from None
        if found.plain() != value or not found.is_genuine():
            raise FormatError(f"{path}: the signature is not of this content; fetch the commitment as it was published")
        return found


def publish(prints: FingerprintSet, weights: Mapping[str, str], systems: Sequence[str] = ()) -> SignedCommitment:
    """Commit to a set, whole, to the model it was embedded in (``weight_digests``), and to prompts it may be asked under.

    Raises:
        InputError: the set holds no secret, two fingerprints have one key, or a prompt gives a key or a response away.
    """
    rng = owner_rng(prints)
    first: dict[str, int] = {}
    for number, key in enumerate(fingerprint.effective_key or fingerprint.key for fingerprint in prints):
        if first.setdefault(key, number) != number:
            raise InputError(
                f"fingerprints {first[key]} and {number} have the same key, which a test can ask only once; leave one of them "
                "out of the key file, then generate and embed again"
            )
    responses = [text for each in prints for text in each.effective_responses or each.responses]
    if any(reveals_secret(system, first, responses) for system in systems):
        raise InputError("a system prompt holds the text of a key or of a response; commit to one that gives nothing away")
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return SignedCommitment.sign(rng, commitment=commit(prints, rng, systems), weights=dict(weights), created=now)


def owner_rng(prints: FingerprintSet) -> KeyedRandom:
    """What the salts and the signing key of a set are drawn from.

    Raises:
        InputError: the set holds no secret.
    """
    if prints.secret is None:
        raise InputError(
            "the set holds no secret, which salts and signatures are made from; expected one made by 'insignia generate', "
            "which takes pairs of other files with --keys-file, and no part of one"
        )
    try:
        return KeyedRandom(bytes.fromhex(prints.secret))
    except ValueError:  # chained, it would show the place in the secret
        raise InputError("the set's secret is not hexadecimal; is the file damaged?") from None


def weight_digests(model: Path) -> dict[str, str]:
    """File name -> digest of each safetensors file in a model's folder, about a second per gigabyte.

    Raises:
        InputError: there is no such folder, or no safetensors file in it.
    """
    files = sorted(model.glob("*.safetensors"))
    if not files:
        raise InputError(f"{model} holds no safetensors files; expected the folder of the marked model")
    return {file.name: digest_of_file(file) for file in files}
