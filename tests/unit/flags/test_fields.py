"""Options made from the fields of records and of parts."""

import json
from typing import Annotated, Literal

import pytest
import typer
from pydantic import ConfigDict, Field
from typer.testing import CliRunner

from insignia.docstrings import sentence
from insignia.errors import InputError
from insignia.flags.fields import Chosen, Parts, takes
from insignia.records import Flag, Part, Record, Share
from insignia.registry import Registry
from insignia.reporting.output import Output


class Work(Record):
    model_config = ConfigDict(title="Labour")

    count: Annotated[int, Field(ge=1), Flag("--count", "--max-num-things")] = 3
    """Things to make."""
    share: Share = 0.5
    """Share of them to keep."""
    colour: Literal["red", "blue"] = "red"
    """Their colour."""
    tidy: bool = True
    """Tidy up."""
    loud: bool = False
    """Sing."""
    limit: float | None = None
    """Most to spend. None: everything."""
    place: Annotated[str, Field(examples=["hall", "yard"])] = "hall"
    """Where."""
    texts: tuple[str, ...] = ()
    """Texts."""
    table: dict[str, int] = {}
    """What only a recipe can say."""
    steps: Annotated[int, Flag(replaces="limit")] = 0
    """Steps, instead of the limit."""
    depth: Annotated[int, Flag(needs="limit")] = 0
    """Depth of the limit."""
    hidden: Annotated[str, Flag(hidden=True)] = "x"


class Saw(Part):
    name: Literal["saw"] = "saw"
    speed: Annotated[int, Field(ge=1)] = 5
    """How fast."""
    teeth: int = 9
    """How many."""


class Axe(Part):
    name: Literal["axe"] = "axe"
    speed: Annotated[int, Field(ge=1)] = 2
    weight: float = 1.5
    """How heavy."""


class Plug(Part):
    name: Literal["plug"] = "plug"
    bits: int = 1


TOOLS = Registry("tool", {"saw": f"{__name__}:Saw", "axe": f"{__name__}:Axe"}, group="insignia.none")


@pytest.fixture(autouse=True)
def these_parts(monkeypatch):
    known = {"saw": Saw, "axe": Axe, "plug": Plug}
    monkeypatch.setattr(TOOLS, "get", known.__getitem__)


@pytest.fixture
def run(tmp_path):
    """Run a verb of both; returns what it was called with, or the result of a bad command line."""

    def call(*arguments, recipe=None):
        seen = {}

        @takes("work", recipe=recipe)
        def verb(
            work: Work,
            tool: Annotated[Chosen, Parts(TOOLS, "saw", "Tools")],
            output: Output,
            extra: Annotated[int, typer.Option(help="A plain one.")] = 7,
        ) -> None:
            """Work."""
            seen.update(work=work, tool=tool.build(), output=output, extra=extra)

        app = typer.Typer(pretty_exceptions_enable=False)
        app.command()(verb)
        result = CliRunner().invoke(app, list(map(str, arguments)), terminal_width=200)
        if isinstance(result.exception, InputError):
            raise result.exception
        return seen or result

    return call


@pytest.fixture
def recipe(tmp_path):
    def write(text):
        (tmp_path / "own.yaml").write_text(text)
        return tmp_path / "own.yaml"

    return write


def test_without_a_flag_the_defaults_of_the_fields_hold(run):
    assert run() == {"work": Work(), "tool": Saw(), "output": Output(), "extra": 7}


def test_flags_of_every_type_become_values(run, tmp_path):
    (tmp_path / "t.json").write_text(json.dumps(["a b", "c"]))
    flags = ["--count", 4, "--share", 0.25, "--colour", "blue", "--no-tidy", "--loud", "--limit", 2, "--extra", 1, "--json"]

    seen = run(*flags, "--texts", tmp_path / "t.json")

    work = Work(count=4, share=0.25, colour="blue", tidy=False, loud=True, limit=2, texts=("a b", "c"))
    assert (seen["work"], seen["extra"], seen["output"].as_json) == (work, 1, True)


def test_another_name_of_a_flag_is_the_same_flag(run):
    assert run("--max-num-things", 8)["work"].count == 8


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--count", 0], ["--count", "at least 1"]),
        (["--share", 95], ["--share", "at most 1", "95 % is 0.95"]),
        (["--share", "nan"], ["--share"]),
        (["--colour", "green"], ["--colour", "red", "blue"]),
        (["--count", "many"], ["--count"]),
        (["--speed", 0], ["--speed", "at least 1"]),
        (["--tool", "axe", "--teeth", 3], ["--teeth", "'axe'", "one of: saw"]),
        (["--depth", 2], ["--depth", "it goes with --limit"]),
        (["--hidden", "y"], ["--hidden"]),
        (["--table", "y"], ["--table"]),
        (["--name", "axe"], ["--name"]),
    ],
)
def test_a_value_that_cannot_be_is_a_bad_command_line_that_names_the_flag(run, arguments, words):
    result = run(*arguments)

    assert result.exit_code == 2
    assert [word for word in words if word not in result.output] == []


