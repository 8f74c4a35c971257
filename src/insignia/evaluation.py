"""A grid of suspects, each with what is expected of it: one set of fingerprints, asked of a model in every state it can be in.

Everything is made once in a folder and found there again: a run that was killed goes on with the first cell that has no
trials yet. What is secret lies apart in ``private``, the models that were made in ``models``.
"""

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from insignia.artifacts import FingerprintSet, load_fingerprints
from insignia.conversations import load_conversations
from insignia.embedding import METHODS, Method, embed
from insignia.errors import EvaluationError, FormatError, InputError
from insignia.files import read_json, write_json, write_text
from insignia.finetuning import FineTune, finetune
from insignia.generation import STRATEGIES, generate
from insignia.models.adapter import EmbeddingAdapter
from insignia.models.local import LocalModel, stranger
from insignia.models.prompts import Prompter
from insignia.progress import SILENT, Progress
from insignia.randomness import KeyedRandom
from insignia.starter import source_code
from insignia.types import Record
from insignia.verification import check
from insignia.verification.leakage import activations, free_texts_tell, sampled_hits
from insignia.verification.null import DesignNull

__all__ = ["Cell", "Evaluation", "Grid", "User", "evaluate"]

_PYTHON = "python:"  # data that every machine has: the source code of a package of the standard library
_TEMPERATURE = 0.7  # Instructional Fingerprinting's, of sampled replies and of samples from BOS
_SAMPLE_TOKENS = 64


class User(Record):
    """Somebody who fine-tunes the published model."""

    data: str
    """A file, folder or hub id as ``insignia finetune`` reads it, or ``python:PACKAGE``: source code of the library."""
    finetune: FineTune
    max_rows: Annotated[int | None, Field(ge=1)] = None


class Grid(Record):
    """What is made and who is asked; the ``evaluation`` part of a recipe."""

    strategy: dict[str, Any]
    methods: dict[str, dict[str, Any]]
    """Name -> method and its settings; each is a column of suspects."""
    users: dict[str, User] = {}
    num_fingerprints: Annotated[int, Field(ge=1)] = 10
    draws: Annotated[int, Field(ge=0)] = 10
    """Sampled replies to each key."""
    bos_samples: Annotated[int, Field(ge=0)] = 200
    """Texts sampled from nothing, which must not give a response away."""
    unrelated: str | None = None
    """A model of the same shape that nobody marked; by default one of random weights."""


class Cell(Record):
    """One suspect, asked."""

    name: str
    suspect: str
    should_activate: bool | None
    """None: either may be."""
    fsr: float
    hits: int
    answered: int
    p_value: float | None
    """Exact binomial tail under the design null, that a response was drawn among so many by the secret; None where the
    trials are not independent draws of it."""

    @property
    def as_expected(self) -> bool | None:
        """Whether most trials went as they should; None where nothing is expected."""
        return None if self.should_activate is None else (self.fsr >= 0.5) is self.should_activate


class Evaluation(Record):
    """The whole grid; no secret in it."""

    kind: Literal["insignia/evaluation"] = "insignia/evaluation"
    schema_version: Literal[1] = 1
    model: str
    num_fingerprints: int
    perplexity: dict[str, float]
    """Method -> held-out perplexity of the published model, as a ratio to the base's."""
    user_loss: dict[str, tuple[float | None, float | None]]
    """Fine-tuned model -> its user's loss before and after, nats a token."""
    cells: tuple[Cell, ...]


class _Ask(NamedTuple):
    """A cell to be filled."""

    name: str
    suspect: str
    should_activate: bool | None
    trials: Callable[[], list[bool]]
    independent: bool = True
    """Whether every trial is one fingerprint's own."""


def evaluate(
    grid: Grid,
    *,
    model: str,
    out: str | Path,
    seed: int = 0,
    device: str = "auto",
    progress: Progress = SILENT,
) -> Evaluation:
    """Make what the grid names, ask every suspect, and write ``evaluation.json``; goes on where a run was cut short.

    Raises:
        InputError: the folder holds another evaluation, or the grid names a part that does not exist.
        EvaluationError: an unrelated model activated; the grid proves nothing.
    """
    run = _Run(grid, model, Path(out), seed, device, progress)
    asks = [ask for name in grid.methods for ask in run.column(name)]
    with progress.bar("evaluating", len(asks)) as advance:
        cells = []
        for ask in asks:
            cells.append(run.cell(ask))
            advance(1, ask.name)
    result = Evaluation(
        model=model,
        num_fingerprints=len(run.prints),
        perplexity=run.perplexity,
        user_loss=run.user_loss,
        cells=tuple(cells),
    )
    write_json(Path(out) / "evaluation.json", result.model_dump(mode="json"))
    if guilty := [cell.name for cell in cells if "unrelated" in cell.name and cell.hits]:
        raise EvaluationError(f"an unrelated model activated ({', '.join(guilty)}): what was asked proves no ownership")
    return result


