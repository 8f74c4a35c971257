"""``verify``: tests a suspect with as few keys as needed and returns a verdict that is valid whenever the test stops."""

import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from pathlib import Path

from pydantic import ValidationError

from insignia.errors import InputError
from insignia.fingerprints.sets import FingerprintSet, provenance
from insignia.progress import AUTO, Advance, Progress
from insignia.randomness import KeyedRandom
from insignia.registry import explain
from insignia.statistics.betting import MAX_QUERIES
from insignia.statistics.nulls import AnyNull
from insignia.suspects.base import CHANNELS, Channel, RequestOptions, TextModel
from insignia.terminal import counted
from insignia.verification.decoys import decoy_question
from insignia.verification.interview import MAX_UNANSWERED_IN_A_ROW, Interview, Question, ask_by, channels_of
from insignia.verification.matching import Expected, Match, design_null, expected_responses
from insignia.verification.running_verdict import RunningVerdict
from insignia.verification.system_prompts import reveals_secret
from insignia.verification.transcript import Entry, Header, Rules, Transcript, sole_writer
from insignia.verification.verdict import Verdict

__all__ = [
    "askable",
    "asking_order",
    "default_null",
    "judge",
    "keys_of",
    "rules_for",
    "strongest_channel",
    "usual_manner",
    "verify",
]


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
    channel: Channel = "text",
) -> Rules:
    """Return rules for a test of this set, by default with its prompt form and its design null.

    Raises:
        InputError: the set has no design null and none was given, or a number is out of range.
    """
    match = match or Match()
    null = null or default_null(prints, match)
    if null is None:
        raise InputError(
            "the responses of this set were not drawn from fixed candidates, so how often an innocent model hits is unknown; "
            "measure it with 'insignia null PRINTS --model INNOCENT -o null.json' and add --null null.json, "
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
            manner=manner or usual_manner(prints, match),
            cover=cover,
            channel=channel,
        )
    except ValidationError as error:
        raise InputError(f"invalid rules: {explain(error)}") from None


def strongest_channel(
    prints: FingerprintSet, model: TextModel, rules: Rules, channels: Sequence[Channel], decoy_texts: Sequence[str] = ()
) -> Channel:
    """Return the strongest of these channels by which the model answers a decoy question; ``text`` is not tried.

    Without a secret order, a forced choice tells more than the likeliest tokens, of which few are candidates. The set must have
    a design null, and the match one place, else only text is evidence.
    """
    fit = rules.null.name == "design" and rules.match.looks == 1
    rng, asked = _rng(prints).derive("channel"), rules.model_copy(update={"channel": CHANNELS[0]})
    ordered = all(fingerprint.order for fingerprint in prints)
    for channel in ("scores", "top", "choice") if ordered else ("scores", "choice", "top"):
        if fit and channel in channels and channel in channels_of(model):
            question = _decoy(prints, asked, rng, decoy_texts or prints.decoys)
            (reply,) = ask_by(channel, model, [question], rules.manner)
            if reply.status == "answered":
                return channel
            if reply.status == "fatal":  # no channel will do
                break
    return "text"


def askable(prints: FingerprintSet) -> frozenset[int]:
    """Return the numbers of the fingerprints that ``verify`` can ask: those that do not repeat an earlier key."""
    return frozenset(keys_of(prints))


def asking_order(prints: FingerprintSet, order: Sequence[int] | None = None) -> Sequence[int]:
    """Return the numbers in the given order, or by default in the one of ``verify``, which only the owner can predict.

    Raises:
        InputError: the order is no order of the set.
    """
    if order is None:
        rng = _rng(prints).derive("order")
        return sorted(range(len(prints)), key=lambda number: rng.derive(number).uniform())
    if len(set(order)) < len(order) or not all(0 <= number < len(prints) for number in order):
        raise InputError(
            f"the order has a fingerprint twice, or one that is not in the set of {len(prints)}; expected each at most once"
        )
    return order


