"""Suspects behind a host that changes questions, options and replies. They need no access to the model but its protocol."""

from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar, cast

from insignia.suspects.base import Channel, GradedModel, Inquiry, Reply, RequestOptions, TextModel

__all__ = ["Doubts", "Hosted", "Refusing", "Routed"]

_T = TypeVar("_T")


class Doubts(Protocol):
    """Which questions a host does not pass on to the model."""

    def __call__(self, questions: Sequence[str], options: RequestOptions) -> Sequence[bool]:
        """Whether each question is doubtful."""
        ...


class Hosted:
    """A model whose host changes each question and the options. It offers the channels of the model inside.

    ``may_refuse`` is that of the model inside too: a simulated host on this machine learns no key.
    """

    def __init__(
        self,
        inner: TextModel,
        *,
        name: str,
        question: Callable[[str], str] = str,
        options: Callable[[RequestOptions], RequestOptions] = lambda options: options,
    ) -> None:
        self.name = f"{inner.name} behind {name}"
        self.may_refuse = inner.may_refuse
        self.channels: tuple[Channel, ...] = getattr(inner, "channels", ("text",))
        self._inner, self._question, self._options = inner, question, options

    def reply(self, questions: Sequence[str], options: RequestOptions) -> Iterator[Reply]:
        """See ``TextModel.reply``."""
        return self._inner.reply([self._question(question) for question in questions], self._options(options))

    def weigh(self, inquiries: Sequence[Inquiry], options: RequestOptions, channel: Channel) -> Iterator[Reply]:
        """See ``GradedModel.weigh``."""
        asked = [each._replace(question=self._question(each.question)) for each in inquiries]
        return cast(GradedModel, self._inner).weigh(asked, self._options(options), channel)


class Routed:
    """A model whose host gives doubtful questions to another. It offers the channels of the model inside."""

    def __init__(self, inner: TextModel, other: GradedModel, doubts: Doubts, *, name: str) -> None:
        self.name = f"{inner.name} behind {name}"
        self.may_refuse = inner.may_refuse
        self.channels: tuple[Channel, ...] = getattr(inner, "channels", ("text",))
        self._inner, self._other, self._doubts = inner, other, doubts

    def reply(self, questions: Sequence[str], options: RequestOptions) -> Iterator[Reply]:
        """See ``TextModel.reply``."""
        doubtful = self._doubts(questions, options)
        kept, rest = _split(questions, doubtful)
        return _in_order(doubtful, self._inner.reply(kept, options), self._other.reply(rest, options))

    def weigh(self, inquiries: Sequence[Inquiry], options: RequestOptions, channel: Channel) -> Iterator[Reply]:
        """See ``GradedModel.weigh``."""
        doubtful = self._doubts([each.question for each in inquiries], options)
        kept, rest = _split(inquiries, doubtful)
        inner = cast(GradedModel, self._inner)
        return _in_order(doubtful, inner.weigh(kept, options, channel), self._other.weigh(rest, options, channel))


class Refusing:
    """Refuses every question: the text of a refusal, and nothing about candidates. Implements ``GradedModel``."""

    name = "a refusal"
    may_refuse = True
    channels: tuple[Channel, ...] = ("text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reply(self, questions: Sequence[str], options: RequestOptions) -> Iterator[Reply]:
        """See ``TextModel.reply``."""
        return (Reply.said(self._text) for _ in questions)

    def weigh(self, inquiries: Sequence[Inquiry], options: RequestOptions, channel: Channel) -> Iterator[Reply]:
        """See ``GradedModel.weigh``."""
        return (Reply.unanswered("refused", channel) for _ in inquiries)


def _split(items: Sequence[_T], doubtful: Sequence[bool]) -> tuple[list[_T], list[_T]]:
    """(those passed on, the doubtful ones)."""
    marked = list(zip(items, doubtful, strict=True))
    return [item for item, doubt in marked if not doubt], [item for item, doubt in marked if doubt]


def _in_order(doubtful: Sequence[bool], kept: Iterator[Reply], rest: Iterator[Reply]) -> Iterator[Reply]:
    """The replies in the order of the questions; none after a fatal one."""
    for doubt in doubtful:
        reply = next(rest if doubt else kept)
        yield reply
        if reply.status == "fatal":
            return
