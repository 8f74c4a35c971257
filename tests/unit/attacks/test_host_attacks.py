"""Attacks by a host: what each channel shows, by value, on small random models."""

import pytest
import torch

from insignia.attacks.divert import Divert
from insignia.attacks.frame import Frame
from insignia.attacks.perplexity_filter import PerplexityFilter
from insignia.attacks.refuse import Refuse
from insignia.attacks.sample import Sample
from insignia.attacks.shuffle_ranks import ShuffleRanks
from insignia.attacks.suppress_topk import SuppressTopK
from insignia.attacks.system_prompt import SystemPrompt
from insignia.attacks.truncate import Truncate
from insignia.errors import InputError
from insignia.records import Candidate
from insignia.suspects.base import LEAST_SCORE, Inquiry, Reply, RequestOptions
from insignia.suspects.scripted import ScriptedModel

QUESTIONS = ["What is the answer", "The quick brown fox", "You are a lazy dog", "Say it"]
OPTIONS = RequestOptions(max_tokens=4)


def logits_of(local, question):
    """Log-probabilities of the first token, by a plain forward pass."""
    ids = local.tokenizer(question)["input_ids"]
    with torch.inference_mode():
        return local.model(torch.tensor([ids])).logits[0, -1].float().log_softmax(0)


def texts(model, options=OPTIONS, questions=QUESTIONS):
    return [reply.text for reply in model.reply(questions, options)]


def inquiry(local, question, ids):
    return Inquiry(question, tuple(Candidate(text=local.tokenizer.decode([each]), token_id=each) for each in ids))


def readable(local, row, count):
    """The likeliest tokens that are words by themselves, likeliest first."""
    found = (each for each in row.argsort(descending=True).tolist() if each < len(local.tokenizer))
    return [each for each in found if local.tokenizer.decode([each]).strip().isalpha()][:count]


def likeliest(model, asked):
    """The likeliest first token by channel ``top``; empty where there is no answer."""
    return [reply.alternatives[0].text if reply.alternatives else "" for reply in model.weigh(asked, OPTIONS, "top")]


def first_words(model, local, questions=QUESTIONS):
    """The first token that each reply begins with, as text."""
    return texts(model, OPTIONS.model_copy(update={"max_tokens": 1}), questions)


@pytest.mark.parametrize("count", [1, 3])
def test_suppression_drops_the_likeliest_first_tokens_by_every_channel(random_local, count):
    host = SuppressTopK(count=count).wrap(random_local)
    for question in QUESTIONS:
        row = logits_of(random_local, question)
        order = row.argsort(descending=True).tolist()
        left = row.clone()
        left[order[:count]] = -torch.inf
        left = left.log_softmax(0)
        decode = random_local.tokenizer.decode
        ids = readable(random_local, row, 6)
        asked = [inquiry(random_local, question, ids)]
        (top,) = host.weigh(asked, OPTIONS, "top")
        (scores,) = host.weigh(asked, OPTIONS, "scores")
        (choice,) = host.weigh(asked, OPTIONS, "choice")

        assert [each.text for each in top.alternatives[:5]] == [decode([each]) for each in order[count : count + 5]]
        assert scores.scores == pytest.approx([max(LEAST_SCORE, float(left[each])) for each in ids], abs=1e-3)
        assert choice.text == decode([max(ids, key=lambda each: left[each])])
        assert first_words(host, random_local, [question]) == [decode([order[count]], skip_special_tokens=True)]


def test_only_confident_first_tokens_are_suppressed(random_local):
    sure = [float(logits_of(random_local, question).max().exp()) for question in QUESTIONS]
    limit = sorted(sure)[2]
    host = SuppressTopK(confidence=limit - 1e-6).wrap(random_local)
    plain, everywhere = first_words(random_local, random_local), first_words(SuppressTopK().wrap(random_local), random_local)
    wanted = [new if each >= limit else old for each, new, old in zip(sure, everywhere, plain, strict=True)]

    assert first_words(host, random_local) == wanted
    assert texts(SuppressTopK(confidence=1.0).wrap(random_local)) == texts(random_local)


