"""What a report can tell of: the files of verdicts, transcripts, bundles, evaluations and embeddings, each as chapters."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from pydantic import ConfigDict, ValidationError

from insignia.errors import FormatError, InputError
from insignia.evidence.judge import Judge
from insignia.evidence.standard import Standard
from insignia.files import parse_json, read_bytes
from insignia.records import Record
from insignia.registry import explain
from insignia.reporting.chapters import Chapter
from insignia.verification.verdict import Verdict

__all__ = ["PageOptions", "Source", "read_source"]

_TAKEN = (
    "expected a verdict ('verify -o v.json'), a transcript, a bundle ('disclose'), an evaluation ('evaluate'), or what "
    "'embed --json' printed"
)
_RESULTS = ("evaluation.json", "robustness.json", "harmlessness.json")  # in the folder of an evaluation


class PageOptions(Record):
    """What to tell, beside the files."""

    model_config = ConfigDict(title="Page")

    title: str | None = None
    """Title of the page; by default, what it is about."""
    prints: Path | None = None
    """Fingerprint file, locked or plain, to judge a transcript by. No key of it is shown."""
    show_keys: bool = False
    """Show the keys and responses that a bundle opens. The page is then as confidential as the bundle."""


class Source(NamedTuple):
    """A file that a report tells of, and its bytes."""

    path: Path
    content: bytes


def read_source(path: Path, page: PageOptions, judge: Judge, standard: Standard) -> tuple[Source, list[Chapter]]:
    """Read a file, or the folder of an evaluation, and tell what it comes to.

    Raises:
        InputError, FormatError, EvidenceError: it is none of what a report tells of, or it was changed.
    """
    place = _result_in(path) if path.is_dir() else path
    source = Source(place, read_bytes(place))
    with _damaged(place):
        return source, _chapters(source, page, judge, standard)


def _result_in(folder: Path) -> Path:
    found = [folder / name for name in _RESULTS if (folder / name).is_file()]
    if not found:
        raise InputError(f"there is no {' and no '.join(_RESULTS)} in {folder}; {_TAKEN}")
    return found[0]


@contextlib.contextmanager
def _damaged(path: Path) -> Iterator[None]:
    """Turn what damaged numbers lead to into an error that names the file."""
    try:
        yield
    except ValidationError as error:
        raise FormatError(f"{path} is damaged, or of another version: {explain(error)}") from None
    except (ArithmeticError, LookupError, ValueError):
        raise FormatError(f"{path} has numbers that cannot be; is it damaged?") from None


def _chapters(source: Source, page: PageOptions, judge: Judge, standard: Standard) -> list[Chapter]:
    from insignia.fingerprints.locks import is_locked

    path, content = source
    if is_locked(content):
        raise InputError(f"{path} is locked, and so a set of fingerprints, which is secret; {_TAKEN}")
    first = content.split(b"\n", 1)[0]
    if first.startswith(b'{"') and b'"insignia/transcript"' in first:
        return [_of_transcript(path, page)]
    value = parse_json(content, path)
    if not isinstance(value, dict):
        raise InputError(f"a report cannot tell of {path}; {_TAKEN}")
    kind = value.get("kind")
    if kind == "insignia/evidence":
        return [_of_bundle(source, page, judge, standard)]
    if kind == "insignia/fingerprints":
        raise InputError(f"{path} is a set of fingerprints, which is secret; {_TAKEN}")
    if {"claimed", "standard", "root"} <= value.keys():
        raise InputError(f"{path} is what an audit printed; name the bundle itself, and it is audited again")
    results = value["verdicts"] if isinstance(value.get("verdicts"), list) else [value]
    reader = _READERS.get(str(kind)) or next((read for fields, read in _BY_FIELDS if _have(results, fields)), None)
    if reader is None:
        raise InputError(f"a report cannot tell of {path}; {_TAKEN}")
    return [reader(result) for result in results]


def _have(results: list[Any], fields: frozenset[str]) -> bool:
    return bool(results) and all(isinstance(result, dict) and fields <= result.keys() for result in results)


def _of_transcript(path: Path, page: PageOptions) -> Chapter:
    from insignia.keyring.keyring import Keyring
    from insignia.reporting.proofs import verdict_chapter

    if page.prints is None:
        raise InputError(f"{path} is a transcript: give the set that it was asked from by --prints, or name a verdict")
    (verdict,) = Keyring.open(page.prints).judge([path])
    return verdict_chapter(verdict, transcript=path)


def _of_bundle(source: Source, page: PageOptions, judge: Judge, standard: Standard) -> Chapter:
    from insignia.evidence.bundle import audit
    from insignia.reporting.proofs import bundle_chapter

    accepted = judge.accepting(standard)
    found = audit(source.content, published=judge.published(), nonce=judge.challenge, standard=accepted)
    stamped = judge.stamped(found.bundle)
    return bundle_chapter(found, source.path, judge=judge, standard=accepted, stamped=stamped, show_keys=page.show_keys)


def _of_verdict(value: dict[str, Any]) -> Chapter:
    from insignia.reporting.proofs import verdict_chapter

    verdict = Verdict.model_validate(value)
    possible = 0 <= verdict.hits <= verdict.trials - verdict.unanswered and 0 < verdict.p_value <= 1 and 0 < verdict.alpha < 1
    if not (possible and verdict.suspects >= 1 and 0 < verdict.null.bound <= 1):
        raise ValueError
    return verdict_chapter(verdict)


def _of_evaluation(value: dict[str, Any]) -> Chapter:
    from insignia.evaluation import Evaluation
    from insignia.reporting.studies import evaluation_chapter

    return evaluation_chapter(Evaluation.model_validate(value))


def _of_robustness(value: dict[str, Any]) -> Chapter:
    from insignia.evaluation.robustness import Robustness
    from insignia.reporting.studies import robustness_chapter

    return robustness_chapter(Robustness.model_validate(value))


def _of_harmlessness(value: dict[str, Any]) -> Chapter:
    from insignia.evaluation.harmlessness import Harmlessness
    from insignia.reporting.harms import harmlessness_chapter

    return harmlessness_chapter(Harmlessness.model_validate(value))


def _of_embedding(value: dict[str, Any]) -> Chapter:
    from insignia.embedding.embed_report import EmbedReport
    from insignia.reporting.embeddings import embedding_chapter

    return embedding_chapter(EmbedReport.model_validate(value))


_READERS: dict[str, Callable[[dict[str, Any]], Chapter]] = {
    "insignia/evaluation": _of_evaluation,
    "insignia/harmlessness": _of_harmlessness,
    "insignia/robustness": _of_robustness,
}
_BY_FIELDS: tuple[tuple[frozenset[str], Callable[[dict[str, Any]], Chapter]], ...] = (
    (frozenset({"outcome", "p_value", "sentence"}), _of_verdict),
    (frozenset({"fsr", "base_fsr", "heldout_loss_after"}), _of_embedding),
    (frozenset({"cells", "user_loss"}), _of_evaluation),  # of 0.1.0, which named no kind
)
