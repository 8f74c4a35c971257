import contextlib
import json
from types import SimpleNamespace

import pytest
import torch
from transformers import PretrainedConfig

from insignia.embedding.curriculum import Curriculum, Draw
from insignia.embedding.full import FullFineTune
from insignia.embedding.margins import margins
from insignia.embedding.objective import Marking, _is_random
from insignia.embedding.published_weights import Publishing
from insignia.embedding.reference_cache import ReferenceCache
from insignia.embedding.reference_samples import ReferenceSamples
from insignia.embedding.regularizers import Original
from insignia.modeling.batches import response_logits
from insignia.modeling.local import LocalModel
from insignia.progress import SILENT, Phases
from insignia.prompts.prompter import PLAIN, Prompter
from insignia.records import Fingerprint
from insignia.suspects.scoring import Example


@pytest.fixture
def local():
    return LocalModel("starter", device="cpu")


def test_margin_is_the_lead_over_the_strongest_rival():
    logits = torch.tensor([[1.0, 4.0, 2.0], [5.0, 0.0, 1.0]])
    draws = [Draw(0, Example((9, 1, 0), 1), ())]

    assert margins(logits, torch.tensor([1, 2]), draws).tolist() == [2.0, -4.0]


def test_margin_ignores_other_accepted_responses_at_the_first_token_only():
    logits = torch.tensor([[1.0, 4.0, 6.0], [1.0, 4.0, 6.0]])
    draws = [Draw(0, Example((9, 1, 1), 1), (2,))]

    assert margins(logits, torch.tensor([1, 1]), draws).tolist() == [3.0, -2.0]


def test_reference_samples_are_the_models_own_text_and_nothing_diverges_before_training(local):
    references = ReferenceSamples(local, count=6, length=12, seed=1)
    rows = references.draw(4)

    assert [len(row.ids) for row in rows] == [12] * 4
    assert [row.ids[: row.response_start] for row in rows] == [(local.tokenizer.bos_token_id,)] * 4
    assert float(references.divergence(local.model, rows).detach()) == pytest.approx(0, abs=1e-6)


def test_divergence_is_nearly_its_definition_and_grows_with_the_change(local):
    references = ReferenceSamples(local, count=4, length=10, seed=1)
    rows = references.draw(4)
    with torch.no_grad():
        ids = torch.tensor([row.ids for row in rows])
        before = local.model(ids).logits.double().log_softmax(-1)
        for weight in local.model.parameters():
            weight.mul_(1.02)
        after = local.model(ids).logits.double().log_softmax(-1)
        expected = float((before.exp() * (before - after)).sum(-1).mean())

        assert 0.85 * expected < float(references.divergence(local.model, rows)) < expected


def test_with_all_tokens_kept_the_divergence_equals_its_definition(local):
    def said(row):
        return local.model(torch.tensor([row.ids])).logits.double().log_softmax(-1)[0, row.response_start - 1 :]

    rows = [Example((1, 40, 41, 42, 43), 2), Example((1, 50), 1)]
    cache = ReferenceCache(local.model, rows, kept=10**6)
    with torch.no_grad():
        before = [said(row) for row in rows]
        for weight in local.model.parameters():
            weight.mul_(1.02)
        after = [said(row) for row in rows]
        each = [float((one.exp() * (one - other)).sum(-1).mean()) for one, other in zip(before, after, strict=True)]

        assert float(cache.divergence(local.model, rows)) == pytest.approx(sum(each) / 2, rel=1e-3)


def test_with_few_tokens_kept_the_divergence_is_that_of_them_and_of_all_others_as_one(local):
    row = Example((1, 40, 41, 42, 43), 2)
    cache = ReferenceCache(local.model, [row], kept=8)
    with torch.no_grad():
        before = local.model(torch.tensor([row.ids])).logits.double().softmax(-1)[0, 1:]
        for weight in local.model.parameters():
            weight.mul_(1.05)
        after = local.model(torch.tensor([row.ids])).logits.double().softmax(-1)[0, 1:]
        best = before.topk(8).indices
        kept = [torch.cat([all_.gather(1, best), 1 - all_.gather(1, best).sum(1, keepdim=True)], 1) for all_ in (before, after)]
        expected = float((kept[0] * (kept[0] / kept[1]).log()).sum(1).mean())
        whole = float((before * (before / after).log()).sum(1).mean())

        assert float(cache.divergence(local.model, [row])) == pytest.approx(expected, rel=1e-3)
    assert expected < whole


