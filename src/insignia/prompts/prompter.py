"""Questions and training rows of fingerprints, as token ids.

A question is always a token prefix of its training row, because one :class:`Prompter` builds both.
Ids are never decoded and encoded again.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from insignia.errors import FormatError, InputError, TokenizerError
from insignia.files import read_json
from insignia.fingerprints.sets import FingerprintSet
from insignia.prompts.tokens import Tokens, tokenizer_digest
from insignia.records import Fingerprint, PromptForm
from insignia.suspects.scoring import Example

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["PLAIN", "Prompter", "check_templates", "distinct", "load_templates"]

PLAIN = "{}"
"""The template that is only the key."""


def check_templates(templates: Sequence[str]) -> None:
    """Raise InputError if a template does not have exactly one ``{}``."""
    for number, template in enumerate(templates):
        if template.count(PLAIN) != 1:
            raise InputError(
                f"template {number} has {template.count(PLAIN)} places for the key, marked {{}}; expected exactly one"
            )


def load_templates(path: Path | None = None) -> dict[str, list[str]]:
    """Prompt templates for ``train`` and ``heldout``, from a file or the built-in ones.

    A file holds an object with both, or a list for both, as in OML 1.0.

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
    """Number -> fingerprint, without those whose key has the same tokens as an earlier one.

    Published files repeat keys, some with other responses; a model cannot learn both.
    """
    kept: dict[tuple[int, ...], tuple[int, Fingerprint]] = {}
    for number, fingerprint in enumerate(prints):
        kept.setdefault(prompter.key_ids(fingerprint), (number, fingerprint))
    return dict(kept.values())


class Prompter(Tokens):
    """Builds questions and training rows of fingerprints for one tokenizer and prompt form.

    ``max_key_length`` and ``max_response_length`` are in tokens, without those of a template.
    """

    def __init__(
        self, tokenizer: "PreTrainedTokenizerBase", *, form: PromptForm = "raw", max_key_length: int, max_response_length: int
    ) -> None:
        if max_key_length < 1 or max_response_length < 1:
            raise InputError("--max-key-length and --max-response-length must be at least 1 token")
        super().__init__(tokenizer, form=form)
        self.max_key_length = max_key_length
        self.max_response_length = max_response_length

    @classmethod
    def for_set(
        cls,
        prints: FingerprintSet,
        tokenizer: "PreTrainedTokenizerBase",
        *,
        max_key_length: int | None = None,
        max_response_length: int | None = None,
    ) -> "Prompter":
        """A prompter with the form and lengths of a set, or other lengths.

        Raises:
            TokenizerError: this tokenizer splits the keys differently from the set's ids.
        """
        prompter = cls(
            tokenizer,
            form=prints.prompt_form,
            max_key_length=prints.max_key_length if max_key_length is None else max_key_length,
            max_response_length=prints.max_response_length if max_response_length is None else max_response_length,
        )
        if prints.tokenizer is not None and prints.tokenizer != tokenizer_digest(tokenizer):
            # An added pad token changes the digest but no key, so compare the keys.
            stored = [fingerprint for fingerprint in prints if fingerprint.key_ids is not None]
            differing = sum(prompter.encode(fingerprint.key) != list(fingerprint.key_ids or ()) for fingerprint in stored)
            if differing:
                raise TokenizerError(
                    f"the fingerprints were made for another tokenizer: {differing} of {len(stored)} keys are split "
                    "differently; use the tokenizer of the marked model, or generate new fingerprints with it"
                )
        return prompter

    def key_ids(self, fingerprint: Fingerprint) -> tuple[int, ...]:
        """Token ids of a key, at most ``max_key_length``.

        Raises:
            InputError: the key has no token.
        """
        ids = fingerprint.key_ids or self.encode(fingerprint.asked_key)
        if not ids:
            raise InputError("a key has no token in this tokenizer; remove it from the file")
        return tuple(ids[: self.max_key_length])

    def question(self, key_ids: Sequence[int], template: str = PLAIN) -> tuple[int, ...]:
        """Token ids of a question: special tokens, template and key.

        The raw form without a template uses the key's ids; any other form is rendered as text and encoded, as a server does.
        """
        if self.form == "raw" and template == PLAIN:
            return (*self.prefix, *key_ids)
        text = template.replace(PLAIN, self.decode(key_ids))
        if self.form == "raw":
            return (*self.prefix, *self.encode(text))
        return self.chat(text)

    def examples(self, fingerprint: Fingerprint, template: str = PLAIN) -> tuple[Example, ...]:
        """One training row per response; each starts with the fingerprint's question.

        Raises:
            InputError: the key or a response has no token.
        """
        key_ids = self.key_ids(fingerprint)
        question = self.question(key_ids, template)
        responses = fingerprint.response_ids or [self.response_ids(key_ids, text) for text in fingerprint.responses]
        if not all(responses):
            raise InputError("a response has no token in this tokenizer; remove its fingerprint from the file")
        rows = (Example((*question, *ids[: self.max_response_length]), len(question)) for ids in responses)
        return tuple(dict.fromkeys(rows))

    def response_ids(self, key_ids: Sequence[int], response: str) -> list[int]:
        """Token ids of a response after the key."""
        if self.form == "raw":
            return self._following(self.decode(key_ids), key_ids, response)
        return self.encode(response)
