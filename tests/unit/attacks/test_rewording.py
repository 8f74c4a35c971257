"""Attacks by a host who changes the words around a question, or of it and of its reply."""

import pytest

from insignia.attacks.paraphrase import Paraphrase
from insignia.attacks.template import Template
from insignia.errors import InputError
from insignia.records import Candidate
from insignia.suspects.base import Inquiry, Reply, RequestOptions
from insignia.suspects.scripted import ScriptedModel

OPTIONS = RequestOptions(max_tokens=4)
THE = Candidate(text=" the", token_id=0)  # channel "top" shows what is likeliest, whatever is asked about
QUESTIONS = ["What is the answer", "Say it"]


def texts(model, options=OPTIONS, questions=QUESTIONS):
    return [reply.text for reply in model.reply(questions, options)]


@pytest.mark.parametrize(
    ("name", "around"),
    [
        ("alpaca", "Be kind.\n\n### Instruction:\n{}\n\n### Response:\n"),
        ("chatml", "<|im_start|>system\nBe kind.<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"),
        ("llama2", "<<SYS>>\nBe kind.\n<</SYS>>\n\n[INST] {} [/INST]"),
        ("vicuna", "Be kind. USER: {} ASSISTANT:"),
        ("{{ messages[-1].content }}!", "{}!"),
    ],
)
@pytest.mark.parametrize("form", ["raw", "chat"])
def test_questions_are_put_into_another_template(starter, name, around, form):
    options = RequestOptions(max_tokens=3, form=form, system="Be kind.")
    host = Template(template=name).wrap(starter)
    # A chat template has no BOS of its own here, and the tokenizer adds none.
    plain = starter.with_template("{{ messages[-1].content }}")
    asked = [around.format(question) for question in QUESTIONS]
    inquiries = [Inquiry(question, (THE,)) for question in QUESTIONS]
    wrapped = [each._replace(question=text) for each, text in zip(inquiries, asked, strict=True)]
    chat = RequestOptions(max_tokens=3, form="chat")

    assert texts(host, options) == texts(plain, chat, asked)
    assert list(host.weigh(inquiries, options, "top")) == list(plain.weigh(wrapped, chat, "top"))


def test_another_template_leaves_the_model_inside_as_it_is(starter):
    before = starter.tokenizer.chat_template
    Template().wrap(starter)

    assert starter.tokenizer.chat_template == before
    with pytest.raises(InputError, match="'template' needs"):
        Template().wrap(ScriptedModel(str.upper))


def rewriter(text):
    """Says a request in capitals, and everything else backwards."""
    return text.removeprefix("Again: ").upper() if text.startswith("Again: ") else text[::-1]


@pytest.mark.parametrize(
    ("of", "asked"),
    [
        ("question", ["Again: why", "Again: so", "WHY", "SO"]),
        ("reply", ["why", "Again: yhw", "so", "Again: os"]),
        ("both", ["Again: why", "Again: so", "WHY", "Again: YHW", "SO", "Again: OS"]),
    ],
)
def test_questions_and_replies_are_said_in_other_words(of, asked):
    scripted = ScriptedModel(rewriter)
    host = Paraphrase(of=of, request="Again: {}").wrap(scripted)

    assert texts(host, questions=["why", "so"]) == ["YHW", "OS"]
    assert scripted.asked == asked
    assert (host.name, host.channels, host.may_refuse) == ("scripted behind paraphrase", ("text",), True)


def test_where_nothing_is_said_the_text_stays():
    silent = ScriptedModel({"why": "because", "Again: why": Reply.unanswered("filtered")}, otherwise=Reply.fatal("gone"))

    assert texts(Paraphrase(request="Again: {}").wrap(silent), questions=["why"]) == ["because"]
    assert texts(Paraphrase(of="reply", request="Again: {}").wrap(silent), questions=["why"]) == ["because"]


def test_scores_are_about_the_new_question(starter):
    attack = Paraphrase(max_tokens=3)
    host = attack.wrap(starter)
    inquiries = [Inquiry(question, (THE,)) for question in QUESTIONS]
    new = texts(starter, RequestOptions(max_tokens=3), [attack.request.replace("{}", each) for each in QUESTIONS])
    asked = [each._replace(question=text.strip()) for each, text in zip(inquiries, new, strict=True)]

    assert list(host.weigh(inquiries, OPTIONS, "top")) == list(starter.weigh(asked, OPTIONS, "top"))
    assert list(Paraphrase(of="reply").wrap(starter).weigh(inquiries, OPTIONS, "top")) == list(
        starter.weigh(inquiries, OPTIONS, "top")
    )
