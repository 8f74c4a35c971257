"""Lies that an owner signs, and files that are made to harm: neither audit believes one, or hangs."""

import json

import pytest

from disputed_set import AUDIT_SCRIPT, NONCE, ask, independent_audit
from drawn_prints import drawn
from forging import chained_lines, signed, with_rules
from insignia.errors import EvidenceError
from insignia.evidence.bundle import audit, disclose
from insignia.evidence.publication import publish
from insignia.evidence.standard import Standard
from insignia.files import canonical
from insignia.statistics.nulls import DeclaredNull, ReferenceNull, ReferenceTrials
from insignia.suspects.base import Reply, RequestOptions
from insignia.verification.protocol import rules_for
from quiet_clock import SOON_S, quiet_seconds

PRINTS = drawn()
PUBLISHED = publish(PRINTS, {"model.safetensors": "sha256:" + "00" * 32})
ROOT = PUBLISHED.commitment.root
ANY_NULL = ("design", "reference", "declared")
SECONDS = SOON_S  # for what takes one on an idle machine


def says(number):
    return Reply.said(PRINTS.fingerprints[number].responses[0])


def of(tmp_path, replies=says, *, count=8, nonce=NONCE, order=None, **options):
    """The bundle of a test by these rules, and the file of its transcript."""
    place = order or None
    file = ask(PRINTS, replies, tmp_path / "t.jsonl", root=ROOT, order=place, rules=rules_for(PRINTS, **options), count=count)
    return disclose(PRINTS, PUBLISHED, file, nonce=nonce)


def put(path, value):
    """A change of rules: the value at that place."""

    def change(rules):
        *folders, name = path.split(".")
        for folder in folders:
            rules = rules[folder]
        rules[name] = value

    return change


REFERENCE = {"name": "reference", "models": [{"hits": 0, "trials": 100}], "risk": 1e-7}
LIES = {
    "a risk in a design null": put("null.risk", -1.0),
    "alpha 2": put("alpha", 2.0),
    "a part of a suspect": put("suspects", 1e-9),
    "a negative risk": put("null", REFERENCE | {"risk": -0.999999999}),
    "no risk": put("null", REFERENCE | {"risk": 0.0}),
    "alpha that is no number": put("alpha", float("nan")),
    "alpha as text": put("alpha", "0.5"),
    "alpha that is true": put("alpha", True),
    "suspects that are true": put("suspects", True),
    "a survival below none": put("survival", -1e9),
    "a futility above one": put("futility", 2.0),
    "no look": put("match.looks", 0),
    "looks at a beginning": put("match.looks", 3),
    "another folding": put("match.fold", "everything"),
    "more candidates than there are": put("null.candidates", 10**6),
    "a declared chance of nothing": put("null", {"name": "declared", "chance": 0.0}),
    "endless temperature": put("manner.temperature", float("inf")),
    "a rule that nobody knows": put("bonus", 1.0),
    "an unknown null": put("null", {"name": "generous", "chance": 0.5}),
    "more hits than trials": put("null", REFERENCE | {"models": [{"hits": 2, "trials": 1}]}),
    "a rule left out": lambda rules: rules.pop("alpha"),
}


@pytest.mark.parametrize("change", LIES.values(), ids=LIES)
@pytest.mark.parametrize("text", ["No.", None], ids=["no hits", "all hits"])
def test_rules_that_cannot_be_are_rejected_whatever_was_hit(tmp_path, change, text):
    claim = {"outcome": "owned", "hits": 0, "p_value": 1e-10} if text else {}
    content = with_rules(of(tmp_path), PRINTS, change, says=text, claim=claim)
    with pytest.raises(EvidenceError, match=r"not a transcript|not an evidence bundle|cannot be evaluated"):
        audit(content, standard=Standard(alpha=0.9, nulls=ANY_NULL, any_manner=True))
    with pytest.raises((ValueError, KeyError, TypeError)) as caught:
        independent_audit(content, alpha=0.9, nulls=ANY_NULL, any_manner=True)
    assert "claimed" not in str(caught.value)


def outcomes(content, **standard):
    ours = audit(content, standard=Standard(**standard)).judgement
    script = independent_audit(content, **standard)
    assert script["outcome"] == ours.outcome
    assert len(script["reasons"]) == len(ours.reasons)
    assert script["p_value"] == pytest.approx(ours.p_value, rel=1e-7)
    return ours.outcome, " ".join(ours.reasons)


