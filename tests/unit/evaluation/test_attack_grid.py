import pytest

from insignia.attacks.base import ATTACKS
from insignia.errors import InputError
from insignia.evaluation import AttackGrid, Mark
from insignia.evaluation.attack_grid import Requirement, unmet
from insignia.evaluation.robustness import AttackedMark, AttackOutcome, FailedAttack, Proof, Robustness
from insignia.recipes import load_recipe
from insignia.records import Provenance

GRID = AttackGrid(
    attacks={
        "merge": {"name": "merge", "base": "$base", "weight": [0.5, 0.1]},
        "suppress": {"name": "suppress_topk", "count": [1, 2], "confidence": [0.0, 0.9]},
        "unlearn": {"name": "unlearn", "prints": "$prints"},
        "with a friend": {"name": "merge", "others": [["$sibling"]]},
    }
)
PLANNED = {each.label: each for each in GRID.planned()}


def proof(outcome="owned", keys=6):
    return Proof(outcome=outcome, keys=keys, p_value=1e-7, p_value_of_all=1e-9)


def row(attack="merge", strength="0.5", suspect="marked", mark="mine", **by_channel):
    return AttackOutcome(
        mark=mark,
        attack=attack,
        strength=strength,
        on="weights",
        spec={},
        suspect=suspect,
        fsr=0.5,
        hits=1,
        answered=2,
        by_channel=by_channel,
        perplexity=1.5,
        changed=0.25,
        reply_length=1.0,
        seconds=1.0,
    )


def result(*rows, failed=()):
    mark = AttackedMark(name="mine", strategy="ranked", num_fingerprints=2, perplexity=1.01)
    provenance = Provenance(insignia="0", created="2026-01-01T00:00:00+00:00")
    return Robustness(model="starter", alpha=1e-6, seed=0, marks=(mark,), rows=rows, failed=failed, provenance=provenance)


def test_a_list_makes_an_attack_of_each_value():
    assert list(PLANNED) == [
        "none",
        "merge 0.5",
        "merge 0.1",
        "suppress count 1, confidence 0.0",
        "suppress count 1, confidence 0.9",
        "suppress count 2, confidence 0.0",
        "suppress count 2, confidence 0.9",
        "unlearn",
        "with a friend",
    ]
    assert [each.on for each in PLANNED.values()] == ["nothing", *["weights"] * 2, *["host"] * 4, *["weights"] * 2]


def test_names_with_a_dollar_stand_for_the_models_of_the_run():
    assert PLANNED["merge 0.5"].build({"$base": "starter"}) == ATTACKS.build({"name": "merge", "base": "starter"})
    friend = PLANNED["with a friend"]
    assert friend.needs == {"$sibling"}
    assert friend.build({"$sibling": "theirs"}).others == ("theirs",)
    assert [label for label, each in PLANNED.items() if each.uses_secret] == ["unlearn"]


@pytest.mark.parametrize(
    ("attacks", "told"),
    [
        ({"merge": {"name": "marge"}}, "merge"),
        ({"merge": {"name": "merge", "wieght": 0.5}}, "weight"),
        ({"merge": {"name": "merge", "base": "$bse"}}, r"Did you mean '\$base'"),
        ({"none": {"name": "noise"}}, "another name"),
        ({"a:b": {"name": "noise"}}, "without a colon"),
    ],
)
def test_a_wrong_attack_is_told_before_any_work(attacks, told):
    with pytest.raises(InputError, match=told):
        AttackGrid(attacks=attacks).planned()


@pytest.mark.parametrize("fields", [{}, {"model": "m"}, {"model": "m", "fingerprints": "p", "strategy": {"name": "ranked"}}])
def test_a_mark_is_given_or_made(fields):
    with pytest.raises(ValueError, match="a strategy that makes them"):
        Mark(**fields)


