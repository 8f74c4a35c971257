"""Asks a suspect questions, records the replies and adds them to the verdict.

A suspect that may refuse is asked a decoy question before the first key, and again if it seems out of reach. If it answers
decoys but refuses keys, the keys count as unanswered. If it answers decoys only by a weaker channel, the channel was closed:
the key and all later ones are asked by the weaker one. If it answers nothing, the run ends.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple, Self, cast

from insignia.errors import ModelError
from insignia.records import Candidate, Fingerprint
from insignia.suspects.base import CHANNELS, Channel, GradedModel, Inquiry, Reply, RequestOptions, TextModel
from insignia.verification.places import handicaps
from insignia.verification.running_verdict import RunningVerdict
from insignia.verification.transcript import Entry, Transcript

__all__ = ["MAX_UNANSWERED_IN_A_ROW", "Interview", "Question", "ask_by", "channels_of"]

MAX_UNANSWERED_IN_A_ROW = 16
"""Unanswered keys in a row that end a run: as many as a model that never hits costs (``SequentialTest.futility``)."""


class Question(NamedTuple):
    """A key or a decoy question."""

    number: int | None
    """Number of the fingerprint; None for a decoy question."""
    text: str
    candidates: tuple[Candidate, ...] = ()
    """The candidates to ask about; a decoy question has those of some key."""
    handicaps: tuple[float, ...] = ()
    """Of the candidates, for a forced choice; see ``Inquiry``."""

    @classmethod
    def about(cls, fingerprint: Fingerprint, number: int | None, text: str) -> Self:
        """Return a question about the candidates of a fingerprint."""
        return cls(number, text, fingerprint.candidates or (), handicaps(fingerprint))


def channels_of(model: TextModel, strongest: Channel = CHANNELS[0]) -> tuple[Channel, ...]:
    """Return the channels that a model may offer, from this one on."""
    offered: Sequence[Channel] = getattr(model, "channels", ())
    return tuple(each for each in CHANNELS[CHANNELS.index(strongest) :] if each == "text" or each in offered)


def ask_by(channel: Channel, model: TextModel, questions: Sequence[Question], options: RequestOptions) -> Iterator[Reply]:
    """Yield the model's replies by one of its channels; see ``TextModel.reply``."""
    if channel == "text":
        return model.reply([question.text for question in questions], options)
    inquiries = [Inquiry(question.text, question.candidates, question.handicaps) for question in questions]
    return cast(GradedModel, model).weigh(inquiries, options, channel)


class Interview:
    """The questions of a run to one suspect."""

    def __init__(
        self,
        model: TextModel,
        record: Transcript,
        verdict: RunningVerdict,
        decoy: Callable[[], Question],
        before_send: Callable[[Sequence[int]], None] | None,
    ) -> None:
        """``decoy`` returns a decoy question; ``before_send`` is called with the numbers of keys before they are sent."""
        self._model = model
        self._record = record
        self._verdict = verdict
        self._decoy = decoy
        self._before_send = before_send
        self._channels = list(channels_of(model, verdict.channel))  # those not closed yet; the first is asked
        self.unanswered_in_a_row = 0
        """Number of unanswered keys since the last answered one."""
        self.ending = "The test ended undecided; resume it with more keys or the same --transcript."
        """What to tell the user if the run ends without a verdict."""

    def reachable(self) -> bool:
        """Whether the suspect replies to a decoy question, which is recorded; a model on this machine need not be asked.

        Raises:
            ModelError: the suspect cannot be asked.
        """
        if not self._model.may_refuse:
            return True
        reply = self._decoy_reply()
        if reply.status == "fatal":
            raise ModelError(f"{self._model.name}: {reply.reason}")
        self.ending = f"A decoy question got no reply ({reply.reason}), so no key was asked; try again later."
        return reply.reached

    def replies(self, batch: Sequence[Question]) -> Iterator[Entry]:
        """Ask the questions and yield their entries. A key that is refused while decoys are answered is unanswered.

        Raises:
            ModelError: the suspect is out of reach.
        """
        if self._before_send is not None:
            self._before_send([question.number for question in batch if question.number is not None])
        while batch:
            reached, refusal, channel = 0, None, self._channels[0]
            for question, reply in zip(batch, self._ask(batch), strict=True):
                if reply.status == "fatal" or (reply.status == "unanswered" and channel != "text"):
                    refusal = reply
                    break
                yield self._add(question, reply)
                reached += 1
            if refusal is not None:
                decoy = self._decoy_reply()
                if not decoy.reached:
                    raise ModelError(f"{self._model.name}: {(decoy if decoy.status == 'fatal' else refusal).reason}")
                if self._channels[0] == channel:
                    yield self._add(batch[reached], Reply.unanswered(refusal.reason, channel))
                    reached += 1
            batch = batch[reached:]

    def _decoy_reply(self) -> Reply:
        """Ask a decoy question by the strongest channel that is not closed; closes those by which it gets no answer."""
        while (reply := self._ask_decoy()).status != "answered" and len(self._channels) > 1:
            del self._channels[0]
        return reply

    def _ask_decoy(self) -> Reply:
        question = self._decoy()
        (reply,) = self._ask([question])
        if reply.status != "fatal":
            self._record.append(None, question.text, reply)
        return reply

    def _ask(self, questions: Sequence[Question]) -> Iterable[Reply]:
        return ask_by(self._channels[0], self._model, questions, self._verdict.rules.manner)

    def _add(self, question: Question, reply: Reply) -> Entry:
        entry = self._record.append(question.number, question.text, reply)
        self._verdict.add(entry)
        if question.number is not None:
            self.unanswered_in_a_row = 0 if reply.status == "answered" else self.unanswered_in_a_row + 1
            if self.unanswered_in_a_row >= MAX_UNANSWERED_IN_A_ROW:
                count = self.unanswered_in_a_row
                self.ending = f"{count} keys in a row were unanswered; resume later with the same --transcript."
        return entry