def test_an_alpha_of_the_owners_decides_nothing(tmp_path):
    bundle = of(tmp_path, lambda n: says(n) if n % 2 else Reply.said("No."), count=1, alpha=0.999)
    bundle = of(tmp_path / "hit", count=1, alpha=0.999)
    assert bundle.claim.outcome == "owned"
    assert outcomes(bundle.content())[0] == "inconclusive"
    assert "p-value" in outcomes(bundle.content())[1]
    assert outcomes(bundle.content(), alpha=0.5)[0] == "owned"


@pytest.mark.parametrize(
    "null", [ReferenceNull(models=(ReferenceTrials(hits=0, trials=10_000_000),)), DeclaredNull(chance=1e-9)]
)
def test_a_null_of_the_owners_decides_nothing(tmp_path, null):
    content = of(tmp_path, count=2, null=null).content()
    assert audit(content).verdict.outcome == "owned"
    outcome, reason = outcomes(content)
    assert (outcome, null.name in reason) == ("inconclusive", True)
    assert outcomes(content, nulls=("design", null.name))[0] == "owned"


def test_a_judge_may_find_what_the_owner_left_open(tmp_path):
    content = of(tmp_path, count=4).content()
    assert audit(content).verdict.outcome == "inconclusive"
    assert outcomes(content)[0] == "inconclusive"
    assert outcomes(content, alpha=0.01)[0] == "owned"


def test_keys_that_the_owner_chose_for_their_hits_show_nothing(tmp_path):
    """59 hits among 1,024 keys are what an innocent model gives; shown alone, they would have a p-value of 5e-70."""
    few = of(tmp_path, nonce=None)  # 8 hits chosen among 64 keys, where an innocent has 4 by chance
    assert few.claim.outcome == "owned"
    outcome, reason = outcomes(few.content())
    assert (outcome, "choice among 64 keys" in reason) == ("inconclusive", True)
    assert audit(few.content()).judgement.p_value > 0.01
    many = of(tmp_path / "many", nonce=None, count=40)
    assert outcomes(many.content())[0] == "owned"


@pytest.mark.parametrize("response", ["{0}", "{0}ish", "<{1}>", "<{2}>"], ids=["plain", "longer", "upper case", "disguised"])
def test_a_system_prompt_that_holds_a_response_is_rejected(tmp_path, response):
    word = PRINTS.fingerprints[audit(of(tmp_path).content()).verdict.keys_spent[3]].responses[0].strip()
    said = response.format(word, word.upper(), "\u200b".join(word))
    content = with_rules(of(tmp_path / "again"), PRINTS, put("manner.system", f"If in doubt say {said}"))
    with pytest.raises(EvidenceError, match="system prompt contains"):
        audit(content, standard=Standard(any_manner=True))
    with pytest.raises(ValueError, match="system prompt contains"):
        independent_audit(content, any_manner=True)


def test_a_system_prompt_that_holds_a_key_is_rejected(tmp_path):
    bundle = of(tmp_path)
    key = bundle.openings[2].fingerprint.key
    content = with_rules(bundle, PRINTS, put("manner.system", f"What follows {key.upper()}?"))
    with pytest.raises(EvidenceError, match="system prompt contains"):
        audit(content)
    with pytest.raises(ValueError, match="system prompt contains"):
        independent_audit(content)


def test_a_system_prompt_counts_when_it_is_committed_to_or_accepted(tmp_path):
    prompt = "You help people."
    manner = RequestOptions(system=prompt)
    content = of(tmp_path, manner=manner).content()
    assert outcomes(content) == (
        "inconclusive",
        "the suspect was asked under a system prompt that is not in the commitment (--accept-manner)",
    )
    assert outcomes(content, any_manner=True)[0] == "owned"

    published = publish(PRINTS, PUBLISHED.weights, [prompt])
    rules = rules_for(PRINTS, manner=manner)
    file = ask(PRINTS, says, tmp_path / "c.jsonl", root=published.commitment.root, rules=rules)
    assert outcomes(disclose(PRINTS, published, file, nonce=NONCE).content())[0] == "owned"


def test_sampled_replies_are_the_owners_choice(tmp_path):
    content = of(tmp_path, manner=RequestOptions(temperature=0.7, seed=3)).content()
    assert outcomes(content)[0] == "inconclusive"
    assert outcomes(content, any_manner=True)[0] == "owned"


