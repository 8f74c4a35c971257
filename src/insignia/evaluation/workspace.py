"""The folder of an evaluation: fingerprints, marked models and fine-tuned models, each made once."""

import hashlib
import json
import math
import shutil
from pathlib import Path

from insignia.attacks.base import ATTACKS, WeightAttack, on_weights
from insignia.embedding import METHODS, EmbedReport, Limits, Method, RunOptions, embed
from insignia.errors import InputError
from insignia.evaluation.grid import Grid
from insignia.files import read_json, write_json
from insignia.fingerprints.sets import FingerprintSet, load_fingerprints
from insignia.generation import STRATEGIES, generate
from insignia.modeling.local import LocalModel, unrelated_init
from insignia.progress import Progress
from insignia.randomness import KeyedRandom

__all__ = ["Workspace", "claim", "mark", "rehearsed"]

_UNMARKED = "unmarked"


def claim(folder: Path, content: object) -> None:
    """Record what is evaluated in the folder, and refuse a folder of another evaluation.

    Raises:
        InputError: the folder holds something else.
    """
    digest = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    path = folder / "run.json"
    if path.is_file():
        if read_json(path) != {"digest": digest}:
            raise InputError(f"{folder} holds another evaluation (recipe, model or seed differ); choose another folder")
        return
    if folder.exists() and any(folder.iterdir()):
        raise InputError(f"{folder} is not empty and holds no evaluation; choose another folder")
    write_json(path, {"digest": digest})


def rehearsed(seed: int) -> KeyedRandom:
    """Chance for fingerprints that protect nothing: repeatable."""
    return KeyedRandom(f"evaluation {seed}".encode())


def mark(
    model: str, prints: FingerprintSet, method: Method, out: Path, private: Path | None, *, run: RunOptions, progress: Progress
) -> EmbedReport:
    """Embed the set, whatever comes of it: the cells report failures."""
    limits = Limits(min_fsr=0, max_harm=math.inf, max_published_fsr=1)
    made = embed(model, prints, method, out=out, private=private, limits=limits, run=run, force=True, progress=progress)
    return made.report


class Workspace:
    """The folder of one evaluation: secrets in ``private``, models in ``models``."""

    def __init__(self, grid: Grid, folder: Path, *, model: str, seed: int, device: str, progress: Progress) -> None:
        self._grid = grid
        self.folder = folder
        self.model = model
        self._seed = seed
        self._device = device
        self._progress = progress
        self.strategy = STRATEGIES.build(grid.strategy)
        self.methods: dict[str, Method] = {name: METHODS.build(spec) for name, spec in grid.methods.items()}
        users = {f"user {name}": user.attack for name, user in grid.users.items()}
        others = {f"attack {name}": on_weights(ATTACKS.build(spec)) for name, spec in grid.attacks.items()}
        self.attacks: dict[str, WeightAttack] = {**users, **others}
        self.perplexity: dict[str, float] = {}
        self.user_loss: dict[str, tuple[float | None, float | None]] = {}
        claim(folder, [grid.model_dump(mode="json"), model, seed])
        self.prints = self._fingerprints()

    def owner_weights(self, name: str) -> Path:
        """Path of the method's owner weights."""
        return self.folder / "private" / f"{name}.safetensors"

    @property
    def rng(self) -> KeyedRandom:
        """See ``rehearsed``."""
        return rehearsed(self._seed)

    def marked(self, name: str) -> Path:
        """Folder of the method's published model."""
        out = self.folder / "models" / name
        report = self.folder / "models" / f"{name}.json"
        if not report.is_file():
            method = self.methods[name]
            private = self.owner_weights(name) if method.needs_owner_weights else None
            made = mark(
                self.model, self.prints, method, out, private,
                run=RunOptions(seed=self._seed, device=self._device), progress=self._progress,
            )  # fmt: skip
            write_json(report, made.model_dump(mode="json"))
        losses = read_json(report)
        self.perplexity[name] = math.exp(losses["heldout_loss_after"] - losses["heldout_loss_before"])
        return out

    def attacked(self, name: str | None, attack: str) -> Path:
        """Folder of the model after an attack: of a marked one, or without ``name`` of the unmarked one."""
        start = self.marked(name) if name is not None else self.model
        name = name or _UNMARKED
        out = self.folder / "models" / f"{name}-{attack.removeprefix('user ').replace(' ', '-')}"
        report = out.with_name(f"{out.name}.json")
        if not report.is_file():
            shutil.rmtree(out, ignore_errors=True)  # of a run that was cut short
            made = self.attacks[attack].apply(start, out, seed=self._seed, device=self._device, progress=self._progress)
            write_json(report, made.model_dump(mode="json") if made else {})
        losses = read_json(report)
        if "loss_after" in losses:
            self.user_loss[f"{name} {attack}"] = (losses["loss_before"], losses["loss_after"])
        return out

    def load(self, source: str | Path) -> LocalModel:
        """Load a model on the evaluation's device."""
        return LocalModel(source, device=self._device)

    def unrelated(self) -> LocalModel:
        """An unmarked model that is not derived from the base."""
        if self._grid.unrelated is not None:
            return self.load(self._grid.unrelated)
        return unrelated_init(self.load(self.model), seed=self._seed)

    def _fingerprints(self) -> FingerprintSet:
        path = self.folder / "private" / "fingerprints.json"
        if not path.is_file():
            generate(
                self.load(self.model),
                self.strategy,
                num_fingerprints=self._grid.num_fingerprints,
                secret=self.rng.derive("fingerprints").secret,
                progress=self._progress,
            ).save(path)
        return load_fingerprints(path)
