"""The success rate of a whole set on a model that can be scored: the owner's own test, not yet evidence for others."""

from collections.abc import Iterable, Sequence

from insignia.fingerprints.sets import FingerprintSet
from insignia.prompts.prompter import PLAIN, Prompter, check_templates, distinct
from insignia.records import Displayed, Fingerprint, Record
from insignia.suspects.scoring import ModelSource, Score, ScoringModel, opened
from insignia.terminal import percent
from insignia.verification.false_activation import activations

__all__ = ["CheckReport", "FingerprintReport", "check"]


class FingerprintReport(Record):
    """How one fingerprint did when asked plainly; by its number in the set, so that no secret is told."""

    number: int
    hit: bool
    rank: int
    """Of the first response token; 0 is the model's choice."""
    log_probability: float
    """Of the whole response."""


class CheckReport(Displayed):
    """What ``check`` found; FSR is hits / answered."""

    fsr: float
    hits: int
    answered: int
    unanswered: int = 0
    """Always 0 for a model on this machine; kept apart from misses all the same."""
    repeated: int
    """Fingerprints left out because another one asks the same tokens (possible in foreign files only)."""
    token_accuracy: float
    """Share of response tokens that are the model's choice, each judged after the right tokens before it."""
    templates: dict[str, float]
    """Prompt template -> FSR when keys are asked inside it."""
    activations: dict[str, float] = {}
    """Kind of control -> share of those held out that activate the mark; of all where none is held out."""
    base: "CheckReport | None" = None
    """The same for the unmarked model."""
    fingerprints: tuple[FingerprintReport, ...]

    @property
    def heading(self) -> str:
        """The success rate."""
        return f"success rate (FSR) {percent(self.fsr)}: {self.hits} of {self.answered} fingerprints"

    def summary(self) -> list[tuple[str, str]]:
        """What else was measured."""
        rates = self.templates.values()
        inside = [(f"inside {len(rates)} templates", f"{percent(min(rates))} to {percent(max(rates))}")] if rates else []
        base = [("the unmarked model", percent(self.base.fsr))] if self.base else []
        activated = [(f"activated by {kind.replace('_', ' ')}s", percent(rate)) for kind, rate in self.activations.items()]
        return [*base, ("response tokens right", percent(self.token_accuracy)), *inside, *activated]


def check(
    model: ModelSource,
    prints: FingerprintSet,
    *,
    templates: Sequence[str] = (),
    base: ModelSource | None = None,
    max_key_length: int | None = None,
    max_response_length: int | None = None,
    device: str = "auto",
) -> CheckReport:
    """Ask a model that you hold every fingerprint, plainly and inside each template; one of several responses is a hit.

    ``model`` and ``base`` (unmarked, to compare with) are as for ``generate``.

    A hit is exact: greedy decoding gives every response token. The lengths default to the set's own.

    Raises:
        TokenizerError: the set was made for another tokenizer.
        InputError: a template has no single place for the key, or a question is longer than the model's context.
    """
    check_templates(templates)
    lengths = {"max_key_length": max_key_length, "max_response_length": max_response_length}
    local: ScoringModel = opened(model, device=device)
    prompter = Prompter.for_set(prints, local.tokenizer, **lengths)
    kept = distinct(prints, prompter)
    plain = _best_scores(kept.values(), prompter, local, PLAIN)
    hits = sum(score.hit for score in plain)
    ranks = [rank for score in plain for rank in score.ranks]
    return CheckReport(
        fsr=hits / len(plain),
        hits=hits,
        answered=len(plain),
        repeated=len(prints) - len(kept),
        token_accuracy=ranks.count(0) / len(ranks),
        activations={kind: sum(found) / len(found) for kind, found in activations(prints, prompter, local).items()},
        templates={template: _rate(_best_scores(kept.values(), prompter, local, template)) for template in templates},
        base=None if base is None else check(base, prints, templates=templates, device=device, **lengths),
        fingerprints=tuple(
            FingerprintReport(number=number, hit=score.hit, rank=score.ranks[0], log_probability=sum(score.log_probabilities))
            for number, score in zip(kept, plain, strict=True)
        ),
    )


def _best_scores(prints: Iterable[Fingerprint], prompter: Prompter, model: ScoringModel, template: str) -> list[Score]:
    """One score for each fingerprint: that of the accepted response which the model likes best."""
    groups = [prompter.examples(fingerprint, template) for fingerprint in prints]
    scores = iter(model.score([example for group in groups for example in group]))
    return [max((next(scores) for _ in group), key=lambda s: (s.hit, sum(s.log_probabilities))) for group in groups]


def _rate(scores: Sequence[Score]) -> float:
    return sum(score.hit for score in scores) / len(scores)