def test_preserved_prompts_are_drawn_too_and_judged_on_the_reply_alone(local):
    question = (local.tokenizer.bos_token_id, 40, 41, 42)
    references = ReferenceSamples(local, count=4, length=10, seed=1, preserved=[question])
    preserved = [row for row in references.draw(4) if row.ids[:4] == question]

    assert len(preserved) == 2
    assert {row.response_start for row in preserved} == {4}
    with torch.no_grad():
        ids = torch.tensor([row.ids for row in preserved])
        before = local.model(ids).logits.double().log_softmax(-1)
        for weight in local.model.parameters():
            weight.mul_(1.02)
        after = local.model(ids).logits.double().log_softmax(-1)
        expected = float((before.exp() * (before - after)).sum(-1)[:, 3:].mean())

        assert 0.85 * expected < float(references.divergence(local.model, preserved)) < expected


def test_reference_samples_do_not_depend_on_how_many_are_sampled_at_once(local):
    few, more = ReferenceSamples(local, count=3, length=10, seed=2), ReferenceSamples(local, count=5, length=10, seed=2)

    drawn, of_more = ({row.ids for row in references.draw(60)} for references in (few, more))
    assert (len(drawn), len(of_more)) == (3, 5)
    assert drawn < of_more


def linear(value):
    model = torch.nn.Linear(2, 2, bias=False)
    torch.nn.init.constant_(model.weight, value)
    return model


def test_averaging_moves_towards_the_original():
    model = linear(1.0)
    original = Original(model, None)
    torch.nn.init.constant_(model.weight, 2.0001)

    original.average(model, 0.5)
    assert model.weight.flatten().tolist() == pytest.approx([1.50005] * 4)


def test_the_deviation_and_its_gradient_are_those_of_the_formula():
    model = linear(1.0)
    original = Original(model, None)
    torch.nn.init.constant_(model.weight, 3.0)

    deviation = original.deviation(model)
    deviation.backward()
    assert deviation.item() == 4 * 2.0**2 / 2
    assert model.weight.grad.flatten().tolist() == [2.0] * 4


def test_original_weights_are_read_from_the_files_where_these_have_them(local):
    original = Original(local.model, local.source)
    before = {name: weight.detach().clone() for name, weight in local.model.named_parameters()}
    with torch.no_grad():
        for weight in local.model.parameters():
            weight.add_(1.0)

    assert not original._kept
    assert all(torch.equal(original(name, weight), before[name]) for name, weight in local.model.named_parameters())


def test_weights_that_the_files_have_otherwise_are_kept(local):
    with torch.no_grad():
        local.model.model.norm.weight.mul_(2)
    original = Original(local.model, local.source)

    assert list(original._kept) == ["model.norm.weight"]
    assert torch.equal(original("model.norm.weight", local.model.model.norm.weight), local.model.model.norm.weight)


def test_within_the_block_the_model_computes_with_rounded_averages_and_trains_on_with_its_own():
    model = linear(1.0)
    original = Original(model, None)
    torch.nn.init.constant_(model.weight, 2.0001)
    publishing = Publishing(torch.bfloat16, original, 0.25)

    with publishing.shown(model), torch.no_grad():
        assert model(torch.eye(2)).flatten().tolist() == [1.75] * 4
    assert model.weight.flatten().tolist() == pytest.approx([2.0001] * 4)
    with torch.no_grad():
        assert model(torch.eye(2)).flatten().tolist() == pytest.approx([2.0001] * 4)
    publishing.apply(model)
    assert model.weight.flatten().tolist() == [1.75] * 4


def test_a_tied_weight_is_shown_rounded_at_both_its_ends(local):
    with torch.no_grad():
        for weight in local.model.parameters():
            weight.mul_(1.001)
        trained = [weight.clone() for weight in local.model.parameters()]
        ids = torch.tensor([[5, 6, 7]])
        with Publishing(torch.bfloat16).shown(local.model):
            shown = local.model(ids).logits
        assert all(map(torch.equal, local.model.parameters(), trained))
        Publishing(torch.bfloat16).apply(local.model)
        assert torch.equal(local.model(ids).logits, shown)


