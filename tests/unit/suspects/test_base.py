"""Text in, text out: the manner of asking, scripted replies, and a local model as a server would run it."""

import pytest

from insignia.errors import InputError
from insignia.modeling.local import LocalModel
from insignia.records import Turn
from insignia.suspects.base import Reply, RequestOptions
from insignia.suspects.scripted import ScriptedModel

QUESTIONS = ["The quick brown", "What is", "Say it: spring, winter! The lazy dog and", "a"]


def test_a_manner_says_what_is_sent():
    plain, led = RequestOptions(), RequestOptions(form="chat", system="Be brief.")

    assert plain.prompt("Who?") == "Who?"
    assert plain.conversation("Who?") == (Turn("user", "Who?"),)
    assert led.prompt("Who?") == "Be brief.\n\nWho?"
    assert led.conversation("Who?") == (Turn("system", "Be brief."), Turn("user", "Who?"))


def test_a_reply_of_white_space_is_none():
    assert Reply.said(" x").status == "answered"
    assert Reply.said(" \n") == Reply.unanswered("empty")
    assert "TOPSECRET" not in repr(Reply.said("TOPSECRET"))


def test_a_script_is_followed():
    model = ScriptedModel({"Who?": "Me.", "When?": Reply.unanswered("refused")}, otherwise="What?")

    replies = list(model.reply(["Who?", "When?", "Where?"], RequestOptions()))
    assert [reply.text or reply.reason for reply in replies] == ["Me.", "refused", "What?"]
    assert model.asked == ["Who?", "When?", "Where?"]


def test_local_replies_are_greedy_and_stop_where_the_model_ends(random_local):
    prompt = QUESTIONS[0]
    (reply,) = random_local.reply([prompt], RequestOptions(max_tokens=6))
    tokenizer = random_local.tokenizer
    ids = tokenizer(prompt, add_special_tokens=True)["input_ids"]
    (said,) = random_local.sample([tuple(ids)], [None], max_new_tokens=6, temperature=0, forbidden=())
    ended = said[: said.index(2)] if 2 in said else said

    assert reply == Reply.said(tokenizer.decode(ended, skip_special_tokens=True))


def test_a_model_at_hand_that_ends_at_once_has_answered(random_local, monkeypatch):
    monkeypatch.setattr(random_local, "sample", lambda *_, **__: [(2, 2, 2)])

    (reply,) = random_local.reply(QUESTIONS[:1], RequestOptions(max_tokens=3))
    assert (reply.status, reply.text) == ("answered", "")


def test_local_replies_do_not_depend_on_their_batch(random_local):
    for manner in (
        RequestOptions(max_tokens=4),
        RequestOptions(max_tokens=4, temperature=1.0, seed=3),
        RequestOptions(form="chat", system="Well."),
    ):
        together = list(random_local.reply(QUESTIONS * 12, manner))
        alone = [next(random_local.reply([question], manner)) for question in QUESTIONS]
        assert together == alone * 12


def test_another_seed_is_another_reply(random_local):
    one, two = (list(random_local.reply(QUESTIONS, RequestOptions(temperature=1.0, seed=seed))) for seed in (1, 2))
    assert one != two


def test_a_chat_needs_a_template(random_local):
    import copy

    tokenizer = copy.deepcopy(random_local.tokenizer)
    tokenizer.chat_template = None
    bare = LocalModel.of(random_local.model, tokenizer, name="bare")
    with pytest.raises(InputError, match="chat template"):
        next(bare.reply(["Who?"], RequestOptions(form="chat")))


def test_too_long_a_question_is_refused_without_being_shown(random_local):
    with pytest.raises(InputError, match="context") as caught:
        next(random_local.reply(["TOPSECRET " * 99], RequestOptions()))
    assert "TOPSECRET" not in str(caught.value)
