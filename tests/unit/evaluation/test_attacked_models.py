import pytest

from drawn_prints import drawn
from insignia.errors import InputError
from insignia.evaluation import AttackGrid, Mark, attacked_models
from insignia.evaluation.attacked_models import AttackedModels
from insignia.progress import SILENT


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """Open the models of a grid; marks are made in no time. Returns them and what was made."""
    made = []

    def generate(model, strategy, *, num_fingerprints, secret, progress):
        made.append(strategy.name)
        return drawn(num_fingerprints)

    def mark(model, prints, method, out, private, *, run, progress):
        made.append(out.name.partition("-")[0])
        out.mkdir(parents=True)

    monkeypatch.setattr(attacked_models, "generate", generate)
    monkeypatch.setattr(attacked_models, "mark", mark)
    monkeypatch.setattr(AttackedModels, "load", lambda self, source: None)

    def opened(**marks):
        grid = AttackGrid(marks=marks, attacks={}, data="rows.json")
        return AttackedModels("starter", grid, tmp_path, sibling="theirs", seed=0, device="cpu", progress=SILENT), made

    return opened


def test_a_mark_of_a_recipe_is_made_once_and_its_secret_is_private(opened, tmp_path):
    mine = Mark(strategy={"name": "ranked"}, num_fingerprints=4)
    models, made = opened(mine=mine)
    opened(mine=mine)
    assert made == ["ranked", "mine"]
    assert len(models.prints["mine"]) == 4
    (secret,) = (tmp_path / "private").iterdir()
    assert secret.stat().st_mode & 0o077 == 0
    assert models.values("mine", frozenset({"$prints"})) == {
        "$base": "starter",
        "$sibling": "theirs",
        "$data": "rows.json",
        "$prints": str(secret),
    }
    assert [models.source(suspect, "mine") for suspect in ("unmarked", "sibling")] == ["starter", "theirs"]
    # Under the same name with other settings, it is another mark.
    opened(mine=mine.model_copy(update={"num_fingerprints": 5}))
    assert made == ["ranked", "mine"] * 2


def test_a_method_whose_mark_only_the_owner_sees_is_refused(opened):
    with pytest.raises(InputError, match="choose another method"):
        opened(mine=Mark(strategy={"name": "ranked"}, method={"name": "adapter"}, num_fingerprints=4))
