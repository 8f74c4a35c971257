"""The documents hold: links lead somewhere, commands are ones that exist, examples are valid, the tutorial runs."""

import ast
import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import yaml
from safetensors.torch import load_file
from typer.main import get_command

from insignia.cli.main import app, main
from insignia.fingerprints.sets import FingerprintSet

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
TUTORIAL = ROOT / "docs" / "tutorial.md"
FORMATS = ROOT / "docs" / "reference" / "formats.md"
QUICK = {"name": "full", "reference_count": 64, "reference_length": 32, "reference_rows": 4, "cooldown_steps": 4}
# Commands that several pages begin with, and what they write.
BEGINNING = {"generate prints.json": "prints.json", "embed prints.json --model starter -o marked": "marked"}
HELDOUT_PARAGRAPHS = 60  # on fewer a harm of 5 % is noise

every_page = pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))


def _blocks(page: Path, *languages: str) -> list[str]:
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return [body for language, body in fenced if language in languages]


def _commands(page: Path) -> list[list[str]]:
    """Arguments of every ``insignia`` in the page's shell blocks, launchers before it cut off."""
    lines = "\n".join(_blocks(page, "sh", "console", "bash")).replace("\\\n", " ").splitlines()
    words = [shlex.split(line.removeprefix("$ "), comments=True) for line in lines if "insignia" in line]
    commands = [line[line.index("insignia") + 1 :] for line in words if "insignia" in line]
    return [command[2:] if command[0] == "--plugin" else command for command in commands]  # test_plugins.py runs those


def _anchors(page: Path) -> set[str]:
    text = re.sub(r"^```.*?^```$", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.+)$", text, flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@every_page
def test_relative_links_lead_somewhere(page):
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8")):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in _anchors(target), link


@every_page
def test_printed_commands_are_accepted_by_the_parser(page):
    root = get_command(app)
    for arguments in _commands(page):
        with root.make_context("insignia", list(arguments), resilient_parsing=True) as context:
            name, verb, rest = root.resolve_command(context, list(arguments))
            with verb.make_context(name, rest, parent=context):
                pass


def test_the_pages_print_commands():
    assert {arguments[0] for page in PAGES for arguments in _commands(page)} == {
        "plan", "generate", "embed", "check", "vector", "stamp", "verify", "finetune", "evaluate", "export", "demo",
        "lock", "unlock", "share", "commit", "disclose", "audit", "null", "list",
    }  # fmt: skip


@every_page
def test_python_examples_import_what_exists(page):
    for block in _blocks(page, "python"):
        for node in ast.walk(ast.parse(block)):
            if isinstance(node, ast.ImportFrom):
                module = importlib.import_module(str(node.module))
                assert all(hasattr(module, alias.name) for alias in node.names), node.module


@every_page
def test_no_place_is_left_to_be_filled(page):
    assert re.findall(r"\{\{.*|\bTO ?BE MEASURED\b|\b(?:TBD|TODO|FIXME|XXX)\b|\?\?\?", page.read_text(encoding="utf-8")) == []


def test_the_example_of_a_fingerprint_file_is_one():
    (example,) = _blocks(FORMATS, "json")
    prints = FingerprintSet.model_validate(json.loads(example))
    assert len(prints) == 1
    assert set(FingerprintSet.model_fields) - {"chain"} == set(json.loads(example))  # chain_hash alone has one


def test_recipe_examples_build():
    from insignia.embedding import METHODS

    (example,) = _blocks(FORMATS, "yaml")
    assert METHODS.build(yaml.safe_load(example)["embedding"]["method"]).name == "full"


def test_the_table_of_settings_has_every_setting_and_its_default():
    from insignia.embedding import FullFineTune
    from insignia.recipes import load_recipe

    section = FORMATS.read_text(encoding="utf-8").partition("\n## Recipes")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in section.splitlines() if row.startswith("| `")]
    oml = load_recipe("oml", "embedding")["embedding"]["method"]
    plain = FullFineTune()
    listed = set()
    for names, default, in_oml, _ in rows:
        for name in re.findall(r"`(\w+)`", names):
            listed.add(name)
            if value := getattr(plain, name):
                assert yaml.safe_load(default) == value or float(default) == value, name
            assert bool(in_oml) == (name in oml), name
            assert not in_oml or in_oml == str(oml[name]).lower() or float(in_oml) == oml[name], name
    assert listed == set(FullFineTune.model_fields) - {"name"}


