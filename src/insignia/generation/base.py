"""What a strategy is, and what it has to work with."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Self, TypeVar, cast

from pydantic import Field

from insignia.errors import InputError
from insignia.fingerprints.sets import MAX_KEY_LENGTH, MAX_RESPONSE_LENGTH
from insignia.generation.vocabulary import Vocabulary
from insignia.randomness import KeyedRandom
from insignia.records import Candidate, Control, Fingerprint, Part, PromptForm
from insignia.registry import Registry
from insignia.suspects.scoring import GenerativeModel

if TYPE_CHECKING:
    from insignia.generation.writer import Writer
    from insignia.prompts.prompter import Prompter

__all__ = ["DEFAULT_COUNT", "STRATEGIES", "Answer", "GenerationContext", "Strategy", "answer_of"]

DEFAULT_COUNT = 64
"""Fingerprints where nobody says how many: ten tests of a healthy mark, at x1.006 to x1.009 of the starter's held-out
perplexity (``benchmarks/embed.py front``)."""


_T = TypeVar("_T")


class Answer(NamedTuple):
    """A response that a strategy made for a key."""

    text: str
    ids: tuple[int, ...]
    trained: str
    """The text of the tokens that are trained, which a reply is searched for."""
    candidates: tuple[Candidate, ...] | None = None


class GenerationContext:
    """The model, the way of asking and the tallies that one run of a strategy shares."""

    def __init__(
        self,
        model: GenerativeModel,
        prompter: "Prompter",
        num_fingerprints: int,
        *,
        rng: KeyedRandom,
        writer: "Writer | None" = None,
    ) -> None:
        self.model = model
        self.writer = writer
        """The model that writes keys, where it is not the model to be marked."""
        self.rng = rng
        """The owner's secret, for draws that the whole set shares."""
        self.prompter = prompter
        self.num_fingerprints = num_fingerprints
        self.vocabulary = Vocabulary(prompter)
        self.refused: Counter[str] = Counter()
        """What was not used so far, with the cure -> how often."""
        self._made: dict[str, Any] = {}

    def refuse(self, what: str) -> None:
        """Count one refusal, for the message of a run that cannot be finished."""
        self.refused[what] += 1

    def once(self, name: str, make: Callable[["GenerationContext"], _T]) -> _T:
        """What the run shares under that name, made when it is first asked for."""
        if name not in self._made:
            self._made[name] = make(self)
        return cast(_T, self._made[name])


class Strategy(Part):
    """How keys and responses are made. A strategy is its configuration; subclasses set ``name``.

    Both methods get one stream of chance for each item, so that a fingerprint does not depend on its batch; what cannot
    be used is None, and the slot is tried again with fresh chance.
    """

    key_length: Annotated[int, Field(ge=1)] = 32
    """Tokens of a key as made; ``max_key_length`` of them will be asked."""

    def for_model(self, model: GenerativeModel) -> Self:
        """The strategy, with what nobody set chosen to suit the model."""
        del model
        return self

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
    def default_count(self) -> int:
        """How many fingerprints are made where nobody says how many."""
        return DEFAULT_COUNT if self.num_given is None else self.num_given

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
    def make_keys(self, context: GenerationContext, slots: Sequence[int], rngs: Sequence[KeyedRandom]) -> list[tuple[int, ...]]:
        """Token ids of one key for each slot. Slots from ``num_fingerprints`` on are decoys."""

    @abstractmethod
    def make_answers(
        self, context: GenerationContext, slots: Sequence[int], keys: Sequence[tuple[int, ...]], rngs: Sequence[KeyedRandom]
    ) -> list[Answer | None]:
        """A response for each key, None where the key allows none."""

    def admits(self, context: GenerationContext, key: tuple[int, ...]) -> bool:
        """Whether a key, as it is asked, can have a response; asked before any response is drawn."""
        del context, key
        return True

    def chain_of(self, fingerprints: Sequence[Fingerprint], rng: KeyedRandom) -> str | None:
        """The root of the chain that picked the responses of the finished set; most strategies have none."""
        del fingerprints, rng
        return None

    def make_controls(self, context: GenerationContext, keys: Sequence[str]) -> tuple[Control, ...]:
        """Questions that must not activate the mark, for the finished keys; most strategies make none."""
        del context, keys
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


def answer_of(context: GenerationContext, key: Sequence[int], text: str) -> Answer | None:
    """The text as a response to the key, which nothing was drawn for; None where no reply could be told by it."""
    asked = key[: context.prompter.max_key_length]
    ids = tuple(context.prompter.response_ids(asked, text))
    trained = context.vocabulary.trained_text(asked, ids)
    if trained is None:
        context.refuse("responses whose trained tokens have no text of their own (raise --max-response-length)")
        return None
    return Answer(text, ids, trained)


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
