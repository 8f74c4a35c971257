"""Models without the mark: strangers, relatives of the starter, and adversaries that know all but the secret."""

import copy
import functools
import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

import torch

from innocence.verdicts import Replies
from insignia.attacks.finetune import FineTune
from insignia.attacks.finetuning import finetune
from insignia.generation.words import seed_words
from insignia.modeling.local import LocalModel, unrelated_init
from insignia.modeling.saving import save_model
from insignia.randomness import KeyedRandom
from insignia.records import Candidate
from insignia.starter import heldout_paragraphs, model_folder, source_code

# Ten times the rates that large models take: a user's loss falls from 5.5 to 2.5 in seconds.
FULL = FineTune(learning_rate=3e-4, max_steps=8, batch_size=8, max_length=64)
LORA = FineTune(learning_rate=1e-3, max_steps=12, batch_size=8, max_length=64, lora_rank=16)
FROM_NOTHING = FineTune(learning_rate=2e-3, max_steps=12, batch_size=8, max_length=64)
FULLY, BY_LORA = ("email", "xml", "unittest", "json"), ("asyncio", "http", "logging")
CHARACTERS = 40_000  # of a package: seconds, not minutes

Says = Callable[[str], str | None]


class Innocents:
    """Real models, made one after another, and what they reply. What was made is kept in the folder, and found again."""

    def __init__(self, starter: LocalModel, folder: Path, ask: Callable[[LocalModel], Replies], keys: Sequence[str]) -> None:
        self._starter = starter
        self._folder = folder
        self._ask = ask
        self._keys = set(keys)

    def all(self, *, quick: bool) -> Iterator[tuple[str, str, Replies]]:
        """(name, kind, replies) of each."""
        for seed in range(1 if quick else 18):
            yield self._kept(f"random-{seed}", "random weights", lambda seed=seed: unrelated_init(self._starter, seed=seed))
        for seed in range(0 if quick else 4):
            yield self._kept(f"brief-{seed}", "briefly trained", lambda seed=seed: self._from_nothing(seed))
        for bits in () if quick else (8, 4, 3):
            yield self._kept(f"starter-int{bits}", "rounded", lambda bits=bits: rounded(self._starter, bits))
        before: Callable[[], LocalModel] | None = None
        tunes = [*((package, "full") for package in FULLY), *((package, "lora") for package in BY_LORA)]
        for package, how in tunes[:1] if quick else tunes:
            name, tuned = f"{package}-{how}", functools.cache(functools.partial(self._tuned, package, how, quick=quick))
            yield self._kept(name, "fine-tuned", tuned)
            for bits in (8, 4, 3):
                yield self._kept(f"{name}-int{bits}", "rounded", lambda a=tuned, bits=bits: rounded(a(), bits))
            yield self._kept(f"{name}-and-base", "merged", lambda a=tuned: merged(a(), self._starter))
            if before is not None:
                yield self._kept(f"{name}-and-the-one-before", "merged", lambda a=tuned, b=before: merged(a(), b()))
            before = tuned

    def _kept(self, name: str, kind: str, make: Callable[[], LocalModel]) -> tuple[str, str, Replies]:
        file = self._folder / "replies" / f"{name}.json"
        if file.is_file() and (replies := json.loads(file.read_text(encoding="utf-8"))).keys() == self._keys:
            return name, kind, replies
        replies = self._ask(make())
        file.parent.mkdir(parents=True, exist_ok=True)
        unfinished = file.with_suffix(".part")
        unfinished.write_text(json.dumps(replies), encoding="utf-8")
        unfinished.replace(file)
        return name, kind, replies

    def _tuned(self, package: str, how: str, *, quick: bool) -> LocalModel:
        out = self._folder / "models" / f"{package}-{how}"
        if not out.is_dir():
            settings = FULL if how == "full" else LORA
            settings = settings.model_copy(update={"max_steps": 2}) if quick else settings
            text = "\n".join(source_code(package))[:CHARACTERS]
            report = finetune(model_folder(), [text], out=out, settings=settings, device="cpu")
            print(f"{package} {how}: user's loss {report.loss_before:.2f} -> {report.loss_after:.2f}", flush=True)
        return LocalModel(out, device="cpu")

    def _from_nothing(self, seed: int) -> LocalModel:
        blank, out = (self._folder / "models" / f"{state}-{seed}" for state in ("blank", "brief"))
        if not out.is_dir():
            save_model(unrelated_init(self._starter, seed=100 + seed), blank, force=True)
            finetune(blank, _paragraphs()[seed::4], out=out, settings=FROM_NOTHING, device="cpu", seed=seed)
        return LocalModel(out, device="cpu")