@pytest.fixture
def run_page(tmp_path, monkeypatch, heldout, made_once):
    """Run every command of a page in an empty folder, in process; returns (verb, exit status) of each.

    Several pages begin with the same two commands, which are run for one of them; the others go on from their files.
    """
    recipes = importlib.import_module("insignia.recipes")
    load = recipes.load_recipe
    monkeypatch.chdir(tmp_path)
    # Fewer anchors train in a third of the time, at more harm; that the default recipe works is tested elsewhere.
    quick = {"embedding": {"method": QUICK, "min_fsr": 0.95, "max_harm": 2.0}}
    monkeypatch.setattr(recipes, "load_recipe", lambda name, part: quick if name == "harmless" else load(name, part))
    # Reading all of the text again and again is not what the pages are about.
    for module in ("insignia.embedding.marking", "insignia.starter"):
        monkeypatch.setattr(importlib.import_module(module), "heldout_paragraphs", lambda: heldout[:HELDOUT_PARAGRAPHS])

    def command(arguments):
        monkeypatch.setattr(sys, "argv", ["insignia", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        return arguments[0], caught.value.code or 0

    def begin(folder):
        with monkeypatch.context() as there:
            there.chdir(folder)
            there.setattr("insignia.randomness.secrets", SimpleNamespace(token_bytes=lambda size: b"p" * size))
            assert [command(line.split()) for line in BEGINNING] == [("generate", 0), ("embed", 0)]

    def run(page, *, skipping=()):
        commands = [arguments for arguments in _commands(page) if not set(skipping) & set(arguments)]
        begun = made_once("page", begin) if set(BEGINNING) <= {" ".join(arguments) for arguments in commands} else None
        statuses = []
        for arguments in commands:
            made = BEGINNING.get(" ".join(arguments))
            if begun and made:
                copy = shutil.copytree if (begun / made).is_dir() else shutil.copy
                copy(begun / made, tmp_path / made)
            statuses.append((arguments[0], 0) if begun and made else command(arguments))
        return statuses

    return run


def test_the_tutorial_runs_as_printed(run_page, tmp_path, capsys):
    statuses = run_page(TUTORIAL)

    made = [("generate", 0), ("plan", 0), ("check", 3), ("embed", 0), ("check", 0)]
    assert statuses == [*made, ("verify", 0), ("verify", 3), ("export", 0), ("check", 0)]
    assert '"found": true' in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"prints.json", "marked", "oml.json"}
    assert (tmp_path / "prints.json").stat().st_mode & 0o077 == 0


def test_stamping_a_sibling_runs_as_printed(run_page, tmp_path):
    statuses = run_page(ROOT / "docs" / "how-to" / "stamp-a-sibling.md")

    assert {verb for verb, _ in statuses} == {"generate", "embed", "vector", "stamp", "check", "verify"}
    assert {status for _, status in statuses} == {0}
    marked, stamped, unmarked = (load_file(tmp_path / name / "model.safetensors") for name in ("marked", "stamped", "unmarked"))
    # The marked model again but for weights that marking shrank below what fp32 keeps of a difference.
    torch.testing.assert_close(stamped, marked, rtol=0, atol=2**-24)
    assert not all(torch.equal(unmarked[name], weights) for name, weights in marked.items())


def test_proving_ownership_runs_as_printed(run_page, tmp_path, monkeypatch):
    monkeypatch.setenv("INSIGNIA_PASSPHRASE", "five random words")
    statuses = run_page(ROOT / "docs" / "how-to" / "prove-ownership.md")

    verbs = ["generate", "embed", "commit", "lock", "unlock", "share", "verify", "verify", "disclose", "audit"]
    assert statuses == [(verb, 0) for verb in verbs]


def test_verifying_an_api_runs_as_printed(run_page, tmp_path):
    """But for the endpoint, which needs a server; tests/integration/test_verify.py asks one the same."""
    statuses = run_page(ROOT / "docs" / "how-to" / "verify-an-api.md", skipping=["--endpoint"])

    made = [("plan", 0), ("generate", 0), ("embed", 0), ("plan", 0), ("verify", 0), ("verify", 0), ("export", 0)]
    assert statuses == [*made, ("null", 0), ("verify", 0), ("verify", 0)]
    assert {path.name for path in tmp_path.iterdir()} == {"prints.json", "marked", "marked.jsonl", "marked.gguf", "null.json"}


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    "name",
    [
        "README.md",
        "docs/how-to/coming-from-instructional-fingerprinting.md",
        "docs/how-to/coming-from-oml.md",
        "docs/how-to/fine-tune-a-model.md",
        "docs/how-to/mark-your-own-model.md",
    ],
)
def test_a_whole_page_runs_as_printed(name, tmp_path):
    """Its shell blocks as one script; those that set up the environment apart."""
    blocks = [
        block for block in _blocks(ROOT / name, "sh") if not re.search(r"^(make|pip|python -m venv) ", block, re.MULTILINE)
    ]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    bash = str(shutil.which("bash"))
    subprocess.run([bash, "-eu", "-c", "\n".join(blocks)], cwd=tmp_path, env=os.environ | {"PATH": path}, check=True)
