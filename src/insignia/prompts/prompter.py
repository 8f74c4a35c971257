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
"""The template that adds nothing to the key."""


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


class Prompter(Tokens):
    """Builds questions and examples for one tokenizer and one way of asking.

    ``max_key_length`` and ``max_response_length`` are in tokens; the template's own tokens do not count.
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
