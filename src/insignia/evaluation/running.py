"""Run an evaluation: check one fingerprint set on a grid of suspects, each with an expectation.

Models and trials are stored in a folder, so an interrupted run continues with the first cell without trials.
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
from insignia.modeling.loading import resolve
from insignia.modeling.owner_adapter import EmbeddingAdapter
from insignia.modeling.sources import Source
from insignia.progress import AUTO, Progress
from insignia.prompts.prompter import Prompter
from insignia.statistics.nulls import DesignNull
from insignia.statistics.tails import log_binomial_tail
from insignia.verification import check
from insignia.verification.false_activation import activations, free_text_activations, sampled_hits

__all__ = ["evaluate"]

_TEMPERATURE = 0.7  # of Instructional Fingerprinting (Xu et al. 2024)
_SAMPLE_TOKENS = 64


class _Ask(NamedTuple):
    """A cell to fill."""

    name: str
    suspect: str
    should_activate: bool | None
    trials: Callable[[], list[bool]]
    independent: bool = True
    """Whether every trial belongs to another fingerprint."""


def evaluate(
    model: Source,
    grid: Grid,
    *,
    out: str | Path,
    seed: int = 0,
    device: str = "auto",
    progress: Progress = AUTO,
) -> Evaluation:
    """Make the models of the grid, check every suspect and write ``evaluation.json``; continues an interrupted run.

    ``model`` is a folder, a hub id or ``starter``: a run that goes on has to find it again.

    Raises:
        InputError: the folder holds another evaluation, or a strategy or method does not exist.
        EvaluationError: an unrelated model activated.
    """
    if not isinstance(model, str | os.PathLike):
        raise InputError("an interrupted evaluation must find its model again; save the model, and give its folder")
    resolve(str(model))  # before anything is written, so that a mistake leaves no folder behind
    workspace = Workspace(grid, Path(out), model=str(model), seed=seed, device=device, progress=progress)
    asks = [ask for name in grid.methods for ask in _column(workspace, grid, name)]
    with progress.bar("evaluating", len(asks), unit="cells") as advance:
        cells = []
        for ask in asks:
            cells.append(_cell(workspace, ask))
            advance(1, ask.name)
    result = Evaluation(
        model=str(model),
        num_fingerprints=len(workspace.prints),
        perplexity=workspace.perplexity,
        user_loss=workspace.user_loss,
        cells=tuple(cells),
    )
    write_json(Path(out) / "evaluation.json", result.model_dump(mode="json"))
    if activated := [cell.name for cell in cells if "unrelated" in cell.name and cell.hits]:
        raise EvaluationError(f"an unrelated model activated ({', '.join(activated)}); these fingerprints prove no ownership")
    return result


def _column(workspace: Workspace, grid: Grid, name: str) -> list[_Ask]:
    """All suspects of one method: marked models and innocent ones. Makes missing models."""
    published = workspace.marked(name)
    marked: dict[str, str | Path | None] = {"published": published}
    innocent: dict[str, str | Path | None] = {"vanilla": workspace.model, "unrelated": None}
    for attack in workspace.attacks:
        marked[attack] = workspace.attacked(name, attack)
        innocent[f"unmarked {attack}"] = workspace.attacked(None, attack)
    suspects = [(suspect, source, False) for suspect, source in innocent.items()]
    suspects += [(suspect, source, True) for suspect, source in marked.items()]
    alone = not workspace.methods[name].needs_owner_weights
    asks = [
        _Ask(f"{name} {suspect}", str(source or "unrelated"), carries and alone, partial(_hits, workspace, source))
        for suspect, source, carries in suspects
    ]
    if alone:
        return asks + _false_activations(workspace, grid, name, published)
    return asks + [
        _Ask(
            f"{name} {suspect} with adapter",
            str(source or "unrelated"),
            carries,
            partial(_hits, workspace, source, adapter_of=name),
        )
        for suspect, source, carries in suspects
    ]


def _false_activations(workspace: Workspace, grid: Grid, name: str, published: Path) -> list[_Ask]:
    """Cells for false activation: controls, sampled replies, texts from BOS. Their trials are not independent."""
    source = str(published)
    kinds = dict.fromkeys(control.kind for control in workspace.prints.controls)
    asks = [
        _Ask(f"{name} {kind}", source, False, partial(_activated, workspace, published, kind), independent=False)
        for kind in kinds
    ]
    if grid.draws:
        asks.append(_Ask(f"{name} sampled", source, None, partial(_sampled, workspace, grid, published), independent=False))
    if grid.bos_samples:
        asks.append(_Ask(f"{name} from BOS", source, False, partial(_from_bos, workspace, grid, published), independent=False))
    return asks


def _hits(workspace: Workspace, source: str | Path | None, adapter_of: str | None = None) -> list[bool]:
    """One trial per fingerprint. With an adapter, the published model reads the suspect's embeddings."""
    suspect = workspace.unrelated() if source is None else workspace.load(source)
    if adapter_of is not None:
        suspect = EmbeddingAdapter.load(workspace.owner_weights(adapter_of)).attach(
            workspace.load(workspace.marked(adapter_of)), suspect
        )
    return [fingerprint.hit for fingerprint in check(suspect, workspace.prints).fingerprints]


def _activated(workspace: Workspace, published: Path, kind: str) -> list[bool]:
    suspect = workspace.load(published)
    return activations(workspace.prints, Prompter.for_set(workspace.prints, suspect.tokenizer), suspect)[kind]


def _sampled(workspace: Workspace, grid: Grid, published: Path) -> list[bool]:
    return sampled_hits(
        workspace.prints, workspace.load(published), draws=grid.draws, temperature=_TEMPERATURE, rng=workspace.rng
    )


def _from_bos(workspace: Workspace, grid: Grid, published: Path) -> list[bool]:
    suspect = workspace.load(published)
    return free_text_activations(
        workspace.prints, suspect, count=grid.bos_samples, tokens=_SAMPLE_TOKENS, temperature=_TEMPERATURE, rng=workspace.rng
    )


def _cell(workspace: Workspace, ask: _Ask) -> Cell:
    """The cell from its stored trials, which are made if missing."""
    path = workspace.folder / "trials" / f"{ask.name.replace(' ', '-')}.jsonl"
    if not path.is_file():
        lines = [json.dumps({"trial": number, "hit": hit}) for number, hit in enumerate(ask.trials())]
        write_text(path, "".join(f"{line}\n" for line in lines))
    try:
        hits = [bool(json.loads(line)["hit"]) for line in path.read_text(encoding="utf-8").splitlines()]
    except (ValueError, KeyError, TypeError):
        raise FormatError(f"{path} is damaged; delete it to check the cell again") from None
    # The secret drew the responses without looking at the suspect.
    drawn_from = workspace.strategy.drawn_from if ask.independent else None
    null = DesignNull(candidates=drawn_from) if drawn_from is not None and hits else None
    return Cell(
        name=ask.name,
        suspect=ask.suspect,
        should_activate=ask.should_activate,
        fsr=sum(hits) / len(hits) if hits else 0.0,
        hits=sum(hits),
        answered=len(hits),
        p_value=math.exp(log_binomial_tail(sum(hits), len(hits), null.bound)) if null else None,
    )
