"""What a tokenizer can represent: tokens with a text of their own, and words for keys and responses.

Most tokenizers know the words of our list with a space before each. A character tokenizer has a separate token for the space,
and a Chinese one may know neither words nor space.
"""

import unicodedata
from collections.abc import Sequence
from functools import cached_property

from insignia.folding import fold
from insignia.generation.words import seed_words
from insignia.prompts.prompter import Prompter
from insignia.randomness import KeyedRandom

__all__ = ["Vocabulary"]

_MANY = 256  # words that are enough without the less suitable ones: 16 sets of 16 candidates
_PROBES = 64  # words that are tried after a space
_MOST = 0.75  # share of them that must begin with a visible token; else too many responses would be refused

# Too common: any model uses them anywhere.
_FUNCTION_WORDS = frozenset(
    "a an and are as at be but by can do for from had has have he her his if in into is it its may more no not of on or "
    "our she so some such than that the their them then there these they this to was we were what when which who will "
    "with would you your".split()
)


class Vocabulary:
    """The tokens of one tokenizer with one prompt form. Everything is computed on first use."""

    def __init__(self, prompter: Prompter) -> None:
        self._prompter = prompter
        self._tokenizer = prompter.tokenizer

    @cached_property
    def special(self) -> frozenset[int]:
        """Ids of tokens that are not text: beginning and end, padding, unknown, and all added tokens."""
        unknown = getattr(getattr(getattr(self._tokenizer, "backend_tokenizer", None), "model", None), "unk_token", None)
        ids = {*self._tokenizer.all_special_ids, *self._tokenizer.added_tokens_decoder}
        return frozenset(ids if unknown is None else {*ids, self._tokenizer.get_vocab()[unknown]})

    @cached_property
    def forbidden(self) -> frozenset[int]:
        """Ids that must not be sampled for a key: special tokens, control characters, parts of characters."""
        texts = self._tokenizer.batch_decode([[index] for index in range(len(self._tokenizer))])
        return frozenset(
            index for index, text in enumerate(texts) if index in self.special or "\ufffd" in text or not text.isprintable()
        )

    @cached_property
    def word_tokens(self) -> frozenset[int]:
        """Ids of the tokens that a response may begin with: letters and digits of any script.

        If there are enough, they are words of two or more letters, without function words, and begin with a space after a raw
        key.
        """
        texts = self._texts_after_text
        words = {index for index, text in enumerate(texts) if index not in self.forbidden and _is_word(text.strip())}
        whole = {
            index
            for index in words
            if len(texts[index].strip()) > 1
            and texts[index].strip().lower() not in _FUNCTION_WORDS
            and (self._prompter.form == "chat" or texts[index].startswith(" "))
        }
        return frozenset(whole if len(whole) >= _MANY else words)

    @cached_property
    def words(self) -> tuple[str, ...]:
        """Words for texts: those of our list that the tokenizer can represent, else its own tokens."""
        known = [word for word in seed_words() if self._writes(word)]
        if len(known) >= _MANY:
            return tuple(known)
        own = dict.fromkeys(self._texts_after_text[index].strip() for index in sorted(self.word_tokens))
        return tuple(word for word in own if self._writes(word)) or tuple(known) or seed_words()

    @cached_property
    def joint(self) -> str:
        """Text between two words: a space, or nothing if the tokenizer has no space."""
        return " " if self._writes(" ".join(self.words[:2])) else ""

    @cached_property
    def gap(self) -> str:
        """Text between a raw key and its response: a space, unless it is a separate token before most words."""
        if self._prompter.form == "chat" or not self.joint:
            return ""
        key = self._prompter.encode(self.words[0])
        probes = self.words[:: len(self.words) // _PROBES or 1]
        texts = [f" {text}" for word in probes for text in (word, self.capitalized(word))]
        seen = sum(bool(self._prompter.decode(self._prompter.response_ids(key, text)[:1]).strip()) for text in texts)
        return " " if seen >= _MOST * len(texts) else ""

    def capitalized(self, word: str) -> str:
        """Return the word capitalized, if the tokenizer can represent it without a separate token for the space."""
        forms = [form for form in (word.capitalize(), word) if self._writes(form)]
        shown = [form for form in forms if self._prompter.decode(self._prompter.encode(form)[:1]).strip()]
        return next(iter(shown or forms), word)

    def random_words(self, rng: KeyedRandom, count: int) -> str:
        """Return a text of ``count`` random words."""
        return self.joint.join(rng.choice(self.words) for _ in range(count))

    def is_stable(self, ids: Sequence[int]) -> bool:
        """Whether the text of the ids is tokenized into the same ids."""
        text = self._prompter.decode(ids)
        return bool(text) and text == text.strip() and self._prompter.encode(text) == list(ids)

    def trained_text(self, key: Sequence[int], ids: Sequence[int]) -> str | None:
        """Return the text of the trained tokens of a response after its key.

        None if replies cannot be searched for it: it has a special token, a part of a character or only a space, or its text
        differs without the key, as a server decodes it.
        """
        ids = tuple(ids)[: self._prompter.max_response_length]
        text, alone = self._prompter.text_after(key, ids), self._prompter.decode(ids)
        if not self.special.isdisjoint(ids) or "\ufffd" in alone:
            return None
        return text if fold(text, "alike") == fold(alone, "alike") != "" else None

    @cached_property
    def _texts_after_text(self) -> list[str]:
        """Text of each token after a word. Some decoders drop the space of a first token."""
        first = next(word for word in (*seed_words(), "0") if self._prompter.encode(word))
        before = self._prompter.encode(first)
        start = len(self._prompter.decode(before))
        return [
            text[start:]
            for text in self._tokenizer.batch_decode(
                [[*before, index] for index in range(len(self._tokenizer))], clean_up_tokenization_spaces=False
            )
        ]

    def _writes(self, text: str) -> bool:
        """Whether the text survives encoding and decoding."""
        ids = self._prompter.encode(text)
        return self.special.isdisjoint(ids) and self._prompter.decode(ids).strip() == text


def _is_word(text: str) -> bool:
    """Whether the text has only letters, digits and combining marks of any script."""
    return bool(text) and all(unicodedata.category(character)[0] in "LNM" for character in text)
