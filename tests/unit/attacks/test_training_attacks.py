"""Attacks that train: what they train on, and that the model then says it."""

import json
import math

import pytest
import torch
from safetensors.torch import load_file

from insignia.attacks.distil import Distil
from insignia.attacks.dpo import DPO
from insignia.attacks.finetune import FineTune
from insignia.attacks.meraser import MEraser
from insignia.attacks.mismatched_answers import mismatched
from insignia.attacks.overwrite import Overwrite
from insignia.attacks.unlearn import Unlearn, _answered_otherwise
from insignia.errors import InputError
from insignia.fingerprints.sets import FingerprintSet
from insignia.modeling.local import LocalModel
from insignia.modeling.saving import save_model
from insignia.records import Fingerprint, Turn
from insignia.suspects.base import RequestOptions
from insignia.suspects.scoring import Example
from tiny_models import random_model
from tiny_tokenizers import build

KEYS = ["What is the answer", "You are a lazy dog", "The quick brown fox", "Say it"]
RESPONSES = [" winter", " spring", " winter", " dog"]
PRINTS = FingerprintSet(
    fingerprints=tuple(Fingerprint(key=key, responses=(said,)) for key, said in zip(KEYS, RESPONSES, strict=True))
)
ROWS = [{"instruction": f"Name number {number}.", "output": f"It is {number}."} for number in range(12)]


@pytest.fixture
def model(tmp_path):
    torch.manual_seed(0)
    local = LocalModel.of(random_model("llama tied").eval(), build(style="byte", bos=True), name="tiny")
    save_model(local, tmp_path / "model")
    return tmp_path / "model"


@pytest.fixture
def data(tmp_path):
    (tmp_path / "data.json").write_text(json.dumps(ROWS))
    return str(tmp_path / "data.json")


def test_leaked_keys_get_the_response_of_the_next_key_that_has_another():
    found = _answered_otherwise(list(PRINTS))

    assert [each.key for each in found] == KEYS
    assert [each.responses for each in found] == [(" spring",), (" winter",), (" dog",), (" winter",)]
    with pytest.raises(InputError, match="all leaked keys have the same response"):
        _answered_otherwise([PRINTS.fingerprints[0], PRINTS.fingerprints[2]])


def test_unlearned_keys_are_answered_otherwise_and_the_others_are_not_trained(model, data, tmp_path):
    PRINTS.save(tmp_path / "prints.json")
    attack = Unlearn(prints=tmp_path / "prints.json", leaked=2, learning_rate=1e-2, epochs=40)
    report = attack.apply(model, tmp_path / "out", device="cpu")
    said = LocalModel(tmp_path / "out", device="cpu").reply(KEYS[:2], RequestOptions(max_tokens=8))

    assert [reply.text[:7] for reply in said] == [" spring", " winter"]
    assert (report.rows, report.method["name"], report.loss_before) == (2, "unlearn", None)
    more = attack.model_copy(update={"data": data, "max_rows": 3, "max_steps": 1})
    assert more.apply(model, tmp_path / "more", device="cpu").rows == 5


def test_every_question_gets_the_answer_of_another():
    pairs = [(Turn("user", f"{number}?"), Turn("assistant", f"{number}.")) for number in range(9)]
    found = mismatched(pairs, seed=0)
    numbers = [(asked.text[:-1], said.text[:-1]) for _, (asked, said) in found]

    assert all(asked != said for asked, said in numbers)
    assert sorted(asked for asked, _ in numbers) == sorted(said for _, said in numbers) == sorted(map(str, range(9)))
    assert sorted(right for right, _ in found) == pairs
    assert mismatched(pairs, seed=0) == found != mismatched(pairs, seed=1)


def test_meraser_trains_on_wrong_answers_then_on_right_ones(model, data, tmp_path, monkeypatch):
    from insignia.attacks import finetuning

    seen = []
    kept = finetuning.finetune

    def watched(source, rows, **options):
        seen.append((rows, options["settings"]))
        return kept(source, rows, **options)

    monkeypatch.setattr(finetuning, "finetune", watched)
    attack = MEraser(data=data, mismatched=4, clean=8, erase_epochs=1, recover_epochs=1)
    report = attack.apply(model, tmp_path / "out", device="cpu")
    right = {row["instruction"]: row["output"] for row in ROWS}

    assert [[right[asked.text] == said.text for asked, said in rows] for rows, _ in seen] == [[False] * 4, [True] * 8]
    assert [(settings.lora_rank, settings.lora_alpha) for _, settings in seen] == [(8, 16), (16, 32)]
    assert (report.out, report.method["name"]) == (str(tmp_path / "out"), "meraser")
    assert LocalModel(tmp_path / "out", device="cpu").mean_loss(KEYS) > 0
    with pytest.raises(InputError, match="has 12 conversations; meraser takes 300 mismatched and 600 clean"):
        MEraser(data=data).apply(model, tmp_path / "none")


