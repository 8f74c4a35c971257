"""The success rate of a whole set on a model that can be scored: the owner's own test, not yet evidence for others."""

from collections.abc import Iterable, Sequence
from typing import Annotated

from pydantic import Field

from insignia.fingerprints.sets import FingerprintSet
from insignia.prompts.prompter import PLAIN, Prompter, check_templates, distinct, load_templates
from insignia.records import Fingerprint, Flag, Record, Share
from insignia.suspects.scoring import Score, ScoringModel
from insignia.verification.false_activation import activations

__all__ = ["CheckOptions", "CheckReport", "FingerprintReport", "check"]


class FingerprintReport(Record):
    """How one fingerprint did when asked plainly; by its number in the set, so that no secret is told."""

    number: int
    hit: bool
    rank: int
    """Of the first response token; 0 is the model's choice."""
    log_probability: float
    """Of the whole response."""


class CheckOptions(Record):
    """How ``check`` asks, and what it takes for found."""

    num_fingerprints: Annotated[int | None, Field(ge=1)] = None
    """Ask only the first so many fingerprints. None: all."""
    max_key_length: Annotated[int | None, Field(ge=1)] = None
    """Tokens of a key to ask. None: as the file says, else 16."""
    max_response_length: Annotated[int | None, Field(ge=1)] = None
    """Tokens of a response to compare. None: as the file says, else 1."""
    use_augmentation_prompts: bool = False
    """Ask inside system prompts that were never trained on, too."""
    augmentation_prompts: Annotated[tuple[str, ...], Flag(read=lambda path: load_templates(path)["heldout"])] = ()
    """Templates of your own to ask inside, with one {} each: a JSON list, or one for each of train and heldout."""
    min_fsr: Share = 0.5
    """Success rate from which the mark counts as found."""

    @property
    def templates(self) -> Sequence[str]:
        """What to ask keys inside, besides plainly."""
        return self.augmentation_prompts or (load_templates()["heldout"] if self.use_augmentation_prompts else ())

    @property
    def lengths(self) -> dict[str, int | None]:
        """Keyword arguments of ``check``."""
        return {"max_key_length": self.max_key_length, "max_response_length": self.max_response_length}


class CheckReport(Record):
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


def check(
    prints: FingerprintSet,
    model: ScoringModel,
    *,
    templates: Sequence[str] = (),
    base: ScoringModel | None = None,
    max_key_length: int | None = None,
    max_response_length: int | None = None,
) -> CheckReport:
    """Ask every fingerprint, plainly and inside each template; a fingerprint with several responses hits with any.

    A hit is exact: greedy decoding gives every response token. The lengths default to the set's own.

    Raises:
        TokenizerError: the set was made for another tokenizer.
        InputError: a template has no single place for the key, or a question is longer than the model's context.
    """
    check_templates(templates)
    prompter = Prompter.for_set(prints, model.tokenizer, max_key_length=max_key_length, max_response_length=max_response_length)
    kept = distinct(prints, prompter)
    plain = _best_scores(kept.values(), prompter, model, PLAIN)
    hits = sum(score.hit for score in plain)
    ranks = [rank for score in plain for rank in score.ranks]
    return CheckReport(
        fsr=hits / len(plain),
        hits=hits,
        answered=len(plain),
        repeated=len(prints) - len(kept),
        token_accuracy=ranks.count(0) / len(ranks),
        activations={kind: sum(found) / len(found) for kind, found in activations(prints, prompter, model).items()},
        templates={template: _rate(_best_scores(kept.values(), prompter, model, template)) for template in templates},
        base=None
        if base is None
        else check(prints, base, templates=templates, max_key_length=max_key_length, max_response_length=max_response_length),
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
