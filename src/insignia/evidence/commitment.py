"""Commitments: the root of a Merkle tree over the fingerprints, published before a dispute.

Each leaf has its own salt, so the root reveals nothing and guesses cannot be tested against it. Opening one fingerprint
reveals no other. Every leaf also has the fingerprint's number, the size of the set and how keys are asked, so none of these
can be changed later.
"""

import hmac
from collections.abc import Iterable, Sequence
from typing import Annotated, Literal

from pydantic import Field

from insignia.errors import InputError
from insignia.evidence.chain import Chain, Link, picked, salt_of
from insignia.evidence.merkle import inclusion_path, leaf_hash, root_from_path, tree_root
from insignia.files import canonical
from insignia.fingerprints.sets import FingerprintSet
from insignia.randomness import KeyedRandom
from insignia.records import Candidate, Digest, Fingerprint, PromptForm, Record

__all__ = ["MAX_FINGERPRINTS", "Commitment", "Opening", "Terms", "commit", "open_fingerprints"]

MAX_FINGERPRINTS = 2**20
"""Largest committed set; the order of its challenge takes two seconds. The largest published set has 24,576."""


class Terms(Record):
    """How a set is asked. All fields but ``systems`` are those of ``FingerprintSet``."""

    prompt_form: PromptForm
    max_key_length: Annotated[int, Field(ge=1)]
    max_response_length: Annotated[int, Field(ge=1)]
    tokenizer: str | None = None
    chain: Digest | None = None
    systems: Annotated[tuple[Annotated[str, Field(min_length=1)], ...] | None, Field(min_length=1, max_length=64)] = None
    """System prompts under which the set may also be asked. They are public."""


class Opening(Record):
    """One fingerprint of a committed set with its proof. Secret until it is shown."""

    number: Annotated[int, Field(ge=0, lt=MAX_FINGERPRINTS)]
    fingerprint: Annotated[Fingerprint, Field(repr=False)]
    salt: Annotated[Digest, Field(repr=False)]
    path: Annotated[tuple[Digest, ...], Field(max_length=64, repr=False)]
    """Inclusion path in the committed tree, from the leaf up."""
    chain: Annotated[tuple[Digest, ...] | None, Field(max_length=64, repr=False)] = None
    """Inclusion path in the chain that picked the responses, if one did."""


class Commitment(Record):
    """The public commitment to a set. It is as binding and hiding as SHA-256."""

    kind: Literal["insignia/commitment"] = "insignia/commitment"
    schema_version: Literal[1] = 1
    size: Annotated[int, Field(ge=1, le=MAX_FINGERPRINTS)]
    """Number of fingerprints in the set."""
    terms: Terms
    root: Digest

    def holds(self, opening: Opening) -> bool:
        """Whether the committed set has this fingerprint with this number. Takes O(log n)."""
        content = _leaf(opening.fingerprint, opening.number, self.size, self.terms, bytes.fromhex(opening.salt))
        root = root_from_path(content, opening.number, self.size, [bytes.fromhex(digest) for digest in opening.path])
        return root is not None and hmac.compare_digest(root, bytes.fromhex(self.root))

    def follows(self, opening: Opening) -> bool:
        """Whether the response is the one that the chain picked; true for a set without a chain."""
        if self.terms.chain is None or opening.chain is None:
            return self.terms.chain is None and opening.chain is None
        fingerprint, path = opening.fingerprint, [bytes.fromhex(digest) for digest in opening.chain]
        chain, salt = bytes.fromhex(self.terms.chain), bytes.fromhex(opening.salt)
        pick = picked(Link.of(fingerprint), opening.number, self.size, salt=salt, path=path, root=chain)
        return pick is not None and _is_response(fingerprint, pick)


def commit(prints: FingerprintSet, rng: KeyedRandom, systems: Sequence[str] = ()) -> Commitment:
    """Commit to a set and to system prompts. Takes O(n), a third of a second for 24,576 fingerprints.

    The salts are drawn from ``rng``, which is also needed to open the commitment: usually the set's own secret.

    Raises:
        InputError: the set is too large, or its chain does not pick its responses: it was changed, or the secret is wrong.
    """
    if len(prints) > MAX_FINGERPRINTS:
        raise InputError(f"{len(prints)} fingerprints; a commitment takes at most {MAX_FINGERPRINTS}")
    if prints.chain is not None:
        chain = _chain(prints, rng)
        if chain.root != prints.chain or not all(_is_response(each, chain.pick(i)) for i, each in enumerate(prints)):
            raise InputError("the responses are not those that the set's chain picks; use the whole set, unchanged")
    terms = _terms(prints, systems)
    return Commitment(size=len(prints), terms=terms, root=tree_root(_leaves(prints, rng, terms)).hex())


def open_fingerprints(
    prints: FingerprintSet, rng: KeyedRandom, numbers: Iterable[int], systems: Sequence[str] = ()
) -> tuple[Opening, ...]:
    """Open fingerprints, in order, of the commitment made with the same arguments. Takes O(n) for each.

    Raises:
        InputError: a number is not in the set.
    """
    leaves = _leaves(prints, rng, _terms(prints, systems))
    chain = None if prints.chain is None else _chain(prints, rng)
    return tuple(
        Opening(
            number=number,
            path=tuple(digest.hex() for digest in inclusion_path(leaves, number)),
            fingerprint=prints.fingerprints[number],
            salt=salt_of(rng, number).hex(),
            chain=None if chain is None else chain.path(number),
        )
        for number in numbers
    )


def _leaves(prints: FingerprintSet, rng: KeyedRandom, terms: Terms) -> list[bytes]:
    return [_leaf(fingerprint, i, len(prints), terms, salt_of(rng, i)) for i, fingerprint in enumerate(prints)]


def _leaf(fingerprint: Fingerprint, number: int, size: int, terms: Terms, salt: bytes) -> bytes:
    """Return the digest of a leaf: the salt (32 bytes), then canonical JSON."""
    content = {
        "fingerprint": fingerprint.model_dump(mode="json", exclude_none=True),
        "number": number,
        "size": size,
        "terms": terms.model_dump(mode="json", exclude_none=True),
    }
    return leaf_hash(salt + canonical(content))


def _chain(prints: FingerprintSet, rng: KeyedRandom) -> Chain:
    return Chain([Link.of(fingerprint) for fingerprint in prints], rng)


def _is_response(fingerprint: Fingerprint, pick: Candidate) -> bool:
    """Whether the pick is the only response, and no two candidates look alike."""
    candidates = fingerprint.candidates or ()
    tokens, texts = {each.token_id for each in candidates}, {" ".join(each.text.split()) for each in candidates}
    if not len(tokens) == len(texts) == len(candidates) or not fingerprint.response_ids:
        return False
    if fingerprint.order is not None:
        return False  # the chain picks no order
    if fingerprint.effective_responses not in {None, fingerprint.responses}:
        return False  # replies would be searched for another text than the picked one
    return fingerprint.responses == (pick.text,) and fingerprint.response_ids[0][0] == pick.token_id


def _terms(prints: FingerprintSet, systems: Sequence[str]) -> Terms:
    fields = {name: getattr(prints, name) for name in Terms.model_fields.keys() - {"systems"}}
    return Terms.model_validate(fields | {"systems": tuple(systems) or None})