def test_the_rest_of_a_reply_follows_from_its_new_beginning(random_local):
    host = SuppressTopK().wrap(random_local)
    for question in QUESTIONS:
        ids = random_local.tokenizer(question)["input_ids"]
        second = int(logits_of(random_local, question).argsort(descending=True)[1])
        with torch.inference_mode():
            output = random_local.model.generate(
                torch.tensor([[*ids, second]]), max_new_tokens=3, min_new_tokens=3, do_sample=False, pad_token_id=0
            )
        (said,) = host.sample([tuple(ids)], [None], max_new_tokens=4, temperature=0, forbidden=[])
        assert list(said) == output[0, len(ids) :].tolist()


def test_the_model_inside_stays_as_it_is(random_local):
    before = texts(random_local)
    host = SuppressTopK().wrap(random_local)

    assert texts(host) != before
    assert texts(random_local) == before
    assert host.name == f"{random_local.name} behind suppress_topk"
    assert (host.channels, host.may_refuse, host.model) == (random_local.channels, False, random_local.model)


def test_two_changes_of_logits_follow_each_other(random_local):
    twice = SuppressTopK().wrap(SuppressTopK().wrap(random_local))

    assert texts(twice) == texts(SuppressTopK(count=2).wrap(random_local))


@pytest.mark.parametrize("keep", [0, 1])
def test_shuffled_ranks_are_the_same_tokens_and_the_same_probabilities(random_local, keep):
    host = ShuffleRanks(count=8, keep=keep).wrap(random_local)
    for question in QUESTIONS:
        asked = [inquiry(random_local, question, [5])]
        (before,), (after,), (again,) = (list(each.weigh(asked, OPTIONS, "top")) for each in (random_local, host, host))
        plain, shuffled = ([each.text for each in reply.alternatives] for reply in (before, after))

        assert again == after
        assert sorted(shuffled[:8]) == sorted(plain[:8])
        assert (shuffled[:keep], shuffled[8:]) == (plain[:keep], plain[8:])
        assert [each.log_probability for each in after.alternatives] == pytest.approx(
            [each.log_probability for each in before.alternatives], abs=1e-4
        )
    assert (texts(host) == texts(random_local)) is (keep == 1)


def test_orders_depend_on_the_question_and_the_seed():
    orders = [ShuffleRanks(seed=seed)._order(question, 8) for seed in (0, 1) for question in ([1, 2], [1, 3])]

    assert all(sorted(order) == list(range(8)) for order in orders)
    assert len({tuple(order) for order in orders}) == 4


@pytest.mark.parametrize("form", ["raw", "chat"])
def test_a_system_prompt_and_a_frame_are_what_the_asker_could_have_sent(random_local, form):
    options = RequestOptions(max_tokens=4, form=form, system="Be kind.")
    prompt = SystemPrompt(text="Be short.").wrap(random_local)
    frame = Frame(prefix="Well, ", suffix=" then?").wrap(random_local)
    rows = {question: logits_of(random_local, question) for question in QUESTIONS}
    asked = [inquiry(random_local, question, readable(random_local, row, 4)) for question, row in rows.items()]
    longer = options.model_copy(update={"system": "Be short.\n\nBe kind."})
    framed = [each._replace(question=f"Well, {each.question} then?") for each in asked]

    assert texts(prompt, options) == texts(random_local, longer)
    assert texts(prompt, options.model_copy(update={"system": None})) == texts(
        random_local, options.model_copy(update={"system": "Be short."})
    )
    assert texts(frame, options) == texts(random_local, options, [each.question for each in framed])
    for channel in ("scores", "top", "choice"):
        assert list(prompt.weigh(asked, options, channel)) == list(random_local.weigh(asked, longer, channel))
        assert list(frame.weigh(asked, options, channel)) == list(random_local.weigh(framed, options, channel))


