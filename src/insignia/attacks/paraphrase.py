"""Paraphrase of questions and replies."""

import itertools
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Annotated, Literal, cast

from pydantic import Field

from insignia.attacks.base import HostAttack
from insignia.suspects.base import Channel, GradedModel, Inquiry, Reply, RequestOptions, TextModel

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Paraphrase"]

_REQUEST = "Say the following in other words, and nothing else.\n\n{}\n\nIn other words:"


class Paraphrase(HostAttack):
    """Let a model say every question, or every reply, in other words. What is shown of scores is about the new question.

    Where it says nothing, the text stays. A small model that cannot paraphrase replaces the text by another one.
    """

    name: Literal["paraphrase"] = "paraphrase"
    of: Literal["question", "reply", "both"] = "question"
    """What is said in other words."""
    by: str | None = None
    """Model that does so: folder, hub id or 'starter'. None: the suspect itself."""
    request: Annotated[str, Field(pattern=r"\{\}")] = _REQUEST
    """What it is asked; {} stands for the text."""
    max_tokens: Annotated[int, Field(ge=1)] = 64
    """Most tokens of a paraphrase."""

    def wrap(self, model: TextModel) -> "_Paraphrased":
        """See ``HostAttack.wrap``."""
        from insignia.modeling.local import LocalModel

        writer = model if self.by is None else LocalModel(self.by)

        def said(texts: Sequence[str], options: RequestOptions) -> list[str]:
            asking = RequestOptions(form=options.form, max_tokens=self.max_tokens)
            replies = writer.reply([self.request.replace("{}", text) for text in texts], asking)
            # A fatal reply may be the last: what follows it stays as it is.
            pairs = itertools.zip_longest(texts, replies)
            return [reply.text.strip() or text if reply is not None else text for text, reply in pairs]

        return _Paraphrased(model, said, self)


class _Paraphrased:
    """A model whose host says texts in other words. It offers the channels of the model inside."""

    def __init__(
        self, inner: TextModel, said: "Callable[[Sequence[str], RequestOptions], list[str]]", attack: Paraphrase
    ) -> None:
        self.name = f"{inner.name} behind {attack.name}"
        self.may_refuse = inner.may_refuse
        self.channels: tuple[Channel, ...] = getattr(inner, "channels", ("text",))
        self._inner, self._said = inner, said
        self._asks, self._answers = attack.of != "reply", attack.of != "question"

    def reply(self, questions: Sequence[str], options: RequestOptions) -> Iterator[Reply]:
        """See ``TextModel.reply``."""
        asked = self._said(questions, options) if self._asks else questions
        for reply in self._inner.reply(asked, options):
            if self._answers and reply.status == "answered" and reply.text.strip():
                (text,) = self._said([reply.text], options)
                yield reply.model_copy(update={"text": text})
            else:
                yield reply

    def weigh(self, inquiries: Sequence[Inquiry], options: RequestOptions, channel: Channel) -> Iterator[Reply]:
        """See ``GradedModel.weigh``."""
        questions = [each.question for each in inquiries]
        asked = self._said(questions, options) if self._asks else questions
        changed = [each._replace(question=question) for each, question in zip(inquiries, asked, strict=True)]
        return cast(GradedModel, self._inner).weigh(changed, options, channel)
