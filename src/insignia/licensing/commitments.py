"""Commitments to code words: proof that whom an owner accuses was not chosen after the leak was seen.

The root of a Merkle tree over all licensees is published, signed like the commitment to the fingerprints. Each leaf has its own
salt, so the root tells neither names nor code words. The biases of the blocks are committed to as well, since a judge who
computes the evidence again needs them. Opening one licensee tells nothing of the others.
"""

import datetime
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, ValidationError

from insignia.errors import FormatError, InputError
from insignia.evidence.merkle import inclusion_path, leaf_hash, root_from_path, tree_root
from insignia.evidence.publication import owner_rng
from insignia.evidence.signing import Signed
from insignia.files import canonical, json_bytes, read_json, write_bytes
from insignia.keyring.kept_set import KeptSet
from insignia.licensing.book import Book
from insignia.licensing.codes import Code
from insignia.licensing.issuing import digests
from insignia.randomness import KeyedRandom
from insignia.records import Digest, Record
from insignia.registry import explain

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["CodeCommitment", "CodeOpening", "OpenedBiases", "commit_codes", "open_biases", "open_licensee", "spelled"]


class CodeOpening(Record):
    """One licensee's place in a commitment, with its proof."""

    licensee: str
    number: Annotated[int, Field(ge=0)]
    """Place in the book, from 0."""
    word: Annotated[str, Field(pattern="^[0-9a-f]+$", repr=False)]
    """The code word as hexadecimal, the first block's bit first, filled up with zeros."""
    copies: tuple[dict[str, str], ...]
    """For each copy, file name -> BLAKE3 digest."""
    salt: Annotated[Digest, Field(repr=False)]
    path: Annotated[tuple[Digest, ...], Field(max_length=64, repr=False)]
    """Inclusion path in the committed tree, from the leaf up."""
    seed: Annotated[Digest | None, Field(repr=False)] = None
    """What the code word was drawn from, so that a judge can see that it was not chosen. None: made by version 0.1."""

    def is_copy(self, folder: Path) -> bool:
        """Whether a model folder is one of the copies, byte for byte. It needs blake3, of the extra ``torch``."""
        return digests(folder) in self.copies


class OpenedBiases(Record):
    """The biases of all blocks, for a judge who computes evidence again. Three who know them and collude can hide."""

    biases: Annotated[tuple[float, ...], Field(repr=False)]
    salt: Annotated[Digest, Field(repr=False)]


class CodeCommitment(Signed):
    """The public commitment to the code words of all licensees in a book at one time."""

    kind: Literal["insignia/code-commitment"] = "insignia/code-commitment"
    schema_version: Literal[1] = 1
    code: Code
    size: Annotated[int, Field(ge=1)]
    """Number of licensees."""
    biases: Digest
    root: Digest
    created: str
    """Time by the owner's clock, UTC, ISO 8601. It proves nothing without a time stamp."""

    def save(self, path: Path) -> None:
        """Write the file atomically. It is not secret."""
        write_bytes(path, json_bytes(self.plain()))

    @classmethod
    def load(cls, path: Path) -> "CodeCommitment":
        """Read a commitment and check its signature.

        Raises:
            InputError: the file does not exist.
            FormatError: it is not a commitment to code words, or was changed.
        """
        value = read_json(path)
        try:
            found = cls.model_validate(value)
        except ValidationError as error:
            raise FormatError(f"{path} is no commitment to code words: {explain(error)}") from None
        if found.plain() != value or not found.is_genuine():
            raise FormatError(f"{path}: the signature does not match the content; use the commitment as it was published")
        return found

    def holds(self, opening: CodeOpening) -> bool:
        """Whether the commitment has this licensee with this code word and these copies."""
        leaf = _leaf(opening.licensee, opening.number, opening.word, opening.copies, bytes.fromhex(opening.salt))
        root = root_from_path(leaf, opening.number, self.size, [bytes.fromhex(digest) for digest in opening.path])
        return root is not None and hmac.compare_digest(root, bytes.fromhex(self.root))

    def drew(self, opening: CodeOpening, opened: OpenedBiases) -> bool:
        """Whether the biases are the law's, and the code word is the one that its seed draws with them."""
        if opening.seed is None or not self.code.lawful(opened.biases):
            return False
        return spelled(self.code.drawn(bytes.fromhex(opening.seed), opened.biases)) == opening.word

    def has_biases(self, opened: OpenedBiases) -> bool:
        """Whether these are the biases that were committed to."""
        return hmac.compare_digest(_bias_digest(opened.biases, bytes.fromhex(opened.salt)), self.biases)