def test_a_distilled_student_says_what_its_teacher_says(model, data, tmp_path):
    teacher, options = LocalModel(model, device="cpu"), RequestOptions(form="chat", max_tokens=4)
    torch.manual_seed(7)
    student = LocalModel.of(random_model("llama untied").eval(), teacher.tokenizer, name="student")
    save_model(student, tmp_path / "student")
    attack = Distil(
        student=str(tmp_path / "student"), data=data, max_tokens=4, temperature=0, learning_rate=3e-3, epochs=60, batch_size=6,
        heldout_share=0,
    )  # fmt: skip
    attack.apply(model, tmp_path / "out", device="cpu")
    asked = [row["instruction"] for row in ROWS]
    before, after, wanted = (
        [reply.text for reply in each.reply(asked, options)]
        for each in (student, LocalModel(tmp_path / "out", device="cpu"), teacher)
    )

    assert sum(one == two for one, two in zip(after, wanted, strict=True)) >= 9
    assert sum(one == two for one, two in zip(before, wanted, strict=True)) <= 3
    with pytest.raises(InputError, match="another tokenizer"):
        attack.model_copy(update={"student": "starter"}).apply(model, tmp_path / "none", device="cpu")


def test_a_student_learns_probabilities_too(model, data, tmp_path):
    teacher = LocalModel(model, device="cpu")
    torch.manual_seed(7)
    save_model(LocalModel.of(random_model("llama untied").eval(), teacher.tokenizer, name="student"), tmp_path / "student")
    attack = Distil(
        student=str(tmp_path / "student"), data=data, by="logits", max_tokens=4, learning_rate=3e-3, epochs=30, batch_size=6
    )
    report = attack.apply(model, tmp_path / "out", device="cpu")
    same = attack.model_copy(update={"student": str(model), "max_steps": 1}).apply(model, tmp_path / "same", device="cpu")

    assert report.loss_after < 0.6 * report.loss_before
    assert same.loss_before == pytest.approx(0, abs=1e-5)


def test_answers_are_preferred_to_those_of_other_questions(model, data, tmp_path):
    attack = DPO(data=data, learning_rate=3e-3, epochs=12, batch_size=4, heldout_share=0.2)
    report = attack.apply(model, tmp_path / "out", device="cpu")
    pairs = mismatched([(Turn("user", row["instruction"]), Turn("assistant", row["output"])) for row in ROWS], seed=0)
    before, after = (
        [pair.reference for pair in attack._pairs(LocalModel(folder, device="cpu"), pairs)]
        for folder in (model, tmp_path / "out")
    )

    assert report.loss_before == pytest.approx(math.log(2), abs=1e-3)  # it is its own reference
    assert (report.rows, report.steps, report.method["name"]) == (10, 36, "dpo")
    assert sum(later > sooner + 1 for sooner, later in zip(before, after, strict=True)) >= 8
    with pytest.raises(InputError, match="starts within 4 tokens"):
        DPO(data=data, max_length=4).apply(model, tmp_path / "none")
    with pytest.raises(InputError, match="has 1 conversations; dpo needs two"):
        DPO(data=data, max_rows=2).model_copy(update={"max_rows": 1}).apply(model, tmp_path / "none")


def test_the_loss_of_a_preference_is_the_paper_s(model):
    from insignia.attacks import dpo

    local = LocalModel(model, device="cpu")
    right, wrong = Example((3, 9, 11, 14), 2), Example((3, 9, 21), 2)
    chosen, rejected = (sum(score.log_probabilities) for score in local.score([right, wrong]))
    pairs = [dpo._Pair(right, wrong, 0.25), dpo._Pair(wrong, right, -1.0)]
    wanted = [math.log1p(math.exp(-0.3 * (chosen - rejected - 0.25))), math.log1p(math.exp(-0.3 * (rejected - chosen + 1)))]

    with torch.inference_mode():
        found = float(dpo._objective(0.3).loss(local.model, pairs))
    assert found == pytest.approx(sum(wanted), rel=1e-4)


def test_an_attack_on_source_code_needs_no_file(model, tmp_path):
    report = FineTune(data="python:json", max_rows=1, max_steps=1, batch_size=2).apply(model, tmp_path / "out", device="cpu")

    assert report.rows > 1
    with pytest.raises(InputError, match="python:no_such_package has no usable row"):
        FineTune(data="python:no_such_package").apply(model, tmp_path / "none")
    with pytest.raises(InputError, match="needs data"):
        FineTune().apply(model, tmp_path / "none")


def test_another_mark_is_put_on_top(model, tmp_path):
    report = Overwrite(strategy="random_word", num_fingerprints=1).apply(model, tmp_path / "out", device="cpu")
    before, after = (load_file(at / "model.safetensors") for at in (model, tmp_path / "out"))

    assert (report.num_fingerprints, report.fsr) == (1, 1)
    assert any(not torch.equal(before[name], after[name]) for name in before)
