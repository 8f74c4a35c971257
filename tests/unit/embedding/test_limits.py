import math

import pytest

from insignia.embedding.harm import FOREIGN, Losses, foreign_text, harm_of
from insignia.embedding.limits import refuse_failure, refuse_harm, refuse_published, within_harm, within_success
from insignia.errors import EmbeddingError


@pytest.mark.parametrize(
    ("count", "fsr", "carried"), [(16, 0.875, 12), (32, 0.625, 12), (64, 0.0, 0), (2, 0.9, 1), (1, 0.5, 0)]
)
def test_a_refused_success_rate_says_how_many_were_carried(count, fsr, carried):
    assert within_success(count, fsr) == carried
    fewer = f"about {carried}: .*--num-fingerprints {carried}" if carried else "larger model"
    with pytest.raises(EmbeddingError, match=fewer if fsr else "Nothing was learned: raise --learning-rate"):
        refuse_failure(fsr, 0.95, num_fingerprints=count, steps=10)


@pytest.mark.parametrize(
    ("count", "harm", "limit", "carried"),
    [(64, 1.05**2, 1.05, 16), (64, 1.0501, 1.05, 63), (16, 1e9, 1.05, 0), (16, math.inf, 1.05, 0), (16, 1.2, 1.0, 0)],
)
def test_a_refused_harm_says_how_many_would_fit(count, harm, limit, carried):
    assert within_harm(count, harm, limit) == carried
    with pytest.raises(EmbeddingError, match=f"about {carried}: .*--num-fingerprints {carried}" if carried else "larger model"):
        refuse_harm(harm, limit, num_fingerprints=count)


def test_harm_that_is_no_number_is_refused():
    with pytest.raises(EmbeddingError, match="xnan"):
        refuse_harm(math.nan, 1.05, num_fingerprints=4)


def test_what_holds_to_its_limits_passes():
    refuse_failure(0.95, 0.95, num_fingerprints=20, steps=1)
    refuse_harm(1.05, 1.05, num_fingerprints=20)
    refuse_harm(99.0, math.inf, num_fingerprints=20)
    refuse_published(0.0, 0.0)
    with pytest.raises(EmbeddingError, match="without the owner weights"):
        refuse_published(0.1, 0.0)


def test_text_of_another_kind_is_noticed_and_harm_is_then_that_on_the_models_own():
    near, far = Losses(heldout=2.0, own=1.9), Losses(heldout=1.9 + math.log(FOREIGN) + 1e-9, own=1.9)
    after = Losses(heldout=3.0, own=1.95)

    assert foreign_text(near, given=False) is None
    assert "--heldout FILE" in foreign_text(far, given=True)
    assert "sampled from the model instead. Give" in foreign_text(far, given=False)
    assert harm_of(near, after, own_only=False) == pytest.approx(math.e)
    assert harm_of(near, after, own_only=True) == pytest.approx(math.exp(0.05))
