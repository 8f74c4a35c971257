"""Measured nulls: innocent models are asked a set's keys as a suspect is, and their hits are counted."""

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
from insignia.statistics.nulls import RISK, AnyNull, DeclaredNull, ReferenceNull, ReferenceTrials, parse_null
from insignia.suspects.base import RequestOptions, TextModel
from insignia.verification.matching import Match
from insignia.verification.protocol import rules_for, verify
from insignia.verification.transcript import Rules
from insignia.verification.verdict import Verdict

__all__ = ["MeasuredNull", "ask_innocent", "measuring_rules", "require_same_conditions", "resolve_null"]

_PLACEHOLDER = 0.5  # null of rules whose verdict is not used


class MeasuredNull(Record):
    """The content of ``null.json``: hits of innocent models, and how they were asked. Holds no key and no response."""

    kind: Literal["insignia/null"] = "insignia/null"
    schema_version: Literal[1] = 1
    null: ReferenceNull
    models: Annotated[tuple[str, ...], Field(min_length=1)]
    """Names of the models, in the order of the null's counts."""
    match: Match
    manner: RequestOptions
    provenance: Provenance

    @classmethod
    def of(cls, verdicts: Sequence[Verdict], rules: Rules, *, risk: float = RISK) -> Self:
        """Build the null from results of ``ask_innocent`` under the same rules.

        Raises:
            InputError: a model answered no key, or the risk is outside (0, 0.5].
        """
        for verdict in verdicts:
            if verdict.trials == verdict.unanswered:
                raise InputError(f"{verdict.suspect} answered no key, so nothing was measured; ask another model or server")
        counts = tuple(ReferenceTrials(hits=v.hits, trials=v.trials - v.unanswered) for v in verdicts)
        try:
            null = ReferenceNull(models=counts, risk=risk)
        except ValidationError as error:
            raise InputError(f"invalid null: {explain(error)}") from None
        names = tuple(verdict.suspect for verdict in verdicts)
        return cls(null=null, models=names, match=rules.match, manner=rules.manner, provenance=provenance())

    def save(self, path: Path) -> None:
        """Write the file atomically. It is not secret."""
        write_json(path, self.model_dump(mode="json"))


def resolve_null(name: str | None) -> AnyNull | None:
    """Return the null from a ``.json`` file or from text by ``parse_null``; None stays None.

    Raises:
        InputError: the file does not exist, or the text is not a null.
        FormatError: the file is not one of ``insignia null``.
    """
    if name is None:
        return None
    return _load(name).null if _is_file(name) else parse_null(name)


def require_same_conditions(name: str | None, rules: Rules) -> None:
    """Check that the rules ask and match as the measured null in this file did. Other nulls have no conditions.

    Raises:
        InputError: the rules differ.
    """
    if name is None or not _is_file(name):
        return
    measured = _load(name)
    if rules.match != measured.match or _asked_like(rules.manner) != _asked_like(measured.manner):
        raise InputError(
            f"{name} was measured with another --match, prompt form, system prompt, temperature or --max-tokens; "
            "ask the suspect in the same way, or measure the null again"
        )


def measuring_rules(prints: FingerprintSet, *, match: Match | None = None, manner: Mapping[str, object] | None = None) -> Rules:
    """Return rules that ask and match as a default ``verify`` does, with other request options where ``manner`` sets them.

    They are for measuring only: ``ask_innocent`` asks all keys, whatever the replies.

    Raises:
        InputError: see ``rules_for``, or a request option is invalid.
    """
    default = rules_for(prints, null=DeclaredNull(chance=_PLACEHOLDER), match=match, cover=0.0)
    try:
        options = RequestOptions.model_validate(default.manner.model_dump() | dict(manner or {}))
    except ValidationError as error:
        raise InputError(f"invalid request options: {explain(error)}") from None
    return rules_for(prints, null=default.null, match=match, manner=options, cover=0.0)


def ask_innocent(
    prints: FingerprintSet,
    model: TextModel,
    *,
    rules: Rules,
    max_queries: int | None = None,
    exclude: Collection[int] = (),
    before_send: Callable[[Sequence[int]], None] | None = None,
    progress: Progress = AUTO,
) -> Verdict:
    """Ask a model all keys of the set, or ``max_queries``, under the rules of ``measuring_rules``.

    Only the counts of the verdict are meaningful. See ``verify`` for the other parameters.

    Raises:
        InputError, ModelError: see ``verify``.
    """
    return verify(
        prints,
        model,
        rules=rules,
        max_queries=len(prints) if max_queries is None else max_queries,
        all_keys=True,
        exclude=exclude,
        before_send=before_send,
        progress=progress,
    )


def _is_file(name: str) -> bool:
    return name.endswith(".json")


def _load(name: str) -> MeasuredNull:
    try:
        return MeasuredNull.model_validate(read_json(Path(name)))
    except ValidationError as error:
        raise FormatError(f"{name} is not a null; expected a file of 'insignia null': {explain(error)}") from None


def _asked_like(manner: RequestOptions) -> dict[str, object]:
    """Return the options that change the distribution of replies."""
    return manner.model_dump(exclude={"seed", "log_probabilities"})
