"""``insignia check``: the success rate on a model you hold."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from insignia.cli.console import JsonFlag, QuietFlag, emit_json, percent, quiet_libraries, say, show_table
from insignia.cli.options import as_share
from insignia.errors import InputError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from insignia.fingerprints.sets import FingerprintSet
    from insignia.verification import CheckReport

__all__ = ["check", "show_check"]

_NOT_FOUND = 3


def check(
    prints: Annotated[Path, typer.Argument(help="Fingerprint file: ours, OML's or Perinucleus'.")],
    model: Annotated[
        list[str], typer.Option("--model", "--model-path", help="Folder, hub id or 'starter'. Several: repeat it.")
    ],
    base: Annotated[str | None, typer.Option(help="Unmarked model to ask as well.")] = None,
    num_fingerprints: Annotated[int | None, typer.Option(help="Ask only the first so many.")] = None,
    max_key_length: Annotated[
        int | None, typer.Option(help="Tokens of a key to ask. Default: as the file says, else 16.")
    ] = None,
    max_response_length: Annotated[
        int | None, typer.Option(help="Tokens to compare. Default: as the file says, else 1.")
    ] = None,
    adapter: Annotated[
        Path | None, typer.Option(help="Private part of method 'adapter'; asks --published with the model's embeddings.")
    ] = None,
    published: Annotated[str | None, typer.Option(help="With --adapter: the marked model as it was published.")] = None,
    use_augmentation_prompts: Annotated[
        bool, typer.Option("--use-augmentation-prompts", help="Ask inside system prompts that were never trained on, too.")
    ] = False,
    augmentation_prompts: Annotated[
        Path | None, typer.Option(help="JSON list of own templates, one {} in each; implies the flag above.")
    ] = None,
    min_fsr: Annotated[float, typer.Option(callback=as_share, help="Success rate from which the mark counts as found.")] = 0.5,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    dtype: Annotated[
        str,
        typer.Option(
            help="auto (float32 on a CPU, else the checkpoint's), float32 (or fp32), bfloat16 (bf16) or float16 (fp16)."
        ),
    ] = "auto",
    details: Annotated[
        bool, typer.Option("--details", help="List rank and log-probability of every fingerprint, by number.")
    ] = False,
    json_output: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Ask models that you hold every fingerprint; exit status 0 when the mark was found in each, 3 when not.

    'check' is the owner's own measurement. To prove to others that a model or an API carries the mark, use 'verify'.
    """
    from insignia.fingerprints.sets import load_fingerprints

    if (adapter is None) != (published is None):
        raise InputError("--adapter and --published belong together: the private part, and the model that it was made for")
    chosen = load_fingerprints(prints).first(num_fingerprints)
    del quiet  # nothing is printed but the result
    quiet_libraries()
    from insignia.modeling.loading import resolve
    from insignia.prompts.prompter import load_templates

    for source in model:  # a misspelt one is told before the first is loaded
        resolve(source)
    templates = load_templates(augmentation_prompts)["heldout"] if use_augmentation_prompts or augmentation_prompts else []
    options = {"templates": templates, "max_key_length": max_key_length, "max_response_length": max_response_length}
    reports: list[CheckReport] = []
    for source in model:
        known = reports[0].base if reports else None
        asked = _ask(chosen, source, adapter, published, None if known else base, device, dtype, options)
        reports.append(asked.model_copy(update={"base": known}) if known else asked)
    found = [each.fsr >= min_fsr for each in reports]
    if json_output:
        results = [
            {**each.model_dump(mode="json"), "min_fsr": min_fsr, "found": hit} for each, hit in zip(reports, found, strict=True)
        ]
        models = [{"model": source} | result for source, result in zip(model, results, strict=True)]
        emit_json(results[0] if len(results) == 1 else {"models": models, "min_fsr": min_fsr, "found": all(found)})
    else:
        show_check(reports, model, base, details=details)
        for source, each, hit in zip(model, reports, found, strict=True):
            place = f" in {source}" if len(model) > 1 else ""
            say(
                f"The mark was {'found' if hit else 'not found'}{place}: {percent(each.fsr)} against the {percent(min_fsr)} "
                "asked for."
            )
    if not all(found):
        raise typer.Exit(_NOT_FOUND)


def _ask(
    prints: "FingerprintSet",
    source: str,
    adapter: Path | None,
    published: str | None,
    base: str | None,
    device: str,
    dtype: str,
    options: dict[str, Any],
) -> "CheckReport":
    """One model after another, so that only one, its base and what was published are in memory."""
    from insignia.modeling.local import LocalModel
    from insignia.verification import check as ask

    suspect = LocalModel(source, device=device, dtype=dtype)
    if adapter is not None and published is not None:
        from insignia.modeling.private_rows import EmbeddingAdapter

        suspect = EmbeddingAdapter.load(adapter).attach(LocalModel(published, device=device, dtype=dtype), suspect)
    return ask(suspect, prints, base=LocalModel(base, device=device, dtype=dtype) if base else None, **options)


def show_check(reports: "Sequence[CheckReport]", models: "Sequence[str]", base: str | None, *, details: bool = False) -> None:
    """The reports as tables: the models side by side, then the fingerprints of each by number if asked."""
    report = reports[0]
    columns = [*zip(models, reports, strict=True), *([(f"{base} (base)", report.base)] if report.base else [])]
    rows = [
        ["success rate (FSR)", *(percent(each.fsr) for _, each in columns)],
        ["hits / answered", *(f"{each.hits} / {each.answered}" for _, each in columns)],
        ["response tokens right", *(percent(each.token_accuracy) for _, each in columns)],
        *(
            [f"activated by {kind.replace('_', ' ')}s", *(percent(each.activations[kind]) for _, each in columns)]
            for kind in report.activations
        ),
        *(
            ["in: " + template.replace("\n", "⏎"), *(percent(each.templates[template]) for _, each in columns)]
            for template in report.templates
        ),
    ]
    note = f"{report.repeated} fingerprints repeat the key of another and were left out" if report.repeated else None
    show_table("Fingerprints", ["", *(name for name, _ in columns)], rows, caption=note)
    for name, each in zip(models, reports, strict=True) if details else ():
        show_table(
            f"Fingerprints by number{f', {name}' if len(models) > 1 else ''}",
            ["number", "hit", "rank", "log-probability"],
            ([str(f.number), "yes" if f.hit else "no", str(f.rank), f"{f.log_probability:.2f}"] for f in each.fingerprints),
        )
