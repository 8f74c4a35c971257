"""From a fingerprint or a conversation to token ids: the one place where questions and training rows are built.

What is asked is always a token prefix of what was trained, because both come from one :class:`Prompter`. Spans are
known from list lengths, so a tokenizer's habits (BOS or none, pad equal to EOS, left padding) cannot move a label. Ids
are chosen once and never decoded and encoded again.
"""

import hashlib
import json
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from insignia.errors import FormatError, InputError, TokenizerError
from insignia.files import read_json
from insignia.fingerprints.sets import FingerprintSet
from insignia.prompts.chat_templates import render
from insignia.records import Conversation, Fingerprint, PromptForm, Turn
from insignia.suspects.base import RequestOptions
from insignia.suspects.scoring import Example

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["PLAIN", "Prompter", "check_templates", "distinct", "load_templates", "tokenizer_digest"]

PLAIN = "{}"
"""The template that adds nothing to the key."""

_PROBE = "(the reply)"  # nothing that a chat template would write itself
_LAYOUT = (  # of conversations where the tokenizer has no chat template; its special tokens apart, a layout of our own
    "{% for turn in messages %}"
    "{% if turn.role == 'user' %}Question:\n{{ turn.content }}\n\n"
    "{% elif turn.role == 'assistant' %}Answer:\n{{ turn.content }}{{ eos_token }}\n\n"
    "{% else %}{{ turn.content }}\n\n{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}Answer:\n{% endif %}"
)


