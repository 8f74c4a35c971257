"""A run makes what is not current, in the order of what is needed, and says what each step came to."""

import json
import sys
from pathlib import Path

import pytest

from insignia.errors import FormatError, InputError, OutputError
from insignia.progress import SILENT
from insignia.runs import engine
from insignia.runs.run_files import needs, read_run
from insignia.runs.stamps import Digests, Stamp
from insignia.runs.steps import Verb


class Verbs:
    """Verbs that copy texts: what they were called with, and what happens instead."""

    def __init__(self):
        self.calls, self.results = [], {}

    def named(self, name):
        from insignia.cli.main import target
        from insignia.flags.deferred_verbs import command_of
        from insignia.registry import located

        real = Verb(name, located(target(name)), command_of(name, target(name)))
        return real._replace(command=_Copying(self, name, real.command.params))


class _Copying:
    def __init__(self, verbs, name, params):
        self.verbs, self.name, self.params = verbs, name, params

    def main(self, args, **_):
        self.verbs.calls.append([self.name, *args])
        result = self.verbs.results.get(self.name, 0)
        if isinstance(result, BaseException):
            raise result
        out = (
            next(value for value, flag in zip(args[1:], args, strict=False) if flag == "--output")
            if "--output" in args
            else args[0]
        )
        Path(out).parent.mkdir(exist_ok=True, parents=True)
        Path(out).write_text(f"{self.name} {sorted(set(args) - {'--force', '--resume'})}")
        sys.stdout.write(json.dumps({"fsr": 0.5, "harm": 1.01, "num_fingerprints": 2}))
        if result:
            raise SystemExit(result)


FILE = """
check: {prints: prints.json, model: marked, output: check.json}
generate: {output: prints.json, num-fingerprints: 2}
embed: {prints: prints.json, model: starter, output: marked, method: {name: lora, rank: 2}, json: embed.json}
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Read and make a run file; returns what came of the steps by name. ``run.verbs`` are the verbs."""
    monkeypatch.chdir(tmp_path)
    verbs = Verbs()

    def made(text, *, force=False):
        found, digests = read(text), Digests()
        engine.planned(found, digests, force=force)
        verbs.calls.clear()
        return {each.step.name: each for each in engine.make(found, digests, quiet=True, progress=SILENT)}

    def read(text):
        Path("mark.yaml").write_text(text)
        return read_run(Path("mark.yaml"), ["generate", "embed", "vector", "stamp", "check", "verify", "commit"], verbs.named)

    made.verbs, made.read = verbs, read
    return made


def test_steps_run_in_the_order_of_their_files(run):
    run(FILE)
    assert [call[0] for call in run.verbs.calls] == ["generate", "embed", "check"]
    embed = run.verbs.calls[1]
    assert embed[1:4] == ["prints.json", "--json", "--quiet"]
    assert embed[4:] == ["--model", "starter", "--output", "marked", "--set", 'method={"name": "lora", "rank": 2}']
    assert json.loads(Path("embed.json").read_text())["fsr"] == 0.5


def test_what_is_current_is_not_made_again(run):
    run(FILE)
    outcomes = run(FILE)
    assert run.verbs.calls == []
    assert {each.ran for each in outcomes.values()} == {False}
    assert outcomes["embed"].told == {"FSR": 0.5, "perplexity": 1.01}


@pytest.mark.parametrize(
    ("change", "made"),
    [
        (lambda: Path("mark.yaml").exists(), []),
        (lambda: Path("marked").unlink(), ["embed"]),
        (lambda: Path("check.json").unlink(), ["check"]),
        (lambda: Path(".check.json.step.json").write_text("{"), ["check"]),
    ],
)
def test_what_changed_is_made_again_and_what_stays_the_same_ends_it(run, change, made):
    run(FILE)
    change()
    run(FILE, force=not Stamp.of(run.read(FILE).steps[2]))
    # 'embed' writes the same as before, so 'check' is current again
    assert [call[0] for call in run.verbs.calls] == made


def test_new_settings_make_a_step_and_what_follows(run):
    run(FILE)
    run(FILE.replace("rank: 2", "rank: 4"))
    assert [call[0] for call in run.verbs.calls] == ["embed", "check"]
    assert all("--force" in call for call in run.verbs.calls)


def test_another_version_makes_all_but_sets_again(run, monkeypatch):
    run(FILE)
    monkeypatch.setattr("insignia.runs.stamps.version", lambda _: "99.0")
    run(FILE)
    assert [call[0] for call in run.verbs.calls] == ["embed", "check"]


def test_a_set_is_never_replaced_on_the_side(run):
    run(FILE)
    before = Path("prints.json").read_text()
    with pytest.raises(OutputError, match=r"prints\.json would be made anew, since its settings changed"):
        run(FILE.replace("fingerprints: 2", "fingerprints: 3"))
    assert Path("prints.json").read_text() == before
    run(FILE.replace("fingerprints: 2", "fingerprints: 3"), force=True)
    assert run.verbs.calls[0][0] == "generate"


def test_what_was_changed_by_hand_is_not_replaced(run):
    run(FILE)
    Path("marked").write_text("tuned")
    with pytest.raises(OutputError, match="embed: marked was changed by something else; if it is"):
        run(FILE)
    assert Path("marked").read_text() == "tuned"


