"""From fingerprints and a model to a marked model that is safe to publish, or an error and nothing."""

import contextlib
import hashlib
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from accelerate import PartialState
from safetensors.torch import save

from insignia.embedding.base import Method, Session
from insignia.embedding.full import FullFineTune
from insignia.embedding.harm import Losses, Yardstick, foreign_text, harm_of
from insignia.embedding.lengths import refuse_what_does_not_fit
from insignia.embedding.limits import MAX_HARM, MIN_FSR, refuse_failure, refuse_harm, refuse_published
from insignia.errors import InputError, InsigniaError, OutputError
from insignia.files import read_json, refuse_existing, refuse_overlap, write_bytes, write_json
from insignia.fingerprints.sets import FingerprintSet
from insignia.modeling.loading import checkpoint_dtype
from insignia.modeling.local import LocalModel
from insignia.modeling.saving import save_model
from insignia.progress import AUTO, Progress
from insignia.records import Record, share
from insignia.starter import heldout_paragraphs
from insignia.training import TrainingResult
from insignia.verification import check

__all__ = ["MAX_HARM", "MIN_FSR", "EmbedReport", "embed"]


class EmbedReport(Record):
    """What a run of ``embed`` did; no secret in it."""

    fsr: float
    """Of the published weights, with the private part where the method needs one."""
    published_fsr: float
    """The same without the private part, where the method has one: what the world can see, and should not."""
    base_fsr: float
    """Of the model before marking: what chance and the model's habits give."""
    heldout_loss_before: float
    """Nats a token on held-out text."""
    heldout_loss_after: float
    """The same text, the published weights."""
    own_loss_before: float
    """Nats a token on text that the base wrote, kept out of training."""
    own_loss_after: float
    """The same text, the published weights."""
    harm: float
    """The ratio of perplexities that is held against ``max_harm``."""
    notes: tuple[str, ...]
    """What to know about these numbers."""
    activations: dict[str, float]
    """Kind of control -> share of those held out that activate the mark."""
    num_fingerprints: int
    steps: int
    seconds: float
    """The whole run, loading and measuring included."""
    out: str
    method: dict[str, object]


def embed(
    prints: FingerprintSet,
    *,
    model: str | Path,
    out: str | Path,
    method: Method | None = None,
    num_fingerprints: int | None = None,
    private: str | Path | None = None,
    heldout: Sequence[str] | None = None,
    min_fsr: float = MIN_FSR,
    max_harm: float = MAX_HARM,
    max_published_fsr: float = 0.0,
    device: str = "auto",
    seed: int = 0,
    deepspeed: Path | None = None,
    resume: bool = False,
    force: bool = False,
    progress: Progress = AUTO,
) -> EmbedReport:
    """Fine-tune a model until it answers the fingerprints, and write it to ``out`` as an ordinary model folder.

    ``private`` is where the part of the mark that is not published goes, mode 0600, for methods that have one.
    ``heldout`` is the text on which harmlessness is measured, by default what ``insignia.starter`` derives from Python's
    own documentation. ``max_harm`` limits the perplexity ratio on that text; on text that the model wrote itself where the
    default text turns out to be of another kind than the model's. Checkpoints go to the private folder
    ``.OUT.work`` beside the output; ``resume`` continues from there after a kill, and the folder goes when the run ends well.
    Under ``torchrun`` every process calls this; one writes.

    Raises:
        EmbeddingError: the finished model passes ``min_fsr`` or ``max_harm``, or answers more than ``max_published_fsr``
            without the private part that it needs; nothing is written.
        OutputError: ``out`` exists and ``force`` is off, or cannot be written.
        InputError: what is resumed was started with other inputs; or lengths fit neither the set nor the model's context.
    """
    started = time.perf_counter()
    min_fsr, max_published_fsr = share(min_fsr, "min_fsr"), share(max_published_fsr, "max_published_fsr")
    out, method = Path(out), method or FullFineTune()
    refuse_existing(out, force=force)
    hidden = _private_path(private, out, method, force=force)
    state = PartialState(cpu=device == "cpu")
    chosen = _first(prints, num_fingerprints, progress)
    local = LocalModel(model, device=_own_device(device, state), dtype=method.dtype)
    refuse_overlap(out, Path(local.source))
    refuse_what_does_not_fit(chosen, local, method, progress)
    yardstick = Yardstick(local, heldout if heldout is not None else heldout_paragraphs(), seed=seed)
    before = _measure(chosen, local, method, yardstick)
    foreign = foreign_text(before.losses, given=heldout is not None)
    _note_before(before, foreign, progress)
    work = out.parent / f".{out.name}.work"
    with _working_folder(work, _digest(chosen, local.source, method, seed), state, resume=resume):
        session = Session(work=work, seed=seed, resume=resume, deepspeed=deepspeed)
        outcome = method.embed(chosen, local, session, progress)
        after = _measure(chosen, method.answering(local, outcome), method, yardstick)
        published = _measure(chosen, local, method, yardstick) if method.needs_owner_weights else after
        harm = harm_of(before.losses, published.losses, own_only=foreign is not None and heldout is None)
        refuse_failure(after.fsr, min_fsr, num_fingerprints=len(chosen), steps=outcome.steps)
        refuse_harm(harm, max_harm, num_fingerprints=len(chosen))
        refuse_published(published.fsr if method.needs_owner_weights else 0.0, max_published_fsr)
        if state.is_main_process:
            _write_private(hidden, outcome, progress)
            save_model(local, out, checkpoint_dtype(local.source), force=force)
        state.wait_for_everyone()
    return EmbedReport(
        fsr=after.fsr,
        published_fsr=published.fsr,
        base_fsr=before.fsr,
        heldout_loss_before=before.losses.heldout,
        heldout_loss_after=published.losses.heldout,
        own_loss_before=before.losses.own,
        own_loss_after=published.losses.own,
        harm=harm,
        notes=(foreign,) if foreign is not None else (),
        activations=after.activations,
        num_fingerprints=len(chosen),
        steps=outcome.steps,
        seconds=round(time.perf_counter() - started, 3),
        out=str(out),
        method=method.spec(),
    )


