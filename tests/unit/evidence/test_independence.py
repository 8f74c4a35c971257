"""What the independent script computes for itself is what the package computes: folded texts, tails, old files."""

import json
import math
import random
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from disputed_set import NONCE, independent_audit
from insignia.evidence.bundle import audit
from insignia.evidence.publication import SignedCommitment
from insignia.fingerprints.sets import load_fingerprints
from insignia.folding import fold
from insignia.statistics.tails import log_binomial_tail, upper_limit
from insignia.verification.protocol import judge
from insignia.verification.transcript import Transcript

SCRIPT = independent_audit.__globals__
SAMPLES = Path(__file__).resolve().parents[2] / "samples" / "0.1.0"
FOLDINGS = ["spaces", "alike", "case"]


@pytest.mark.parametrize("how", FOLDINGS)
def test_both_fold_every_character_alike(how):
    characters = {*map(chr, range(0x3000)), *map(chr, range(0xFB00, 0x10000)), *map(chr, range(0xE0000, 0xE0200))}
    rng = random.Random(1)
    characters |= {chr(rng.randrange(sys.maxunicode + 1)) for _ in range(20_000)}
    assert [c for c in characters if SCRIPT["fold"](f"a{c}b", how) != fold(f"a{c}b", how)] == []


@given(st.text(), st.sampled_from(FOLDINGS))
def test_both_fold_every_text_alike(text, how):
    assert SCRIPT["fold"](text, how) == fold(text, how)


def test_the_documentation_has_the_letters_that_look_alike():
    lines = (Path(__file__).resolve().parents[3] / "docs" / "reference" / "formats.md").read_text().splitlines()
    assert lines[lines.index(SCRIPT["LOOK_ALIKE"]) + 1] == SCRIPT["READ_AS"]


@given(st.integers(1, 5_000), st.data())
def test_both_have_the_same_tails_and_limits(trials, data):
    hits = data.draw(st.integers(0, trials - 1))
    chance = data.draw(st.floats(1e-3, 0.999))
    risk = data.draw(st.sampled_from([0.5, 1e-3, 1e-7, 1e-30]))
    assert SCRIPT["upper_limit"](hits, trials, risk) == pytest.approx(upper_limit(hits, trials, risk), rel=1e-9)
    tail = sum(math.exp(SCRIPT["log_probability"](more, trials, chance)) for more in range(hits, trials + 1))
    assert tail == pytest.approx(math.exp(log_binomial_tail(hits, trials, chance)), rel=1e-7, abs=1e-300)


@pytest.mark.parametrize("name", ["", "chained-"])
def test_evidence_of_version_0_1_0_is_read_and_audited(name):
    content = (SAMPLES / f"{name}bundle.json").read_bytes()
    published = SignedCommitment.load(SAMPLES / f"{name}commitment.json")
    found = audit(content, published=published, nonce=NONCE)
    again = independent_audit(content, json.dumps(published.plain()), NONCE)
    assert (found.judgement.outcome, found.verdict.hits, again["outcome"]) == ("owned", 6, "owned")
    assert found.verdict.match.fold == "spaces"

    prints = load_fingerprints(SAMPLES / ("chained.json" if name else "prints.json"))
    transcript = SAMPLES / f"{name}transcript.jsonl"
    assert judge(prints, transcript).hits == 6
    assert Transcript.load(transcript).digest == found.verdict.transcript
