from drawn_prints import drawn
from insignia.keyring.kept_set import KeptSet
from insignia.statistics.nulls import DeclaredNull, DesignNull

DESIGN = DesignNull(candidates=16)


def test_a_loss_is_silent_where_no_candidate_was_a_first_choice_and_random_where_one_may_be():
    prints = drawn(2)
    ranked = [
        fingerprint.model_copy(
            update={"candidates": tuple(c.model_copy(update={"rank": 1 + c.rank}) for c in fingerprint.candidates)}
        )
        for fingerprint in prints
    ]

    assert KeptSet("a", prints).lost(DESIGN) == "random"
    assert KeptSet("a", prints.model_copy(update={"fingerprints": tuple(ranked)})).lost(DESIGN) == "silent"
    assert KeptSet("a", prints).lost(DeclaredNull(chance=1 / 16)) == "silent"