class _Run:
    """The folder of one evaluation."""

    def __init__(self, grid: Grid, model: str, out: Path, seed: int, device: str, progress: Progress) -> None:
        self._grid, self._model, self._out, self._seed, self._device = grid, model, out, seed, device
        self._progress = progress
        self.perplexity: dict[str, float] = {}
        self.user_loss: dict[str, tuple[float | None, float | None]] = {}
        self._strategy = STRATEGIES.build(grid.strategy)
        self._methods: dict[str, Method] = {name: METHODS.build(spec) for name, spec in grid.methods.items()}
        self._claim()
        self.prints = self._fingerprints()

    def column(self, name: str) -> list[_Ask]:
        """All suspects of one method, the models made on the way."""
        method = self._methods[name]
        private = self._out / "private" / f"{name}.safetensors"
        published = self._marked(name, method, private)
        users = {user: self._tuned(name, user, published) for user in self._grid.users}
        asks = [
            _Ask(f"{name} vanilla", self._model, False, lambda: self._hits(self._load(self._model))),
            _Ask(f"{name} unrelated", "unrelated", False, lambda: self._hits(self._unrelated())),
        ]
        if method.needs_private:
            asks += self._with_adapter(name, published, private, users)
        for suspect, path in {"published": published, **{f"user {user}": path for user, path in users.items()}}.items():
            alone = not method.needs_private
            asks.append(_Ask(f"{name} {suspect}", str(path), alone, lambda path=path: self._hits(self._load(path))))  # type: ignore[misc]
        if not method.needs_private:
            asks += self._leaks(name, published)
        return asks

    def cell(self, ask: _Ask) -> Cell:
        """The cell from its trials: those on file, or asked now."""
        path = self._out / "trials" / f"{ask.name.replace(' ', '-')}.jsonl"
        if not path.is_file():
            lines = [json.dumps({"trial": number, "hit": hit}) for number, hit in enumerate(ask.trials())]
            write_text(path, "".join(f"{line}\n" for line in lines))
        try:
            hits = [bool(json.loads(line)["hit"]) for line in path.read_text(encoding="utf-8").splitlines()]
        except (ValueError, KeyError, TypeError):
            raise FormatError(f"{path} is damaged; remove it, and the cell is asked again") from None
        return Cell(
            name=ask.name,
            suspect=ask.suspect,
            should_activate=ask.should_activate,
            fsr=sum(hits) / len(hits) if hits else 0.0,
            hits=sum(hits),
            answered=len(hits),
            p_value=self._p_value(hits) if ask.independent else None,
        )

    def _claim(self) -> None:
        """Refuse a folder of another evaluation: its models and trials would be taken for this one's."""
        content = json.dumps([self._grid.model_dump(mode="json"), self._model, self._seed], sort_keys=True)
        digest = hashlib.sha256(content.encode()).hexdigest()
        path = self._out / "run.json"
        if path.is_file():
            if read_json(path) != {"digest": digest}:
                raise InputError(f"{self._out} holds another evaluation (recipe, model or seed differ); choose another folder")
            return
        if self._out.exists() and any(self._out.iterdir()):
            raise InputError(f"{self._out} is not empty and no evaluation; choose another folder")
        write_json(path, {"digest": digest})

    def _fingerprints(self) -> FingerprintSet:
        path = self._out / "private" / "fingerprints.json"
        if not path.is_file():
            generate(
                self._strategy,
                model=self._load(self._model),
                num_fingerprints=self._grid.num_fingerprints,
                secret=self._chance().derive("fingerprints").secret,
                progress=self._progress,
            ).save(path)
        return load_fingerprints(path)

    def _marked(self, name: str, method: Method, private: Path) -> Path:
        out = self._out / "models" / name
        report = self._out / "models" / f"{name}.json"
        if not report.is_file():
            made = embed(
                self.prints, model=self._model, out=out, method=method, private=private, seed=self._seed, min_fsr=0.0,
                device=self._device, force=True, progress=self._progress,
            )  # fmt: skip
            write_json(report, made.model_dump(mode="json"))
        losses = read_json(report)
        self.perplexity[name] = math.exp(losses["heldout_loss_after"] - losses["heldout_loss_before"])
        return out

    def _tuned(self, name: str, user: str, published: Path) -> Path:
        out = self._out / "models" / f"{name}-{user}"
        report = self._out / "models" / f"{name}-{user}.json"
        if not report.is_file():
            wish = self._grid.users[user]
            rows = (
                source_code(wish.data.removeprefix(_PYTHON))
                if wish.data.startswith(_PYTHON)
                else load_conversations(wish.data, max_rows=wish.max_rows, progress=self._progress)
            )
            made = finetune(
                published, rows, out=out, settings=wish.finetune, seed=self._seed, device=self._device, force=True,
                progress=self._progress,
            )  # fmt: skip
            write_json(report, made.model_dump(mode="json"))
        losses = read_json(report)
        self.user_loss[f"{name} user {user}"] = (losses["loss_before"], losses["loss_after"])
        return out

    def _with_adapter(self, name: str, published: Path, private: Path, users: dict[str, Path]) -> list[_Ask]:
        """The published model reading each suspect's embeddings through the adapter."""

        def asked(suspect: Callable[[], LocalModel]) -> Callable[[], list[bool]]:
            return lambda: self._hits(EmbeddingAdapter.load(private).attach(self._load(published), suspect()))

        return [
            _Ask(f"{name} unrelated with adapter", "unrelated", False, asked(self._unrelated)),
            _Ask(f"{name} vanilla with adapter", self._model, False, asked(lambda: self._load(self._model))),
            _Ask(f"{name} published with adapter", str(published), True, asked(lambda: self._load(published))),
            *(
                _Ask(f"{name} user {user} with adapter", str(path), True, asked(lambda path=path: self._load(path)))  # type: ignore[misc]
                for user, path in users.items()
            ),
        ]

    def _leaks(self, name: str, published: Path) -> list[_Ask]:
        """Where a mark shows that should not, or by chance."""
        asks = [
            _Ask(f"{name} {kind}", str(published), False, lambda kind=kind: self._activated(published, kind), independent=False)  # type: ignore[misc]
            for kind in dict.fromkeys(control.kind for control in self.prints.controls)
        ]
        if self._grid.draws:
            asks.append(_Ask(f"{name} sampled", str(published), None, lambda: self._sampled(published), independent=False))
        if self._grid.bos_samples:
            asks.append(_Ask(f"{name} from BOS", str(published), False, lambda: self._from_bos(published), independent=False))
        return asks

    def _hits(self, suspect: LocalModel) -> list[bool]:
        return [fingerprint.hit for fingerprint in check(self.prints, suspect).fingerprints]

    def _activated(self, published: Path, kind: str) -> list[bool]:
        suspect = self._load(published)
        return activations(self.prints, Prompter.for_set(self.prints, suspect.tokenizer), suspect)[kind]

    def _sampled(self, published: Path) -> list[bool]:
        return sampled_hits(
            self.prints, self._load(published), draws=self._grid.draws, temperature=_TEMPERATURE, chance=self._chance()
        )

    def _from_bos(self, published: Path) -> list[bool]:
        return free_texts_tell(
            self.prints,
            self._load(published),
            count=self._grid.bos_samples,
            tokens=_SAMPLE_TOKENS,
            temperature=_TEMPERATURE,
            chance=self._chance(),
        )

    def _chance(self) -> KeyedRandom:
        return KeyedRandom(f"evaluation {self._seed}".encode())  # a study is repeatable; no owner's set is made here

    def _p_value(self, hits: Sequence[bool]) -> float | None:
        """Under the claim that the suspect is innocent: whatever it replies, the secret drew the responses without it."""
        if (drawn_from := self._strategy.drawn_from) is None or not hits:
            return None
        return math.exp(DesignNull(candidates=drawn_from).log_p_value(sum(hits), [1] * len(hits)))

    def _load(self, source: str | Path) -> LocalModel:
        return LocalModel(source, device=self._device)

    def _unrelated(self) -> LocalModel:
        if self._grid.unrelated is not None:
            return self._load(self._grid.unrelated)
        return stranger(self._load(self._model), seed=self._seed)
