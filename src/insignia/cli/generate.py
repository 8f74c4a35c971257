"""``insignia generate``: make a fingerprint file."""

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from pydantic import ConfigDict

from insignia.cli.console import Written, quiet_libraries, say
from insignia.cli.fields import Chosen, Parts, takes
from insignia.errors import InputError
from insignia.generation import STRATEGIES, Strategy
from insignia.generation import generate as make
from insignia.generation.making import GenerateOptions
from insignia.modeling.placement import Device
from insignia.records import Flag, Record

if TYPE_CHECKING:
    from insignia.generation import Writer

__all__ = ["generate"]


class _Sources(Device):
    """The models that make the set."""

    model: Annotated[str, Flag("--model", "--inverse-nucleus-model")] = "starter"
    """The model to be marked: folder, hub id or 'starter'."""
    writer: Annotated[str | None, Flag("--writer", "--model-used-for-key-generation")] = None
    """Another model that writes the keys: folder, hub id, or the base address of an API. None: --model."""
    writer_name: Annotated[str | None, Flag(needs="writer")] = None
    """With an API as --writer: the model's name there."""
    writer_prompt: Annotated[str | None, Flag(needs="writer")] = None
    """What the --writer is asked, with {} for a word. Of {} alone the word is continued. None: to begin a sentence with it."""


class _Files(Record):
    """Keys and a secret that are there already."""

    model_config = ConfigDict(title="Keys of your own")

    keys_file: Path | None = None
    """Own keys or question, answer pairs: JSON, JSON lines or CSV, or any OML or Perinucleus file."""
    secret_from: Path | None = None
    """Draw from the secret of this fingerprint file, to make a set again."""


@takes("generation")
def generate(
    options: GenerateOptions,
    strategy: Annotated[Chosen[Strategy], Parts(STRATEGIES, "inverse_nucleus", "Strategy")],
    sources: _Sources,
    files: _Files,
    written: Written,
    output: Annotated[Path, typer.Argument(help="File to write, mode 0600: the only secret.")] = Path("fingerprints.json"),
) -> None:
    """Make secret (key, response) pairs with a language model.

    Examples:
        insignia generate prints.json --model starter
        insignia generate prints.json --strategy english --num-fingerprints 16 --set temperature=0.7
    """
    from insignia.files import refuse_ending, refuse_existing

    refuse_ending(output, ".json")
    refuse_existing(output, force=written.force)
    maker = strategy.build(**_own_data(files.keys_file, strategy.name))
    secret = _secret_of(files.secret_from)
    quiet_libraries()
    started = time.perf_counter()
    prints = make(
        sources.model,
        maker,
        device=sources.device,
        **options.model_dump(),
        writer=_writer(sources),
        secret=secret,
        progress=written.progress(),
    )
    prints.save(output)
    seconds = round(time.perf_counter() - started, 3)
    written.tell(
        {"out": str(output), "num_fingerprints": len(prints), "strategy": prints.strategy, "seconds": seconds},
        lambda: say(
            f"{output}: {len(prints)} {maker.name} fingerprints in {seconds:.0f} s. Keep it secret; "
            f"next: insignia embed {output} --model {sources.model} -o marked"
        ),
    )


def _writer(sources: _Sources) -> "Writer | None":
    """The model that writes the keys, where it is another one."""
    from insignia.generation.writer import INSTRUCTION, Writer
    from insignia.modeling.local import LocalModel
    from insignia.suspects.endpoint import Endpoint

    source, name, prompt = sources.writer, sources.writer_name, sources.writer_prompt
    if source is None:
        return None
    if prompt is not None and prompt.count("{}") != 1:
        raise InputError("--writer-prompt needs exactly one {}, for the word that the text is to begin with")
    if source.startswith(("http://", "https://")):
        if name is None:
            raise InputError("an API as --writer needs --writer-name: the model's name there")
        return Writer(Endpoint(source, model=name), prompt or INSTRUCTION)
    if name is not None:
        raise InputError("--writer-name is for an API as --writer; a folder or a hub id needs none")
    model = LocalModel(source, device=sources.device)
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
