"""Decoy questions: ordinary questions mixed with keys, so that a host cannot recognise a test by its traffic.

Replies to them are recorded but do not count.
"""

from collections.abc import Sequence

from insignia.errors import InputError
from insignia.randomness import KeyedRandom
from insignia.records import PromptForm

__all__ = ["decoy_question"]

_ASKED = (  # for chat models
    "What is the difference between {} and {}?",
    "Explain {} to somebody who knows {}.",
    "Which came first, {} or {}?",
    "Write two sentences about {} and {}.",
    "Why do people who like {} often like {} too?",
    "Is {} harder to learn than {}?",
    "How would you describe {} without mentioning {}?",
    "Give me one reason to choose {} over {}.",
    "What do {} and {} have in common?",
    "I read about {} yesterday. How is it related to {}?",
)
_BEGUN = (  # for models that continue a text
    "In a book about {} and {}, the first chapter says that",
    "The main difference between {} and {} is that",
    "Long before anyone had heard of {}, people thought that {} was",
    "She had always preferred {} to {}, because",
    "When the lecture turned from {} to {}, the students",
    "A short history of {} must begin with {}, since",
    "The report compares {} with {} and finds that",
    "Nobody expected that {} would have so much to do with {}, but",
    "There are three things to know about {} before {}:",
    "He put down the article on {} and began to talk about {}, which",
)
_TOPICS = tuple(
    "algebra; gardening; jazz; the steam engine; chess; baking bread; volcanoes; Roman law; bicycles; opera; typography; "
    "ocean tides; bees; the printing press; tea; astronomy; carpentry; sailing; vaccines; poetry; railways; photosynthesis; "
    "glass; football; taxes; dreams; mountains; coffee; architecture; electricity; maps; rice; clocks; wolves; insurance; "
    "perfume; bridges; copper; weather forecasts; public libraries; marathon running; chemistry; silk; lighthouses; folk "
    "tales; antibiotics; the violin; democracy".split("; ")
)


def decoy_question(rng: KeyedRandom, form: PromptForm, own: Sequence[str] = ()) -> str:
    """Return one of the owner's or the set's texts, or of 22,560 public ones, which a host may recognise, if there are none.

    Raises:
        InputError: the chosen text of the owner is empty.
    """
    if own:
        text = rng.choice(own)
        if not text.strip():
            raise InputError("a decoy question is empty; expected some text in each")
        return text
    first = rng.choice(_TOPICS)
    second = rng.choice([topic for topic in _TOPICS if topic != first])
    return rng.choice(_ASKED if form == "chat" else _BEGUN).format(first, second)
