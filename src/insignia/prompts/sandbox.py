"""Renders chat templates, one a line. ``chat_templates.py`` runs this file as a process.

The jinja2 environment is a copy of transformers', which takes seconds to import. Any error in a template other than a refusal
ends the process. The operating system enforces the limits.
"""

import contextlib
import datetime
import importlib
import json
import signal
import sys
from typing import Any

import jinja2
import jinja2.exceptions
import jinja2.ext
import jinja2.nodes
import jinja2.parser
import jinja2.sandbox
import jinja2.utils

__all__: list[str] = []

_BYTES = 2**30  # of address space; the interpreter and jinja2 take a tenth of it
_CHARACTERS = 2**18  # that a template may add: a page or two of instructions and a tag for each turn
_SECONDS = 60  # in case the parent process died


class _Generation(jinja2.ext.Extension):
    """``{% generation %}`` marks an assistant's text without changing it."""

    tags = {"generation"}

    def parse(self, parser: jinja2.parser.Parser) -> jinja2.nodes.Node:
        line = next(parser.stream).lineno
        body = parser.parse_statements(("name:endgeneration",), drop_needle=True)
        return jinja2.nodes.CallBlock(self.call_method("_as_it_is"), [], [], body).set_lineno(line)

    @staticmethod
    def _as_it_is(caller: Any) -> Any:
        return caller()


class _Namespace(jinja2.utils.Namespace):
    def __init__(*args: Any, **kwargs: Any) -> None:
        self, *rest = args
        values = dict(*rest, **kwargs)
        for name in values:
            _refuse_private(name)
        jinja2.utils.Namespace.__init__(self, values)

    def __setitem__(self, name: str, value: Any) -> None:
        _refuse_private(name)
        super().__setitem__(name, value)


def _refuse_private(name: Any) -> None:
    if isinstance(name, str) and name.startswith("_"):
        raise jinja2.exceptions.SecurityError("a private name in a namespace")


class _Dictionary:
    def __call__(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict(*args, **kwargs)

    def fromkeys(self, *args: Any, **kwargs: Any) -> dict[Any, Any]:
        return dict.fromkeys(*args, **kwargs)


def _to_json(value: Any, ensure_ascii: Any = False, indent: Any = None, separators: Any = None, sort_keys: Any = False) -> str:  # noqa: FBT002  as transformers has it
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys)


def _refuse(message: Any) -> None:
    raise jinja2.TemplateError(message)


def environment() -> jinja2.Environment:
    """Return the environment of ``transformers.utils.chat_template_utils``."""
    made = jinja2.sandbox.ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, jinja2.ext.loopcontrols]
    )
    made.filters["tojson"] = _to_json
    made.globals["raise_exception"] = _refuse
    made.globals["strftime_now"] = lambda form: datetime.datetime.now().strftime(form)  # noqa: DTZ005  as transformers has it
    made.globals["dict"] = _Dictionary()
    made.globals["namespace"] = _Namespace
    return made


def _limit_itself() -> None:
    with contextlib.suppress(ImportError):  # Windows has no such module; there only time is limited
        resource = importlib.import_module("resource")
        limits = {resource.RLIMIT_AS: _BYTES, resource.RLIMIT_FSIZE: 0, resource.RLIMIT_CORE: 0}
        for kind, most in limits.items():
            with contextlib.suppress(ValueError, OSError):  # macOS refuses the first
                resource.setrlimit(kind, (most, most))


def _main() -> None:
    _limit_itself()
    templates: dict[str, jinja2.Template] = {}
    made = environment()
    for line in sys.stdin:
        if hasattr(signal, "alarm"):
            signal.alarm(_SECONDS)
        asked = json.loads(line)
        source = asked["template"]
        try:
            if source not in templates:
                templates[source] = made.from_string(source)
            text = templates[source].render(tools=None, documents=None, **asked["values"])
        except jinja2.TemplateError:
            answer = {}
        else:
            said = sum(len(message["content"]) for message in asked["values"]["messages"])
            answer = {"text": text} if len(text) <= _CHARACTERS + 4 * said else {}
        sys.stdout.write(f"{json.dumps(answer)}\n")
        sys.stdout.flush()
        if hasattr(signal, "alarm"):
            signal.alarm(0)


if __name__ == "__main__":
    _main()
