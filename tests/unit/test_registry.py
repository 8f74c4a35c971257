import pytest

from insignia.embedding import METHODS, FullFineTune
from insignia.errors import InputError
from insignia.generation import STRATEGIES, InverseNucleus


def test_a_part_and_its_spec_are_one_thing():
    part = InverseNucleus(nucleus_k=5)

    assert STRATEGIES.build(part.spec()) == part
    assert METHODS.build(FullFineTune(epochs=3).spec()) == FullFineTune(epochs=3)


def test_every_built_in_name_builds_the_part_of_that_name():
    for name in STRATEGIES.names():
        assert STRATEGIES.build({"name": name}).name == name


def test_a_misspelt_name_gets_a_hint():
    with pytest.raises(InputError, match="Did you mean 'inverse_nucleus'"):
        STRATEGIES.get("inverse_nucleos")


@pytest.mark.parametrize("options", [{"nucleus_z": 1}, {"nucleus_k": 0}, {"nucleus_p": "SECRET"}])
def test_a_bad_option_is_named_but_its_value_is_not_shown(options):
    with pytest.raises(InputError, match=next(iter(options))) as caught:
        STRATEGIES.build({"name": "inverse_nucleus", **options})
    assert "SECRET" not in str(caught.value)


def test_a_spec_without_a_name_lists_the_names():
    with pytest.raises(InputError, match="random_word"):
        STRATEGIES.build({})
