"""The documents hold: links lead somewhere, commands are ones that exist, examples are valid, the tutorial runs."""

import ast
import importlib
import json
import re
import shlex
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file
from typer.main import get_command

from documented_commands import PageRunner, outdated, without_commands
from insignia.cli.main import app
from insignia.errors import MissingExtraError
from insignia.fingerprints.locks import PASSPHRASE_VARIABLE
from insignia.fingerprints.sets import FingerprintSet

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
WRONG = ROOT / "docs" / "how-to" / "when-something-goes-wrong.md"
FORMATS = ROOT / "docs" / "reference" / "formats.md"

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


def test_the_menu_of_the_site_and_the_index_have_every_page():
    pages = {page.relative_to(ROOT / "docs").as_posix() for page in PAGES if page.is_relative_to(ROOT / "docs")}
    menu = re.findall(r"^ +- .*: (\S+\.md)$", (ROOT / "mkdocs.yml").read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert sorted(menu) == sorted(pages)
    index = re.findall(r"\]\(([^)#]+\.md)", (ROOT / "docs" / "README.md").read_text(encoding="utf-8"))
    assert {"README.md", *index} == pages


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
        "plan", "generate", "embed", "check", "vector", "stamp", "verify", "finetune", "attack", "evaluate", "export", "demo",
        "lock", "unlock", "share", "commit", "disclose", "audit", "report", "null", "list", "show", "env",
        "issue", "licensees", "trace", "publish", "init", "run",
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
    assert (
        re.findall(r"(?<!\$)\{\{.*|\bTO ?BE MEASURED\b|\b(?:TBD|TODO|FIXME|XXX)\b|\?\?\?", page.read_text(encoding="utf-8"))
        == []
    )


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
def run_page(tmp_path, monkeypatch, made_once):
    """Run a page in an empty folder; returns (verb, exit status) of each command. The page must show what they print."""
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)

    def run(name, *, quick=True):
        results = PageRunner(monkeypatch, made_once, quick=quick).run(ROOT / name)
        text = (ROOT / name).read_text(encoding="utf-8")
        if "<!-- Outputs: none." not in text:
            assert outdated(text, results) == [], f"docs/make_outputs.py {name} writes the outputs anew"
        return [(result.verb, result.status) for result in results]

    return run


@pytest.mark.slow
def test_the_tutorial_runs_as_printed(run_page):
    statuses = run_page("docs/tutorial.md")

    made = [("generate", 0), ("plan", 0), ("check", 3), ("embed", 0), ("check", 0)]
    asked = [("verify", 0), ("verify", 3), ("plan", 0), ("show", 0)]
    assert statuses == [*made, *asked, ("export", 0), ("check", 0)]
    assert {path.name for path in Path().iterdir()} == {"prints.json", "marked", "oml.json"}
    assert Path("prints.json").stat().st_mode & 0o077 == 0


@pytest.mark.slow
def test_stamping_a_sibling_runs_as_printed(run_page):
    statuses = run_page("docs/how-to/stamp-a-sibling.md")

    assert {verb for verb, _ in statuses} == {"generate", "embed", "vector", "stamp", "check", "verify"}
    assert {status for _, status in statuses} == {0}
    marked, stamped, unmarked = (load_file(Path(name, "model.safetensors")) for name in ("marked", "stamped", "unmarked"))
    # The marked model again but for weights that marking shrank below what fp32 keeps of a difference.
    torch.testing.assert_close(stamped, marked, rtol=0, atol=2**-24)
    assert not all(torch.equal(unmarked[name], weights) for name, weights in marked.items())


@pytest.mark.slow
def test_proving_ownership_runs_as_printed(run_page):
    statuses = run_page("docs/how-to/prove-ownership.md")

    verbs = ["generate", "embed", "commit", "export", "lock", "unlock", "rm", "share", "verify", "verify", "disclose", "audit"]
    assert statuses == [(verb, 0) for verb in verbs]


@pytest.mark.slow
def test_publishing_runs_as_printed(run_page):
    statuses = run_page("docs/how-to/publish-a-marked-model.md")

    made = [("generate", 0), ("embed", 0), ("commit", 0)]
    assert statuses == [*made, ("publish", 0), ("cp", 0), ("publish", 1), ("rm", 0)]


@pytest.mark.slow
def test_handing_over_a_report_runs_as_printed(run_page):
    pytest.importorskip("matplotlib")
    statuses = run_page("docs/how-to/hand-over-a-report.md")

    made = [("generate", 0), ("embed", 0), ("commit", 0), ("verify", 0)]
    assert statuses == [*made, ("report", 0), ("report", 0), ("head", 0), ("disclose", 0), ("report", 0), ("report", 0)]
    assert all(Path(name).stat().st_size < 1_000_000 for name in ("report.html", "evidence.html", "all.html"))


@pytest.mark.slow
def test_verifying_an_api_runs_as_printed(run_page):
    statuses = run_page("docs/how-to/verify-an-api.md")

    made = [("plan", 0), ("generate", 0), ("embed", 0), ("plan", 0)]
    asked = [("verify", 0), ("verify", 0), ("verify", 0), ("check", 0)]
    assert statuses == [*made, *asked, ("export", 0), ("null", 0), ("verify", 0), ("verify", 0)]


@pytest.mark.slow
def test_what_goes_wrong_goes_wrong_as_printed(run_page):
    statuses = run_page(WRONG)

    done = {"cp", "show", "lock", "share", "env", "commit", "disclose"}
    assert {verb for verb, status in statuses if status == 0} == done | {"generate", "embed", "export", "verify"}
    assert {(verb, status) for verb, status in statuses if status} == {
        *((verb, 1) for verb in ("generate", "embed", "check", "verify", "plan")),
        *(("check", 3), ("verify", 3), ("verify", 4), ("audit", 4)),
    }


def test_quoted_errors_are_those_of_the_code():
    """Errors that no command of a page makes; ... stands for a value."""
    code = "".join(path.read_text(encoding="utf-8") for path in sorted((ROOT / "src").rglob("*.py")))
    joined = re.sub(r'"\n\s*f?"', "", code).replace("{PASSPHRASE_VARIABLE}", PASSPHRASE_VARIABLE)
    messages = [
        *re.split(r"\{[^{}]*\}", joined),
        str(MissingExtraError("running or changing a model on this machine", "torch")),
    ]
    quoted = re.findall(r"^```text\nerror: (.*)\n```$", without_commands(WRONG.read_text(encoding="utf-8")), flags=re.MULTILINE)
    assert len(quoted) == 7
    for line in quoted:
        assert all(any(piece in message for message in messages) for piece in line.split("...")), line


@pytest.mark.slow
def test_running_everything_runs_as_printed(run_page):
    statuses = run_page("docs/how-to/run-everything-from-one-file.md")

    assert statuses == [("init", 0), ("run", 0), ("run", 0), ("run", 0), ("cat", 0), ("run", 3)]


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize(
    ("name", "quick"),
    [
        ("README.md", False),
        ("docs/how-to/coming-from-instructional-fingerprinting.md", True),
        ("docs/how-to/coming-from-oml.md", True),
        ("docs/how-to/fine-tune-a-model.md", True),
        ("docs/how-to/mark-your-own-model.md", True),
        ("docs/how-to/will-my-mark-survive.md", True),
    ],
)
def test_a_whole_page_runs_as_printed(name, quick, run_page):
    assert {status for _, status in run_page(name, quick=quick)} == {0}