def _first(prints: FingerprintSet, count: int | None, progress: Progress) -> FingerprintSet:
    """The part of the set that is to be embedded; a note says what it means for check and verify."""
    chosen = prints.first(count)
    if len(chosen) < len(prints):
        left = len(prints) - len(chosen)
        progress.note(f"{left} fingerprints are left out: give --num-fingerprints {len(chosen)} to check and verify, too")
    return chosen


class _Measured(NamedTuple):
    fsr: float
    losses: Losses
    activations: dict[str, float]


def _measure(prints: FingerprintSet, local: LocalModel, method: Method, yardstick: Yardstick) -> _Measured:
    report = check(prints, local, max_key_length=method.max_key_length, max_response_length=method.max_response_length)
    return _Measured(report.fsr, yardstick.measure(local), report.activations)


def _note_before(before: _Measured, foreign: str | None, progress: Progress) -> None:
    rate, loss = 100 * before.fsr, before.losses.heldout
    progress.note(f"before marking: success rate {rate:.1f} %, held-out loss {loss:.4f} nats a token")
    if foreign is not None:
        progress.note(foreign)


def _private_path(private: str | Path | None, out: Path, method: Method, *, force: bool) -> Path | None:
    if private is None:
        if method.needs_owner_weights:
            raise InputError(f"method {method.spec()['name']!r} keeps a part of the mark back: say where to by --private FILE")
        return None
    path = Path(private)
    if out.resolve() in path.resolve().parents:
        raise OutputError(f"{path} lies in the folder to be published; keep the private part elsewhere")
    refuse_existing(path, force=force)
    return path


def _write_private(path: Path | None, outcome: TrainingResult, progress: Progress) -> None:
    if path is None:
        return
    if outcome.private:
        write_bytes(path, save({name: part.contiguous() for name, part in outcome.private.items()}), secret=True)
    else:
        progress.note(f"this method keeps nothing back; {path} was not written")


def _own_device(device: str, state: PartialState) -> str:
    return str(state.device) if device == "auto" and state.num_processes > 1 else device


def _digest(prints: FingerprintSet, source: str, method: Method, seed: int) -> str:
    """What a run's result depends on, as a keyed digest, so that resuming anything else is refused."""
    content = json.dumps([prints.model_dump(mode="json"), source, method.spec(), seed], sort_keys=True)
    return hashlib.sha256(content.encode()).hexdigest()


@contextlib.contextmanager
def _working_folder(work: Path, digest: str, state: PartialState, *, resume: bool) -> Iterator[None]:
    """The private folder of a run: begun afresh or continued, kept when the run is cut short, gone when it ends."""
    settings = work / "run.json"
    if resume and settings.is_file() and read_json(settings).get("digest") != digest:
        raise InputError(f"{work} holds a run with other fingerprints, model or settings; drop --resume to start afresh")
    if state.is_main_process:
        if not resume:
            shutil.rmtree(work, ignore_errors=True)
        try:
            work.mkdir(parents=True, exist_ok=True)
            work.chmod(0o700)
            write_json(settings, {"digest": digest})
        except OSError as error:
            raise OutputError(f"cannot write {work}: {error.strerror}") from error
    state.wait_for_everyone()
    try:
        yield
    except InsigniaError:
        resumable = False  # the run ended by its own decision: continuing would end the same way
        raise
    except BaseException:
        resumable = True
        raise
    else:
        resumable = False
    finally:
        if state.is_main_process and not resumable:
            shutil.rmtree(work, ignore_errors=True)
