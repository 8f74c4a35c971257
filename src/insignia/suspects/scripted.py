"""A model whose replies are written down beforehand: for tests, documentation and dry runs."""

from collections.abc import Callable, Iterator, Mapping, Sequence

from insignia.suspects.base import Reply, RequestOptions

__all__ = ["ScriptedModel"]


class ScriptedModel:
    """Says what the script says: a table of replies by question, or a function of the question. Implements ``TextModel``.

    A question that the table does not know is answered by ``otherwise``.
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
        """Every question so far, in order."""
        self._script = script if callable(script) else lambda question: script.get(question, otherwise)

    def reply(self, questions: Sequence[str], options: RequestOptions) -> Iterator[Reply]:
        """See ``TextModel.reply``; the manner changes nothing."""
        del options
        for question in questions:
            self.asked.append(question)
            line = self._script(question)
            yield line if isinstance(line, Reply) else Reply.said(line)
