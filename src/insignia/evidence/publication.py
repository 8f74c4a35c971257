"""The file that an owner publishes before a release: commitment, digests of the marked weights, signature."""

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
    """The content of ``commitment.json``. Reveals nothing about the keys."""

    kind: Literal["insignia/signed-commitment"] = "insignia/signed-commitment"
    schema_version: Literal[1] = 1
    commitment: Commitment
    weights: Annotated[dict[str, FileDigest], Field(min_length=1)]
    """File name -> digest of each safetensors file of the marked model."""
    created: str
    """Time by the owner's clock, UTC, ISO 8601. It proves nothing without a time stamp."""

    def content(self) -> bytes:
        """Return the bytes of the file, which a time stamp covers."""
        return json_bytes(self.plain())

    def save(self, path: Path) -> None:
        """Write the file atomically. It is not secret."""
        write_bytes(path, self.content())

    @classmethod
    def load(cls, path: Path) -> "SignedCommitment":
        """Read a commitment and check its signature.

        Raises:
            InputError: the file does not exist.
            FormatError: it is not a commitment, or was changed.
        """
        value = read_json(path)
        try:
            found = cls.model_validate(value)
        except ValidationError as error:
            raise FormatError(f"{path} is not a commitment; expected a file of 'insignia commit': {explain(error)}") from None
        if found.plain() != value or not found.is_genuine():
            raise FormatError(f"{path}: the signature does not match the content; use the commitment as it was published")
        return found


def publish(prints: FingerprintSet, weights: Mapping[str, str], systems: Sequence[str] = ()) -> SignedCommitment:
    """Commit to a whole set, the model it was embedded in (see ``weight_digests``) and system prompts it may be asked under.

    Raises:
        InputError: the set has no secret, two fingerprints have the same key, or a prompt reveals a key or a response.
    """
    rng = owner_rng(prints)
    first: dict[str, int] = {}
    for number, key in enumerate(fingerprint.asked_key for fingerprint in prints):
        if first.setdefault(key, number) != number:
            raise InputError(
                f"fingerprints {first[key]} and {number} have the same key, which a test can ask only once; remove one of them "
                "from the key file, then generate and embed again"
            )
    responses = [text for each in prints for text in each.effective_responses or each.responses]
    if any(reveals_secret(system, first, responses) for system in systems):
        raise InputError("a system prompt contains a key or a response; use one that reveals neither")
    now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
    return SignedCommitment.sign(rng, commitment=commit(prints, rng, systems), weights=dict(weights), created=now)


def owner_rng(prints: FingerprintSet) -> KeyedRandom:
    """Return the random generator of the set's salts and signing key.

    Raises:
        InputError: the set has no secret.
    """
    if prints.secret is None:
        raise InputError(
            "the set has no secret, which salts and signatures need; use a whole set made by 'insignia generate', which takes "
            "pairs from other files with --keys-file"
        )
    try:
        return KeyedRandom(bytes.fromhex(prints.secret))
    except ValueError:  # a chained error would name the position in the secret
        raise InputError("the set's secret is not hexadecimal; is the file damaged?") from None


def weight_digests(model: Path) -> dict[str, str]:
    """Return file name -> digest of each safetensors file in a model folder. Takes about a second per gigabyte.

    Raises:
        InputError: the folder does not exist or has no safetensors file.
    """
    if not model.is_dir():
        raise InputError(f"there is no folder {model}; expected the folder of the marked model")
    files = sorted(model.glob("*.safetensors"))
    if not files:
        raise InputError(f"{model} has no safetensors files; expected the folder of the marked model")
    return {file.name: digest_of_file(file) for file in files}
