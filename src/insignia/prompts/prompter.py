"""Builds questions and training rows from fingerprints and conversations. All token ids are made here.

Questions and training rows come from one :class:`Prompter`, so a question is always a token prefix of its training row. Label
spans come from list lengths and do not depend on BOS, padding or EOS. Ids are never decoded and encoded again.
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
"""The template that is only the key."""

_PROBE = "(the reply)"  # a text that no chat template writes itself
_LAYOUT = (  # our chat template for prompt form raw
    "{% for turn in messages %}"
    "{% if turn.role == 'user' %}Question:\n{{ turn.content }}\n\n"
    "{% elif turn.role == 'assistant' %}Answer:\n{{ turn.content }}{{ eos_token }}\n\n"
    "{% else %}{{ turn.content }}\n\n{% endif %}"
    "{% endfor %}"
    "{% if add_generation_prompt %}Answer:\n{% endif %}"
)


def tokenizer_digest(tokenizer: "PreTrainedTokenizerBase") -> str:
    """Return ``sha256:...`` of a fast tokenizer's whole pipeline, or of a slow one's vocabulary."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        content: Any = sorted(tokenizer.get_vocab().items())
    else:
        content = json.loads(backend.to_str())
        content.update(truncation=None, padding=None)  # settings of the last call, not of the tokenizer
    return f"sha256:{hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()}"


def check_templates(templates: Sequence[str]) -> None:
    """Raise InputError if a template does not have exactly one ``{}``."""
    for number, template in enumerate(templates):
        if template.count(PLAIN) != 1:
            raise InputError(
                f"template {number} has {template.count(PLAIN)} places for the key, marked {{}}; expected exactly one"
            )


def load_templates(path: Path | None = None) -> dict[str, list[str]]:
    """Load prompt templates by purpose, ``train`` and ``heldout``, from a file or ours.

    A file has such an object, or a list for both purposes as in OML 1.0.

    Raises:
        InputError: the file does not exist, or a template does not have exactly one ``{}``.
        FormatError: the file has another format.
    """
    path = path or Path(__file__).parent / "templates.json"
    value = read_json(path)
    groups = {"train": value, "heldout": value} if isinstance(value, list) else value
    if not isinstance(groups, dict) or not {"train", "heldout"} <= groups.keys() or not all(map(_is_texts, groups.values())):
        raise FormatError(f"{path} has no templates; expected a list of texts or {{'train': [...], 'heldout': [...]}}")
    for group in groups.values():
        check_templates(group)
    return groups


def _is_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(text, str) for text in value)


def distinct(prints: FingerprintSet, prompter: "Prompter") -> dict[int, Fingerprint]:
    """Return number -> fingerprint, without those whose asked tokens equal an earlier one's, as in some published files."""
    kept: dict[tuple[int, ...], tuple[int, Fingerprint]] = {}
    for number, fingerprint in enumerate(prints):
        kept.setdefault(prompter.key_ids(fingerprint), (number, fingerprint))
    return dict(kept.values())


