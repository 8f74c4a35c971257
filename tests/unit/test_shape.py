"""The shape of the code: sizes, docstrings, public names, light imports, and one version everywhere."""

import ast
import functools
import importlib.metadata
import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src" / "insignia"
MODULES = sorted(SOURCE.rglob("*.py"))
MAX_FILE_LINES = 300
MAX_FUNCTION_LINES = 60
MAX_PARAMETERS = 12
HEAVY = ("torch", "transformers")


def every_module(rule: Callable[[Path], None]) -> Callable[[], None]:
    """One test of all modules, which lists those that break the rule; pytest takes seconds to run a test for each."""

    def test() -> None:
        broken = {}
        for path in MODULES:
            try:
                rule(path)
            except AssertionError as error:
                broken[str(path.relative_to(SOURCE))] = str(error)
        assert broken == {}

    return test


@functools.cache
def _tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that run when the module is imported, those under top-level ``if`` and ``try`` included."""
    for statement in body:
        yield statement
        if isinstance(statement, ast.If):
            yield from _statements([*statement.body, *statement.orelse])
        elif isinstance(statement, ast.Try):
            handled = [inner for handler in statement.handlers for inner in handler.body]
            yield from _statements([*statement.body, *handled, *statement.orelse, *statement.finalbody])


def _top_level_names(tree: ast.Module) -> set[str]:
    names: set[str] = set()
    for statement in _statements(tree.body):
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(statement.name)
        elif isinstance(statement, ast.Import | ast.ImportFrom):
            names.update((alias.asname or alias.name).partition(".")[0] for alias in statement.names)
        elif isinstance(statement, ast.Assign | ast.AnnAssign):
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            names.update(node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name))
    return names


def _public_names(tree: ast.Module) -> list[str] | None:
    for statement in tree.body:
        if isinstance(statement, ast.Assign | ast.AnnAssign) and statement.value is not None:
            targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
            if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
                return list(ast.literal_eval(statement.value))
    return None


def test_the_package_is_where_these_tests_look():
    assert SOURCE / "errors.py" in MODULES


@every_module
def test_file_is_within_the_line_budget(path):
    assert len(path.read_text(encoding="utf-8").splitlines()) <= MAX_FILE_LINES


def _functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    return [node for node in ast.walk(_tree(path)) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)]


def _parameters(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """As a caller counts them: ``self`` and ``cls`` are not given."""
    named = function.args
    everything = [*named.posonlyargs, *named.args, *named.kwonlyargs, named.vararg, named.kwarg]
    return sum(one is not None and one.arg not in ("self", "cls") for one in everything)


@every_module
def test_functions_are_within_the_line_budget(path):
    lengths = {node.name: node.end_lineno - node.lineno + 1 for node in _functions(path)}  # signature and docstring included
    assert {name for name, length in lengths.items() if length > MAX_FUNCTION_LINES} == set()


@every_module
def test_functions_take_few_parameters(path):
    assert {node.name for node in _functions(path) if _parameters(node) > MAX_PARAMETERS} == set()


def test_no_file_name_occurs_twice():
    names = [path.name for path in MODULES if path.parent.name != "cli" and path.name not in ("base.py", "__init__.py")]
    assert sorted(set(names)) == sorted(names)


@every_module
def test_files_are_written_whole_or_not_at_all(path):
    """By the functions of ``insignia.files``; a checkpoint's index goes into a folder that is renamed when it is whole."""
    calls = [node.func for node in ast.walk(_tree(path)) if isinstance(node, ast.Call)]
    direct = [one for one in calls if isinstance(one, ast.Attribute) and one.attr in ("write_text", "write_bytes")]
    assert not direct or path.name in ("files.py", "checkpoints.py")


@every_module
def test_module_has_a_docstring(path):
    assert (ast.get_docstring(_tree(path)) or "").strip()


@every_module
def test_public_names_exist_once(path):
    if path.name == "__main__.py":
        return  # nothing is imported from it
    tree = _tree(path)
    public = _public_names(tree)
    if path.name == "__init__.py" and (len(tree.body) == 1 or path.parent == SOURCE):
        return  # a room that is named and exports nothing; the root, whose names load when they are asked for
    assert public is not None, "the module has no __all__"
    assert sorted(set(public)) == sorted(public), "a name is listed twice"
    assert set(public) - _top_level_names(tree) == set(), "a listed name is not defined"


@pytest.mark.parametrize(
    "module",
    [
        "insignia",
        "insignia.fingerprints.sets",
        "insignia.cli.main",
        "insignia.attacks.finetune_settings",
        "insignia.embedding",
        "insignia.generation",
        "insignia.suspects.endpoint",
        "insignia.verification",
    ],
)
def test_import_loads_no_torch(module):
    code = f"import sys, {module}; print(*(name for name in {HEAVY} if name in sys.modules))"
    result = subprocess.run([sys.executable, "-P", "-c", code], capture_output=True, text=True, check=False, timeout=600)
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == []


def test_one_version_everywhere():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert importlib.metadata.version("insignia") == project["version"]
    assert f"## [{project['version']}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_readme_shows_every_room_and_no_other():
    tree = (ROOT / "README.md").read_text(encoding="utf-8").partition("src/insignia/\n")[2].partition("benchmarks/")[0]
    shown = {line.split()[0].rstrip("/") for line in tree.splitlines()}
    rooms = {path.name for path in SOURCE.iterdir() if path.suffix == ".py" or (path / "__init__.py").is_file()}
    assert shown == rooms - {"__init__.py", "__main__.py"}
