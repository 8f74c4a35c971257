import re
from pathlib import Path

import pytest

import insignia.recipes
from insignia.attacks.finetune import FineTune
from insignia.embedding import METHODS
from insignia.errors import FormatError, InputError
from insignia.recipes import load_recipe, recipe_names


def test_every_recipe_of_fine_tuning_builds_and_names_its_sources():
    assert recipe_names("finetune") == ["alpaca", "dolly", "lora", "sharegpt"]
    for name in recipe_names("finetune"):
        FineTune(**load_recipe(name, "finetune")["finetune"])
        lines = (Path(insignia.recipes.__file__).parent / f"{name}.yaml").read_text(encoding="utf-8").splitlines()
        assert all("#" in line for line in lines if re.search(r": [\d.]", line)), name


def test_the_default_is_the_library_s():
    assert FineTune(**load_recipe("alpaca", "finetune")["finetune"]) == FineTune()


@pytest.mark.parametrize("name", ["durable", "harmless", "oml"])
def test_every_recipe_of_embedding_builds(name):
    recipe = load_recipe(name, "embedding")["embedding"]

    assert METHODS.build(recipe["method"]).name == "full"


@pytest.mark.parametrize(("name", "part", "fitting"), [("alpaca", "embedding", "harmless"), ("harmless", "finetune", "alpaca")])
def test_a_recipe_for_something_else_is_refused(name, part, fitting):
    with pytest.raises(InputError, match=f"'{name}' has no '{part}:'.*{fitting}") as caught:
        load_recipe(name, part)
    assert str(caught.value).count(name) == 1
    with pytest.raises(InputError, match=f"there is no recipe 'none'.*{fitting}") as caught:
        load_recipe("none", part)
    assert name not in str(caught.value)


@pytest.mark.parametrize("content", ["[1, 2]", "a: [", "finetune: full", "finetune:"])
def test_a_file_that_is_no_recipe_is_refused(tmp_path, content):
    (tmp_path / "own.yaml").write_text(content)
    with pytest.raises(FormatError):
        load_recipe(str(tmp_path / "own.yaml"), "finetune")


def test_a_recipe_of_0_1_0_with_its_method_at_the_top_is_read(tmp_path):
    (tmp_path / "old.yaml").write_text("method: {name: full, epochs: 3}\nmin_fsr: 0.5\n")

    read = load_recipe(str(tmp_path / "old.yaml"), "embedding")

    assert read["embedding"] == {"method": {"name": "full", "epochs": 3}, "min_fsr": 0.5}
