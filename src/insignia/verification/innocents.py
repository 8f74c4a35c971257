"""A null that is measured: innocent models are asked a set's keys as ``verify`` asks a suspect, and their hits are counted."""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError

from insignia.errors import FormatError, InputError
from insignia.files import read_json, write_json
from insignia.fingerprints.sets import FingerprintSet, provenance
from insignia.progress import AUTO, Progress
from insignia.records import Provenance, Record
from insignia.registry import explain
from insignia.statistics.nulls import AnyNull, DeclaredNull, ReferenceNull, ReferenceTrials, null_named
from insignia.suspects.base import RequestOptions, TextModel
from insignia.verification.matching import Match
from insignia.verification.protocol import rules_for, verify
from insignia.verification.transcript import Rules
from insignia.verification.verdict import Verdict

__all__ = ["RISK", "MeasuredNull", "ask_innocent", "asking_of", "null_given", "refuse_unlike"]

RISK = 1e-7  # a tenth of the usual alpha, which it is taken from; see ReferenceNull.risk

_ANY = 0.5  # a null for rules that decide nothing


class MeasuredNull(Record):
    """The content of ``null.json``: what innocent models did, and how they were asked. It tells no key and no response."""

    kind: Literal["insignia/null"] = "insignia/null"
    schema_version: Literal[1] = 1
    null: ReferenceNull
    models: Annotated[tuple[str, ...], Field(min_length=1)]
    """Their names, in the order of the null's."""
    match: Match
    manner: RequestOptions
    provenance: Provenance

    @classmethod
    def of(cls, verdicts: Sequence[Verdict], rules: Rules, *, risk: float = RISK) -> Self:
        """The null of what ``ask_innocent`` found of some models by the same rules.

        Raises:
            InputError: a model answered no key, or the risk is not above 0 and at most 0.5.
        """
        for verdict in verdicts:
            if verdict.trials == verdict.unanswered:
                raise InputError(f"{verdict.suspect} answered no key, so nothing was measured; ask another model or server")
        counts = tuple(ReferenceTrials(hits=v.hits, trials=v.trials - v.unanswered) for v in verdicts)
        try:
            null = ReferenceNull(models=counts, risk=risk)
        except ValidationError as error:
            raise InputError(f"this null cannot be: {explain(error)}") from None
        names = tuple(verdict.suspect for verdict in verdicts)
        return cls(null=null, models=names, match=rules.match, manner=rules.manner, provenance=provenance())

    def save(self, path: Path) -> None:
        """Write it, whole or not at all; it is no secret."""
        write_json(path, self.model_dump(mode="json"))


def null_given(name: str | None) -> AnyNull | None:
    """The null in the file of that name if it is one of a JSON file, else by ``null_named``; None stays None.

    Raises:
        InputError: there is no such file, or no such null.
        FormatError: the file holds no null.
    """
    if name is None:
        return None
    return _load(name).null if _is_file(name) else null_named(name)


def refuse_unlike(name: str | None, rules: Rules) -> None:
    """A measured null holds for models that are asked and judged as the innocents were; others hold for all.

    Raises:
        InputError: the rules ask or match in another way than the file of that name says.
    """
    if name is None or not _is_file(name):
        return
    measured = _load(name)
    if rules.match != measured.match or _asked_like(rules.manner) != _asked_like(measured.manner):
        raise InputError(
            f"{name} was measured with another --match, prompt form, system prompt, temperature or --max-tokens; "
            "ask the suspect in the same way, or measure the null anew"
        )


def asking_of(prints: FingerprintSet, *, match: Match | None = None, manner: Mapping[str, object] | None = None) -> Rules:
    """Rules that ask and match as a default ``verify`` of the set does, but for what ``manner`` says otherwise.

    Nothing is to be decided by them: ``ask_innocent`` asks all keys, whatever the replies.

    Raises:
        InputError: as ``rules_for``, or the manner cannot be.
    """
    usual = rules_for(prints, null=DeclaredNull(chance=_ANY), match=match, cover=0.0)
    try:
        wished = RequestOptions.model_validate(usual.manner.model_dump() | dict(manner or {}))
    except ValidationError as error:
        raise InputError(f"this manner cannot be: {explain(error)}") from None
    return rules_for(prints, null=usual.null, match=match, manner=wished, cover=0.0)


def ask_innocent(
    prints: FingerprintSet,
    model: TextModel,
    *,
    rules: Rules,
    max_queries: int | None = None,
    spare: Collection[int] = (),
    before_send: Callable[[Sequence[int]], None] | None = None,
    progress: Progress = AUTO,
) -> Verdict:
    """Ask a model the set's keys, all or ``max_queries`` of them, by the rules of ``asking_of``.

    Only the counts of the verdict mean anything. The other parameters are those of ``verify``.

    Raises:
        InputError, ModelError: as ``verify``.
    """
    return verify(
        prints,
        model,
        rules=rules,
        max_queries=len(prints) if max_queries is None else max_queries,
        all_keys=True,
        spare=spare,
        before_send=before_send,
        progress=progress,
    )


def _is_file(name: str) -> bool:
    return name.endswith(".json")


def _load(name: str) -> MeasuredNull:
    try:
        return MeasuredNull.model_validate(read_json(Path(name)))
    except ValidationError as error:
        raise FormatError(f"{name} holds no null; expected what 'insignia null' wrote: {explain(error)}") from None


def _asked_like(manner: RequestOptions) -> dict[str, object]:
    """What may change a reply; a seed draws replies anew and no others, and alternatives are only written down."""
    return manner.model_dump(exclude={"seed", "log_probabilities"})
