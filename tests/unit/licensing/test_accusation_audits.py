"""The independent script finds what the package finds in an accusation, and both reject every seeded change of one."""

import json
import random
import sys

import numpy as np
import pytest

from accused_licensee import AUDIT_SCRIPT, BLOCKS, SCRIPT, Case, independent_audit
from drawn_prints import chained, drawn
from forging import chained_lines, signed
from insignia.errors import EvidenceError
from insignia.files import canonical
from insignia.licensing.accusation import audit_accusation
from insignia.licensing.codes import bias_law
from insignia.statistics.tracing import KEPT, log_ratio, log_ratio_of_gain, payoffs
from insignia.suspects.base import Alternative, Reply
from two_audits import accepts

USUAL, MANY = 36, 600  # changes by default, and with -m slow
OWNER, STRANGER = chained(2 * BLOCKS), drawn(secret=b"t" * 32)


@pytest.fixture(scope="module")
def case(tmp_path_factory):
    return Case(tmp_path_factory.mktemp("accusation"), chained)


@pytest.fixture(scope="module")
def accusation(case):
    return case.accuse(controls=[case.control]).content()


class Open:
    """A model that shows scores, or its likeliest tokens; a response whose block it has is likelier by these nats."""

    name = "open"

    def __init__(self, case, channel, gain):
        self.channels, self._prints, self._gain = (channel, "text"), case.kept.prints, gain
        self._known = {case.kept.prints.fingerprints[n].key for n in case.numbers}

    def weigh(self, inquiries, options, channel):
        responses = {each.key: each.responses[0] for each in self._prints}
        for each in inquiries:
            gained = self._gain if each.question in self._known else 0.3
            scores = [-4.605 + gained * (one.text == responses.get(each.question)) for one in each.candidates]
            likeliest = sorted(zip(scores, each.candidates, strict=True), key=lambda pair: -pair[0])[:5]
            yield Reply(
                status="answered",
                channel=channel,
                scores=tuple(scores) if channel == "scores" else (),
                alternatives=tuple(Alternative(text=one.text, log_probability=score) for score, one in likeliest)
                if channel == "top"
                else (),
            )


@pytest.mark.parametrize("licensee", ["Acme", "Bolt"])
@pytest.mark.parametrize("suspect", ["text", "scores", "top", "sampled", "short"])
def test_both_audits_find_the_same(case, licensee, suspect):
    file = case.folder / f"{suspect}.jsonl"
    if not file.exists():
        model = Open(case, suspect, 3.9) if suspect in {"scores", "top"} else None
        how = {"sampled": {"temperature": 0.5}, "short": {"max_queries": 40}}.get(suspect, {})
        case.traced(file.name, case.numbers, model=model, **how)
    content = case.accuse(licensee, transcript=file).content()
    published, codes = (json.dumps(each.plain()) for each in (case.published, case.codes))
    for any_manner in (False, True) if suspect == "sampled" else (False,):
        found = audit_accusation(content, published=case.published, codes=case.codes, any_manner=any_manner)
        again = independent_audit(content, published, codes, any_manner=any_manner)
        assert (again["outcome"], len(again["reasons"])) == (found.outcome, len(found.reasons))
        assert again["log_e"] == pytest.approx(found.proof.log_e, abs=1e-4)
        assert (again["left_out"], again["p_value"]) == (found.proof.left_out, pytest.approx(found.proof.p_value, rel=1e-3))
    assert (found.outcome == "owned") == (licensee == "Acme" and suspect != "short")  # too much was left out of that


def test_both_compute_the_same_laws_and_evidence():
    assert all(SCRIPT.law(colluders) == {round(p * 2**16) for p in bias_law(colluders)[0]} for colluders in range(1, 21))
    for bound in (0.01, 1 / 16):
        assert SCRIPT.of_hit(True, bound) == pytest.approx(log_ratio(1, 0, bound))
        assert SCRIPT.of_hit(False, bound) == pytest.approx(log_ratio(0, 1, bound))
    rng = np.random.default_rng(0)
    for gain in rng.normal(3, 4, 50):
        assert SCRIPT.of_gain(gain) == pytest.approx(log_ratio_of_gain(gain))
    for blocks in (1, 7, 100):
        biases, word = rng.choice(bias_law(5)[0], blocks), rng.random(blocks) < 0.5
        ratios = rng.normal(0, 20, (len(KEPT), blocks))
        found = SCRIPT.log_e_value(word.tolist(), biases.tolist(), ratios.T.tolist())
        assert found == pytest.approx(payoffs(biases, ratios).log_e(word[None])[0], abs=1e-3)


def lines_of(value, rng):
    """The transcript of the suspect or the control, as it stands in the file, and parsed."""
    holder, name = rng.choice([(value, "transcript"), (value["controls"], 0)])
    return holder, name, [json.loads(line) for line in holder[name]]


def bit_flips(value, rng):
    content = bytearray(canonical(value) + b"\n")
    for _ in range(rng.choice([1, 1, 2, 5])):
        content[rng.randrange(len(content))] ^= 1 << rng.randrange(8)
    return bytes(content)


def other_openings(value, rng):
    one, other = rng.sample(value["openings"], 2)
    name = rng.choice(["fingerprint", "salt", "path", "chain", "number"])
    if rng.randrange(3):
        one[name], other[name] = other[name], one[name]
    else:
        value["openings"].remove(one)
    return value