def default_null(prints: FingerprintSet, match: Match | None = None) -> AnyNull | None:
    """Return the design null of the set, or None if its responses were not drawn from candidates."""
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
    exclude: Collection[int] = (),
    order: Sequence[int] | None = None,
    all_keys: bool = False,
    transcript: Path | None = None,
    before_send: Callable[[Sequence[int]], None] | None = None,
    progress: Progress = AUTO,
) -> Verdict:
    """Ask a model until the mark is proven, the test gives up, or ``max_queries`` keys are asked.

    Keys come in ``order`` (by default one that the set's secret fixes) with decoy questions among them; ``decoy_texts`` replace
    ours. Keys in ``exclude`` are not asked; a resumed run keeps its first exclusions. Batches are never larger than the test
    needs. ``before_send`` gets the numbers of keys before they are sent, once the suspect has replied to a decoy. After 16
    unanswered keys in a row, the run ends undecided. With ``transcript``, every reply is on disk before the next one, and a
    killed run resumes. ``rules`` default to ``rules_for(prints, alpha=alpha)``. With ``all_keys``, replies do not end the run.

    Raises:
        InputError: no key is left to ask, the order is invalid, the system prompt reveals a key or a response, or the
            transcript is of other rules, another set or another suspect.
        ModelError: the model cannot be asked; the replies so far are in the transcript.
        OutputError: the transcript cannot be written, or another process is writing it.
    """
    if max_queries < 1:
        raise InputError(f"max_queries is {max_queries}; expected at least 1")
    rules = rules or rules_for(prints, alpha=alpha)
    searches = _searches(prints, rules.match)
    if reveals_secret(
        rules.manner.system, keys_of(prints).values(), (text for each in searches.values() for text in each.accepted)
    ):
        raise InputError("the system prompt contains a key or a response; use one that reveals neither")
    numbers = asking_order(prints, order)
    decoy_texts = decoy_texts or prints.decoys
    with sole_writer(transcript):
        record = _open(transcript, model.name, rules, searches.keys(), exclude)
        left = [number for number in numbers if number in searches.keys() - set(record.header.spared)]
        most = max(1, min(max_queries, len(left)))
        running = RunningVerdict(rules, searches, max_queries=most, all_keys=all_keys)
        questions = _unasked(_questions(prints, rules, left, decoy_texts), record.entries)
        innocent = _rng(prints).derive("innocent", len(record.entries))
        with progress.bar("asking", most, unit="keys") as advance:
            for entry in record.entries:
                running.add(entry)
                advance(entry.number is not None)
            interview = Interview(model, record, running, lambda: _decoy(prints, rules, innocent, decoy_texts), before_send)
            _ask(interview, running, questions, patient=all_keys, advance=advance)
        if running.outcome is None:
            progress.note(interview.ending)
    chosen_from = None if prints.chain is None else len(prints) if order is None else running.tally.asked
    return running.verdict(suspect=model.name, transcript=record.digest, chosen_from=chosen_from)


def _ask(
    interview: Interview, running: RunningVerdict, questions: Iterator[Question], *, patient: bool, advance: Advance
) -> None:
    """Ask until the verdict is reached, the questions end, or the suspect is silent and ``patient`` is off."""
    reached = running.outcome is not None or interview.reachable()
    while reached and running.outcome is None and (patient or interview.unanswered_in_a_row < MAX_UNANSWERED_IN_A_ROW):
        batch = list(_batch(questions, running.min_keys_left()))
        if not batch:
            return
        for entry in interview.replies(batch):
            advance(entry.number is not None, counted(running.tally.hits, "hit"))


