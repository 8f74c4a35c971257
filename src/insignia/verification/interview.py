"""Asks a suspect questions, records the replies and adds them to the verdict.

A suspect that may refuse is asked a decoy question before the first key, and again if it seems out of reach. If it answers
decoys but refuses keys, the keys count as unanswered. If it answers nothing, the run ends.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from insignia.errors import ModelError
from insignia.suspects.base import Reply, TextModel
from insignia.verification.running_verdict import RunningVerdict
from insignia.verification.transcript import Entry, Transcript

__all__ = ["MAX_UNANSWERED_IN_A_ROW", "Interview", "Question"]

MAX_UNANSWERED_IN_A_ROW = 16
"""Unanswered keys in a row that end a run: as many as a model that never hits costs (``SequentialTest.futility``)."""


class Question(NamedTuple):
    """A key or a decoy question."""

    number: int | None
    """Number of the fingerprint; None for a decoy question."""
    text: str


class Interview:
    """The questions of a run to one suspect."""

    def __init__(
        self,
        model: TextModel,
        record: Transcript,
        verdict: RunningVerdict,
        decoy: Callable[[], str],
        before_send: Callable[[Sequence[int]], None] | None,
    ) -> None:
        """``decoy`` returns a decoy question; ``before_send`` is called with the numbers of keys before they are sent."""
        self._model = model
        self._record = record
        self._verdict = verdict
        self._decoy = decoy
        self._before_send = before_send
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
        reply = self._ask_decoy()
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
                self.ending = f"{count} keys in a row were unanswered; resume later with the same --transcript."
        return entry