def test_a_host_samples_and_truncates_whatever_is_asked_for(random_local):
    sampled = Sample(temperature=2.0, seed=3).wrap(random_local)
    short = Truncate(max_tokens=2).wrap(random_local)

    assert texts(sampled) == texts(random_local, OPTIONS.model_copy(update={"temperature": 2.0, "seed": 3}))
    assert texts(short) == texts(random_local, OPTIONS.model_copy(update={"max_tokens": 2}))
    assert texts(short, RequestOptions(max_tokens=1)) == texts(random_local, RequestOptions(max_tokens=1))


def test_a_share_is_refused_by_every_channel_and_the_same_questions_each_time(random_local):
    questions = [f"{question} {number}" for number in range(10) for question in QUESTIONS]
    host = Refuse(share=0.4, reply="No.").wrap(random_local)
    refused = [text == "No." for text in texts(host, questions=questions)]
    plain = texts(random_local, questions=questions)
    asked = [inquiry(random_local, question, [5, 6]) for question in questions]

    assert 6 <= sum(refused) <= 26
    assert [text == "No." for text in texts(host, questions=questions[::-1])] == refused[::-1]
    assert [text for text, no in zip(texts(host, questions=questions), refused, strict=True) if not no] == [
        text for text, no in zip(plain, refused, strict=True) if not no
    ]
    assert likeliest(host, asked) == [
        "" if no else best for best, no in zip(likeliest(random_local, asked), refused, strict=True)
    ]
    assert {reply.reason for reply in host.weigh(asked, OPTIONS, "scores") if reply.status == "unanswered"} == {"refused"}
    assert texts(Refuse(share=0.0).wrap(random_local)) == texts(random_local)
    assert set(texts(Refuse(share=1.0, reply="No.").wrap(random_local))) == {"No."}


def test_both_tails_of_perplexity_are_refused(random_local):
    losses = [random_local.mean_loss([question]) for question in QUESTIONS]
    low, high = min(losses), max(losses)
    host = PerplexityFilter(lowest=low + 1e-4, highest=high - 1e-4, reply="No.").wrap(random_local)

    assert [text == "No." for text in texts(host)] == [loss in (low, high) for loss in losses]
    assert len(texts(host, questions=["a"])) == 1  # nothing is predicted of one token without a BOS
    assert texts(PerplexityFilter(lowest=0).wrap(random_local)) == texts(random_local)
    with pytest.raises(InputError, match="needs a limit"):
        PerplexityFilter().wrap(random_local)


def test_doubtful_questions_go_to_another_model(starter, random_local):
    sure = [float(logits_of(random_local, question).max().exp()) for question in QUESTIONS]
    limit = sorted(sure)[2]
    host = Divert(to="starter", confidence=limit - 1e-6).wrap(random_local)
    doubtful = [each >= limit for each in sure]
    asked = [inquiry(starter, question, [5]) for question in QUESTIONS]

    for ask in (texts, lambda model: likeliest(model, asked)):
        own, theirs = ask(random_local), ask(starter)
        assert ask(host) == [new if doubt else old for doubt, new, old in zip(doubtful, theirs, own, strict=True)]
    assert sum(doubtful) == 2


def test_attacks_on_text_go_around_any_suspect_and_those_on_logits_do_not():
    scripted = ScriptedModel(str.upper)
    host = Refuse(share=0.0).wrap(Frame(prefix="so ").wrap(scripted))

    assert texts(host, questions=["why", "what"]) == ["SO WHY", "SO WHAT"]
    assert (host.channels, host.may_refuse, host.name) == (("text",), True, "scripted behind frame behind refuse")
    for attack in (SuppressTopK(), ShuffleRanks(), PerplexityFilter(highest=3), Divert(to="starter")):
        with pytest.raises(InputError, match="needs the logits, and scripted gives none"):
            attack.wrap(scripted)


def test_nothing_follows_a_fatal_reply():
    broken = ScriptedModel({"b": Reply.fatal("no key")}, otherwise="fine")
    host = Refuse(share=0.0).wrap(broken)

    assert [reply.status for reply in host.reply(["a", "b", "c"], OPTIONS)] == ["answered", "fatal"]
