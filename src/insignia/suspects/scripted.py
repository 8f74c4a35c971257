"""A model with canned replies, for tests, documentation and dry runs."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from insignia.suspects.base import Reply, RequestOptions

__all__ = ["ScriptedModel"]


class ScriptedModel:
    """Returns canned replies from a table or a function of the question. Implements ``TextModel``.

    A question that is not in the table gets ``otherwise``.
    """

    may_refuse = True

    def __init__(
        self,
        script: Mapping[str, str | Reply] | Callable[[str], str | Reply],
        *,
        otherwise: str | Reply = "I do not know.",
        name: str = "scripted",
    ) -> None:
        self.name = name
        self.asked: list[str] = []
        """All questions so far, in order."""
        self._script = script if callable(script) else lambda question: script.get(question, otherwise)

    def reply(self, questions: Sequence[str], options: RequestOptions) -> Iterator[Reply]:
        """See ``TextModel.reply``; the options are ignored."""
        for question in questions:
            self.asked.append(question)
            line = self._script(question)
            yield line if isinstance(line, Reply) else Reply.said(line)