def commit_codes(kept: KeptSet, book: Book) -> CodeCommitment:
    """Commit to everybody in the book. A later commitment has more licensees; those of the earlier one keep their places.

    Raises:
        InputError: nobody is in the book, or the set has no secret.
    """
    if not book.copies:
        raise InputError("nobody is in the book, so there is nothing to commit to; see 'insignia issue'")
    rng = owner_rng(kept.prints)
    return CodeCommitment.sign(
        rng,
        code=book.code,
        size=len(book.copies),
        biases=_bias_digest(tuple(book.code.biases(rng).tolist()), _salt(rng, "biases")),
        root=tree_root(_leaves(rng, book)).hex(),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


def open_licensee(kept: KeptSet, book: Book, licensee: str, published: CodeCommitment | None = None) -> CodeOpening:
    """Open one licensee of the commitment that ``commit_codes`` makes of the same book, or of ``published``, an earlier one.

    Raises:
        InputError: they are not in the book, or not in the published commitment, or that is of another book.
    """
    if licensee not in book.copies:
        raise InputError(f"{licensee} is not in the book; 'insignia licensees' lists who is")
    rng, number = owner_rng(kept.prints), list(book.copies).index(licensee)
    leaves = _leaves(rng, book, published)
    if number >= len(leaves):
        raise InputError(f"{licensee} was given a copy after the code commitment was made; use a later one")
    if published is not None and tree_root(leaves).hex() != published.root:
        raise InputError("the code commitment is not of this set's book; use what 'insignia licensees --commitment' wrote")
    return CodeOpening(
        licensee=licensee,
        number=number,
        word=spelled(book.code.words(rng, [licensee])[0]),
        copies=_copies(book, licensee, published),
        salt=_salt(rng, "licensee", licensee).hex(),
        path=tuple(digest.hex() for digest in inclusion_path(leaves, number)),
        seed=book.code.seed(rng, licensee).hex(),
    )


def open_biases(kept: KeptSet, book: Book) -> OpenedBiases:
    """Open the biases of the commitment that ``commit_codes`` makes of the same book."""
    rng = owner_rng(kept.prints)
    return OpenedBiases(biases=tuple(book.code.biases(rng).tolist()), salt=_salt(rng, "biases").hex())


def _leaves(rng: KeyedRandom, book: Book, published: CodeCommitment | None = None) -> list[bytes]:
    names = list(book.copies)[: None if published is None else published.size]
    words = book.code.words(rng, names)
    return [
        _leaf(name, number, spelled(words[number]), _copies(book, name, published), _salt(rng, "licensee", name))
        for number, name in enumerate(names)
    ]


def _leaf(licensee: str, number: int, word: str, copies: Sequence[Mapping[str, str]], salt: bytes) -> bytes:
    """Digest of a leaf: the salt (32 bytes), then canonical JSON."""
    content = {"copies": [dict(copy) for copy in copies], "licensee": licensee, "number": number, "word": word}
    return leaf_hash(salt + canonical(content))


def _copies(book: Book, licensee: str, published: CodeCommitment | None = None) -> tuple[dict[str, str], ...]:
    """Digests of their copies, those that were whole when the commitment was made."""
    copies = book.copies[licensee]
    return tuple(copy.weights or {} for copy in copies if published is None or copy.time <= published.created)


def spelled(word: "NDArray[np.bool_]") -> str:
    """A code word as hexadecimal."""
    import numpy as np

    return np.packbits(word).tobytes().hex()


def _salt(rng: KeyedRandom, *labels: str) -> bytes:
    return rng.derive("licensees", "salt", *labels).secret


def _bias_digest(biases: Sequence[float], salt: bytes) -> str:
    return hashlib.sha256(salt + canonical(list(biases))).hexdigest()
