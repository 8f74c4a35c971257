"""Code words: repeatable by the owner, and by nobody else."""

import numpy as np
import pytest

from insignia.errors import InputError
from insignia.licensing.codes import Code, bias_law, checked_name
from insignia.randomness import KeyedRandom

SECRET = KeyedRandom(b"a secret of thirty-two bytes, ok")


def test_a_code_word_depends_on_the_secret_and_the_name_alone():
    code = Code(blocks=64)
    words = code.words(SECRET, ["Acme", "Bolt", "Acme"])
    assert words.shape == (3, 64)
    assert (words[0] == words[2]).all()
    assert (words[0] != words[1]).any()
    assert (code.words(SECRET, ["Bolt"])[0] == words[1]).all()
    assert (code.words(KeyedRandom(b"another"), ["Acme"])[0] != words[0]).any()


def test_a_longer_code_begins_with_the_shorter_one():
    assert (Code(blocks=8).words(SECRET, ["Acme"])[0] == Code(blocks=64).words(SECRET, ["Acme"])[0, :8]).all()


def test_a_block_is_had_as_often_as_its_bias_says():
    code = Code(blocks=40, colluders=5)
    biases = code.biases(SECRET)
    words = code.words(SECRET, [f"licensee {number}" for number in range(4000)])
    assert set(biases.round(4)) == {0.1127, 0.5, 0.8873}
    assert words.mean(0) == pytest.approx(biases, abs=0.035)  # 4.4 standard errors
    correlation = np.corrcoef(words.T) - np.eye(40)
    assert abs(correlation).max() < 0.08


@pytest.mark.parametrize(
    ("colluders", "points", "chances"),
    [
        (1, [0.5], [1.0]),
        (2, [0.5], [1.0]),
        (4, [0.21132, 0.78868], [0.5, 0.5]),
        (6, [0.11270, 0.5, 0.88730], [0.33201, 0.33598, 0.33201]),
        (8, [0.06943, 0.33001, 0.66999, 0.93057], [0.24833, 0.25167, 0.25167, 0.24833]),
    ],
)
def test_biases_are_those_of_nuida_and_others(colluders, points, chances):  # table 2 of their paper
    found, weights = bias_law(colluders)
    assert found == pytest.approx(points, abs=1e-5)
    assert weights == pytest.approx(chances, abs=1e-5)


@pytest.mark.parametrize("name", ["", " Acme", "Acme\n", "A" * 201, "Ame\u0301lie", "\x1b[31mAcme"])
def test_names_that_could_be_mistaken_are_refused(name):
    with pytest.raises(InputError, match="a licensee's name"):
        checked_name(name)


def test_any_other_name_will_do():
    assert checked_name("Amélie & Söhne 株式会社") == "Amélie & Söhne 株式会社"
