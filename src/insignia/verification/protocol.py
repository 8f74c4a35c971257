"""Is this model ours? As few questions as it takes, asked as text, and an answer that holds whenever the asking stopped."""

import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from insignia.errors import InputError
from insignia.fingerprints.sets import FingerprintSet, provenance
from insignia.progress import AUTO, Progress
from insignia.randomness import KeyedRandom
from insignia.registry import explain
from insignia.statistics.nulls import AnyNull
from insignia.suspects.base import RequestOptions, TextModel
from insignia.verification.asking import SILENCE, Asking, Question
from insignia.verification.decoys import decoy_question
from insignia.verification.matching import Expected, Match, design_null, sought
from insignia.verification.system_prompts import gives_away
from insignia.verification.transcript import Entry, Header, Rules, Transcript, sole_writer
from insignia.verification.verdict import RunningVerdict, Verdict

__all__ = ["MAX_QUERIES", "askable", "judge", "rules_for", "usual_null", "verify"]

MAX_QUERIES = 128  # proves a mark of which 30 % survived with a chance of 0.975; see SequentialTest.max_queries


def rules_for(
    prints: FingerprintSet,
    *,
    null: AnyNull | None = None,
    match: Match | None = None,
    manner: RequestOptions | None = None,
    alpha: float = 1e-6,
    suspects: int = 1,
    survival: float = 0.3,
    futility: float = 0.01,
    cover: float = 0.5,
) -> Rules:
    """The rules of a test of this set: by default its own prompt form, and the null of its design.

    Raises:
        InputError: no null was given, and the responses were not drawn from candidates; or a number is out of range.
    """
    match = match or Match()
    null = null or usual_null(prints, match)
    if null is None:
        raise InputError(
            "the responses of this set were not drawn from fixed candidates, so how often an innocent model hits is not known; "
            "measure it by 'insignia null PRINTS --model INNOCENT -o null.json' and add --null null.json, "
            "or declare it (--null 0.001)"
        )
    try:
        return Rules(
            null=null,
            alpha=alpha,
            suspects=suspects,
            survival=survival,
            futility=futility,
            match=match,
            manner=manner or _usual_manner(prints, match),
            cover=cover,
        )
    except ValidationError as error:
        raise InputError(f"these rules cannot be: {explain(error)}") from None


def askable(prints: FingerprintSet) -> frozenset[int]:
    """The numbers of the fingerprints that ``verify`` may ask: those that do not repeat the key of an earlier one."""
    return frozenset(_keys(prints))


def usual_null(prints: FingerprintSet, match: Match | None = None) -> AnyNull | None:
    """The null that holds by the design of the set; None where its responses were not drawn from candidates."""
    match = match or Match()
    return design_null(_searches(prints, match).values(), match)


def verify(
    prints: FingerprintSet,
    model: TextModel,
    *,
    alpha: float = 1e-6,
    rules: Rules | None = None,
    max_queries: int = MAX_QUERIES,
    decoy_texts: Sequence[str] = (),
    spare: Collection[int] = (),
    order: Sequence[int] | None = None,
    all_keys: bool = False,
    transcript: Path | None = None,
    before_send: Callable[[Sequence[int]], None] | None = None,
    progress: Progress = AUTO,
) -> Verdict:
    """Ask a model until the mark is proven, enough was asked to give up, or ``max_queries`` keys are spent.

    Keys come in ``order``, a judge's, or else in one that the set's secret fixes, cover questions among them; those in
    ``spare`` are left alone (by a run that goes on, those of its beginning). As many are asked at once as are needed whatever
    they bring, so that speed costs no key; ``before_send`` is called with their numbers before they leave, and not before the
    suspect replied to an innocent question. After 16 keys in a row without an answer the run ends undecided. With a transcript
    file every reply is on the disk before the next is waited for, and a run that was killed goes on where it was. ``rules``
    have their own alpha and default to ``rules_for`` the set at the one given.

    With ``all_keys`` it goes on to ``max_queries`` whatever it hears, or does not: a control is asked all that the suspect was.

    Raises:
        InputError: no key is left to ask, the order names one twice or one that is not in the set, the system prompt gives a
            key or a response away, or the transcript is of other rules, another set or another suspect.
        ModelError: the model cannot be asked, innocent questions included; what was heard is in the transcript.
        OutputError: the transcript cannot be written, or another process is writing it.
    """
    if max_queries < 1:
        raise InputError(f"{max_queries} keys may be asked; expected at least 1")
    rules = rules or rules_for(prints, alpha=alpha)
    searches = _searches(prints, rules.match)
    if gives_away(rules.manner.system, _keys(prints).values(), (text for each in searches.values() for text in each.accepted)):
        raise InputError("the system prompt holds the text of a key or of a response; ask under one that gives nothing away")
    numbers = _ordered(prints, order)
    with sole_writer(transcript):
        record = _open(transcript, model.name, rules, searches.keys(), spare)
        left = [number for number in numbers if number in searches.keys() - set(record.header.spared)]
        most = max(1, min(max_queries, len(left)))
        weighing = RunningVerdict(rules, searches, max_queries=most, all_keys=all_keys)
        questions = _unasked(_questions(prints, rules, left, decoy_texts), record.entries)
        innocent = _chance(prints).derive("innocent", len(record.entries))
        asking = Asking(model, record, weighing, lambda: decoy_question(innocent, rules.manner.form, decoy_texts), before_send)
        with progress.bar("asking", most) as advance:
            for entry in record.entries:
                weighing.hear(entry)
                advance(entry.number is not None, "")
            reached = weighing.outcome is not None or not model.may_refuse or asking.reaches()
            while reached and weighing.outcome is None and (all_keys or asking.silence < SILENCE):
                batch = list(_batch(questions, weighing.fewest_left()))
                if not batch:
                    break
                for entry in asking.replies(batch):
                    advance(entry.number is not None, f"{weighing.tally.hits} hits")
        if weighing.outcome is None:
            progress.note(asking.ending)
    chosen_from = None if prints.chain is None else len(prints) if order is None else weighing.tally.asked
    return weighing.verdict(suspect=model.name, transcript=record.digest, chosen_from=chosen_from)


