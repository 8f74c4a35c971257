"""A grid of suspects, each with what is expected of it: one set of fingerprints, asked of a model in every state it can be in.

Everything is made once in a folder and found there again: a run that was killed goes on with the first cell that has no
trials yet.
"""

import json
import math
import os
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from insignia.errors import EvaluationError, FormatError, InputError
from insignia.evaluation.grid import Cell, Evaluation, Grid
from insignia.evaluation.workspace import Workspace
from insignia.files import write_json, write_text
from insignia.modeling.private_rows import EmbeddingAdapter
from insignia.modeling.sources import Source
from insignia.progress import AUTO, Progress
from insignia.prompts.prompter import Prompter
from insignia.statistics.nulls import DesignNull
from insignia.verification import check
from insignia.verification.false_activation import activations, free_texts_tell, sampled_hits

__all__ = ["evaluate"]

_TEMPERATURE = 0.7  # Instructional Fingerprinting's, of sampled replies and of samples from BOS
_SAMPLE_TOKENS = 64


class _Ask(NamedTuple):
    """A cell to be filled."""

    name: str
    suspect: str
    should_activate: bool | None
    trials: Callable[[], list[bool]]
    independent: bool = True
    """Whether every trial is one fingerprint's own."""


def evaluate(
    model: Source,
    grid: Grid,
    *,
    out: str | Path,
    seed: int = 0,
    device: str = "auto",
    progress: Progress = AUTO,
) -> Evaluation:
    """Make what the grid names, ask every suspect, and write ``evaluation.json``; goes on where a run was cut short.

    ``model`` is a folder, a hub id or ``starter``: a run that goes on has to find it again.

    Raises:
        InputError: the folder holds another evaluation, or the grid names a part that does not exist.
        EvaluationError: an unrelated model activated; the grid proves nothing.
    """
    if not isinstance(model, str | os.PathLike):
        raise InputError("an evaluation must find its model again when it goes on; save the model, and give its folder")
    made = Workspace(grid, Path(out), model=str(model), seed=seed, device=device, progress=progress)
    asks = [ask for name in grid.methods for ask in _column(made, grid, name)]
    with progress.bar("evaluating", len(asks)) as advance:
        cells = []
        for ask in asks:
            cells.append(_cell(made, ask))
            advance(1, ask.name)
    result = Evaluation(
        model=str(model),
        num_fingerprints=len(made.prints),
        perplexity=made.perplexity,
        user_loss=made.user_loss,
        cells=tuple(cells),
    )
    write_json(Path(out) / "evaluation.json", result.model_dump(mode="json"))
    if guilty := [cell.name for cell in cells if "unrelated" in cell.name and cell.hits]:
        raise EvaluationError(f"an unrelated model activated ({', '.join(guilty)}): what was asked proves no ownership")
    return result


def _column(made: Workspace, grid: Grid, name: str) -> list[_Ask]:
    """All suspects of one method, the models made on the way: those that carry the mark, and the innocent ones."""
    published = made.marked(name)
    marked: dict[str, str | Path | None] = {"published": published}
    innocent: dict[str, str | Path | None] = {"vanilla": made.model, "unrelated": None}
    for attack in made.attacks:
        marked[attack] = made.attacked(name, attack)
        innocent[f"unmarked {attack}"] = made.attacked(None, attack)
    suspects = [(suspect, source, False) for suspect, source in innocent.items()]
    suspects += [(suspect, source, True) for suspect, source in marked.items()]
    alone = not made.methods[name].needs_owner_weights
    asks = [
        _Ask(f"{name} {suspect}", str(source or "unrelated"), carries and alone, partial(_hits, made, source))
        for suspect, source, carries in suspects
    ]
    if alone:
        return asks + _leaks(made, grid, name, published)
    return asks + [
        _Ask(
            f"{name} {suspect} with adapter",
            str(source or "unrelated"),
            carries,
            partial(_hits, made, source, adapter_of=name),
        )
        for suspect, source, carries in suspects
    ]


def _leaks(made: Workspace, grid: Grid, name: str, published: Path) -> list[_Ask]:
    """Where a mark shows that should not, or by chance; replies depend on each other."""
    source = str(published)
    kinds = dict.fromkeys(control.kind for control in made.prints.controls)
    asks = [
        _Ask(f"{name} {kind}", source, False, partial(_activated, made, published, kind), independent=False) for kind in kinds
    ]
    if grid.draws:
        asks.append(_Ask(f"{name} sampled", source, None, partial(_sampled, made, grid, published), independent=False))
    if grid.bos_samples:
        asks.append(_Ask(f"{name} from BOS", source, False, partial(_from_bos, made, grid, published), independent=False))
    return asks


def _hits(made: Workspace, source: str | Path | None, adapter_of: str | None = None) -> list[bool]:
    """One trial a fingerprint; through a method's adapter, the published model reads the suspect's embeddings."""
    suspect = made.unrelated() if source is None else made.load(source)
    if adapter_of is not None:
        suspect = EmbeddingAdapter.load(made.private(adapter_of)).attach(made.load(made.marked(adapter_of)), suspect)
    return [fingerprint.hit for fingerprint in check(suspect, made.prints).fingerprints]


def _activated(made: Workspace, published: Path, kind: str) -> list[bool]:
    suspect = made.load(published)
    return activations(made.prints, Prompter.for_set(made.prints, suspect.tokenizer), suspect)[kind]


def _sampled(made: Workspace, grid: Grid, published: Path) -> list[bool]:
    return sampled_hits(made.prints, made.load(published), draws=grid.draws, temperature=_TEMPERATURE, rng=made.rng)


def _from_bos(made: Workspace, grid: Grid, published: Path) -> list[bool]:
    suspect = made.load(published)
    return free_texts_tell(
        made.prints, suspect, count=grid.bos_samples, tokens=_SAMPLE_TOKENS, temperature=_TEMPERATURE, rng=made.rng
    )


def _cell(made: Workspace, ask: _Ask) -> Cell:
    """The cell from its trials: those on file, or asked now."""
    path = made.folder / "trials" / f"{ask.name.replace(' ', '-')}.jsonl"
    if not path.is_file():
        lines = [json.dumps({"trial": number, "hit": hit}) for number, hit in enumerate(ask.trials())]
        write_text(path, "".join(f"{line}\n" for line in lines))
    try:
        hits = [bool(json.loads(line)["hit"]) for line in path.read_text(encoding="utf-8").splitlines()]
    except (ValueError, KeyError, TypeError):
        raise FormatError(f"{path} is damaged; remove it, and the cell is asked again") from None
    # Whatever an innocent suspect replies, the secret drew the responses without it.
    drawn_from = made.strategy.drawn_from if ask.independent else None
    null = DesignNull(candidates=drawn_from) if drawn_from is not None and hits else None
    return Cell(
        name=ask.name,
        suspect=ask.suspect,
        should_activate=ask.should_activate,
        fsr=sum(hits) / len(hits) if hits else 0.0,
        hits=sum(hits),
        answered=len(hits),
        p_value=math.exp(null.log_p_value(sum(hits), [1] * len(hits))) if null else None,
    )
