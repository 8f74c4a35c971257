"""``insignia generate``: make a fingerprint file."""

import time
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer

from insignia.cli.console import ConsoleProgress, JsonFlag, QuietFlag, emit_json, quiet_libraries
from insignia.errors import InputError

__all__ = ["generate"]

_DEFAULT_COUNT = 8192  # OML 1.0's


def generate(
    output: Annotated[Path, typer.Argument(help="File to write, mode 0600: the only secret.")] = Path("fingerprints.json"),
    strategy: Annotated[
        str | None,
        typer.Option(
            help="english, random_word, inverse_nucleus, english_random_response, instructional or own. "
            "Default: english; own for pairs."
        ),
    ] = None,
    num_fingerprints: Annotated[int | None, typer.Option(help="How many; by default 8192, or all keys in --keys-file.")] = None,
    key_length: Annotated[
        int | None, typer.Option(help="Tokens of a key as made (words for random_word). Default: 32.")
    ] = None,
    response_length: Annotated[
        int | None, typer.Option(help="Tokens of a response as made. Default: 32; 1 for inverse_nucleus.")
    ] = None,
    max_key_length: Annotated[
        int | None, typer.Option(help="Tokens of a key that will be asked; keys are unique at this length. Default: 16.")
    ] = None,
    max_response_length: Annotated[
        int | None, typer.Option(help="Tokens of a response that will be trained and compared. Default: 1.")
    ] = None,
    model: Annotated[
        str,
        typer.Option(
            "--model",
            "--model-used-for-key-generation",
            help="Folder, hub id or 'starter'; for inverse_nucleus the model to be marked.",
        ),
    ] = "starter",
    temperature: Annotated[float | None, typer.Option(help="Of English text. Default: 0.5.")] = None,
    nucleus_p: Annotated[
        float | None, typer.Option(help="Mass of the nucleus that responses lie just outside of. Default: 0.8.")
    ] = None,
    nucleus_k: Annotated[
        int | None, typer.Option(help="Candidates for each response; innocent models hit at most 1/k. Default: 3.")
    ] = None,
    keys_file: Annotated[
        Path | None, typer.Option(help="Own keys: a JSON list of keys, of key, response pairs, or any OML or Perinucleus file.")
    ] = None,
    prompt_form: Annotated[str | None, typer.Option(help="Ask keys as raw text or as a chat message. Default: raw.")] = None,
    secret_from: Annotated[
        Path | None, typer.Option(help="Draw from the secret of this fingerprint file, to make a set again.")
    ] = None,
    batch_size: Annotated[int, typer.Option(help="Changes speed and memory, not the result.")] = 128,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")] = "auto",
    force: Annotated[bool, typer.Option("--force", help="Replace an existing file.")] = False,
    json_output: JsonFlag = False,
    quiet: QuietFlag = False,
) -> None:
    """Make secret (key, response) pairs with a language model."""
    from insignia.files import refuse_existing
    from insignia.generation import STRATEGIES
    from insignia.generation import generate as make
    from insignia.types import prompt_form as form_of

    refuse_existing(output, force=force)
    options = {
        "key_length": key_length,
        "response_length": response_length,
        "temperature": temperature,
        "nucleus_p": nucleus_p,
        "nucleus_k": nucleus_k,
    }
    own = _own_data(keys_file, strategy)
    spec = {"name": strategy or "english"} | own.options | {name: value for name, value in options.items() if value is not None}
    maker = STRATEGIES.build(spec)
    secret = _secret_of(secret_from)
    quiet_libraries()
    from insignia.models.local import LocalModel

    progress = ConsoleProgress(quiet=quiet)
    started = time.perf_counter()
    prints = make(
        maker,
        model=LocalModel(model, device=device),
        num_fingerprints=own.num_keys if num_fingerprints is None else num_fingerprints,
        max_key_length=max_key_length,
        max_response_length=max_response_length,
        prompt_form=None if prompt_form is None else form_of(prompt_form),
        secret=secret,
        batch_size=batch_size,
        progress=progress,
    )
    prints.save(output)
    seconds = round(time.perf_counter() - started, 3)
    if json_output:
        emit_json({"out": str(output), "num_fingerprints": len(prints), "strategy": prints.strategy, "seconds": seconds})
    else:
        typer.echo(
            f"{output}: {len(prints)} {maker.name} fingerprints in {seconds:.0f} s. Keep it secret; next: insignia embed"
        )


class _OwnData(NamedTuple):
    """What a file of the owner's keys adds to the strategy."""

    options: dict[str, Any] = {}
    num_keys: int = _DEFAULT_COUNT


def _own_data(path: Path | None, strategy: str | None) -> _OwnData:
    """Pairs for the strategy ``own`` (the default for a file of pairs), keys for any other that makes English keys."""
    from insignia.artifacts import load_pairs

    if path is None:
        if strategy == "own":
            raise InputError("strategy 'own' needs --keys-file")
        return _OwnData()
    pairs = [(key.strip(), response) for key, response in load_pairs(path)]
    complete = all(response for _, response in pairs)
    if strategy == "own" and not complete:
        raise InputError(f"{path} holds keys without responses; choose a strategy that makes responses")
    if strategy == "own" or (strategy is None and complete):
        return _OwnData({"name": "own", "pairs": pairs}, len(pairs))
    return _OwnData({"keys": [key for key, _ in pairs]}, len(pairs))


def _secret_of(path: Path | None) -> bytes | None:
    from insignia.artifacts import load_fingerprints

    if path is None:
        return None
    secret = load_fingerprints(path).secret
    if secret is None:
        raise InputError(f"{path} holds no secret to draw from; only files made by 'insignia generate' do")
    try:
        return bytes.fromhex(secret)
    except ValueError:  # chained, it would show the place in the secret
        raise InputError(f"the secret in {path} is not hexadecimal; is the file damaged?") from None
