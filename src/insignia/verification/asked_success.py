"""The success rate of a model that can only be asked, such as one behind a server: by the scores of its tokens, or by text."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple, cast

from insignia.errors import InputError, ModelError
from insignia.fingerprints.sets import FingerprintSet
from insignia.folding import fold
from insignia.progress import Progress
from insignia.prompts.prompter import PLAIN
from insignia.records import Candidate, Fingerprint
from insignia.suspects.base import Inquiry, Reply, RequestOptions, TextModel, TokenModel, TokensReply
from insignia.terminal import counted
from insignia.verification.false_activation import asked_controls, common_start
from insignia.verification.interview import MAX_UNANSWERED_IN_A_ROW
from insignia.verification.matching import Expected, Match, expected_responses, find
from insignia.verification.protocol import keys_of, usual_manner

__all__ = ["AskedSuccess", "Outcome"]

_AS_WRITTEN = Match(fold="spaces")  # the owner's own server hides nothing, so no letter stands for another


class Outcome(NamedTuple):
    """What became of one fingerprint."""

    hit: bool
    right: tuple[bool, ...] = ()
    """Whether each response token is the likeliest, after the correct ones before it; () by text."""
    rank: int | None = None
    """Rank of the first response token, if it is told."""
    log_probability: float | None = None
    """Log-probability of the whole response, if it is told."""


class AskedSuccess:
    """Every fingerprint of a set, asked of a model that takes text.

    A text hits where the reply begins with the response; scores hit where each token of the response is the likeliest.
    """

    def __init__(self, prints: FingerprintSet, model: TextModel, channel: str, progress: Progress) -> None:
        """With ``channel`` auto, the scores are asked for unless the model does not tell those of the first fingerprint.

        Raises:
            InputError: the set holds no text to look for, or the model does not tell the scores that ``channel`` asks for.
            ModelError: the model cannot be asked.
        """
        self._prints, self._model, self._progress = prints, model, progress
        self.kept: Mapping[int, Fingerprint] = {number: prints.fingerprints[number] for number in keys_of(prints)}
        """The fingerprints to ask, by number."""
        self._searches = {number: _search(each, prints.max_response_length) for number, each in self.kept.items()}
        self._manner: RequestOptions = usual_manner(prints, _AS_WRITTEN)
        scored = channel != "text" and self._tells_tokens()
        if channel == "scores" and not scored:
            raise InputError(f"{model.name} does not score the tokens of a prompt; --channel auto goes by its text")
        self.by: Literal["scores", "text"] = "scores" if scored else "text"
        """What a hit is seen by."""

    def outcomes(self, template: str = PLAIN) -> dict[int, Outcome]:
        """The outcome of each fingerprint that was answered, by number; one whose tokens are not told is asked for its text.

        Raises:
            ModelError: the model cannot be asked, or it leaves 16 questions in a row unanswered.
        """
        questions = {number: template.replace(PLAIN, each.asked_key) for number, each in self.kept.items()}
        found: dict[int, Outcome] = {}
        with self._progress.bar("asking", len(questions), unit="keys") as advance:
            for number, reply in zip(questions, self._told(questions) if self.by == "scores" else (), strict=False):
                if isinstance(reply, TokensReply) and reply.tokens:
                    found[number] = _of_tokens(reply)
                    advance()
            left = {number: question for number, question in questions.items() if number not in found}
            for number, reply in zip(left, self._said([*left.values()]), strict=True):
                if reply.reached:
                    found[number] = Outcome(find(reply.text, self._searches[number], _AS_WRITTEN).hit)
                advance()
        if not found:
            raise ModelError(f"{self._model.name} answered none of {counted(len(questions), 'question')}")
        return dict(sorted(found.items()))

    def activations(self) -> dict[str, list[bool]]:
        """Kind of control -> whether each that was answered activates the mark; see ``false_activation.activations``."""
        accepted = [_search(each, self._prints.max_response_length).accepted[0] for each in self._prints]
        start = " ".join(common_start([text.split() for text in accepted]))
        found: dict[str, list[bool]] = {}
        for kind, controls in asked_controls(self._prints).items():
            replies = self._said([control.text for control in controls])
            for number, (control, reply) in enumerate(zip(controls, replies, strict=True)):
                wanted = start or accepted[number % len(accepted) if control.near is None else control.near]
                if reply.reached:
                    found.setdefault(kind, []).append(fold(reply.text, "spaces").startswith(wanted))
        return found

    def _tells_tokens(self) -> bool:
        number, each = next(iter(self.kept.items()))
        return any(isinstance(reply, TokensReply) and reply.tokens for reply in self._told({number: each.asked_key}))

    def _told(self, questions: Mapping[int, str]) -> Iterator[Reply]:
        """What the model tells of the tokens of the responses; nothing if it cannot be asked that."""
        if not hasattr(self._model, "tokens"):
            return iter(())
        inquiries = [Inquiry(question, _responses(self.kept[number])) for number, question in questions.items()]
        return self._answered(cast(TokenModel, self._model).tokens(inquiries, self._manner))

    def _said(self, questions: Sequence[str]) -> Iterator[Reply]:
        return self._answered(self._model.reply(questions, self._manner))

    def _answered(self, replies: Iterator[Reply]) -> Iterator[Reply]:
        """The replies, until it is clear that the model cannot be asked."""
        silent = 0
        for reply in replies:
            silent = 0 if reply.reached else silent + 1
            if reply.status == "fatal":
                raise ModelError(f"{self._model.name}: {reply.reason}")
            if silent == MAX_UNANSWERED_IN_A_ROW:
                raise ModelError(f"{self._model.name} left {silent} questions in a row unanswered ({reply.reason})")
            yield reply


def _search(fingerprint: Fingerprint, max_response_length: int) -> Expected:
    """What replies are searched for: the whole trained text, also where ``verify`` judges each of its tokens by itself."""
    found = expected_responses(fingerprint, max_response_length, _AS_WRITTEN)
    if fingerprint.continuations is None:
        return found
    return Expected(tuple(fold(each.text, "spaces") for each in _responses(fingerprint)), ())


def _responses(fingerprint: Fingerprint) -> tuple[Candidate, ...]:
    """The accepted responses as they were trained, each with its first token."""
    further = "".join(each.candidates[each.order[0]].text for each in fingerprint.continuations or ())
    texts = fingerprint.effective_responses or fingerprint.responses
    ids = fingerprint.response_ids or ((0,),) * len(texts)
    return tuple(Candidate(text=text + further, token_id=each[0]) for text, each in zip(texts, ids, strict=True))


def _of_tokens(reply: TokensReply) -> Outcome:
    """The outcome by the response that the model likes best."""
    best = max(reply.tokens, key=lambda told: (all(t.likeliest for t in told), sum(t.log_probability for t in told)))
    right = tuple(token.likeliest for token in best)
    return Outcome(all(right), right, best[0].rank, sum(token.log_probability for token in best))
