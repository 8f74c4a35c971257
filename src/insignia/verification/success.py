"""``check``: the success rate of a whole set on a model that the owner holds. It is not evidence for others."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import Field

from insignia.errors import InputError
from insignia.fingerprints.sets import FingerprintSet
from insignia.progress import AUTO, Progress
from insignia.prompts.prompter import PLAIN, Prompter, check_templates, distinct, load_templates
from insignia.records import Displayed, Flag, Record, Share
from insignia.suspects.base import TextModel
from insignia.suspects.scoring import ModelSource, ScoringModel, opened
from insignia.terminal import counted, percent, plural
from insignia.verification.asked_success import AskedSuccess, Outcome
from insignia.verification.false_activation import activations

__all__ = ["CheckOptions", "CheckReport", "FingerprintReport", "check"]


class FingerprintReport(Record):
    """The result of one fingerprint, asked without a template. Holds no secret."""

    number: int
    """Number of the fingerprint in its set."""
    hit: bool
    rank: int | None
    """Rank of the first response token; 0 is the most likely. None if a server does not tell it."""
    log_probability: float | None
    """Log-probability of the whole response; None if a server does not tell it."""


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
    own_server: bool = False
    """The server at --endpoint is yours: it is asked every key, and none is recorded as spent."""
    channel: Literal["auto", "scores", "text"] = "auto"
    """What to go by at --endpoint: scores of the response's tokens, or text; scores where they are offered by default."""

    @property
    def templates(self) -> Sequence[str]:
        """Templates to ask keys inside."""
        return self.augmentation_prompts or (load_templates()["heldout"] if self.use_augmentation_prompts else ())

    @property
    def asking(self) -> dict[str, Any]:
        """Keyword arguments of ``check``."""
        names = ("templates", "max_key_length", "max_response_length", "own_server", "channel")
        return {name: getattr(self, name) for name in names}


class CheckReport(Displayed):
    """The result of ``check``."""

    fsr: float
    """Fingerprint success rate: hits / answered."""
    hits: int
    answered: int
    unanswered: int = 0
    """Unanswered keys; always 0 for a local model."""
    by: Literal["tokens", "scores", "text"] = "tokens"
    """What a hit is seen by: the tokens of a model on this machine, a server's scores of its tokens, or text."""
    repeated: int
    """Fingerprints left out because an earlier one asks the same tokens, as in some files of other tools."""
    token_accuracy: float | None
    """Share of response tokens that are the model's likeliest token, each after the correct tokens before it; None by text."""
    templates: dict[str, float]
    """Prompt template -> FSR with keys asked inside it."""
    activations: dict[str, float] = {}
    """Kind of control -> share of held-out controls that activate the mark, or of all if none is held out."""
    base: "CheckReport | None" = None
    """The report of the unmarked model."""
    fingerprints: tuple[FingerprintReport, ...]
    """Those that were answered."""

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
        right = [] if self.token_accuracy is None else [("response tokens right", percent(self.token_accuracy))]
        return [*base, *right, *inside, *activated]


def check(
    model: ModelSource | TextModel,
    prints: FingerprintSet,
    *,
    templates: Sequence[str] = (),
    base: ModelSource | None = None,
    max_key_length: int | None = None,
    max_response_length: int | None = None,
    device: str = "auto",
    own_server: bool = False,
    channel: Literal["auto", "scores", "text"] = "auto",
    progress: Progress = AUTO,
) -> CheckReport:
    """Ask a model that you hold every fingerprint, without and inside each template.

    ``model`` and ``base``, the unmarked model, are as for ``generate``, or an ``Endpoint`` of a server that is yours, which
    ``own_server`` confirms. ``channel`` says what to go by there.

    A hit means that greedy decoding gives every token of the response, or of any of several. The lengths default to the set's.

    Raises:
        TokenizerError: the set was made for another tokenizer.
        InputError: a template does not have exactly one place for the key, a question exceeds the model's context, or a server
            may be somebody else's.
        ModelError: a server cannot be asked.
    """
    check_templates(templates)
    lengths = {"max_key_length": max_key_length, "max_response_length": max_response_length}
    opened_model: Any = opened(model, device=device)
    asked: _TokenSuccess | AskedSuccess
    if hasattr(opened_model, "score"):
        asked = _TokenSuccess(prints, opened_model, **lengths)
    else:
        _refuse_strangers(opened_model, prints, own_server=own_server, **lengths)
        asked = AskedSuccess(prints, opened_model, channel, progress)
    plain = asked.outcomes()
    right = [each for outcome in plain.values() for each in outcome.right]
    again: dict[str, Any] = {"own_server": own_server, "channel": channel, "progress": progress, **lengths}
    return CheckReport(
        fsr=_rate(plain),
        hits=sum(outcome.hit for outcome in plain.values()),
        answered=len(plain),
        unanswered=len(asked.kept) - len(plain),
        by=asked.by,
        repeated=len(prints) - len(asked.kept),
        token_accuracy=sum(right) / len(right) if right else None,
        activations={kind: sum(found) / len(found) for kind, found in asked.activations().items()},
        templates={template: _rate(asked.outcomes(template)) for template in templates},
        base=None if base is None else check(base, prints, templates=templates, device=device, **again),
        fingerprints=tuple(
            FingerprintReport(number=number, hit=outcome.hit, rank=outcome.rank, log_probability=outcome.log_probability)
            for number, outcome in plain.items()
        ),
    )


class _TokenSuccess:
    """Every fingerprint of a set, asked by its exact tokens of a model whose probabilities can be read."""

    by: Literal["tokens"] = "tokens"

    def __init__(self, prints: FingerprintSet, model: ScoringModel, **lengths: int | None) -> None:
        self._prints, self._model = prints, model
        self._prompter = Prompter.for_set(prints, model.tokenizer, **lengths)
        self.kept = distinct(prints, self._prompter)

    def outcomes(self, template: str = PLAIN) -> dict[int, Outcome]:
        """The outcome of each fingerprint, by number: the best of its accepted responses."""
        groups = [self._prompter.examples(fingerprint, template) for fingerprint in self.kept.values()]
        scores = iter(self._model.score([example for group in groups for example in group]))
        best = [max((next(scores) for _ in group), key=lambda s: (s.hit, sum(s.log_probabilities))) for group in groups]
        return {
            number: Outcome(s.hit, tuple(rank == 0 for rank in s.ranks), s.ranks[0], sum(s.log_probabilities))
            for number, s in zip(self.kept, best, strict=True)
        }

    def activations(self) -> dict[str, list[bool]]:
        """See ``false_activation.activations``."""
        return activations(self._prints, self._prompter, self._model)


def _rate(outcomes: Mapping[int, Outcome]) -> float:
    return sum(outcome.hit for outcome in outcomes.values()) / len(outcomes)


def _refuse_strangers(model: Any, prints: FingerprintSet, *, own_server: bool, **lengths: int | None) -> None:
    """Raise InputError before a key is shown to somebody else, or if the set is to be cut as only a tokenizer can."""
    if model.may_refuse and not own_server:
        raise InputError(
            f"'check' asks every key, and the host of {model.name} would know {counted(len(prints), 'key')}. If the server is "
            "yours, say so by --own-server (own_server=True); somebody else's is tested by 'verify', with a few keys"
        )
    if any(length not in (None, getattr(prints, name)) for name, length in lengths.items()):
        raise InputError(
            "a server is asked for the keys and responses of the set as they are; --max-key-length and --max-response-length "
            "need the tokenizer: check the model's folder"
        )
