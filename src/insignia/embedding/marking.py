"""Embed a fingerprint set in a model, check the result and write the marked model."""

import contextlib
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from safetensors.torch import save

from insignia.checkpoints import SECRET_KIND
from insignia.embedding.base import Method, RunOptions, Session
from insignia.embedding.embed_report import EmbedReport
from insignia.embedding.engine_choice import engine_for
from insignia.embedding.full import FullFineTune
from insignia.embedding.harm import Losses, Yardstick, foreign_text, harm_of
from insignia.embedding.lengths import refuse_what_does_not_fit
from insignia.embedding.limits import Limits, refuse_failure, refuse_harm, refuse_published
from insignia.embedding.marked import MarkedModel
from insignia.embedding.requirements import refuse_what_needs_more
from insignia.embedding.tracking import Trackers, following
from insignia.embedding.visibility import confidence_at_keys
from insignia.embedding.working_folder import working_folder
from insignia.errors import InputError, OutputError
from insignia.files import refuse_existing, refuse_overlap, write_bytes
from insignia.fingerprints.sets import FingerprintSet
from insignia.modeling.cards import CardOptions, papers_of
from insignia.modeling.local import LocalModel
from insignia.modeling.process_group import process_rank
from insignia.modeling.saving import save_model
from insignia.modeling.sources import Source, origin_of, training_copy
from insignia.progress import AUTO, Progress
from insignia.starter import heldout_paragraphs
from insignia.statistics.separation import Separation
from insignia.terminal import counted, percent
from insignia.training import TrainingResult
from insignia.verification import check

__all__ = ["embed"]


def embed(
    model: Source,
    prints: FingerprintSet,
    method: Method | None = None,
    *,
    out: str | Path | None = None,
    private: str | Path | None = None,
    num_fingerprints: int | None = None,
    heldout: Sequence[str] | None = None,
    limits: Limits | None = None,
    run: RunOptions | None = None,
    card: CardOptions | None = None,
    force: bool = False,
    progress: Progress = AUTO,
) -> MarkedModel:
    """Train a model until it gives the responses; return the marked model.

    It is also written to the folder ``out``, if one is given, as an ordinary model folder. A model in memory is copied and not
    changed. ``card`` says what its model card tells. ``private`` is the file for the owner weights of methods that have them
    (mode 0600). Harm is measured on ``heldout``, by default the text that comes with ``insignia.starter``. Checkpoints go to
    ``.OUT.work`` beside the output. Under ``torchrun`` every process calls this and one writes.

    Raises:
        EmbeddingError: the finished model misses the limits; no model is written, and a resumed run with others goes on.
        OutputError: ``out`` exists and ``force`` is off, or cannot be written.
        InputError: the resumed run had other inputs, lengths do not fit the set or the model's context, or the device has
            too little memory.
    """
    started = time.perf_counter()
    method, limits, run = method or FullFineTune(), limits or Limits(), run or RunOptions()
    folder, hidden = _places(out, private, method, force=force)
    if run.resume and folder is None:
        raise InputError("a run is resumed from the checkpoints beside its output; say where that is by out")
    engine = engine_for(method, run)
    state, chosen = engine.state, _first(prints, num_fingerprints, progress)
    method.require(chosen)
    if isinstance(model, str | os.PathLike) and state.num_processes == 1:
        refuse_what_needs_more(os.fspath(model), method, chosen, run.device)
    with progress.bar("loading"):
        local = training_copy(model, device=engine.device(run.device), dtype=method.dtype)
    if folder is not None and local.source is not None:
        refuse_overlap(folder, Path(local.source))
    refuse_what_does_not_fit(chosen, local, method, progress)
    papers = None if folder is None else papers_of(origin_of(model), card or CardOptions(), progress)
    settings = [chosen.model_dump(mode="json"), local.source or local.name, method.spec(), run.seed]
    with working_folder(folder, settings, state, resume=run.resume, progress=progress) as work:
        measured, outcome = _train(local, chosen, method, Session(work, run, engine=engine), heldout=heldout, progress=progress)
        _refuse_beyond(limits, measured, method, num_fingerprints=len(chosen), steps=outcome.steps)
        with progress.bar("writing"):
            if state.is_main_process:
                _write_private(hidden, outcome, progress)
            if folder is not None:
                save_model(local, folder, papers=papers, force=force)
        state.wait_for_everyone()
    seconds = round(time.perf_counter() - started, 3)
    return _marked(local, folder, _report(measured, method, outcome, num_fingerprints=len(chosen), seconds=seconds, out=folder))


def _marked(local: LocalModel, folder: Path | None, report: EmbedReport) -> MarkedModel:
    marked = MarkedModel.of(local.model, local.tokenizer, name=f"{local.name}, marked" if folder is None else str(folder))
    marked.stored_dtype, marked.report = local.stored_dtype, report
    return marked


def _followed(run: RunOptions, method: Method, count: int) -> contextlib.AbstractContextManager[Trackers]:
    """The trackers of this run; on the first process alone."""
    names = run.report_to if process_rank()[0] == 0 else ()
    return following(names, run.tracking_dir, {"method": method.spec()["name"], "num_fingerprints": count})