def test_a_mark_is_the_same_from_every_folder(tmp_path, monkeypatch):
    (tmp_path / "marked").mkdir()
    whole = Mark(model=str(tmp_path / "marked"), fingerprints=tmp_path / "prints.json")
    monkeypatch.chdir(tmp_path)
    assert Mark(model="marked", fingerprints="prints.json").located() == whole
    assert Mark(model="org/name", fingerprints="prints.json").located().model == "org/name"
    made = Mark(strategy={"name": "ranked"})
    assert made.located() == made


@pytest.mark.parametrize("name", ["robustness", "robustness-quick"])
def test_the_bundled_grids_build(name):
    attacks = load_recipe(name, "robustness")["robustness"]["attacks"]
    planned = AttackGrid(attacks=attacks).planned()
    assert len({each.label for each in planned}) == len(planned)
    if name == "robustness":
        assert attacks == AttackGrid().attacks
        assert {each["name"] for each in attacks.values()} == set(ATTACKS.builtin())


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("merge:0.5 owned", True),
        ("merge:0.5  owned by text", False),
        ("merge:0.5 owned by scores", True),
        ("merge:0.1 owned", False),
        ("merge owned", False),
        ("with a friend owned", True),
        ("unlearn owned", False),  # it was not made
        ("suppress:count 1, confidence 0.9 owned", False),  # nothing was asked
    ],
)
def test_requirements(text, met):
    found = result(
        row(scores=proof(), text=proof("not_shown", 16)),
        row(strength="0.1", scores=proof("not_shown", 16)),
        row("with a friend", "", text=proof()),
        row("unlearn", "", text=proof()),
        row(strength="0.1", suspect="unmarked", scores=proof()),
        failed=(FailedAttack(mark="mine", attack="unlearn", strength="", suspect="marked", reason="too few keys"),),
    )
    assert unmet([Requirement.of(text, GRID.planned())], found) == (() if met else (text,))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("merge:0.5", "expected 'ATTACK"),
        ("merge owned by telepathy", "expected 'ATTACK"),
        ("marge owned", "Did you mean 'merge'"),
        ("merge:0.3 owned", "0.5, 0.1, not 0.3"),
    ],
)
def test_a_requirement_that_cannot_be_met_is_told(text, told):
    with pytest.raises(InputError, match=told):
        Requirement.of(text, GRID.planned())


def test_a_result_tells_what_survived_and_which_control_was_accused():
    whole = result(
        row("none", "", scores=proof()),
        row(scores=proof(), text=proof("not_shown", 16)),
        row(strength="0.1", scores=proof("not_shown", 16)),
        row(suspect="sibling", scores=proof("not_shown", 16)),
    )
    assert str(whole).splitlines() == [
        "1 mark of starter after 2 attacks",
        "  mine      owned after 1 of 2 attacks (50.0 %), after 0 by text alone",
        "  controls  0 of 1 owned",
    ]
    assert whole.accused == ()
    accused = row(suspect="sibling", scores=proof())
    assert result(*whole.rows, accused).accused == (accused,)


def test_the_table_has_costs_what_is_left_and_the_controls():
    from insignia.reporting.survival import robustness_report

    failed = FailedAttack(mark="", attack="unlearn", strength="8", suspect="sibling", reason="too few keys")
    whole = result(
        row(scores=proof(), text=proof("not_shown", 16)),
        row(suspect="unmarked", scores=proof()),
        row("old", ""),
        failed=(failed,),
    )
    document = robustness_report(whole, ["merge owned by text"])
    _, table, *lines = document.blocks
    assert table.rows == (
        ("merge 0.5", "x1.500", "25 %", "50 % 6/-", "1 of 1"),
        ("old", "x1.500", "25 %", "50 %", "-"),
    )
    assert lines == [
        "Not made: unlearn 8 of all marks, sibling: too few keys",
        "1 of 1 control owned.",
        "Not met: merge owned by text",
    ]
    assert document.data["unmet"] == ["merge owned by text"]
    assert Robustness.model_validate({name: value for name, value in document.data.items() if name != "unmet"}) == whole