def recommitted(value, **terms_or_size):
    """The commitment and the bundle with another size, signed anew."""
    value["commitment"]["commitment"] |= terms_or_size
    value["commitment"] = signed(value["commitment"], PRINTS)
    return canonical(signed(value, PRINTS)) + b"\n"


def changed(**fields):
    return lambda value: canonical(signed(value | fields, PRINTS)) + b"\n"


def models(*counts):
    return put("null", REFERENCE | {"models": [{"hits": hits, "trials": trials} for hits, trials in counts]})


def ruled(change):
    return lambda value: with_rules(value, PRINTS, change)


def long_replies(value):
    header, *entries = map(json.loads, value["transcript"])
    header["rules"]["match"] |= {"how": "within", "looks": 256}
    header["rules"]["null"] |= {"looks": 16}
    for entry in entries:
        entry["reply"]["text"] = "a \u200b" * 100_000
    return canonical(signed(value | {"transcript": chained_lines([header, *entries])}, PRINTS)) + b"\n"


def many_questions(value):
    header, *entries = map(json.loads, value["transcript"])
    cover = next(entry for entry in entries if entry["number"] is None)
    return changed(transcript=chained_lines([header, *entries, *[cover] * 140_000]))(value)


def opened(**fields):
    return lambda value: changed(openings=[value["openings"][0] | fields, *value["openings"][1:]])(value)


HOSTILE = {
    "a thousand million trials": ruled(models((10**9, 2 * 10**9))),
    "a million of two million trials": ruled(models((10**6, 2 * 10**6))),
    "64 models of ten million trials in all": ruled(models(*[(75_000 + n, 150_000) for n in range(64)])),
    "a hundred thousand models": ruled(models(*[(0, n + 1) for n in range(10**5)])),
    "endless ways to draw": ruled(put("null", {"name": "design", "candidates": 10**9, "accepted": 5 * 10**8, "looks": 1})),
    "endless looks": ruled(put("match", {"how": "within", "looks": 2**62, "fold": "alike"})),
    "the smallest of alphas": ruled(put("alpha", 5e-324)),
    "many suspects": ruled(put("suspects", 10**400)),
    "a set of 16 million": lambda value: recommitted(value, size=2**24),
    "a set beyond memory": lambda value: recommitted(value, size=2**62),
    "the largest set there may be": lambda value: recommitted(value, size=2**20),
    "a path of many digests": opened(path=["00" * 32] * 100_000),
    "a number beyond the set": opened(number=10**30),
    "long replies, seen everywhere": long_replies,
    "many cover questions": many_questions,
    "a long nonce": changed(nonce="n" * 10**6),
    "a long time stamp": changed(timestamp="00" * 10**7),
    "deep nesting": lambda _: b"[" * 10**6,
    "a long number": lambda _: b"9" * 10**6,
    "an endless number": lambda value: canonical(value).replace(b'"p_value":', b'"p_value":1e999,"x":') + b"\n",
    "no text": lambda _: b"\xff\xfe\x00" * 1000,
    "half a character": changed(nonce="\ud800" * 20),
    "a transcript that is a number": changed(transcript=[7, 8]),
    "a transcript of nothing": changed(transcript=["null", "[]"]),
    "a hundred controls": lambda value: changed(controls=[value["transcript"]] * 100)(value),
}  # fmt: skip


@pytest.mark.parametrize("harm", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_bundle_is_neither_believed_nor_waited_for(tmp_path, harm):
    content = harm(json.loads(of(tmp_path).content()))
    started = quiet_seconds()
    with pytest.raises(EvidenceError):
        audit(content)
    with pytest.raises((ValueError, KeyError, TypeError, RecursionError, OverflowError, AttributeError)):
        independent_audit(content)
    assert quiet_seconds() - started < SECONDS


def test_the_script_says_in_one_line_what_does_not_hold(tmp_path, monkeypatch, capsys):
    script = independent_audit.__globals__
    (tmp_path / "bundle.json").write_bytes(b"\x1b[2J")
    monkeypatch.setattr("sys.argv", [str(AUDIT_SCRIPT), str(tmp_path / "bundle.json")])
    with pytest.raises(SystemExit) as caught:
        script["main"]()
    assert str(caught.value).startswith("rejected: ")
    assert "\x1b" not in str(caught.value)
