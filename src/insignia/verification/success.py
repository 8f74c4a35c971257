"""``check``: the success rate of a whole set on a model that the owner holds. It is not evidence for others."""

from collections.abc import Iterable, Sequence
from typing import Annotated, Any

from pydantic import Field

from insignia.fingerprints.sets import FingerprintSet
from insignia.prompts.prompter import PLAIN, Prompter, check_templates, distinct, load_templates
from insignia.records import Displayed, Fingerprint, Flag, Record, Share
from insignia.suspects.scoring import ModelSource, Score, ScoringModel, opened
from insignia.terminal import percent, plural
from insignia.verification.false_activation import activations

__all__ = ["CheckOptions", "CheckReport", "FingerprintReport", "check"]


class FingerprintReport(Record):
    """The result of one fingerprint, asked without a template. Holds no secret."""

    number: int
    """Number of the fingerprint in its set."""
    hit: bool
    rank: int
    """Rank of the first response token; 0 is the most likely."""
    log_probability: float
    """Log-probability of the whole response."""


class CheckOptions(Record):
    """Options of ``check``."""

    num_fingerprints: Annotated[int | None, Field(ge=1)] = None
    """Ask only this many fingerprints, from the first. None: all."""
    max_key_length: Annotated[int | None, Field(ge=1)] = None
    """Tokens of a key to ask. None: as the file says, else 16."""
    max_response_length: Annotated[int | None, Field(ge=1)] = None
    """Tokens of a response to compare. None: as the file says, else 1."""
    use_augmentation_prompts: bool = False
    """Also ask inside system prompts that were not trained on."""
    augmentation_prompts: Annotated[tuple[str, ...], Flag(read=lambda path: load_templates(path)["heldout"])] = ()
    """Own templates to ask inside, with one {} each: a JSON list, or lists named train and heldout."""
    min_fsr: Share = 0.5
    """Lowest success rate at which the mark counts as found."""

    @property
    def templates(self) -> Sequence[str]:
        """Templates to ask keys inside."""
        return self.augmentation_prompts or (load_templates()["heldout"] if self.use_augmentation_prompts else ())

    @property
    def lengths(self) -> dict[str, Any]:
        """Keyword arguments of ``check``."""
        return {"max_key_length": self.max_key_length, "max_response_length": self.max_response_length}


class CheckReport(Displayed):
    """The result of ``check``."""

    fsr: float
    """Fingerprint success rate: hits / answered."""
    hits: int
    answered: int
    unanswered: int = 0
    """Unanswered keys; always 0 for a local model."""
    repeated: int
    """Fingerprints left out because an earlier one asks the same tokens, as in some files of other tools."""
    token_accuracy: float
    """Share of response tokens that are the model's most likely token, each after the correct tokens before it."""
    templates: dict[str, float]
    """Prompt template -> FSR with keys asked inside it."""
    activations: dict[str, float] = {}
    """Kind of control -> share of held-out controls that activate the mark, or of all if none is held out."""
    base: "CheckReport | None" = None
    """The report of the unmarked model."""
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
        kinds = {plural(kind.replace("_", " ")): rate for kind, rate in self.activations.items()}
        activated = [(f"activated by {kind}", percent(rate)) for kind, rate in kinds.items()]
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
    """Ask a model that you hold every fingerprint, without and inside each template.

    ``model`` and ``base``, the unmarked model, are as for ``generate``.

    A hit means that greedy decoding gives every token of the response, or of any of several. The lengths default to the set's.

    Raises:
        TokenizerError: the set was made for another tokenizer.
        InputError: a template does not have exactly one place for the key, or a question exceeds the model's context.
    """
    check_templates(templates)
    lengths: dict[str, Any] = {"max_key_length": max_key_length, "max_response_length": max_response_length}
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
    """Return one score per fingerprint: the best of its accepted responses."""
    groups = [prompter.examples(fingerprint, template) for fingerprint in prints]
    scores = iter(model.score([example for group in groups for example in group]))
    return [max((next(scores) for _ in group), key=lambda s: (s.hit, sum(s.log_probabilities))) for group in groups]


def _rate(scores: Sequence[Score]) -> float:
    return sum(score.hit for score in scores) / len(scores)
