"""A promise to the world of what the fingerprints are, made before a dispute and kept one fingerprint at a time.

The commitment is the root of a Merkle tree whose leaves are the fingerprints, each behind a salt of its own, so that it
tells nothing: a guess at a key cannot be tried against it. To open a fingerprint reveals that one alone. Every leaf holds
the number of its fingerprint, the size of the set and the way in which keys are asked; none of these can be changed
afterwards any more than the fingerprint.
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
"""In a committed set: the order of a challenge takes two seconds then. The largest published set has 24,576."""


class Terms(Record):
    """What a set's keys and responses mean to one who asks them; all but the prompts are fields of ``FingerprintSet``."""

    prompt_form: PromptForm
    max_key_length: Annotated[int, Field(ge=1)]
    max_response_length: Annotated[int, Field(ge=1)]
    tokenizer: str | None = None
    chain: Digest | None = None
    systems: Annotated[tuple[Annotated[str, Field(min_length=1)], ...] | None, Field(min_length=1, max_length=64)] = None
    """System prompts under which the set may be asked besides none; readable by everybody."""


class Opening(Record):
    """One fingerprint of a committed set, with what is needed to find it there. Secret until it is shown."""

    number: Annotated[int, Field(ge=0, lt=MAX_FINGERPRINTS)]
    fingerprint: Annotated[Fingerprint, Field(repr=False)]
    salt: Annotated[Digest, Field(repr=False)]
    path: Annotated[tuple[Digest, ...], Field(max_length=64, repr=False)]
    """From the leaf up."""
    chain: Annotated[tuple[Digest, ...] | None, Field(max_length=64, repr=False)] = None
    """The same in the tree that the responses follow from, where they do."""


class Commitment(Record):
    """What is published. Binding and hiding as far as SHA-256 is."""

    kind: Literal["insignia/commitment"] = "insignia/commitment"
    schema_version: Literal[1] = 1
    size: Annotated[int, Field(ge=1, le=MAX_FINGERPRINTS)]
    """Fingerprints in the set."""
    terms: Terms
    root: Digest

    def holds(self, opening: Opening) -> bool:
        """Whether that fingerprint, with that number, is in the committed set. Takes O(log n)."""
        content = _leaf(opening.fingerprint, opening.number, self.size, self.terms, bytes.fromhex(opening.salt))
        root = root_from_path(content, opening.number, self.size, [bytes.fromhex(digest) for digest in opening.path])
        return root is not None and hmac.compare_digest(root, bytes.fromhex(self.root))

    def follows(self, opening: Opening) -> bool:
        """Whether the response is the one that the chain picked; in a set without a chain there is nothing to follow."""
        if self.terms.chain is None or opening.chain is None:
            return self.terms.chain is None and opening.chain is None
        fingerprint, path = opening.fingerprint, [bytes.fromhex(digest) for digest in opening.chain]
        chain, salt = bytes.fromhex(self.terms.chain), bytes.fromhex(opening.salt)
        pick = picked(Link.of(fingerprint), opening.number, self.size, salt=salt, path=path, root=chain)
        return pick is not None and _is_response(fingerprint, pick)


def commit(prints: FingerprintSet, rng: KeyedRandom, systems: Sequence[str] = ()) -> Commitment:
    """Commit to a set; the salts are drawn from ``rng``, which is needed again to open it.

    A set that holds its own secret needs no other: ``KeyedRandom(bytes.fromhex(prints.secret))``. Takes O(n), a third of a
    second for 24,576 fingerprints. ``systems`` are the system prompts to be committed to.

    Raises:
        InputError: the set is too large, or the responses do not follow from its chain: it was changed, or has another
            secret.
    """
    if len(prints) > MAX_FINGERPRINTS:
        raise InputError(f"{len(prints)} fingerprints; a commitment takes at most {MAX_FINGERPRINTS}")
    if prints.chain is not None:
        chain = _chain(prints, rng)
        if chain.root != prints.chain or not all(_is_response(each, chain.pick(i)) for i, each in enumerate(prints)):
            raise InputError("the responses are not those that the set's chain picks; expected the set as it was made, whole")
    terms = _terms(prints, systems)
    return Commitment(size=len(prints), terms=terms, root=tree_root(_leaves(prints, rng, terms)).hex())


def open_fingerprints(
    prints: FingerprintSet, rng: KeyedRandom, numbers: Iterable[int], systems: Sequence[str] = ()
) -> tuple[Opening, ...]:
    """Openings of those fingerprints, in that order, for the commitment made of the same set, chance and prompts.

    Takes O(n) for each.

    Raises:
        InputError: there is no fingerprint of such a number.
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
    """The digest of a leaf: the salt, 32 bytes, then JSON in its canonical spelling."""
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
    """Whether the pick is the one response, among candidates of which no two look alike to one who reads a reply."""
    candidates = fingerprint.candidates or ()
    tokens, texts = {each.token_id for each in candidates}, {" ".join(each.text.split()) for each in candidates}
    if not len(tokens) == len(texts) == len(candidates) or not fingerprint.response_ids:
        return False
    if fingerprint.effective_responses not in {None, fingerprint.responses}:
        return False  # a reply would be searched for another text than the one that was picked
    return fingerprint.responses == (pick.text,) and fingerprint.response_ids[0][0] == pick.token_id


def _terms(prints: FingerprintSet, systems: Sequence[str]) -> Terms:
    fields = {name: getattr(prints, name) for name in Terms.model_fields.keys() - {"systems"}}
    return Terms.model_validate(fields | {"systems": tuple(systems) or None})