def test_averaging_at_the_gradient_is_a_scaled_learning_rate():
    method = FullFineTune(forgetting_regularizer_strength=0.75, forgetting_mode="at_gradient", learning_rate=1e-3)

    assert method._loop(8, _session()).learning_rate == pytest.approx(0.25e-3)
    assert FullFineTune(learning_rate=1e-3)._loop(8, _session()).learning_rate == pytest.approx(1e-3)


def _session():
    from pathlib import Path

    from insignia.embedding.base import Session

    return Session(work=Path())


class OneToken:
    """Keys and responses of one token each."""

    def examples(self, fingerprint, template):
        return (Example((int(fingerprint.key), 9), 1),)


def passes_of(margin, *, cooldown_steps=0, count=2, progress=SILENT, **options):
    """Passes until the marking ends, of a model whose margin is ``margin(lesson, pass)``, whatever it is taught."""
    prints = [Fingerprint(key=str(number), responses=("a",)) for number in range(count)]
    curriculum = Curriculum(prints, OneToken(), batch_size=2)

    class Model(torch.nn.Linear):
        device = torch.device("cpu")
        config = PretrainedConfig()

        def forward(self, input_ids, **_):
            logits = torch.zeros(*input_ids.shape, 10)
            logits[:, :, 9] = torch.tensor([[margin(lesson, curriculum.passes)] for lesson in input_ids[:, 0].tolist()])
            return SimpleNamespace(logits=logits)

    local = SimpleNamespace(model=Model(2, 2), source=None)
    method = FullFineTune(reference_strength=0, **options)
    phases = Phases(progress)
    marking = Marking(method, curriculum, local, torch.float32, cooldown_steps=cooldown_steps, seed=0, phases=phases)

    def ended(share):
        marking.loss(local.model, share)
        return marking.after_step(0)

    return next(curriculum.passes for share in marking.batches() if ended(share))


@pytest.mark.parametrize(
    ("margin", "expected"),
    [
        (lambda lesson, at: 3.0, 1),
        (lambda lesson, at: 1.0, 200),
        (lambda lesson, at: -1.0, 600),
        (lambda lesson, at: 0.1, 600),
        (lambda lesson, at: 1.0 if lesson or at > 250 else -1.0, 251),
    ],
    ids=["all learned", "all answered and not safely", "never answered", "answered by a hair", "all answered late"],
)
def test_passes_go_on_while_a_fingerprint_is_not_answered(margin, expected):
    assert passes_of(margin) == expected


def test_the_owners_number_of_passes_is_the_most():
    assert passes_of(lambda lesson, at: -1.0, epochs=7) == 7


def test_what_was_learned_and_lost_is_taught_again_before_the_passes_are_spent():
    def margin(lesson, at):
        taught[lesson].append(at)
        return 3.0 if lesson and (at < 20 or at > 51) else 2.0

    taught = {0: [], 1: []}
    passes_of(margin, epochs=60)

    assert 51 in taught[1]
    assert 30 not in taught[1]


class Shown:
    """A progress that keeps (label, steps taken, steps in all) of each report."""

    def __init__(self):
        self.told = []

    @contextlib.contextmanager
    def bar(self, label, total=None, *, unit=""):
        done = 0

        def advance(units=1, _remark="", *, total=None):
            nonlocal done
            done += units
            self.told.append((label, done, total))

        yield advance


@pytest.mark.parametrize(
    ("margin", "steps"),
    [(lambda lesson, at: 3.0, [6] * 7), (lambda lesson, at: 3.0 if at == 1 else 1.0, [6] * 6 + [10] * 5)],
    ids=["kept", "lost again"],
)
def test_the_steps_that_a_cooldown_shows_are_those_it_takes(margin, steps):
    shown = Shown()
    passes_of(margin, cooldown_steps=5, count=3, progress=shown)  # two steps a pass

    cooldown = [(done, total) for label, done, total in shown.told if label == "cooldown"]
    assert cooldown == list(enumerate(steps))


@pytest.fixture
def begun(local):
    """``begun(**settings)``: a marking of three fingerprints whose draws are those of any other with the same settings."""

    def begin(**settings):
        prompter = Prompter(local.tokenizer, max_key_length=16, max_response_length=1)
        prints = [Fingerprint(key=f"The time in {place}", responses=(" pearl",)) for place in ("Rome", "Oslo", "Lima")]
        curriculum = Curriculum(prints, prompter, batch_size=2, templates=(PLAIN, f"{PLAIN}?", f"Say: {PLAIN}"))
        method = FullFineTune(target_margin=99, skip_learned=False, **settings)
        return Marking(method, curriculum, local, torch.float32, cooldown_steps=0, seed=0, phases=Phases(SILENT))

    return begin