def judge(prints: FingerprintSet, transcript: Path) -> Verdict:
    """Compute the verdict of a transcript under its own rules, without asking anything.

    Raises:
        InputError: the file does not exist, or its questions are not the set's keys.
        FormatError: it is not a transcript, or a line was changed, removed or moved.
    """
    record = Transcript.load(transcript)
    keys = keys_of(prints)
    running = RunningVerdict(record.header.rules, _searches(prints, record.header.rules.match), max_queries=max(1, len(keys)))
    for entry in record.entries:
        if entry.number is not None and keys.get(entry.number) != entry.question:
            raise InputError(
                f"the key of fingerprint {entry.number} in {transcript} is not the set's; use the set that was asked"
            )
        running.add(entry)
    chosen_from = None if prints.chain is None else len(prints)
    return running.verdict(suspect=record.header.suspect, transcript=record.digest, chosen_from=chosen_from)


def usual_manner(prints: FingerprintSet, match: Match) -> RequestOptions:
    """Return the set's prompt form, and room for more than the response unless the match is exact."""
    room = prints.max_response_length
    return RequestOptions(form=prints.prompt_form, max_tokens=room if match.how == "exact" else max(16, room))


def _open(file: Path | None, suspect: str, rules: Rules, numbers: Collection[int], exclude: Collection[int]) -> Transcript:
    if file is None or not file.exists():
        spared = tuple(sorted(set(exclude) & set(numbers)))
        if len(spared) == len(numbers):
            raise InputError("no key is left to ask: all are spent or excluded; mark the next model with a new set")
        return Transcript(Header(suspect=suspect, rules=rules, spared=spared, provenance=provenance()), file=file)
    record = Transcript.load(file)
    if (record.header.suspect, record.header.rules) != (suspect, rules):
        raise InputError(
            f"{file} is of another suspect or other rules, which cannot change during a test; "
            "repeat its options to resume it, or use another file"
        )
    record.resume()
    return record


def keys_of(prints: FingerprintSet) -> dict[int, str]:
    """Return number -> key, without keys that an earlier fingerprint has."""
    kept: dict[str, int] = {}
    for number, fingerprint in enumerate(prints):
        kept.setdefault(fingerprint.asked_key, number)
    return {number: key for key, number in kept.items()}


def _searches(prints: FingerprintSet, match: Match) -> dict[int, Expected]:
    return {
        number: expected_responses(prints.fingerprints[number], prints.max_response_length, match) for number in keys_of(prints)
    }


def _rng(prints: FingerprintSet) -> KeyedRandom:
    content = prints.secret or prints.model_dump_json()  # without a stored secret, the set itself is the secret
    return KeyedRandom(content.encode()).derive("verify")


def _questions(prints: FingerprintSet, rules: Rules, numbers: Sequence[int], decoy_texts: Sequence[str]) -> Iterator[Question]:
    """Yield these keys, with random decoy questions before them."""
    keys = keys_of(prints)
    cover = _rng(prints).derive("cover")
    for number in numbers:
        while cover.uniform() < rules.cover:
            yield _decoy(prints, rules, cover, decoy_texts)
        yield Question.about(prints.fingerprints[number], number, keys[number])


def _decoy(prints: FingerprintSet, rules: Rules, rng: KeyedRandom, decoy_texts: Sequence[str]) -> Question:
    """Return a decoy question; where a host sees candidates, with those of some key."""
    text = decoy_question(rng, rules.manner.form, decoy_texts)
    if rules.channel == "text":
        return Question(None, text)
    return Question.about(rng.choice(prints.fingerprints), None, text)


def _unasked(questions: Iterator[Question], entries: Sequence[Entry]) -> Iterator[Question]:
    """Return the questions that are not in the transcript yet. Extra decoy questions in it are ignored."""
    following = next(questions, None)
    for entry in entries:
        if following is not None and following[:2] == (entry.number, entry.question):
            following = next(questions, None)
        elif entry.number is not None:
            raise InputError("the transcript has other questions; was it made with another set, --cover or spent keys?")
    return itertools.chain([] if following is None else [following], questions)


def _batch(questions: Iterator[Question], keys: int) -> Iterator[Question]:
    """Yield the next questions, with at most this many keys."""
    while keys and (question := next(questions, None)) is not None:
        keys -= question.number is not None
        yield question
