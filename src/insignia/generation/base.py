"""The base class of strategies and the context that they work in."""

from abc import abstractmethod
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Self, TypeVar, cast

from pydantic import Field

from insignia.errors import InputError
from insignia.fingerprints.sets import MAX_KEY_LENGTH, MAX_RESPONSE_LENGTH
from insignia.generation.vocabulary import Vocabulary
from insignia.randomness import KeyedRandom
from insignia.records import Candidate, Continuation, Control, Fingerprint, Part, PromptForm
from insignia.registry import Registry
from insignia.suspects.scoring import GenerativeModel

if TYPE_CHECKING:
    from insignia.generation.writer import Writer
    from insignia.prompts.prompter import Prompter

__all__ = ["DEFAULT_COUNT", "STRATEGIES", "Answer", "GenerationContext", "Strategy", "answer_of"]

DEFAULT_COUNT = 64
"""Default number of fingerprints: enough for ten tests of a healthy mark, at 1.006 to 1.009 times the starter's held-out
perplexity (``benchmarks/embed.py front``)."""

_T = TypeVar("_T")


class Answer(NamedTuple):
    """A response to a key."""

    text: str
    ids: tuple[int, ...]
    trained: str
    """Text of the trained tokens, which replies are searched for."""
    candidates: tuple[Candidate, ...] | None = None
    order: tuple[int, ...] | None = None
    """The secret order of the candidates, as indices; the response's first."""
    continuations: tuple[Continuation, ...] | None = None
    """The same for the further tokens, if they are drawn, too."""


class GenerationContext:
    """What a strategy works with during one run: the model, the prompter, the secret, and values shared by all keys."""

    def __init__(
        self,
        model: GenerativeModel,
        prompter: "Prompter",
        num_fingerprints: int,
        *,
        rng: KeyedRandom,
        writer: "Writer | None" = None,
        ordinary_text: Sequence[str] | None = None,
    ) -> None:
        self.model = model
        self.writer = writer
        """Another model that writes the keys, if any."""
        self.ordinary_text = ordinary_text
        """The owner's examples of ordinary prompts, if any."""
        self.rng = rng
        """Random generator for draws shared by the whole set."""
        self.prompter = prompter
        self.num_fingerprints = num_fingerprints
        self.vocabulary = Vocabulary(prompter)
        self.refused: Counter[str] = Counter()
        """Kind of refused item, with its remedy -> count."""
        self._made: dict[str, Any] = {}

    def refuse(self, what: str) -> None:
        """Count a refused item, for the error message of a failed run."""
        self.refused[what] += 1

    def once(self, name: str, make: Callable[["GenerationContext"], _T]) -> _T:
        """Return the value of this name, made on first use and shared by the run."""
        if name not in self._made:
            self._made[name] = make(self)
        return cast(_T, self._made[name])


class Strategy(Part):
    """Makes keys and responses. Its fields are its options; subclasses set ``name``.

    Each item gets its own random generator, so that a fingerprint does not depend on its batch. A slot whose item cannot be
    used is tried again with a new generator.
    """

    key_length: Annotated[int, Field(ge=1)] = 32
    """Tokens of a generated key (words for random_word); the first ``max_key_length`` are asked."""

    def for_model(self, model: GenerativeModel) -> Self:
        """Return the strategy with its unset options chosen for the model."""
        return self

    @property
    def prompt_form(self) -> PromptForm | None:
        """Prompt form of the keys; None leaves it to the caller."""
        return None

    @property
    def drawn_from(self) -> int | None:
        """Number k of equally likely candidates of each response, so that an innocent model hits at most 1/k.

        None if responses are not drawn independently from candidates.
        """
        return None

    @property
    def lengths(self) -> tuple[int, int]:
        """Default number of tokens that are asked of keys and compared of responses."""
        return MAX_KEY_LENGTH, MAX_RESPONSE_LENGTH

    @property
    def default_count(self) -> int:
        """Default number of fingerprints."""
        return DEFAULT_COUNT if self.num_given is None else self.num_given

    @property
    def answers_together(self) -> bool:
        """Whether responses depend on all keys, so that all are made in one call."""
        return False

    @property
    def num_given(self) -> int | None:
        """Number of keys that the owner gave; None if keys are generated."""
        return None

    @property
    def keys_given(self) -> bool:
        """Whether the owner gave the keys, so that an unusable key is an error."""
        return self.num_given is not None

    @abstractmethod
    def make_keys(self, context: GenerationContext, slots: Sequence[int], rngs: Sequence[KeyedRandom]) -> list[tuple[int, ...]]:
        """Return the token ids of one key for each slot; () if there is none. Slots from ``num_fingerprints`` on are decoys."""

    @abstractmethod
    def make_answers(
        self, context: GenerationContext, slots: Sequence[int], keys: Sequence[tuple[int, ...]], rngs: Sequence[KeyedRandom]
    ) -> list[Answer | None]:
        """Return a response for each key; None if the key allows none."""

    def admits(self, context: GenerationContext, key: tuple[int, ...]) -> bool:
        """Whether the asked part of a key can have a response. Called before any response is drawn."""
        return True

    def chain_of(self, fingerprints: Sequence[Fingerprint], rng: KeyedRandom) -> str | None:
        """Return the root of the chain that picked the responses, if there is one."""
        return None

    def make_controls(self, context: GenerationContext, keys: Sequence[str]) -> tuple[Control, ...]:
        """Return questions that must not activate the mark, for the finished keys."""
        return ()

    def refuse_bad_lengths(self, max_key_length: int, max_response_length: int) -> None:
        """Raise InputError if keys or responses would be shorter than what is asked or compared."""
        response_length = getattr(self, "response_length", max_response_length)
        if self.key_length < max_key_length or response_length < max_response_length:
            raise InputError(
                f"strategy {self.name!r} makes keys of {self.key_length} and responses of {response_length} tokens but "
                f"{max_key_length} and {max_response_length} are needed; raise --key-length or --response-length, "
                "or lower --max-key-length or --max-response-length"
            )


def answer_of(context: GenerationContext, key: Sequence[int], text: str) -> Answer | None:
    """Return a given text as the response to a key; None if its trained tokens have no text of their own."""
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
        "ranked": "insignia.generation.ranked:Ranked",
    },
    group="insignia.strategies",
)
