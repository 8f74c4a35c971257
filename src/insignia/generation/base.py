"""What a strategy is, and what it has to work with."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Hashable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, TypeVar, cast

from pydantic import Field

from insignia.artifacts import MAX_KEY_LENGTH, MAX_RESPONSE_LENGTH
from insignia.errors import InputError
from insignia.models.base import GenerativeModel
from insignia.randomness import KeyedRandom
from insignia.registry import Registry
from insignia.types import Candidate, Control, Fingerprint, Part, PromptForm

if TYPE_CHECKING:
    from insignia.models.prompts import Prompter

__all__ = ["STRATEGIES", "Answer", "Quota", "Strategy", "Workshop"]


_T = TypeVar("_T")

_SPREAD = 64  # no response takes more than one in 64 places (and three)


class Answer(NamedTuple):
    """A response that a strategy made for a key."""

    text: str
    ids: tuple[int, ...]
    candidates: tuple[Candidate, ...] | None = None


class Quota:
    """Keeps any one response from being used too often: an innocent model that favours it would hit them all."""

    def __init__(self, uses: int) -> None:
        self._limit = uses // _SPREAD + 3
        self._used: Counter[Hashable] = Counter()

    def left(self, item: Hashable) -> bool:
        """Whether the item may be used once more."""
        return self._used[item] < self._limit

    def spend(self, item: Hashable) -> None:
        """Use the item once."""
        self._used[item] += 1


class Workshop:
    """The model, the way of asking and the tallies that one run of a strategy shares."""

    def __init__(self, model: GenerativeModel, prompter: "Prompter", num_fingerprints: int, *, chance: KeyedRandom) -> None:
        self.model = model
        self.chance = chance
        """The owner's secret, for what is not one fingerprint's own."""
        self.prompter = prompter
        self.num_fingerprints = num_fingerprints
        self._quotas: dict[str, Quota] = {}
        self._made: dict[str, Any] = {}

    def quota(self, name: str, uses: int) -> Quota:
        """The run's tally of that name, made at its first use for that many uses in all."""
        return self._quotas.setdefault(name, Quota(uses))

    def once(self, name: str, make: Callable[["Workshop"], _T]) -> _T:
        """What the run shares under that name, made when it is first asked for."""
        if name not in self._made:
            self._made[name] = make(self)
        return cast(_T, self._made[name])

    @cached_property
    def forbidden(self) -> frozenset[int]:
        """Ids that never belong in a key: special tokens, control characters, pieces of characters, padding rows."""
        tokenizer = self.prompter.tokenizer
        special = {*tokenizer.all_special_ids, *tokenizer.added_tokens_decoder}
        texts = tokenizer.batch_decode([[index] for index in range(len(tokenizer))])
        return frozenset(
            index for index, text in enumerate(texts) if index in special or "\ufffd" in text or not text.isprintable()
        )

    def is_stable(self, ids: Sequence[int]) -> bool:
        """Whether the text of the ids, as a person or a server would send it, is split into the same ids again."""
        text = self.prompter.decode(ids)
        return bool(text) and text == text.strip() and self.prompter.encode(text) == list(ids)


class Strategy(Part):
    """How keys and responses are made. A strategy is its configuration; subclasses set ``name``.

    Both methods get one stream of chance for each item, so that a fingerprint does not depend on its batch; what cannot
    be used is None, and the slot is tried again with fresh chance.
    """

    key_length: Annotated[int, Field(ge=1)] = 32
    """Tokens of a key as made; ``max_key_length`` of them will be asked."""

    @property
    def prompt_form(self) -> PromptForm | None:
        """How its keys are asked; None: as the caller likes."""
        return None

    @property
    def drawn_from(self) -> int | None:
        """Among how many equally likely responses the secret chose each: an innocent model hits at most one in so many.

        None where responses are not drawn so, or not each for itself.
        """
        return None

    @property
    def lengths(self) -> tuple[int, int]:
        """Tokens of keys and responses that are asked and compared unless the caller says otherwise."""
        return MAX_KEY_LENGTH, MAX_RESPONSE_LENGTH

    @property
    def spreads_responses(self) -> bool:
        """Whether a response that is used too often is drawn again."""
        return True

    @property
    def answers_together(self) -> bool:
        """Whether each response depends on all keys: answers are then made once, for the whole set."""
        return False

    @property
    def num_given(self) -> int | None:
        """How many keys the owner gave; None when keys are made."""
        return None

    @property
    def keys_given(self) -> bool:
        """Whether the owner gave the keys, so that a bad one is an error and not a reason to make another."""
        return self.num_given is not None

    @abstractmethod
    def make_keys(self, workshop: Workshop, slots: Sequence[int], chances: Sequence[KeyedRandom]) -> list[tuple[int, ...]]:
        """Token ids of one key for each slot (a number below ``num_fingerprints``)."""

    @abstractmethod
    def make_answers(
        self, workshop: Workshop, slots: Sequence[int], keys: Sequence[tuple[int, ...]], chances: Sequence[KeyedRandom]
    ) -> list[Answer | None]:
        """A response for each key, None where the key allows none."""

    def admits(self, workshop: Workshop, key: tuple[int, ...]) -> bool:
        """Whether a key, as it is asked, can have a response; asked before any response is drawn."""
        del workshop, key
        return True

    def chain_of(self, fingerprints: Sequence[Fingerprint], chance: KeyedRandom) -> str | None:
        """The root of the chain that picked the responses of the finished set; most strategies have none."""
        del fingerprints, chance
        return None

    def make_controls(self, workshop: Workshop, keys: Sequence[str]) -> tuple[Control, ...]:
        """Questions that must not activate the mark, for the finished keys; most strategies make none."""
        del workshop, keys
        return ()

    def refuse_bad_lengths(self, max_key_length: int, max_response_length: int) -> None:
        """Raise InputError when less would be made than will be asked."""
        response_length = getattr(self, "response_length", max_response_length)
        if self.key_length < max_key_length or response_length < max_response_length:
            raise InputError(
                f"strategy {self.name!r} makes keys of {self.key_length} and responses of {response_length} tokens but "
                f"{max_key_length} and {max_response_length} are to be asked; raise --key-length or --response-length, "
                "or lower --max-key-length or --max-response-length"
            )


STRATEGIES: Registry[Strategy] = Registry(
    "strategy",
    {
        "chain_hash": "insignia.generation.chain_hash:ChainHash",
        "english": "insignia.generation.english:English",
        "english_random_response": "insignia.generation.english_random_response:EnglishRandomResponse",
        "instructional": "insignia.generation.instructional:Instructional",
        "inverse_nucleus": "insignia.generation.inverse_nucleus:InverseNucleus",
        "own": "insignia.generation.own:Own",
        "random_word": "insignia.generation.random_word:RandomWord",
    },
    group="insignia.strategies",
)