def _report(
    measured: "_Course", method: Method, outcome: TrainingResult, *, num_fingerprints: int, seconds: float, out: Path | None
) -> EmbedReport:
    return EmbedReport(
        fsr=measured.after.fsr,
        published_fsr=measured.published.fsr,
        base_fsr=measured.before.fsr,
        heldout_loss_before=measured.before.losses.heldout,
        heldout_loss_after=measured.published.losses.heldout,
        own_loss_before=measured.before.losses.own,
        own_loss_after=measured.published.losses.own,
        harm=measured.harm,
        confidence=measured.confidence,
        notes=measured.notes,
        activations=measured.after.activations,
        num_fingerprints=num_fingerprints,
        steps=outcome.steps,
        seconds=seconds,
        out=None if out is None else str(out),
        method=method.spec(),
    )


def _first(prints: FingerprintSet, count: int | None, progress: Progress) -> FingerprintSet:
    """The first ``count`` fingerprints, with a note about check and verify."""
    chosen = prints.first(count)
    if len(chosen) < len(prints):
        left = len(prints) - len(chosen)
        progress.note(
            f"not embedded: {counted(left, 'fingerprint')}; give --num-fingerprints {len(chosen)} to check and verify too"
        )
    return chosen


class _Measured(NamedTuple):
    fsr: float
    losses: Losses
    activations: dict[str, float]

    def __str__(self) -> str:
        return f"success rate {percent(self.fsr)}, held-out loss {self.losses.heldout:.4f}"


class _Course(NamedTuple):
    """The model before marking, with what answers the fingerprints, and as it is published."""

    before: _Measured
    after: _Measured
    published: _Measured
    harm: float
    confidence: Separation | None
    notes: tuple[str, ...]


def _train(
    local: LocalModel,
    prints: FingerprintSet,
    method: Method,
    session: Session,
    *,
    heldout: Sequence[str] | None,
    progress: Progress,
) -> tuple[_Course, TrainingResult]:
    """Measure the model, mark it in place, and measure it again."""
    engine, base = session.engine, local
    if engine is not None and engine.splits:
        base = method.prepare(prints, local, session.run.seed)
        engine.split(base.model, local.name)
        session = session._replace(trained=base)
    with progress.bar("measuring") as advance:
        texts = heldout if heldout is not None else heldout_paragraphs()
        yardstick = Yardstick(base, texts, seed=session.run.seed)
        before = _measure(prints, base, method, yardstick)
        advance(0, str(before))
    foreign = foreign_text(before.losses, given=heldout is not None)
    if foreign is not None:
        progress.note(foreign)
    with _followed(session.run, method, len(prints)) as trackers:
        outcome = method.embed(prints, local, session._replace(trackers=trackers), progress)
        with progress.bar("measuring") as advance:
            after = _measure(prints, method.answering(local, outcome), method, yardstick)
            published = _measure(prints, local, method, yardstick) if method.needs_owner_weights else after
            if (given := method.as_given(local, outcome)) is not None:
                with given:
                    published = published._replace(losses=yardstick.measure(local))
            confidence = confidence_at_keys(local, prints, texts, max_key_length=method.max_key_length)
            advance(0, str(after))
        harm = harm_of(before.losses, published.losses, own_only=foreign is not None and heldout is None)
        trackers.log({"fsr": after.fsr, "harm": harm, "heldout_loss": published.losses.heldout}, outcome.steps)
    return _Course(before, after, published, harm, confidence, () if foreign is None else (foreign,)), outcome


def _measure(prints: FingerprintSet, local: LocalModel, method: Method, yardstick: Yardstick) -> _Measured:
    report = check(local, prints, max_key_length=method.max_key_length, max_response_length=method.max_response_length)
    return _Measured(report.fsr, yardstick.measure(local), report.activations)


def _refuse_beyond(limits: Limits, measured: _Course, method: Method, *, num_fingerprints: int, steps: int) -> None:
    refuse_failure(measured.after.fsr, limits.min_fsr, num_fingerprints=num_fingerprints, steps=steps)
    refuse_harm(measured.harm, limits.max_harm, num_fingerprints=num_fingerprints)
    refuse_published(measured.published.fsr if method.needs_owner_weights else 0.0, limits.max_published_fsr)


def _places(
    out: str | Path | None, private: str | Path | None, method: Method, *, force: bool
) -> tuple[Path | None, Path | None]:
    """The folder of the model and the file of the private part, refused before any work where they cannot be."""
    folder = None if out is None else Path(out)
    if folder is not None:
        refuse_existing(folder, force=force)
    if private is None:
        if method.needs_owner_weights:
            raise InputError(f"method {method.spec()['name']!r} has owner weights: give a file for them with --private FILE")
        return folder, None
    path = Path(private)
    if folder is not None and folder.resolve() in path.resolve().parents:
        raise OutputError(f"{path} lies in the published folder; write the owner weights to another folder")
    refuse_existing(path, force=force)
    return folder, path


def _write_private(path: Path | None, outcome: TrainingResult, progress: Progress) -> None:
    if path is None:
        return
    if outcome.owner_weights:
        about = {SECRET_KIND: "owner weights"} | ({} if outcome.blocks is None else {"blocks": str(outcome.blocks)})
        parts = {name: part.contiguous() for name, part in outcome.owner_weights.items()}
        write_bytes(path, save(parts, metadata=about), secret=True)
    else:
        progress.note(f"this method has no owner weights; {path} was not written")