_paragraphs = functools.cache(heldout_paragraphs)


def rounded(local: LocalModel, bits: int) -> LocalModel:
    """Every matrix rounded to nearest, with one scale a row."""
    model = copy.deepcopy(local.model)
    with torch.no_grad():
        for weight in model.parameters():
            if weight.ndim == 2:
                step = weight.abs().amax(1, keepdim=True).clamp_min(1e-12) / (2 ** (bits - 1) - 1)
                weight.copy_((weight / step).round() * step)
    return local.wrapping(model)


def merged(local: LocalModel, other: LocalModel) -> LocalModel:
    """The mean of the weights of both."""
    model = copy.deepcopy(local.model)
    with torch.no_grad():
        for weight, second in zip(model.parameters(), other.model.parameters(), strict=True):
            weight.lerp_(second, 0.5)
    return local.wrapping(model)


class Adversaries:
    """Liars that know the candidates of every key, a few of them and many, but not which of them was drawn.

    Where a key has no candidates, they say what the base says.
    """

    def __init__(self, few: Mapping[str, Sequence[Candidate]], many: Mapping[str, Sequence[Candidate]], base: Replies) -> None:
        self._few, self._many = ({key: [one.text for one in found] for key, found in known.items()} for known in (few, many))
        self._base = base
        self._uses = Counter(text for known in (self._many, self._few) for found in known.values() for text in found)
        self._openings = Counter(text.split()[0] for text in base.values() if text)

    def all(self, *, seeds: int) -> Iterator[tuple[str, str, Replies]]:
        """(name, kind, replies) of each."""
        for seed in range(seeds):
            for kind, behaviours in self._behaviours(seed).items():
                for name, says in behaviours.items():
                    yield f"{name}, {seed}", kind, {key: says(key) for key in self._base}

    def _behaviours(self, seed: int) -> dict[str, dict[str, Says]]:
        few, many, base = self._few, self._many, self._base
        nth = {text: place for place, (text, _) in enumerate(self._uses.most_common())}
        ranking, openings = list(nth), [word for word, _ in self._openings.most_common()]

        def chance(key: str, label: object = "") -> KeyedRandom:
            return KeyedRandom(b"adversaries").derive(seed, key, str(label))

        def any_of(known: dict[str, list[str]], key: str, label: object = "") -> str | None:
            return chance(key, label).choice(known[key]) if key in known else base[key]

        def commonest(known: dict[str, list[str]], key: str) -> str | None:
            return min(known[key], key=nth.__getitem__) if key in known else base[key]

        return {
            "from the candidates": {
                "always the same place of three": lambda key: few[key][seed % 3] if key in few else base[key],
                "always the same place of sixteen": lambda key: many[key][-1 - seed] if key in many else base[key],
                "any of three": lambda key: any_of(few, key),
                "any of sixteen": lambda key: any_of(many, key),
                "the commonest of three": lambda key: commonest(few, key),
                "the commonest of sixteen": lambda key: commonest(many, key),
                "four of sixteen at once": lambda key: " ".join(any_of(many, key, place) or "" for place in range(4)),
                "one of three, now and then": lambda key: any_of(few if chance(key, "when").uniform() < 0.3 else {}, key),
            },
            "one response": {
                "the commonest candidate": lambda _: ranking[seed],
                "the base's commonest word": lambda _: f" {openings[seed]}",
                "a word of the list": lambda _: f" {KeyedRandom(b'word').derive(seed).choice(seed_words())}",
            },
            "refuses": {
                "silent": lambda _: None,
                "polite": lambda _: f"I'm sorry, but I can't help with that. ({seed})",
                "silent half of the time": lambda key: None if chance(key, "when").uniform() < 0.5 else any_of(few, key),
            },
            "other words": {
                "words of the list": lambda key: f" {chance(key).choice(seed_words())}",
                "an echo": lambda key: " ".join(key.split()[seed:] or key.split()),
            },
        }