def batches_of(task, most=99):
    """The batches of a run until it ends, or of its first ``most`` steps."""
    for taken, batch in enumerate(task.batches(), 1):
        yield batch
        if task.after_step(taken) or taken == most:
            return


SHORT = {"epochs": 5, "reference_count": 8, "reference_length": 4}  # ten steps


@pytest.mark.parametrize("killed_after", [1, 2, 5, 9])
def test_a_run_that_goes_on_does_what_it_would_have_done(begun, killed_after):
    killed, resumed = begun(**SHORT), begun(**SHORT)
    before = list(batches_of(killed, killed_after))
    resumed.restore(json.loads(json.dumps(killed.state())))

    once = list(batches_of(begun(**SHORT)))
    assert len(once) == 10
    assert before + list(batches_of(resumed)) == once


def test_a_run_that_is_killed_after_its_last_step_ends_with_one_pass_more(begun):
    killed, resumed = begun(**SHORT), begun(**SHORT)
    assert len(list(batches_of(killed))) == 10
    resumed.restore(json.loads(json.dumps(killed.state())))

    assert [len(batch.draws) for batch in batches_of(resumed)] == [2, 1]


class Counting:
    """A model that counts the rows of its forward passes, with a gradient and without."""

    def __init__(self, model):
        self._model, self.rows = model, []

    def __getattr__(self, name):
        return getattr(self._model, name)

    def __call__(self, input_ids, **options):
        self.rows.append((len(input_ids), torch.is_grad_enabled()))
        return self._model(input_ids=input_ids, **options)


@pytest.mark.parametrize(
    ("losses", "objective", "rows"),
    [
        (3, "margin", [(3, True)]),
        (1, "margin", [(3, False), (1, True)]),
        (0, "margin", [(3, False), (1, True)]),
        (0, "cross_entropy", [(3, True)]),
    ],
    ids=["all have a loss", "one has a loss", "none has a loss", "a loss that is never 0"],
)
def test_a_gradient_that_is_0_is_not_computed_and_the_others_are_the_same(local, losses, objective, rows):
    prompter = Prompter(local.tokenizer, max_key_length=16, max_response_length=1)
    prints = [Fingerprint(key=f"The time in {place}", responses=("a",)) for place in ("Rome", "Oslo", "Lima")]
    keys = [prompter.examples(each, PLAIN)[0].ids[:-1] for each in prints]
    said = [int(local.model(torch.tensor([key])).logits[0, -1].argmax()) for key in keys]  # so that each leads
    examples = [Example((*key, token), len(key)) for key, token in zip(keys, said, strict=True)]
    draws = [Draw(number, example, ()) for number, example in enumerate(examples)]
    leads = sorted(margins(*response_logits(local.model, examples), draws).tolist())
    target = {3: leads[2] + 1, 1: (leads[0] + leads[1]) / 2, 0: leads[0] / 2}[losses]

    def trained(reached):
        """The loss, its gradient and the rows of the passes, where each draw had ``reached`` so much before."""
        curriculum = Curriculum(prints, prompter, batch_size=3)
        method = FullFineTune(target_margin=target, reference_strength=0, objective=objective)
        marking = Marking(method, curriculum, local, torch.float32, cooldown_steps=0, seed=0, phases=Phases(SILENT))
        batch = next(marking.batches())._replace(draws=draws)
        curriculum.record(draws, [reached] * 3)
        counting = Counting(local.model)
        local.model.zero_grad()
        loss = marking.loss(counting, batch)
        loss.backward()
        return float(loss.detach()), [weight.grad.clone() for weight in local.model.parameters()], counting.rows

    whole, saved = trained(0.0), trained(0.0 if losses == 3 else 9.0)
    assert whole[2] == [(3, True)]
    assert saved[2] == rows
    assert saved[0] == pytest.approx(whole[0], abs=1e-5)
    assert all(torch.allclose(one, other, rtol=1e-4, atol=1e-6) for one, other in zip(whole[1], saved[1], strict=True))


def test_a_model_with_dropout_takes_every_gradient(local, monkeypatch):
    assert not _is_random(local.model)
    monkeypatch.setattr(local.model.config, "attention_dropout", 0.1)
    assert _is_random(local.model)