def test_what_an_error_says_of_a_value_is_not_the_value(run, recipe):
    with pytest.raises(InputError) as caught:
        run("--recipe", recipe("work: {count: TOPSECRET}"))
    assert "TOPSECRET" not in str(caught.value)
    assert "count" in str(caught.value)


def test_a_part_gets_the_flags_that_were_given_and_keeps_its_own_defaults(run):
    assert run("--tool", "axe", "--speed", 7)["tool"] == Axe(speed=7)
    assert run("--tool", "axe")["tool"] == Axe()
    assert run("--teeth", 30)["tool"] == Saw(teeth=30)


def test_flags_win_over_set_which_wins_over_the_recipe(run, recipe):
    path = recipe("work: {count: 10, share: 0.1, limit: 1, tool: {name: axe, speed: 20, weight: 3}}")

    seen = run("--recipe", path, "--set", "share=0.2", "--set", "limit=2", "--set", "tool.speed=21", "--limit", 3)

    assert seen["work"] == Work(count=10, share=0.2, limit=3)
    assert seen["tool"] == Axe(speed=21, weight=3)


def test_a_flag_that_stands_instead_of_another_setting_drops_it_from_the_recipe(run, recipe):
    path = recipe("work: {limit: 5}")

    assert run("--recipe", path, "--steps", 2)["work"] == Work(steps=2)
    assert run("--recipe", path, "--depth", 2)["work"] == Work(limit=5, depth=2)


def test_options_of_the_recipe_s_part_go_where_another_part_is_named(run, recipe):
    path = recipe("work: {tool: {name: axe, weight: 3}}")

    assert run("--recipe", path, "--tool", "saw")["tool"] == Saw()
    assert run("--recipe", path, "--set", "tool.name=saw")["tool"] == Saw()
    assert run("--recipe", path, "--tool", "axe")["tool"] == Axe(weight=3)


def test_options_of_a_plug_in_are_set_by_name(run):
    assert run("--tool", "plug", "--set", "bits=4")["tool"] == Plug(bits=4)
    assert run("--set", "table={a: 1}")["work"].table == {"a": 1}
    assert run("--set", "table.a=1", "--set", "table.b=2")["work"].table == {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--set", "count"], "NAME=VALUE"),
        (["--set", "speeed=3"], "Did you mean 'speed'"),
        (["--set", "tool=saw"], "tool.name"),
        (["--set", "count=[1"], "not valid YAML"),
        (["--set", "count=0"], "count: expected at least 1"),
        (["--set", "count=1", "--set", "count.x=1"], "cannot hold others"),
    ],
)
def test_an_assignment_that_cannot_be_is_one_line(run, arguments, words):
    with pytest.raises(InputError, match=r"^[^\n]*$") as caught:
        run(*arguments)
    assert words in str(caught.value)


def test_a_misspelt_name_in_a_recipe_is_told_the_nearest(run, recipe):
    with pytest.raises(InputError, match=r"'coutn'\. Did you mean 'count'"):
        run("--recipe", recipe("work: {coutn: 1}"))


def test_help_tells_type_range_default_and_panel(run, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    text = " ".join(run("--help").output.split())

    for words in [
        "--count,--max-num-things",
        "<int >=1>",
        "Things to make. Default: 3.",
        "<float 0..1>",
        "red|blue",
        "--no-tidy",
        "Most to spend. Default: everything.",
        "─ Labour ─",
        "─ Tools ─",
        "─ Tool saw ─",
        "─ Tool axe ─",
        "How fast. Default: 5; 2 for axe.",
        "Default: saw, unless the recipe names one.",
        "─ Settings ─",
    ]:
        assert words in text, words
    assert "--no-loud" not in text


def test_values_are_completed(run):
    @takes()
    def verb(work: Work, tool: Annotated[Chosen, Parts(TOOLS, "saw", "Tools")]) -> None:
        """Work."""

    app = typer.Typer()
    app.command()(verb)
    command = typer.main.get_command(app)
    context = command.make_context("verb", [])
    options = {option.name: option for option in command.params}

    def completed(name, start):
        return [item.value for item in options[name].shell_complete(context, start)]

    assert completed("colour", "b") == ["blue"]
    assert completed("place", "") == ["hall", "yard"]
    assert completed("tool", "s") == ["saw"]


def test_two_fields_with_one_flag_are_an_error_of_ours():
    class Other(Record):
        count: int = 1

    with pytest.raises(TypeError, match="count"):

        @takes()
        def verb(work: Work, other: Other) -> None:
            """Work."""


def test_a_sentence_is_the_docstring_under_the_field_also_of_a_parent():
    assert sentence(Work, "count") == "Things to make."
    assert sentence(Output, "quiet") == "Show no progress and no notes."
    assert sentence(Axe, "weight") == "How heavy."
