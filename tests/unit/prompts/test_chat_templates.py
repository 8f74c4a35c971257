"""Chat templates of others: rendered as transformers renders them, and never for long."""

import os

import pytest
from transformers.utils.chat_template_utils import render_jinja_template

from insignia.errors import InputError
from insignia.prompts.chat_templates import Renderer, render
from quiet_clock import SOON_S, quiet_seconds

MESSAGES = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "  Is <b> 1 < 2 & 'so'?\n"},
    {"role": "assistant", "content": "Yes \ud83d\ude00 \u2028."},
]
SPECIAL = {"bos_token": "<s>", "eos_token": "</s>"}

TAME = {
    "ChatML": "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>' + '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}",
    "Llama 2": "{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}"
    "{% set s = messages[0]['content'] %}"
    "{% else %}{% set loop_messages = messages %}{% set s = false %}{% endif %}{% for m in loop_messages %}"
    "{% if loop.index0 == 0 and s != false %}{% set c = '<<SYS>>\n' + s + '\n<</SYS>>\n\n' + m['content'] %}"
    "{% else %}{% set c = m['content'] %}{% endif %}"
    "{{ bos_token + '[INST] ' + c.strip() + ' [/INST]' if m['role'] == 'user' else ' ' + c + eos_token }}{% endfor %}",
    "blocks and white space": "{%- set ns = namespace(n=0) -%}\n  {% for m in messages %}\n    {% set ns.n = ns.n + 1 %}\n"
    "    {{- ns.n ~ m.content | trim | tojson(indent=1) }}\n    {% if loop.last %}{% break %}{% endif %}\n  {% endfor %}\n\n",
    "generation": "{% for m in messages %}{% generation %}{{ m.content }}{% endgeneration %}{% endfor %}",
    "what is not there": "{{ tools is none }}{{ documents is none }}{{ nothing }}{{ dict(a=1).a }}"
    "{{ strftime_now('%Y')|length }}",
    "macro": "{% macro say(m) %}{{ m.role|upper }}: {{ m.content|e }}{% endmacro %}"
    "{{ messages|map(attribute='role')|join(',') }}"
    "{% for m in messages|selectattr('role', 'equalto', 'user') %}{{ say(m) }}{% endfor %}",
}

REFUSING = {
    "raises": "{{ raise_exception('TOPSECRET ' + messages[0].content) }}",
    "no template": "{% for m in messages %}",
    "undefined": "{{ nothing.nothing }}",
    "escape": "{{ ''.__class__.__mro__ }}{{ messages.append(1) }}",
    "dunder": "{% set ns = namespace(__class__=1) %}",
    "long": "{% for i in range(9999) %}{{ 'a' * 9999 }}{% endfor %}",
}
FAILING = {
    "division": "{{ 1/0 }}",
    "types": "{{ 1 + 'a' }}",
    "memory": "{{ ('a' * 10**10)|length }}",
    "format": "{{ '%9999999999d' % 1 }}",
    "endless macro": "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
    "nested deeply": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "no text": "{{ messages[0].content * messages[0].content }}",
}
ENDLESS = {
    "loops": "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "long texts": "{% set x = 'a' * 10**7 %}{% for i in range(99999) %}{{ (x|upper)|length }}{% endfor %}",
}


@pytest.fixture(scope="module")
def renderer():
    made = Renderer(seconds=60)
    yield made
    made.close()


@pytest.mark.parametrize("asking", [True, False])
@pytest.mark.parametrize("name", TAME)
def test_templates_are_rendered_as_transformers_renders_them(renderer, name, asking):
    messages = [
        {**message, "content": message["content"].encode("utf-16", "surrogatepass").decode("utf-16")} for message in MESSAGES
    ]
    (expected,), _ = render_jinja_template([messages], chat_template=TAME[name], add_generation_prompt=asking, **SPECIAL)
    assert renderer.render(TAME[name], {**SPECIAL, "messages": messages, "add_generation_prompt": asking}) == expected


@pytest.mark.parametrize("name", REFUSING)
def test_a_template_that_refuses_is_one_line(renderer, name):
    with pytest.raises(
        InputError, match=r"^the tokenizer's chat template refuses a conversation of these turns: system, user"
    ) as caught:
        renderer.render(REFUSING[name], {"messages": MESSAGES})
    assert "TOPSECRET" not in str(caught.value)
    assert renderer.render("{{ messages[0].role }}", {"messages": MESSAGES}) == "system"


@pytest.mark.parametrize("name", FAILING)
def test_a_template_that_fails_is_one_line_and_the_next_is_rendered(renderer, name):
    with pytest.raises(InputError, match=r"^the tokenizer's chat template (fails|refuses)[^\n]*$"):
        renderer.render(FAILING[name], {"messages": MESSAGES})
    assert renderer.render("{{ messages[0].role }}", {"messages": MESSAGES}) == "system"


@pytest.mark.parametrize("name", ENDLESS)
def test_a_template_that_never_ends_is_ended(name):
    renderer = Renderer(seconds=0.5)
    started = quiet_seconds()
    with pytest.raises(InputError, match=r"runs for more than 0\.5 s"):
        renderer.render(ENDLESS[name], {"messages": MESSAGES})
    assert quiet_seconds() - started < SOON_S
    renderer.close()


def test_a_process_that_was_ended_from_outside_is_one_error(renderer):
    renderer.render("x", {"messages": MESSAGES})
    renderer._process.kill()
    renderer._process.wait()
    with pytest.raises(InputError, match="fails"):
        renderer.render("x", {"messages": MESSAGES})
    assert renderer.render("x", {"messages": MESSAGES}) == "x"


def test_a_run_has_one_process():
    assert render("a", {"messages": []}) == "a"
    from insignia.prompts import chat_templates as templates

    first = templates._renderer(os.getpid())._process
    assert render("b", {"messages": []}) == "b"
    assert templates._renderer(os.getpid())._process is first