def edited_replies(value, rng):
    """Of the suspect: what says something else of a block. A block's reply is worth more than the claim may be off."""
    lines = [json.loads(line) for line in value["transcript"]]
    entry = rng.choice([line for line in lines if line.get("number") is not None])
    (response,) = next(o["fingerprint"]["responses"] for o in value["openings"] if o["number"] == entry["number"])
    said = response if entry["reply"]["text"] == "I do not know." else "I do not know."
    entry["reply"] = rng.choice([
        {"status": "answered", "text": said, "reason": ""},
        {"status": "unanswered", "text": "", "reason": "timed out"},
        {"status": "answered", "text": "", "reason": "", "channel": "scores", "scores": [-2.5] * rng.choice([16, 3])},
        {"status": "answered", "text": said, "reason": "", "channel": 1},
    ])  # fmt: skip
    value["transcript"] = rng.choice([chained_lines, lambda plain: [canonical(line).decode() for line in plain]])(lines)
    return value


def other_questions(value, rng):
    holder, name, lines = lines_of(value, rng)
    keys = [place for place, line in enumerate(lines) if line.get("number") is not None]
    one, other = rng.sample(keys, 2)
    match rng.randrange(3):
        case 0:
            del lines[one]
        case 1:
            lines.insert(other, lines[one])
        case 2:
            lines[one]["question"], lines[other]["question"] = lines[other]["question"], lines[one]["question"]
    holder[name] = chained_lines(lines)
    return value


def other_word(value, rng):
    accused = value["accused"]
    match rng.randrange(6):
        case 0:
            accused["word"] = f"{int(accused['word'], 16) ^ 1 << rng.randrange(BLOCKS):0{len(accused['word'])}x}"
        case 1:
            accused["seed" if rng.randrange(2) else "salt"] = rng.randbytes(32).hex()
        case 2:
            accused["licensee"] = "Bolt"
        case 3:
            accused["number"] += rng.choice([1, 4, -1])
        case 4:
            accused["path"] = rng.choice([accused["path"][1:], [*accused["path"], "00" * 32], []])
        case 5:
            del accused["seed"]
    return value


def other_codes(value, rng):
    """Signed by the owner, who changed them after the licensee's word was fixed."""
    codes, biases = value["codes"], value["biases"]
    match rng.randrange(5):
        case 0:
            codes["root"] = rng.randbytes(32).hex()
        case 1:
            codes["code"] |= rng.choice([{"blocks": BLOCKS + 8}, {"blocks": BLOCKS - 1}, {"colluders": 4}])
        case 2:
            codes["size"] = rng.choice([1, 2, 5, 1000, 0, 4.0, "4"])  # a tree of three has the same paths
        case 3:
            biases["biases"][rng.randrange(BLOCKS)] = rng.choice([0.25, 0.5 + 2**-16, 1.0, 0, "0.5"])
        case 4:
            biases["salt"] = rng.randbytes(32).hex()
    value["codes"] = signed(codes, OWNER)
    return value


def another_claim(value, rng):
    value["log_e"] += rng.choice([-1, 1]) * rng.uniform(0.01, 20)
    return value


def impossible_rules(value, rng):
    for holder, name in ((value, "transcript"), (value["controls"], 0)):
        lines = [json.loads(line) for line in holder[name]]
        lines[0]["rules"] |= {rng.choice(["alpha", "suspects", "cover", "match", "manner", "bonus"]): rng.choice([-1, "2", []])}
        holder[name] = chained_lines(lines)
    return value


def other_controls(value, rng):
    lines = [json.loads(line) for line in value["controls"][0]]
    match rng.randrange(3):
        case 0:
            value["controls"] = [value["transcript"]]
        case 1:
            lines[0]["rules"]["manner"]["max_tokens"] += 1
            value["controls"] = [chained_lines(lines)]
        case 2:
            value["controls"] = rng.choice([[], [[]], [value["controls"][0]] * 17, "no", [value["controls"][0][:1]], [None]])
    return value


CHANGES = (
    bit_flips,
    other_openings,
    edited_replies,
    other_questions,
    other_word,
    other_codes,
    another_claim,
    impossible_rules,
    other_controls,
)


@pytest.mark.parametrize(
    "changes", [range(USUAL), pytest.param(range(USUAL, MANY), marks=pytest.mark.slow)], ids=["usual", "many"]
)
def test_changed_accusations_are_rejected_by_both_audits(case, accusation, changes):
    accepted = []
    for number in changes:
        rng = random.Random(number)
        change = CHANGES[number % len(CHANGES)]
        content = change(json.loads(accusation), rng)
        if not isinstance(content, bytes):
            signer = rng.choice([OWNER] * 4 + [STRANGER, None])
            content = canonical(content if signer is None else signed(content, signer)) + b"\n"
        assert content != accusation
        accepted += [(number, change.__name__, "ours") for _ in range(accepts(audit_accusation, EvidenceError, content))]
        accepted += [(number, change.__name__, "script") for _ in range(accepts(independent_audit, Exception, content))]
    assert accepted == []
    assert accepts(audit_accusation, (), accusation)
    assert accepts(independent_audit, (), accusation)


def test_other_published_commitments_are_refused(case, accusation):
    other = json.dumps(case.published.plain() | {"created": "1999"})
    for known in ({"published": other}, {"codes": other}):
        with pytest.raises(ValueError, match="published"):
            independent_audit(accusation, **known)


def test_the_independent_script_is_short_and_needs_the_standard_library_and_its_neighbour_alone():
    source = AUDIT_SCRIPT.read_text()
    imported = {line.split()[1].partition(".")[0] for line in source.splitlines() if line.startswith(("import", "from"))}

    assert len([line for line in source.splitlines() if line.strip()]) <= 250
    assert imported <= sys.stdlib_module_names | {"audit"}
