"""The list of verbs, and what is loaded to print it."""

import inspect
import json
import shlex
import subprocess
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest

import insignia
from insignia.cli import main
from insignia.flags.deferred_verbs import command_of, examples
from insignia.registry import located

SLOW = {"jinja2", "matplotlib", "numpy", "pydantic", "torch", "transformers", "httpx2", "cryptography", "yaml"}


def _loaded_by(*arguments):
    """The slow modules among what the command loads."""
    code = "import atexit, json, sys; atexit.register(lambda: print(json.dumps(list(sys.modules)), file=sys.stderr))\n"
    code += "from insignia.cli.main import main; main()"
    command = [sys.executable, "-P", "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=600)
    assert "Usage:" in done.stdout or "insignia 0." in done.stdout
    return SLOW & set(json.loads(done.stderr))


@pytest.mark.parametrize("arguments", [["--help"], ["--version"]], ids=" ".join)
def test_the_list_of_verbs_loads_nothing_slow(arguments):
    assert _loaded_by(*arguments) == set()


@pytest.mark.parametrize("verb", ["verify", "embed", "generate"])
def test_help_of_a_verb_loads_no_torch(verb):
    assert _loaded_by(verb, "--help") & {"torch", "transformers"} == set()


def test_help_of_a_report_loads_nothing_that_draws():
    assert _loaded_by("report", "--help") & {"torch", "numpy", "matplotlib", "jinja2", "cryptography"} == set()


@pytest.mark.parametrize("verb", main.VERBS)
def test_a_verb_is_listed_by_the_first_sentence_of_its_help(verb):
    first, *_ = inspect.getdoc(located(main.target(verb))).split("\n\n")

    assert main.VERBS[verb] == " ".join(first.split())


@pytest.mark.parametrize("verb", main.VERBS)
def test_help_gives_every_option_a_sentence_and_examples_that_parse(verb):
    command = command_of(verb, main.target(verb))
    plain = [option.name for option in command.params if not (option.help or "").strip()]
    assert plain == []
    lines = examples(located(main.target(verb)))
    assert lines
    for example in lines:
        _, _, arguments = example.rpartition("&& ")[2].partition(f"insignia {verb}")
        command.make_context(verb, shlex.split(arguments))


def test_public_names_are_there_when_they_are_asked_for():
    assert all(getattr(insignia, name).__name__ == name for name in dir(insignia) if name != "__version__")
    assert insignia.__version__ == version("insignia")
    with pytest.raises(AttributeError, match="no attribute 'verifi'"):
        _ = insignia.verifi


def test_a_command_that_is_stopped_while_it_loads_shows_no_traceback():
    code = (
        "import sys\nfrom importlib.abc import MetaPathFinder\n"
        "class Impatient(MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'insignia.cli.main':\n            raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Impatient())\nfrom insignia.__main__ import main\nmain()"
    )
    done = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False, timeout=600)
    assert (done.returncode, done.stdout, done.stderr) == (130, "", "")


def test_the_script_is_the_module_that_loads_the_command():
    project = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["scripts"] == {"insignia": "insignia.__main__:main"}