def test_what_no_run_made_is_not_replaced(run):
    Path("prints.json").write_text("mine")
    with pytest.raises(OutputError, match="take the step out of the file"):
        run(FILE)
    run(FILE.replace("generate: {output: prints.json, num-fingerprints: 2}", ""))
    assert [call[0] for call in run.verbs.calls] == ["embed", "check"]
    assert Path("prints.json").read_text() == "mine"


def test_a_run_that_was_killed_goes_on(run):
    run.verbs.results["embed"] = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        run(FILE)
    del run.verbs.results["embed"]
    run(FILE)
    assert [call[0] for call in run.verbs.calls] == ["embed", "check"]
    assert "--resume" in run.verbs.calls[0]


def test_a_set_whose_stamp_was_cut_short_is_kept(run):
    run(FILE)
    stamp = Stamp.of(run.read(FILE).steps[0])
    stamp.model_copy(update={"status": None, "outputs": {}}).save(run.read(FILE).steps[0])
    run(FILE)
    assert run.verbs.calls == []


def test_a_step_that_fails_stops_those_that_need_it_alone(run):
    from insignia.errors import EmbeddingError

    run.verbs.results["embed"] = EmbeddingError("too few")
    text = FILE + "vector: {base: starter, marked: prints.json, output: vector}\n"
    outcomes = run(text)
    assert {name: each.error for name, each in outcomes.items()} == {
        "generate": None,
        "embed": "too few",
        "check": "not run: it needs embed",
        "vector": None,
    }
    assert engine.worst(list(outcomes.values())) == 1
    del run.verbs.results["embed"]
    run(text)
    assert [call[0] for call in run.verbs.calls] == ["embed", "check"]


def test_not_found_is_a_result(run):
    run.verbs.results["check"] = 3
    assert engine.worst(list(run(FILE).values())) == 3
    assert engine.worst(list(run(FILE).values())) == 3
    assert run.verbs.calls == []


def test_a_grid_makes_in_a_folder_each_what_its_settings_change(run):
    outcomes = run(FILE + "grid: {embed.min-fsr: [0.5, 0.9], embed.seed: [1, 2]}\n")
    assert [call[0] for call in run.verbs.calls].count("generate") == 1
    assert {path.parent.name for path in Path().glob("*/marked")} == {
        f"min-fsr={fsr},seed={seed}" for fsr in (0.5, 0.9) for seed in (1, 2)
    }
    check = outcomes["min-fsr=0.9,seed=2: check"].step
    assert check.options["model"] == "min-fsr=0.9,seed=2/marked"
    assert check.options["prints"] == "prints.json"
    assert len(outcomes) == 1 + 4 * 2


def test_a_stamp_holds_no_setting_and_is_its_owners(run):
    run(FILE.replace("starter", "hidden-name"))
    for path in Path().glob(".*.step.json"):
        assert path.stat().st_mode & 0o077 == 0
        assert "hidden-name" not in path.read_text()


def test_needs_are_found_by_paths(run):
    found = run.read(FILE.replace("model: marked", "model: ./marked/"))
    by_name = {step.name: step for step in found.steps}
    assert [step.name for step in needs(by_name["check"], found.steps)] == ["generate", "embed"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "is not a recipe"),
        ("{}", "has no step"),
        ("genrate: {output: a}", "'genrate' is no step. Did you mean 'generate'?"),
        ("generate: [a]", "is no mapping of options"),
        ("generate: {}", "a step of a run has an output"),
        ("generate: {output: a, num_fingerprint: 2}", "Did you mean 'num_fingerprints'?"),
        ("generate: {output: a, num_fingerprints: two}", "generate: Invalid value for '--num-fingerprints'"),
        ("generate: {output: a, num_fingerprints: -1}", "num"),
        ("generate: {output: a, force: true}", "a run sets 'force' itself"),
        ("generate: {output: a, strategy: {name: inverse_nucleus, nucleus_q: 3}}", "Did you mean 'nucleus_p'?"),
        ("generate: {output: a, strategy: inverse}", "inverse_nucleus"),
        ("embed: {prints: a, output: b}\ngenerate: {output: aa}", "there is no a, and no step makes it."),
        ("generate: {output: a}\nembed: {prints: a, model: starter, output: a}", "both make a"),
        ("stamp: {model: b, vectors: v, output: m}\nvector: {base: m, marked: c, output: v}", "need each other: "),
        ("generate: {output: a}\ngrid: {embed.rank: [1]}", "'embed.rank' names no step"),
        ("generate: {output: a}\ngrid: {generate.temperature: 1}", "is not a list of values"),
        ("generate: {output: /a}\ngrid: {generate.temperature: [1, 2]}", "give a path inside"),
        ("generate: {output: a}\ngrid: {generate.temperature: [1, 1]}", "two cells have the name"),
        ("generate: {output: a}\ngrid: 3", "'grid:' is not a mapping"),
    ],
)
def test_what_is_wrong_is_said_before_anything_runs(run, text, said):
    with pytest.raises((InputError, FormatError)) as caught:
        run(text)
    assert said in str(caught.value)
    assert run.verbs.calls == []
