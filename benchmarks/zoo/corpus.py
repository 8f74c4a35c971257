"""The starter's training text: the English that every Python carries.

The language reference, the docstrings and the block comments of the standard library. A paragraph is held out when the hash
of its own text says so: one that occurs twice lands on one side, and every version of Python splits the same text the same
way. ``src/insignia/starter/heldout.txt`` is what ``derived_heldout`` gives on CPython 3.11.7: the reference and the library's
docstrings, which every distribution installs. Comments and the test package only add training text.
"""

import ast
import hashlib
import io
import re
import sysconfig
import tokenize
from collections import deque
from collections.abc import Iterator
from pathlib import Path

_HELDOUT_SHARE = 0.05
_MIN_CHARS = 60  # shorter paragraphs are headings and signatures
_MIN_LETTERS = 0.75  # share of letters and spaces: below it a paragraph is code or a table
_TEST_FOLDERS = {"test", "tests", "idle_test"}
_FOREIGN_FOLDERS = {"site-packages", "dist-packages", "__pycache__"}
_BLOCKS = ("cases", "body", "handlers", "orelse", "finalbody")
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)


def is_heldout(paragraph: str) -> bool:
    """Whether the paragraph's own hash puts it on the held-out side (one in twenty)."""
    digest = hashlib.sha256(paragraph.encode()).digest()
    return int.from_bytes(digest[:8], "big") < _HELDOUT_SHARE * 2**64


def paragraphs_of(document: str) -> list[str]:
    """Prose paragraphs of a document, each on one line with single spaces; code and tables are left out."""
    blocks = (" ".join(block.split()) for block in re.split(r"\n\s*\n", document))
    return [block for block in blocks if _is_prose(block)]


def sentences_of(paragraph: str) -> list[str]:
    """Sentences of 6 to 40 words that begin with a capitalised word and end in a full stop."""
    parts = re.split(r"(?<=[.!?])\s+(?=[A-Z])", paragraph)
    return [part for part in parts if re.match(r"[A-Z][a-z]*\b", part) and part.endswith(".") and 6 <= len(part.split()) <= 40]


def derived_heldout() -> list[str]:
    """Held-out paragraphs of this Python in sorted order, no duplicates; takes about four seconds."""
    documents = (*_topics(), *_docstrings(tests=False))
    return sorted({p for document in documents for p in paragraphs_of(document) if is_heldout(p)})


def training_documents() -> list[str]:
    """Documents without their held-out paragraphs, paragraphs joined by newlines, duplicates removed."""
    seen: set[str] = set()
    documents: list[str] = []
    for document in (*_topics(), *_docstrings(tests=False), *_docstrings(tests=True), *_comments()):
        fresh = [p for p in paragraphs_of(document) if not is_heldout(p) and p not in seen]
        seen.update(fresh)
        if fresh:
            documents.append("\n".join(fresh))
    return documents


def _is_prose(block: str) -> bool:
    letters = sum(character.isalpha() or character == " " for character in block)
    return len(block) >= _MIN_CHARS and letters >= _MIN_LETTERS * len(block)


def _topics() -> Iterator[str]:
    from pydoc_data.topics import topics

    yield from topics.values()


def _sources(*, tests: bool) -> Iterator[str]:
    root = Path(sysconfig.get_paths()["stdlib"])
    for path in sorted(root.rglob("*.py")):
        parts = set(path.relative_to(root).parts)
        if parts & _FOREIGN_FOLDERS or bool(parts & _TEST_FOLDERS) is not tests:
            continue
        try:
            yield path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # the library keeps a few files in other encodings on purpose


def _docstrings(*, tests: bool) -> Iterator[str]:
    for source in _sources(tests=tests):
        try:
            tree = ast.parse(source)
        except (SyntaxError, ValueError):
            continue  # broken on purpose: fixtures of the parser's own tests
        for node in _statements(tree):
            if isinstance(node, _DOCUMENTED) and (docstring := ast.get_docstring(node)):
                yield docstring


def _statements(tree: ast.Module) -> Iterator[ast.AST]:
    """The tree and its statements, breadth first: ``ast.walk`` without the expressions, which hold no docstrings."""
    nodes: deque[ast.AST] = deque([tree])
    while nodes:
        node = nodes.popleft()
        yield node
        for block in _BLOCKS:
            nodes.extend(getattr(node, block, ()))


def _comments() -> Iterator[str]:
    for tests in (False, True):
        for source in _sources(tests=tests):
            try:
                yield from _comment_blocks(source)
            except (tokenize.TokenError, SyntaxError):
                continue


def _comment_blocks(source: str) -> Iterator[str]:
    """Comments on neighbouring lines, joined."""
    block: list[str] = []
    last_line = 0
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type != tokenize.COMMENT:
            continue
        if token.start[0] != last_line + 1 and block:
            yield "\n".join(block)
            block = []
        block.append(token.string.lstrip("#").strip())
        last_line = token.start[0]
    if block:
        yield "\n".join(block)
