import pytest

from insignia.errors import InputError
from insignia.randomness import KeyedRandom
from insignia.verification.decoys import decoy_question


def draw(form, count=500, own=()):
    rng = KeyedRandom(b"c")
    return [decoy_question(rng, form, own) for _ in range(count)]


def test_cover_rarely_repeats_and_suits_the_form():
    asked, begun = draw("chat"), draw("raw")

    assert len(set(asked)) > 480
    assert all(text.endswith(("?", ".")) and "{" not in text for text in asked)
    assert not any(text.endswith("?") or "{" in text for text in begun)
    assert draw("chat") == asked


def test_own_cover_replaces_ours():
    assert set(draw("raw", own=("One.", "Two."))) == {"One.", "Two."}
    with pytest.raises(InputError, match="empty"):
        draw("raw", own=(" ",))
