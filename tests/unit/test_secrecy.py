"""No record shows a key, a response or a secret in its repr: looked for in every record of the package."""

import importlib
import inspect
import pkgutil
import re
import typing
from collections.abc import Iterator

import pytest
from pydantic import ValidationError

import insignia
from insignia.attacks.base import Attack
from insignia.fingerprints.sets import FingerprintSet
from insignia.records import Displayed, Fingerprint, Record, SecretRecord

MARKER = "TOPSECRET"
# Fields with text that anybody may read. A new field with text is hidden from the repr, or comes here with a thought.
PUBLIC = {
    "name", "suspect", "control", "control_name", "published", "model", "models", "source", "out",  # who and where
    "data", "unrelated", "notes", "model_family", "model_size", "writer_name", "writer_prompt",
    "insignia", "created", "inputs", "time", "to", "provenance", "set",  # where it comes from
    "tokenizer", "chain", "previous", "transcript", "root", "base", "marked", "biases", "copies",  # digests
    "public_key", "signature", "nonce", "timestamp", "weights",  # of evidence
    "system", "systems", "augmentation_prompts", "activations", "templates", "method", "methods",  # how asked, trained
    "api_key_variable", "control_api_key_variable", "challenge", "null", "device", "dtype", "deepspeed",  # how it runs
    "accept_null", "reason", "sentence", "kind", "match", "obstacle", "architecture", "outtype", "pre_tokenizer",  # outcomes
    "perplexity", "user_loss", "layers", "tensors", "users", "cells", "fingerprints",  # names of things -> numbers, or records
    "mark", "attack", "strength", "title", "licensee", "before", "after",  # names, in grids settings that differ
    "base_model", "repository", "url", "push_to_hub", "report_to", "task", "tasks", "metric",  # names for everybody
    "settings", "outputs", "digest", "told",  # digests and numbers
}  # fmt: skip


def _modules() -> Iterator[str]:
    for module in pkgutil.walk_packages(insignia.__path__, "insignia."):
        if module.name != "insignia.__main__":
            yield module.name


def _records(parent: type[Record] = Record) -> Iterator[type[Record]]:
    for child in parent.__subclasses__():
        # Options of a command, or of an attack, stand on its command line, which has no secret.
        if (
            child.__module__.startswith("insignia.")
            and "insignia.cli." not in child.__module__
            and not issubclass(child, Attack)
            and not inspect.isabstract(child)
        ):
            yield child
        yield from _records(child)


@pytest.fixture(scope="module")
def records() -> list[type[Record]]:
    for name in _modules():
        importlib.import_module(name)
    found = sorted(set(_records()), key=lambda record: record.__qualname__)
    assert len(found) > 50
    return found


def test_no_record_shows_a_key_or_a_response(records):
    for record in records:
        texts = {name: MARKER for name, field in record.model_fields.items() if name not in PUBLIC and _holds_text(field)}
        if issubclass(record, Displayed):  # a summary needs a whole record; it shows what its code reads
            code = inspect.getsource(record.summary) + inspect.getsource(record.heading.fget)
            assert not set(re.findall(r"self\.(\w+)", code)) & (texts.keys() - {"strategy", "attack"}), record
            continue
        made = record.model_construct(**texts)
        assert MARKER not in f"{made!r} {made}", (record, sorted(texts))


def test_a_fingerprint_set_shows_its_strategy_and_no_secret():
    fingerprint = Fingerprint(key=MARKER, responses=(MARKER,), effective_key=MARKER)
    made = FingerprintSet(strategy={"name": "own", "keys": [MARKER]}, secret=MARKER, fingerprints=(fingerprint,))

    assert MARKER not in f"{made!r} {made} {made._repr_html_()}"
    assert "own" in str(made)


def test_what_is_shown_moves_no_cursor_and_makes_no_tag(records):
    verdict = next(record for record in records if record.__name__ == "Verdict")
    fields = {"outcome": "owned", "hits": 1, "trials": 2, "unanswered": 0, "p_value": 0.1, "alpha": 0.1}
    shown = verdict.model_construct(**fields, suspect="<b>\x1b[2J", sentence="The mark is there.\x1b[2J")

    assert "\x1b" not in f"{shown} {shown!r} {shown._repr_html_()}"
    assert "&lt;b&gt;" in shown._repr_html_()


def test_no_error_of_a_record_quotes_what_it_refuses():
    with pytest.raises(ValidationError) as caught:
        Fingerprint(key=MARKER, responses=(MARKER, ""), other=MARKER)
    assert MARKER not in str(caught.value)


def test_a_secret_record_says_only_what_it_is():
    fingerprint = Fingerprint(key=MARKER, responses=(MARKER,))
    assert repr(fingerprint) == str(fingerprint) == "Fingerprint()"
    assert issubclass(Fingerprint, SecretRecord)


def _holds_text(field) -> bool:
    """Whether text, or ids of tokens, can be in a field of that type, records in it apart: they hide their own."""
    kinds = set(_parts(field.annotation))
    return bool(kinds & {str, typing.Any, object})


def _parts(annotation) -> Iterator[object]:
    inner = typing.get_args(annotation)
    if typing.get_origin(annotation) is typing.Literal:
        return
    yield annotation
    for part in inner:
        yield from _parts(part)
