"""The models of a robustness grid before any attack: the base, an innocent sibling and the marked ones. Each is made once."""

import hashlib
import math
from pathlib import Path

from insignia.attacks.finetune import FineTune
from insignia.embedding import METHODS, RunOptions
from insignia.errors import InputError
from insignia.evaluation.attack_grid import AttackGrid, Mark
from insignia.evaluation.habits import heldout_loss
from insignia.evaluation.robustness import AttackedMark, SuspectKind
from insignia.evaluation.workspace import mark, rehearsed
from insignia.files import canonical
from insignia.fingerprints.sets import FingerprintSet, load_fingerprints
from insignia.generation import STRATEGIES, generate
from insignia.modeling.local import LocalModel
from insignia.progress import SILENT, Progress
from insignia.vectors import vector

__all__ = ["SIBLING", "AttackedModels"]

SIBLING = FineTune(data="python:email", learning_rate=1e-4, max_steps=12, batch_size=16, max_length=128)
"""Makes an innocent sibling: the base, fine-tuned on program code as somebody else's product would be."""


class AttackedModels:
    """The models of one grid in its folder: secrets in ``private``, models in ``models``."""

    def __init__(
        self, base: str, grid: AttackGrid, folder: Path, *, sibling: str | None, seed: int, device: str, progress: Progress
    ) -> None:
        self._base, self._grid, self._folder = base, grid, folder
        self._seed, self._device, self._progress = seed, device, progress
        self._private = folder / "private"
        self.prints: dict[str, FingerprintSet] = {
            name: load_fingerprints(self._prints_file(name, each)) for name, each in grid.marks.items()
        }
        self._marked = {name: self._made(name, each) for name, each in grid.marks.items()}
        self._sibling = sibling or self._made_sibling()

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_progress": SILENT}  # another process shows nothing

    def source(self, suspect: SuspectKind, name: str) -> str:
        """Folder or hub id of a model; ``name`` is that of the mark in a marked one."""
        return {"unmarked": self._base, "sibling": self._sibling}.get(suspect) or self._marked[name]

    def load(self, source: str | Path) -> LocalModel:
        """Load a model on the grid's device."""
        return LocalModel(source, device=self._device)

    def values(self, name: str, needed: frozenset[str]) -> dict[str, str]:
        """What the stand-ins in an attack's settings stand for; ``name`` is that of the mark, if it needs one."""
        found = {"$base": self._base, "$sibling": self._sibling, "$data": self._grid.data}
        if "$prints" in needed:
            found["$prints"] = str(self._prints_file(name, self._grid.marks[name]))
        if "$vector" in needed:
            found["$vector"] = str(self._vector(name))
        return found

    def described(self) -> tuple[AttackedMark, ...]:
        """The marks before any attack."""
        before = heldout_loss(self.load(self._base), whole=True)
        return tuple(
            AttackedMark(
                name=name,
                strategy=str(prints.strategy.get("name", "own")),
                num_fingerprints=len(prints),
                perplexity=math.exp(heldout_loss(self.load(self._marked[name]), whole=True) - before),
            )
            for name, prints in self.prints.items()
        )

    def _prints_file(self, name: str, each: Mark) -> Path:
        path = each.fingerprints or self._private / f"{_called(name, each)}.json"
        if each.strategy is not None and not path.is_file():
            secret = rehearsed(self._seed).derive(name).secret
            strategy = STRATEGIES.build(each.strategy)
            generate(
                self.load(self._base), strategy, num_fingerprints=each.num_fingerprints, secret=secret, progress=self._progress
            ).save(path)
        return path

    def _made(self, name: str, each: Mark) -> str:
        if each.model is not None:
            return each.model
        out, method = self._folder / "models" / _called(name, each), METHODS.build(each.method)
        if method.needs_owner_weights:
            raise InputError(f"mark {name!r}: method {method.name} needs the owner's weights to be seen; choose another method")
        if not out.is_dir():
            run = RunOptions(seed=self._seed, device=self._device)
            mark(self._base, self.prints[name], method, out, None, run=run, progress=self._progress)
        return str(out)

    def _made_sibling(self) -> str:
        out = self._folder / "models" / "sibling"
        if not out.is_dir():
            SIBLING.apply(self._base, out, seed=self._seed, device=self._device, progress=self._progress)
        return str(out)

    def _vector(self, name: str) -> Path:
        out = self._private / f"{_called(name, self._grid.marks[name])}-vector"
        if not out.is_dir():
            vector(self._base, self._marked[name], out=out, progress=self._progress)
        return out


def _called(name: str, each: Mark) -> str:
    """What the mark is called in the folder: other settings under the same name are another mark."""
    return f"{name}-{hashlib.sha256(canonical(each.model_dump(mode='json'))).hexdigest()[:8]}"
