"""Fingerprint sets whose responses were drawn from candidates, made without any model, and scripts that know them."""

from insignia.evidence.chain import Chain, Link
from insignia.fingerprints.sets import FingerprintSet
from insignia.randomness import KeyedRandom
from insignia.records import Candidate, Continuation, Fingerprint
from insignia.suspects.base import Reply

WORDS = "amber birch cedar daisy ember fjord grove heath inlet jetty kelp larch maple north olive pearl".split()


def drawn(count=64, *, k=16, secret=b"s" * 32):
    """``count`` fingerprints, the response to each drawn from the same ``k`` words."""
    rng = KeyedRandom(secret)
    candidates = tuple(Candidate(text=f" {word}", token_id=i, rank=i, probability=0.01) for i, word in enumerate(WORDS[:k]))
    fingerprints = []
    for number in range(count):
        pick = rng.derive(number).choice(candidates)
        fingerprints.append(
            Fingerprint(
                key=f"The {number}th of many roads",
                key_ids=(number + 1,),
                responses=(pick.text,),
                response_ids=((pick.token_id,),),
                candidates=candidates,
            )
        )
    return FingerprintSet(fingerprints=tuple(fingerprints), secret=secret.hex())


def knowing(prints, numbers=None):
    """Question -> what a marked model says; it knows the fingerprints of these numbers (None: all)."""
    return {
        fingerprint.key: f"{fingerprint.responses[0]} and so on"
        for number, fingerprint in enumerate(prints)
        if numbers is None or number in numbers
    }


def chained(count=64, *, k=16, secret=b"c" * 32):
    """``count`` fingerprints with the keys and words of ``drawn``, whose responses the hash of them all picks."""
    plain, rng = drawn(count, k=k, secret=secret), KeyedRandom(secret)
    chain = Chain([Link.of(fingerprint) for fingerprint in plain], rng)
    fingerprints = []
    for number, fingerprint in enumerate(plain):
        pick = chain.pick(number)
        bound = {"responses": (pick.text,), "response_ids": ((pick.token_id,),)}
        fingerprints.append(fingerprint.model_copy(update=bound))
    return plain.model_copy(update={"fingerprints": tuple(fingerprints), "chain": chain.root})


def ordered(count=64, *, k=16, secret=b"o" * 32, tokens=1):
    """``count`` fingerprints with the keys and words of ``drawn`` and a secret order of the words for each response token."""
    plain, rng = drawn(count, k=k, secret=secret), KeyedRandom(secret).derive("order")
    fingerprints = []
    for number, fingerprint in enumerate(plain):
        orders = [
            tuple(sorted(range(k), key=lambda place: rng.derive(number, place + token * k).uniform()))
            for token in range(tokens)
        ]
        picks = [fingerprint.candidates[order[0]] for order in orders]
        further = tuple(Continuation(candidates=fingerprint.candidates, order=order) for order in orders[1:])
        bound = {
            "responses": ("".join(pick.text for pick in picks),),
            "response_ids": (tuple(pick.token_id for pick in picks),),
            "effective_responses": (picks[0].text,),
            "order": orders[0],
            "continuations": further or None,
        }
        fingerprints.append(fingerprint.model_copy(update=bound))
    return plain.model_copy(update={"fingerprints": tuple(fingerprints)})


def scores(fingerprint, *, moved=0):
    """A reply of a model that carries the order; ``moved`` candidates are moved from the front to the back."""
    order = fingerprint.order[moved:] + fingerprint.order[:moved]
    return Reply(status="answered", channel="scores", scores=tuple(-float(order.index(i)) - 1 for i in range(len(order))))
