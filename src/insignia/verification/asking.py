"""A suspect under questioning: what it replies is written down and weighed, and what it keeps silent about is counted.

A suspect that may refuse is asked an innocent question before its first key, and again when it seems to be out of reach. To
refuse keys alone is its own choice and leaves them unanswered; to be out of reach for all ends the run.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from insignia.errors import ModelError
from insignia.suspects.base import Reply, TextModel
from insignia.verification.transcript import Entry, Transcript
from insignia.verification.verdict import RunningVerdict

__all__ = ["SILENCE", "Asking", "Question"]

SILENCE = 16
"""Keys in a row without an answer, after which a run ends: as many as a model that never hits costs
(``SequentialTest.futility``)."""


class Question(NamedTuple):
    """A key or a cover question."""

    number: int | None
    """Of the fingerprint; None for a cover question."""
    text: str


class Asking:
    """A run of questions to one suspect."""

    def __init__(
        self,
        model: TextModel,
        record: Transcript,
        weighing: RunningVerdict,
        innocent: Callable[[], str],
        before_send: Callable[[Sequence[int]], None] | None,
    ) -> None:
        """``innocent`` gives a question that says nothing of the keys; ``before_send`` hears of keys before they leave."""
        self._model = model
        self._record = record
        self._weighing = weighing
        self._innocent = innocent
        self._showing = before_send
        self.silence = 0
        """Keys in a row that were not answered."""
        self.ending = "The test ends undecided; with more keys, or the same --transcript, it goes on."

    def reaches(self) -> bool:
        """Whether an innocent question is replied to, which is written down as a cover question is.

        Raises:
            ModelError: no question can be asked at all.
        """
        reply = self._ask_innocently()
        if reply.status == "fatal":
            raise ModelError(f"{self._model.name}: {reply.reason}")
        self.ending = f"An innocent question got no reply ({reply.reason}), so no key was asked; try again later."
        return reply.heard

    def replies(self, batch: Sequence[Question]) -> Iterator[Entry]:
        """What came of each question; a key that is refused while innocent questions are not is unanswered.

        Raises:
            ModelError: the suspect is out of reach.
        """
        if self._showing is not None:
            self._showing([question.number for question in batch if question.number is not None])
        while batch:
            heard, refusal = 0, None
            replies = self._model.reply([question.text for question in batch], self._weighing.rules.manner)
            for question, reply in zip(batch, replies, strict=True):
                if reply.status == "fatal":
                    refusal = reply
                    break
                yield self._hear(question, reply)
                heard += 1
            if refusal is not None:
                innocent = self._ask_innocently()
                if not innocent.heard:
                    raise ModelError(f"{self._model.name}: {(innocent if innocent.status == 'fatal' else refusal).reason}")
                yield self._hear(batch[heard], Reply.unanswered(refusal.reason))
                heard += 1
            batch = batch[heard:]

    def _ask_innocently(self) -> Reply:
        question = self._innocent()
        (reply,) = self._model.reply([question], self._weighing.rules.manner)
        if reply.status != "fatal":
            self._record.append(None, question, reply)
        return reply

    def _hear(self, question: Question, reply: Reply) -> Entry:
        entry = self._record.append(question.number, question.text, reply)
        self._weighing.hear(entry)
        if question.number is not None:
            self.silence = 0 if reply.status == "answered" else self.silence + 1
            if self.silence >= SILENCE:
                self.ending = f"{self.silence} keys in a row got no answer; with the same --transcript the test goes on later."
        return entry
