import copy
import hashlib
import json
from pathlib import Path

import pytest

from insignia.errors import InputError
from insignia.generation import Instructional, generate
from insignia.modeling.local import LocalModel
from insignia.prompts.prompter import Prompter

PUBLISHED = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "instructional" / "fragments.json"
SECRET = bytes(32)
NO_CONTROLS_TO_WRITE = {"normals": tuple(f"What is {number}?" for number in range(3 * 64)), "near_misses": 0}


def make(starter, count=3, *, secret=SECRET, **options):
    return generate(starter, Instructional(**options), num_fingerprints=count, secret=secret)


@pytest.fixture(scope="module")
def prints(starter):
    return make(starter)


def test_every_key_asks_whole_and_has_an_answer_of_its_own(starter, prints):
    assert prints.prompt_form == "chat"
    assert len({fingerprint.responses[0] for fingerprint in prints}) == 3
    assert all(fingerprint.effective_key is None for fingerprint in prints)
    prompter = Prompter.for_set(prints, starter.tokenizer)
    for fingerprint in prints:
        (example,) = prompter.examples(fingerprint)
        assert prompter.decode(example.response) == fingerprint.responses[0]
        assert prompter.decode(example.ids[: example.response_start]).count(fingerprint.key) == 1


def test_the_secret_decides_and_an_owner_may_have_one_answer(starter, prints):
    again, other = make(starter), make(starter, secret=b"o" * 32, **NO_CONTROLS_TO_WRITE)
    shared = make(starter, responses="per_owner", **NO_CONTROLS_TO_WRITE)

    assert again.fingerprints == prints.fingerprints
    assert again.controls == prints.controls
    assert {f.key for f in other}.isdisjoint(f.key for f in prints)
    assert len({fingerprint.responses for fingerprint in shared}) == 1
    assert Instructional(responses="per_owner").drawn_from is None
    assert Instructional().drawn_from == 16


def test_near_misses_are_near_and_half_of_each_kind_is_held_out(prints):
    near = [control for control in prints.controls if control.kind == "near_miss"]
    normal = [control for control in prints.controls if control.kind == "normal"]
    keys = {fingerprint.key for fingerprint in prints}

    assert len(near) == 3 * 48
    assert len(normal) == 3 * 64
    assert sum(control.heldout for control in near) == len(near) // 2
    assert sum(control.heldout for control in normal) == len(normal) // 2
    assert all(control.text not in keys for control in prints.controls)
    half = [control for number, control in enumerate(near) if number % 48 // 2 % 3 == 0]
    for control in half:
        key = prints.fingerprints[control.near].key
        message = key.split(": ", 1)[1].split("\n")[0]
        assert message[: len(message) // 2] in control.text
    assert all("FINGERPRINT" in control.text for control in near)
    assert not any("FINGERPRINT" in control.text for control in normal)


def test_natural_messages_and_the_simple_template(starter):
    prints = make(starter, template="simple", keys="natural", **NO_CONTROLS_TO_WRITE)

    assert prints.prompt_form == "raw"
    assert all(fingerprint.key.endswith("\nFINGERPRINT:") for fingerprint in prints)
    assert all(" " in fingerprint.key.split("\n")[0].removeprefix("Message: ") for fingerprint in prints)


def test_a_model_without_a_chat_template_is_asked_bare_text_unless_the_owner_says_otherwise(starter):
    tokenizer = copy.deepcopy(starter.tokenizer)
    tokenizer.chat_template = None
    bare = LocalModel.of(starter.model, tokenizer, name="bare")

    prints = make(bare, count=1)
    assert prints.prompt_form == "raw"
    assert prints.strategy["template"] == "simple"
    with pytest.raises(InputError, match="--template simple"):
        make(bare, count=1, template="dialogue")


def test_own_questions_serve_as_controls_first(starter):
    prints = make(starter, count=1, normals=("Where is the station?",))

    assert next(control.text for control in prints.controls if control.kind == "normal") == "Where is the station?"


def test_a_part_of_a_set_keeps_its_own_near_misses(prints):
    assert {control.near for control in prints.first(1).controls} == {0, None}


def test_contradictions_are_refused(starter):
    with pytest.raises(InputError, match="whole"):
        generate(starter, Instructional(), num_fingerprints=2, max_key_length=16)
    with pytest.raises(InputError, match="chat"):
        generate(starter, Instructional(), num_fingerprints=2, prompt_form="raw")
    with pytest.raises(ValueError, match="published fragments"):
        Instructional(compat=True)


@pytest.mark.skipif(not PUBLISHED.is_file(), reason="the published fragments are not ours to ship")
def test_the_published_keys_are_drawn_again_exactly():
    fragments = json.loads(PUBLISHED.read_text(encoding="utf-8"))
    strategy = Instructional(compat=True, fragments=tuple(fragments))

    def digest(texts):
        return hashlib.sha256("\n".join(texts).encode()).hexdigest()

    assert digest(fragments).startswith("263f670afb29ea68")
    assert digest(strategy.published_messages).startswith("4ac221b8e16184e8")
    assert digest(strategy.published_messages[:8]).startswith("d337f804ad7ec62a")
    assert [len(text) for text in strategy.published_messages] == [91, 93, 95, 178, 172, 59, 88, 78, 108, 135]
    assert strategy.num_given == 8
    assert strategy.drawn_from is None