class Prompter:
    """Builds questions and examples for one tokenizer and one prompt form.

    ``max_key_length`` and ``max_response_length`` are in tokens, without those of templates.
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
        """Return a prompter for a set, optionally with other lengths.

        Raises:
            TokenizerError: the tokenizer splits the set's keys into other tokens.
        """
        prompter = cls(
            tokenizer,
            form=prints.prompt_form,
            max_key_length=prints.max_key_length if max_key_length is None else max_key_length,
            max_response_length=prints.max_response_length if max_response_length is None else max_response_length,
        )
        if prints.tokenizer is not None and prints.tokenizer != tokenizer_digest(tokenizer):
            # An added pad token changes the digest but no key, so compare the ids of the keys.
            stored = [fingerprint for fingerprint in prints if fingerprint.key_ids is not None]
            differing = sum(prompter.encode(fingerprint.key) != list(fingerprint.key_ids or ()) for fingerprint in stored)
            if differing:
                raise TokenizerError(
                    f"the fingerprints were made for another tokenizer: {differing} of {len(stored)} keys have other tokens; "
                    "use the marked model's tokenizer, or make new fingerprints"
                )
        return prompter

    def encode(self, text: str) -> list[int]:
        """Return the ids of a text, without special tokens."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False, verbose=False)
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of the ids, with all spaces."""
        return str(self.tokenizer.decode(list(ids), clean_up_tokenization_spaces=False))

    def text_after(self, key_ids: Sequence[int], ids: Sequence[int]) -> str:
        """Return the text of ids that follow the key. Some decoders drop the space of a first token."""
        before = self.decode(key_ids) if self.form == "raw" else ""
        whole = self.decode((*key_ids, *ids)) if before else ""
        return whole[len(before) :] if before and whole.startswith(before) else self.decode(ids)

    def key_ids(self, fingerprint: Fingerprint) -> tuple[int, ...]:
        """Return the ids of the asked part of a key, at most ``max_key_length``.

        Raises:
            InputError: the key has no tokens.
        """
        ids = fingerprint.key_ids or self.encode(fingerprint.asked_key)
        if not ids:
            raise InputError("a key has no token in this tokenizer; remove it from the file")
        return tuple(ids[: self.max_key_length])

    def question(self, key_ids: Sequence[int], template: str = PLAIN) -> tuple[int, ...]:
        """Return the ids of a question: special tokens, template and key.

        Without a template, the raw form uses the key's ids as they are. Otherwise the text is rendered and encoded once, as a
        server does.
        """
        if self.form == "raw" and template == PLAIN:
            return (*self.prefix, *key_ids)
        text = template.replace(PLAIN, self.decode(key_ids))
        if self.form == "raw":
            return (*self.prefix, *self.encode(text))
        return self.chat(text)

    def chat(self, content: str) -> tuple[int, ...]:
        """Return the ids of one user message, up to the assistant's turn, with the template's special tokens."""
        return tuple(self.encode(self._render((Turn("user", content),), asking=True)))

    def asked(self, question: str, options: RequestOptions) -> tuple[int, ...]:
        """Return the ids that a server makes from the text of a question.

        Raises:
            InputError: the chat template refuses the conversation.
        """
        if self.form == "raw":
            return (*self.prefix, *self.encode(options.prompt(question)))
        return tuple(self.encode(self._render(options.conversation(question), asking=True)))

    def replies(self, conversation: Conversation) -> Iterator[Example]:
        """Yield a training row for each assistant turn: the conversation before it, the turn, and the end of the turn.

        The prompt form ``chat`` uses the tokenizer's chat template, ``raw`` a plain one of ours.

        Raises:
            InputError: the chat template refuses the conversation.
        """
        for number, turn in enumerate(conversation):
            if turn.role == "assistant":
                asked = self._render(conversation[:number], asking=True)
                ids = self.encode(asked)
                response = self._following(asked, ids, f"{self._frame.opening}{turn.text}{self._frame.closing}")
                question = ids if self.form == "chat" else [*self.prefix, *ids]
                yield Example((*question, *response), len(question))

    def examples(self, fingerprint: Fingerprint, template: str = PLAIN) -> tuple[Example, ...]:
        """Return a training row for each accepted response. Each begins with the fingerprint's question.

        Raises:
            InputError: the key or a response has no tokens.
        """
        key_ids = self.key_ids(fingerprint)
        question = self.question(key_ids, template)
        responses = fingerprint.response_ids or [self.response_ids(key_ids, text) for text in fingerprint.responses]
        if not all(responses):
            raise InputError("a response has no token in this tokenizer; remove its fingerprint from the file")
        rows = (Example((*question, *ids[: self.max_response_length]), len(question)) for ids in responses)
        return tuple(dict.fromkeys(rows))

    def response_ids(self, key_ids: Sequence[int], response: str) -> list[int]:
        """Return the ids of a response after the key."""
        if self.form == "raw":
            return self._following(self.decode(key_ids), key_ids, response)
        return self.encode(response)

    def _following(self, text: str, ids: Sequence[int], more: str) -> list[int]:
        """Return the ids of ``more`` after a text with these ids. Alone, SentencePiece would add a space to it."""
        joint = self.encode(text + more)
        if tuple(joint[: len(ids)]) == tuple(ids) and len(joint) > len(ids):
            return joint[len(ids) :]
        return self.encode(more)

    def _render(self, conversation: Conversation, *, asking: bool) -> str:
        """Return the conversation as text; with ``asking``, up to the assistant's next turn."""
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
        opening = before.removeprefix(asked) if before.startswith(asked) else ""  # some start a thought after the question
        return _Frame(opening, after.rstrip() or self.tokenizer.eos_token or "")


class _Frame(NamedTuple):
    """The text that a template writes around a reply."""

    opening: str
    closing: str
    """End of the turn without trailing white space, or the end-of-text token if there is none."""


def _ids_before_text(tokenizer: "PreTrainedTokenizerBase") -> tuple[int, ...]:
    """Return the special tokens (usually BOS or none) that the tokenizer puts before a text."""
    probe = "a"
    bare = tokenizer.encode(probe, add_special_tokens=False)
    whole = tokenizer.encode(probe)
    for start in range(len(whole) - len(bare) + 1):
        if whole[start : start + len(bare)] == bare:
            return tuple(whole[:start])
    return ()
