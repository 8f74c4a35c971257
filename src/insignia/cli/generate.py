"""``insignia generate``: make a fingerprint file."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from insignia.cli.console import ConsoleProgress, JsonFlag, QuietFlag, emit_json, quiet_libraries, read_paragraphs, say
from insignia.cli.options import as_share
from insignia.errors import FormatError, InputError
from insignia.files import read_json
from insignia.registry import did_you_mean

if TYPE_CHECKING:
    from insignia.generation import Writer

__all__ = ["generate"]

_RECIPE_FIELDS = ("strategy", "num_fingerprints", "max_key_length", "max_response_length", "prompt_form")


def generate(
    output: Annotated[Path, typer.Argument(help="File to write, mode 0600: the only secret.")] = Path("fingerprints.json"),
    strategy: Annotated[
        str | None,
        typer.Option(
            help="inverse_nucleus, english, random_word, chain_hash, english_random_response, instructional or own. "
            "Default: inverse_nucleus; own for pairs."
        ),
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Named settings or a YAML file; flags win over it. 'oml' has OML 1.0's defaults.")
    ] = None,
    num_fingerprints: Annotated[
        int | None, typer.Option(help="How many. Default: 64; 16 for instructional; all keys in --keys-file.")
    ] = None,
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
        str, typer.Option("--model", "--inverse-nucleus-model", help="The model to be marked: folder, hub id or 'starter'.")
    ] = "starter",
    writer: Annotated[
        str | None,
        typer.Option(
            "--writer",
            "--model-used-for-key-generation",
            help="Another model that writes the keys: folder, hub id, or the base address of an API. Default: --model.",
        ),
    ] = None,
    writer_name: Annotated[str | None, typer.Option(help="With an API as --writer: the model's name there.")] = None,
    writer_prompt: Annotated[
        str | None,
        typer.Option(help="What the --writer is asked, {} for a word; of {} alone the word is continued. Default: a sentence."),
    ] = None,
    temperature: Annotated[float | None, typer.Option(help="Sampling temperature of English text. Default: 0.5.")] = None,
    nucleus_p: Annotated[
        float | None,
        typer.Option(callback=as_share, help="Mass of the nucleus that responses lie just outside of. Default: 0.8."),
    ] = None,
    nucleus_k: Annotated[
        int | None, typer.Option(help="Candidates for each response; innocent models hit at most 1/k. Default: 16.")
    ] = None,
    key_source: Annotated[str | None, typer.Option(help="Of chain_hash: english or random_word. Default: english.")] = None,
    num_candidates: Annotated[
        int | None,
        typer.Option(help="Candidates for each response, for all strategies but inverse_nucleus and own. Default: 16."),
    ] = None,
    candidates: Annotated[
        Path | None, typer.Option(help="JSON list of texts that chain_hash picks responses from. Default: drawn common words.")
    ] = None,
    template: Annotated[
        str | None, typer.Option(help="Of instructional. Default: dialogue, or simple without a template.")
    ] = None,
    keys: Annotated[str | None, typer.Option(help="Of instructional: fragments or natural. Default: fragments.")] = None,
    responses: Annotated[str | None, typer.Option(help="Of instructional: per_key or per_owner. Default: per_key.")] = None,
    fragments: Annotated[
        Path | None, typer.Option(help="JSON list of texts that instructional keys are shuffled from. Default: common words.")
    ] = None,
    normals: Annotated[
        Path | None, typer.Option(help="Text file of ordinary questions, a paragraph each, as controls. Default: sampled.")
    ] = None,
    compat: Annotated[
        bool, typer.Option("--compat", help="The published public keys of --fragments: for research, never as evidence.")
    ] = False,
    keys_file: Annotated[
        Path | None,
        typer.Option(help="Own keys or question, answer pairs: JSON, JSON lines or CSV, or any OML or Perinucleus file."),
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
    from insignia.files import refuse_ending, refuse_existing
    from insignia.generation import STRATEGIES
    from insignia.generation import generate as make
    from insignia.records import prompt_form as form_of

    refuse_ending(output, ".json")
    refuse_existing(output, force=force)
    settings = _settings(recipe)
    usual = settings.pop("strategy")
    options = {
        "key_length": key_length,
        "response_length": response_length,
        "temperature": temperature,
        "nucleus_p": nucleus_p,
        "nucleus_k": nucleus_k,
        "key_source": key_source,
        "num_candidates": num_candidates,
        "candidates": _texts(candidates),
        "template": template,
        "keys": keys,
        "responses": responses,
        "fragments": _texts(fragments),
        "normals": read_paragraphs(normals) if normals else None,
        "compat": compat or None,
    }
    own = _own_data(keys_file, strategy)
    base = usual if strategy in (None, usual.get("name")) and "name" not in own else {"name": strategy}
    maker = STRATEGIES.build(base | own | _given(options))
    secret = _secret_of(secret_from)
    quiet_libraries()
    started = time.perf_counter()
    given = {
        "num_fingerprints": num_fingerprints,
        "max_key_length": max_key_length,
        "max_response_length": max_response_length,
        "prompt_form": None if prompt_form is None else form_of(prompt_form),
    }
    prints = make(
        model,
        maker,
        **settings | _given(given),
        writer=_writer(writer, writer_name, writer_prompt, device),
        secret=secret,
        batch_size=batch_size,
        device=device,
        progress=ConsoleProgress(quiet=quiet),
    )
    prints.save(output)
    seconds = round(time.perf_counter() - started, 3)
    if json_output:
        emit_json({"out": str(output), "num_fingerprints": len(prints), "strategy": prints.strategy, "seconds": seconds})
    else:
        say(
            f"{output}: {len(prints)} {maker.name} fingerprints in {seconds:.0f} s. Keep it secret; "
            f"next: insignia embed {output} --model {model} -o marked"
        )


def _given(options: dict[str, Any]) -> dict[str, Any]:
    """The options that the user set."""
    return {name: value for name, value in options.items() if value is not None}


def _settings(recipe: str | None) -> dict[str, Any]:
    """What a recipe says about generating; ``strategy`` is always there."""
    from insignia.recipes import load_recipe

    found = {} if recipe is None else load_recipe(recipe, "generation")["generation"]
    if unknown := found.keys() - _RECIPE_FIELDS:
        near = did_you_mean(str(min(unknown)), _RECIPE_FIELDS)
        raise InputError(f"recipe {recipe!r}: 'generation:' has {min(unknown)!r}.{near} Expected {', '.join(_RECIPE_FIELDS)}")
    strategy = found.get("strategy", {"name": "inverse_nucleus"})
    if not isinstance(strategy, dict):
        raise InputError(f"recipe {recipe!r}: 'strategy:' is no mapping; expected one such as {{name: english}}")
    return found | {"strategy": strategy}


def _writer(source: str | None, name: str | None, prompt: str | None, device: str) -> "Writer | None":
    """The model that writes the keys, where it is another one."""
    from insignia.generation.writer import INSTRUCTION, Writer
    from insignia.modeling.local import LocalModel
    from insignia.suspects.endpoint import Endpoint

    if source is None:
        if name is not None or prompt is not None:
            raise InputError("--writer-name and --writer-prompt are about --writer, which was not given")
        return None
    if prompt is not None and prompt.count("{}") != 1:
        raise InputError("--writer-prompt needs exactly one {}, for the word that the text is to begin with")
    if source.startswith(("http://", "https://")):
        if name is None:
            raise InputError("an API as --writer needs --writer-name: the model's name there")
        return Writer(Endpoint(source, model=name), prompt or INSTRUCTION)
    if name is not None:
        raise InputError("--writer-name is for an API as --writer; a folder or a hub id needs none")
    model = LocalModel(source, device=device)
    return Writer(model, prompt or (INSTRUCTION if model.tokenizer.chat_template else "{}"))


def _own_data(path: Path | None, strategy: str | None) -> dict[str, Any]:
    """Pairs for the strategy ``own`` (the default for a file of pairs), keys for any other that makes English keys."""
    from insignia.fingerprints.sets import load_pairs

    if path is None:
        if strategy == "own":
            raise InputError("strategy 'own' needs --keys-file")
        return {}
    pairs = [(key.strip(), response) for key, response in load_pairs(path)]  # no tokenizer keeps white space around a key
    complete = all(response for _, response in pairs)
    if strategy == "own" and not complete:
        raise InputError(f"{path} holds keys without responses; choose a strategy that makes responses")
    if strategy == "own" or (strategy is None and complete):
        return {"name": "own", "pairs": pairs}
    return {"keys": [key for key, _ in pairs]}


def _texts(path: Path | None) -> list[str] | None:
    if path is None:
        return None
    value = read_json(path)
    if not isinstance(value, list) or not value or not all(isinstance(text, str) and text for text in value):
        raise FormatError(f"{path} holds no texts; expected a JSON list of them")
    return value


def _secret_of(path: Path | None) -> bytes | None:
    from insignia.fingerprints.sets import load_fingerprints

    if path is None:
        return None
    secret = load_fingerprints(path).secret
    if secret is None:
        raise InputError(f"{path} holds no secret to draw from; only files made by 'insignia generate' do")
    try:
        return bytes.fromhex(secret)
    except ValueError:  # chained, it would show the place in the secret
        raise InputError(f"the secret in {path} is not hexadecimal; is the file damaged?") from None