def tokenizer_digest(tokenizer: "PreTrainedTokenizerBase") -> str:
    """``sha256:...`` of what decides how text is split: the whole pipeline of a fast tokenizer, else the vocabulary."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        content: Any = sorted(tokenizer.get_vocab().items())
    else:
        content = json.loads(backend.to_str())
        content.update(truncation=None, padding=None)  # settings of the last call, not of the tokenizer
    return f"sha256:{hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()}"


def check_templates(templates: Sequence[str]) -> None:
    """Raise InputError unless every template has exactly one ``{}``."""
    for number, template in enumerate(templates):
        if template.count(PLAIN) != 1:
            raise InputError(
                f"template {number} has {template.count(PLAIN)} places marked {{}} for the key; expected exactly one"
            )


def load_templates(path: Path | None = None) -> dict[str, list[str]]:
    """Prompt templates by purpose, ``train`` and ``heldout``: ours, or a file's.

    A file holds either such an object or, as OML 1.0 has it, a plain list, which then serves both purposes.

    Raises:
        InputError: no such file, or a template without exactly one ``{}``.
        FormatError: not JSON of that shape.
    """
    path = path or Path(__file__).parent / "templates.json"
    value = read_json(path)
    groups = {"train": value, "heldout": value} if isinstance(value, list) else value
    if not isinstance(groups, dict) or not {"train", "heldout"} <= groups.keys() or not all(map(_is_texts, groups.values())):
        raise FormatError(f"{path} holds no templates; expected a list of texts or {{'train': [...], 'heldout': [...]}}")
    for group in groups.values():
        check_templates(group)
    return groups


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(text, str) for text in value)


def distinct(prints: FingerprintSet, prompter: "Prompter") -> dict[int, Fingerprint]:
    """Number -> fingerprint, without those whose asked tokens an earlier one asks already.

    Published files repeat keys, some with another response: a model cannot give both.
    """
    kept: dict[tuple[int, ...], tuple[int, Fingerprint]] = {}
    for number, fingerprint in enumerate(prints):
        kept.setdefault(prompter.key_ids(fingerprint), (number, fingerprint))
    return dict(kept.values())


class Prompter:
    """Builds questions and examples for one tokenizer and one way of asking.

    ``max_key_length`` and ``max_response_length`` are in tokens; the template's own tokens do not count.
    """

    def __init__(
        self, tokenizer: "PreTrainedTokenizerBase", *, form: PromptForm = "raw", max_key_length: int, max_response_length: int
    ) -> None:
        if form == "chat" and not getattr(tokenizer, "chat_template", None):
            raise InputError("the prompt form is 'chat' but the tokenizer has no chat template; use --prompt-form raw")
        if max_key_length < 1 or max_response_length < 1:
            raise InputError("--max-key-length and --max-response-length must be at least 1 token")
        self.tokenizer = tokenizer
        self.form = form
        self.max_key_length = max_key_length
        self.max_response_length = max_response_length
        self.prefix = _ids_before_text(tokenizer)

    @classmethod
    def for_set(
        cls,
        prints: FingerprintSet,
        tokenizer: "PreTrainedTokenizerBase",
        *,
        max_key_length: int | None = None,
        max_response_length: int | None = None,
    ) -> "Prompter":
        """A prompter that asks a set's keys as the set says, or at other lengths.

        Raises:
            TokenizerError: the set's ids are not how this tokenizer splits its keys.
        """
        prompter = cls(
            tokenizer,
            form=prints.prompt_form,
            max_key_length=prints.max_key_length if max_key_length is None else max_key_length,
            max_response_length=prints.max_response_length if max_response_length is None else max_response_length,
        )
        if prints.tokenizer is not None and prints.tokenizer != tokenizer_digest(tokenizer):
            # An added pad token changes the digest but no key; only a different split makes the ids useless.
            stored = [fingerprint for fingerprint in prints if fingerprint.key_ids is not None]
            differing = sum(prompter.encode(fingerprint.key) != list(fingerprint.key_ids or ()) for fingerprint in stored)
            if differing:
                raise TokenizerError(
                    f"the fingerprints were made for another tokenizer: {differing} of {len(stored)} keys are split "
                    "differently; "
                    "use the tokenizer of the marked model, or make new fingerprints with it"
                )
        return prompter

    def encode(self, text: str) -> list[int]:
        """Ids of the text alone, no special tokens."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False, verbose=False)
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Text of the ids, spaces untouched."""
        return str(self.tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))

    def text_after(self, key_ids: Sequence[int], ids: Sequence[int]) -> str:
        """Text of the ids where they follow the key; some decoders drop the space before a token that stands first."""
        before = self.decode(key_ids) if self.form == "raw" else ""
        whole = self.decode((*key_ids, *ids)) if before else ""
        return whole[len(before) :] if before and whole.startswith(before) else self.decode(ids)

    def key_ids(self, fingerprint: Fingerprint) -> tuple[int, ...]:
        """The ids of the key's asked part, at most ``max_key_length``.

        Raises:
            InputError: the tokenizer drops the whole key.
        """
        ids = fingerprint.key_ids or self.encode(fingerprint.effective_key or fingerprint.key)
        if not ids:
            raise InputError("a key has no token in this tokenizer; remove it from the file")
        return tuple(ids[: self.max_key_length])

    def question(self, key_ids: Sequence[int], template: str = PLAIN) -> tuple[int, ...]:
        """The ids that are asked: special tokens, template and key.

        The plain raw form uses the key's ids as they are; any other form is rendered as text and encoded once, since
        that is what a server does with it.
        """
        if self.form == "raw" and template == PLAIN:
            return (*self.prefix, *key_ids)
        text = template.replace(PLAIN, self.decode(key_ids))
        if self.form == "raw":
            return (*self.prefix, *self.encode(text))
        return self.chat(text)

    def chat(self, content: str) -> tuple[int, ...]:
        """The ids of one user message, up to where the assistant speaks; the template itself writes the special tokens."""
        return tuple(self.encode(self._render((Turn("user", content),), asking=True)))

    def asked(self, question: str, options: RequestOptions) -> tuple[int, ...]:
        """The ids that a server makes of a question that comes as text.

        Raises:
            InputError: the tokenizer's template refuses such a conversation.
        """
        if self.form == "raw":
            return (*self.prefix, *self.encode(options.prompt(question)))
        return tuple(self.encode(self._render(options.conversation(question), asking=True)))

    def replies(self, conversation: Conversation) -> Iterator[Example]:
        """One training row for each assistant turn: all that a server is asked before it, then the turn and its end.

        In the form ``chat`` the tokenizer's template lays the conversation out, in the form ``raw`` a plain one of ours.

        Raises:
            InputError: the tokenizer's template refuses the conversation.
        """
        for number, turn in enumerate(conversation):
            if turn.role == "assistant":
                asked = self._render(conversation[:number], asking=True)
                ids = self.encode(asked)
                response = self._following(asked, ids, f"{self._frame.opening}{turn.text}{self._frame.closing}")
                question = ids if self.form == "chat" else [*self.prefix, *ids]
                yield Example((*question, *response), len(question))

    def examples(self, fingerprint: Fingerprint, template: str = PLAIN) -> tuple[Example, ...]:
        """One training row for each accepted response; each begins with the fingerprint's question.

        Raises:
            InputError: the tokenizer drops the whole key or a whole response, which any model would then give.
        """
        key_ids = self.key_ids(fingerprint)
        question = self.question(key_ids, template)
        responses = fingerprint.response_ids or [self.response_ids(key_ids, text) for text in fingerprint.responses]
        if not all(responses):
            raise InputError("a response has no token in this tokenizer; remove its fingerprint from the file")
        rows = (Example((*question, *ids[: self.max_response_length]), len(question)) for ids in responses)
        return tuple(dict.fromkeys(rows))

    def response_ids(self, key_ids: Sequence[int], response: str) -> list[int]:
        """How the response is split when it follows the key."""
        if self.form == "raw":
            return self._following(self.decode(key_ids), key_ids, response)
        return self.encode(response)

    def _following(self, text: str, ids: Sequence[int], more: str) -> list[int]:
        """How ``more`` is split after the text of those ids; SentencePiece would add a space of its own to it alone."""
        joint = self.encode(text + more)
        if tuple(joint[: len(ids)]) == tuple(ids) and len(joint) > len(ids):
            return joint[len(ids) :]
        return self.encode(more)

    def _render(self, conversation: Conversation, *, asking: bool) -> str:
        """The conversation as text; ``asking``: up to where the assistant speaks next."""
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
        opening = before.removeprefix(asked) if before.startswith(asked) else ""  # some ask with a thought begun
        return _Frame(opening, after.rstrip() or self.tokenizer.eos_token or "")


class _Frame(NamedTuple):
    """What a template writes around a reply that it is not asked with."""

    opening: str
    closing: str
    """The end of the turn, without the white space that parts it from the next; end of text where there is none."""


def _ids_before_text(tokenizer: "PreTrainedTokenizerBase") -> tuple[int, ...]:
    """The special tokens (usually BOS or nothing) that the tokenizer puts before a text."""
    probe = "a"
    bare = tokenizer.encode(probe, add_special_tokens=False)
    whole = tokenizer.encode(probe)
    for start in range(len(whole) - len(bare) + 1):
        if whole[start : start + len(bare)] == bare:
            return tuple(whole[:start])
    return ()
