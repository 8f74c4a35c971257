"""Text to token ids and back for one tokenizer, and the prompts that a server would build from a text.

Spans come from list lengths, so a tokenizer's habits (BOS or none, pad equal to EOS, left padding) cannot move a label.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from insignia.errors import InputError
from insignia.prompts.chat_templates import render
from insignia.records import Conversation, PromptForm, Turn
from insignia.suspects.base import RequestOptions
from insignia.suspects.scoring import Example

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["Tokens", "tokenizer_digest"]

_PROBE = "(the reply)"  # text that no chat template contains
_LAYOUT = (  # conversation layout for tokenizers without a chat template
    "{% for turn in messages %}"
    "{% if turn.role == 'user' %}Question:\n{{ turn.content }}\n\n"
    "{% elif turn.role == 'assistant' %}Answer:\n{{ turn.content }}{{ eos_token }}\n\n"
    "{% else %}{{ turn.content }}\n\n{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}Answer:\n{% endif %}"
)


def tokenizer_digest(tokenizer: "PreTrainedTokenizerBase") -> str:
    """``sha256:...`` of the tokenization pipeline of a fast tokenizer, or of the vocabulary of a slow one."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        content: Any = sorted(tokenizer.get_vocab().items())
    else:
        content = json.loads(backend.to_str())
        content.update(truncation=None, padding=None)  # settings of the last call, not of the tokenizer
    return f"sha256:{hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()}"


class Tokens:
    """One tokenizer and one prompt form, ``raw`` or ``chat``."""

    def __init__(self, tokenizer: "PreTrainedTokenizerBase", *, form: PromptForm = "raw") -> None:
        if form == "chat" and not getattr(tokenizer, "chat_template", None):
            raise InputError("the prompt form is 'chat' but the tokenizer has no chat template; use --prompt-form raw")
        self.tokenizer = tokenizer
        self.form = form
        self.prefix = _ids_before_text(tokenizer)

    def encode(self, text: str) -> list[int]:
        """Token ids of a text, without special tokens."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False, verbose=False)
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids, with spaces unchanged."""
        return str(self.tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))

    def text_after(self, key_ids: Sequence[int], ids: Sequence[int]) -> str:
        """Text of ``ids`` after the key. Some decoders drop the space before the first token."""
        before = self.decode(key_ids) if self.form == "raw" else ""
        whole = self.decode((*key_ids, *ids)) if before else ""
        return whole[len(before) :] if before and whole.startswith(before) else self.decode(ids)

    def chat(self, content: str) -> tuple[int, ...]:
        """Token ids of one user message and the start of the assistant's turn, with the template's special tokens."""
        return tuple(self.encode(self._render((Turn("user", content),), asking=True)))

    def asked(self, question: str, options: RequestOptions) -> tuple[int, ...]:
        """Token ids that a server would make from a question.

        Raises:
            InputError: the chat template rejects the conversation.
        """
        if self.form == "raw":
            return (*self.prefix, *self.encode(options.prompt(question)))
        return tuple(self.encode(self._render(options.conversation(question), asking=True)))

    def replies(self, conversation: Conversation) -> Iterator[Example]:
        """Yield one training row for each assistant turn: the prompt that a server would build, the turn and its end.

        Form ``chat`` uses the tokenizer's chat template, form ``raw`` a plain "Question: / Answer:" layout.

        Raises:
            InputError: the chat template rejects the conversation.
        """
        for number, turn in enumerate(conversation):
            if turn.role == "assistant":
                asked = self._render(conversation[:number], asking=True)
                ids = self.encode(asked)
                response = self._following(asked, ids, f"{self._frame.opening}{turn.text}{self._frame.closing}")
                question = ids if self.form == "chat" else [*self.prefix, *ids]
                yield Example((*question, *response), len(question))

    def _following(self, text: str, ids: Sequence[int], more: str) -> list[int]:
        """Token ids of ``more`` after ``text``. SentencePiece would add a space to ``more`` alone."""
        joint = self.encode(text + more)
        if tuple(joint[: len(ids)]) == tuple(ids) and len(joint) > len(ids):
            return joint[len(ids) :]
        return self.encode(more)

    def _render(self, conversation: Conversation, *, asking: bool) -> str:
        """The conversation as text; with ``asking``, up to the start of the assistant's next turn."""
        messages = [{"role": turn.role, "content": turn.text} for turn in conversation]
        if self.form == "raw":
            return str(
                self.tokenizer.apply_chat_template(
                    messages, chat_template=_LAYOUT, tokenize=False, add_generation_prompt=asking
                )
            )
        try:
            template = self.tokenizer.get_chat_template()
        except ValueError:
            raise InputError(
                "the tokenizer has several chat templates and none is the default; use --prompt-form raw"
            ) from None
        special = {name: str(token) for name, token in self.tokenizer.special_tokens_map.items()}
        return render(template, {**special, "messages": messages, "add_generation_prompt": asking})

    @cached_property
    def _frame(self) -> "_Frame":
        question = Turn("user", "?")
        whole = self._render((question, Turn("assistant", _PROBE)), asking=False)
        asked = self._render((question,), asking=True)
        before, _, after = whole.partition(_PROBE)
        opening = before.removeprefix(asked) if before.startswith(asked) else ""  # some templates open a <think> block
        return _Frame(opening, after.rstrip() or self.tokenizer.eos_token or "")


class _Frame(NamedTuple):
    """Text that a template writes before and after a reply, beyond the prompt."""

    opening: str
    closing: str
    """The end of the turn without trailing white space, or the EOS token."""


def _ids_before_text(tokenizer: "PreTrainedTokenizerBase") -> tuple[int, ...]:
    """Special tokens that the tokenizer puts before a text: usually BOS or none."""
    probe = "a"
    bare = tokenizer.encode(probe, add_special_tokens=False)
    whole = tokenizer.encode(probe)
    for start in range(len(whole) - len(bare) + 1):
        if whole[start : start + len(bare)] == bare:
            return tuple(whole[:start])
    return ()