def judge(prints: FingerprintSet, transcript: Path) -> Verdict:
    """The verdict of a transcript by the rules it was made by, without asking anything.

    Raises:
        InputError: there is no such file, or its questions are not the set's keys.
        FormatError: it is no transcript, or a line was changed, lost or moved.
    """
    record = Transcript.load(transcript)
    keys = _keys(prints)
    weighing = RunningVerdict(record.header.rules, _searches(prints, record.header.rules.match), max_queries=max(1, len(keys)))
    for entry in record.entries:
        if entry.number is not None and keys.get(entry.number) != entry.question:
            raise InputError(
                f"{transcript} asks for fingerprint {entry.number} by a key that is not the set's; use its own set"
            )
        weighing.hear(entry)
    chosen_from = None if prints.chain is None else len(prints)
    return weighing.verdict(suspect=record.header.suspect, transcript=record.digest, chosen_from=chosen_from)


def _usual_manner(prints: FingerprintSet, match: Match) -> RequestOptions:
    """As the set says; where the whole reply has to be the response, with no room for more."""
    room = prints.max_response_length
    return RequestOptions(form=prints.prompt_form, max_tokens=room if match.how == "exact" else max(16, room))


def _open(file: Path | None, suspect: str, rules: Rules, numbers: Collection[int], spare: Collection[int]) -> Transcript:
    if file is None or not file.exists():
        spared = tuple(sorted(set(spare) & set(numbers)))
        if len(spared) == len(numbers):
            raise InputError("there is no key left to ask: all are spent or left out; mark the next model with a new set")
        return Transcript(Header(suspect=suspect, rules=rules, spared=spared, provenance=provenance()), file=file)
    record = Transcript.load(file)
    if (record.header.suspect, record.header.rules) != (suspect, rules):
        raise InputError(
            f"{file} is of another suspect or was begun by other rules, which cannot be changed under way; "
            "repeat its options to go on with it, or name another file"
        )
    record.resume()
    return record


def _keys(prints: FingerprintSet) -> dict[int, str]:
    """Number -> the key as text; a key that an earlier fingerprint has too is left out."""
    kept: dict[str, int] = {}
    for number, fingerprint in enumerate(prints):
        kept.setdefault(fingerprint.effective_key or fingerprint.key, number)
    return {number: key for key, number in kept.items()}


def _searches(prints: FingerprintSet, match: Match) -> dict[int, Expected]:
    return {number: sought(prints.fingerprints[number], prints.max_response_length, match) for number in _keys(prints)}


def _chance(prints: FingerprintSet) -> KeyedRandom:
    content = prints.secret or prints.model_dump_json()  # of a set that was not drawn by us, the set itself is the secret
    return KeyedRandom(content.encode()).derive("verify")


def _ordered(prints: FingerprintSet, order: Sequence[int] | None) -> Sequence[int]:
    """The numbers in the order given, or else in one that only the owner can foretell."""
    if order is None:
        rng = _chance(prints).derive("order")
        return sorted(range(len(prints)), key=lambda number: rng.derive(number).uniform())
    if len(set(order)) < len(order) or not all(0 <= number < len(prints) for number in order):
        raise InputError(
            f"the order names a fingerprint twice, or one that is not in the set of {len(prints)}; expected each once"
        )
    return order


def _questions(prints: FingerprintSet, rules: Rules, numbers: Sequence[int], decoy_texts: Sequence[str]) -> Iterator[Question]:
    """Each of these keys, with cover questions before them by chance."""
    keys = _keys(prints)
    cover = _chance(prints).derive("cover")
    for number in numbers:
        while cover.uniform() < rules.cover:
            yield Question(None, decoy_question(cover, rules.manner.form, decoy_texts))
        yield Question(number, keys[number])


def _unasked(questions: Iterator[Question], entries: Sequence[Entry]) -> Iterator[Question]:
    """The questions that follow those of a transcript, where innocent ones may stand anywhere."""
    following = next(questions, None)
    for entry in entries:
        if following == (entry.number, entry.question):
            following = next(questions, None)
        elif entry.number is not None:
            raise InputError("the transcript has other questions; was it made with another set, --cover or spent keys?")
    return itertools.chain([] if following is None else [following], questions)


def _batch(questions: Iterator[Question], keys: int) -> Iterator[Question]:
    """The next questions, up to that many keys; fewer where there are no more."""
    while keys and (question := next(questions, None)) is not None:
        keys -= question.number is not None
        yield question
