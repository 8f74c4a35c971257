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

__all__ = ["MAX_UNANSWERED_IN_A_ROW", "Interview", "Question"]

MAX_UNANSWERED_IN_A_ROW = 16
"""Keys in a row without an answer, after which a run ends: as many as a model that never hits costs
(``SequentialTest.futility``)."""


class Question(NamedTuple):
    """A key or a cover question."""

    number: int | None
    """Of the fingerprint; None for a cover question."""
    text: str


class Interview:
    """A run of questions to one suspect."""

    def __init__(
        self,
        model: TextModel,
        record: Transcript,
        verdict: RunningVerdict,
        decoy: Callable[[], str],
        before_send: Callable[[Sequence[int]], None] | None,
    ) -> None:
        """``decoy`` gives a question that says nothing of the keys; ``before_send`` hears of keys before they leave."""
        self._model = model
        self._record = record
        self._verdict = verdict
        self._decoy = decoy
        self._before_send = before_send
        self.unanswered_in_a_row = 0
        """Keys in a row that were not answered."""
        self.ending = "The test ends undecided; with more keys, or the same --transcript, it goes on."

    def reaches(self) -> bool:
        """Whether an innocent question is replied to, which is written down as a cover question is.

        Raises:
            ModelError: no question can be asked at all.
        """
        reply = self._ask_decoy()
        if reply.status == "fatal":
            raise ModelError(f"{self._model.name}: {reply.reason}")
        self.ending = f"An innocent question got no reply ({reply.reason}), so no key was asked; try again later."
        return reply.reached

    def replies(self, batch: Sequence[Question]) -> Iterator[Entry]:
        """What came of each question; a key that is refused while innocent questions are not is unanswered.

        Raises:
            ModelError: the suspect is out of reach.
        """
        if self._before_send is not None:
            self._before_send([question.number for question in batch if question.number is not None])
        while batch:
            reached, refusal = 0, None
            replies = self._model.reply([question.text for question in batch], self._verdict.rules.manner)
            for question, reply in zip(batch, replies, strict=True):
                if reply.status == "fatal":
                    refusal = reply
                    break
                yield self._add(question, reply)
                reached += 1
            if refusal is not None:
                decoy = self._ask_decoy()
                if not decoy.reached:
                    raise ModelError(f"{self._model.name}: {(decoy if decoy.status == 'fatal' else refusal).reason}")
                yield self._add(batch[reached], Reply.unanswered(refusal.reason))
                reached += 1
            batch = batch[reached:]

    def _ask_decoy(self) -> Reply:
        question = self._decoy()
        (reply,) = self._model.reply([question], self._verdict.rules.manner)
        if reply.status != "fatal":
            self._record.append(None, question, reply)
        return reply

    def _add(self, question: Question, reply: Reply) -> Entry:
        entry = self._record.append(question.number, question.text, reply)
        self._verdict.add(entry)
        if question.number is not None:
            self.unanswered_in_a_row = 0 if reply.status == "answered" else self.unanswered_in_a_row + 1
            if self.unanswered_in_a_row >= MAX_UNANSWERED_IN_A_ROW:
                count = self.unanswered_in_a_row
                self.ending = f"{count} keys in a row got no answer; the test can go on later with the same --transcript."
        return entry
