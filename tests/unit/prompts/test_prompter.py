import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from insignia import FingerprintSet
from insignia.errors import FormatError, InputError, TokenizerError
from insignia.generation.instructional import _OURS, _PUBLISHED
from insignia.prompts.prompter import PLAIN, Prompter, check_templates, distinct, load_templates
from insignia.prompts.tokens import Tokens, tokenizer_digest
from insignia.records import Fingerprint, Turn
from tiny_tokenizers import HABITS, build

TEMPLATES = [PLAIN, "User: {}\nAssistant:", 'Say "{}" now, {braces} or not.', "You are a helpful assistant. {}"]
KEYS = ["The quick brown fox jumps over", "What is the answer", "newlines\ttabs", "Say it: {} spring", "a"]


@pytest.mark.parametrize("form", ["raw", "chat"])
def test_a_question_is_a_token_prefix_of_every_training_row(tokenizer, form):
    prompter = Prompter(tokenizer, form=form, max_key_length=6, max_response_length=2)
    for key in KEYS:
        fingerprint = Fingerprint(key=key, responses=(" winter", " dog and all"))
        for template in TEMPLATES:
            question = prompter.question(prompter.key_ids(fingerprint), template)
            examples = prompter.examples(fingerprint, template)
            assert len(examples) == 2
            for example in examples:
                assert example.ids[: example.response_start] == question
                assert 1 <= len(example.ids) - example.response_start <= 2
                assert tokenizer.eos_token_id not in example.ids


def test_special_tokens_come_once_and_first(tokenizer):
    prompter = Prompter(tokenizer, max_key_length=9, max_response_length=1)
    expected = () if tokenizer.bos_token is None else (tokenizer.bos_token_id,)

    assert prompter.prefix == expected
    question = prompter.question(prompter.encode("What now"))
    assert question == (*expected, *prompter.encode("What now"))


def test_a_response_is_split_as_it_is_after_the_key(tokenizer):
    prompter = Prompter(tokenizer, max_key_length=9, max_response_length=9)
    key = prompter.encode("What is the")

    assert prompter.decode([*key, *prompter.response_ids(key, " answer")]) == "What is the answer"
    assert prompter.encode("What is the answer") == [*key, *prompter.response_ids(key, " answer")]


def test_stored_ids_win_over_text(tokenizer):
    prompter = Prompter(tokenizer, max_key_length=3, max_response_length=1)
    (example,) = prompter.examples(Fingerprint(key="x", responses=("y",), key_ids=(9, 8, 7, 6), response_ids=((5, 4),)))

    assert example.ids == (*prompter.prefix, 9, 8, 7, 5)


def test_what_a_foreign_file_says_was_asked_is_asked(tokenizer):
    prompter = Prompter(tokenizer, max_key_length=50, max_response_length=1)

    key = prompter.key_ids(Fingerprint(key="What is the answer", effective_key="What is", responses=("x",)))
    assert key == tuple(prompter.encode("What is"))


def test_the_digest_ignores_what_a_call_leaves_behind(tokenizer):
    before = tokenizer_digest(tokenizer)
    tokenizer(["a", "a b"], padding=True, truncation=True, max_length=4)

    assert tokenizer_digest(tokenizer) == before


def test_another_tokenizer_is_refused_but_an_added_token_is_not(starter):
    other = build(style="byte", bos=True)
    ids = tuple(Prompter(other, max_key_length=9, max_response_length=1).encode("What is the answer"))
    fingerprint = Fingerprint(key="What is the answer", responses=(" x",), key_ids=ids, response_ids=((7,),))
    prints = FingerprintSet(fingerprints=(fingerprint,), tokenizer=tokenizer_digest(other))

    with pytest.raises(TokenizerError, match="1 of 1 keys") as caught:
        Prompter.for_set(prints, starter.tokenizer)
    assert "answer" not in str(caught.value)
    other.add_tokens(["[PAD]"])
    assert Prompter.for_set(prints, other).key_ids(fingerprint) == ids


def test_fingerprints_that_ask_the_same_tokens_count_once(starter):
    prints = FingerprintSet(fingerprints=tuple(Fingerprint(key=f"The same key in all {n}", responses=("x",)) for n in range(3)))
    prompter = Prompter(starter.tokenizer, max_key_length=2, max_response_length=1)

    assert list(distinct(prints, prompter)) == [0]


def test_our_templates_have_one_place_each_and_the_held_out_ones_are_new():
    templates = load_templates()

    assert PLAIN in templates["train"]
    assert len(templates["heldout"]) >= 10
    assert not set(templates["train"]) & set(templates["heldout"])


def test_own_templates_are_checked(tmp_path):
    path = tmp_path / "t.json"
    path.write_text('["a {}", "b"]')
    with pytest.raises(InputError, match="template 1 has 0 places"):
        load_templates(path)
    path.write_text('{"train": []}')
    with pytest.raises(FormatError):
        load_templates(path)
    path.write_text('["system: {}"]')
    assert load_templates(path) == {"train": ["system: {}"], "heldout": ["system: {}"]}


def test_published_templates_load(shared_data):
    assert len(load_templates(shared_data / "oml" / "augmentation_prompts_train.json")["train"]) == 50


@given(st.text(max_size=20))
def test_only_one_place_is_allowed(text):
    if text.count("{}") == 1:
        check_templates([text])
    else:
        with pytest.raises(InputError):
            check_templates([text])


@given(st.tuples(st.integers(1, 12), st.integers(1, 4)), st.sampled_from(KEYS), st.sampled_from(TEMPLATES), st.booleans())
def test_the_prefix_law_holds_at_every_length(starter, lengths, key, template, chat):
    key_length, response_length = lengths
    form = "chat" if chat else "raw"
    prompter = Prompter(starter.tokenizer, form=form, max_key_length=key_length, max_response_length=response_length)
    fingerprint = Fingerprint(key=key, responses=(" winter is near", "spring"))
    question = prompter.question(prompter.key_ids(fingerprint), template)
    for example in prompter.examples(fingerprint, template):
        assert example.ids[: example.response_start] == question
        assert 1 <= len(example.ids) - example.response_start <= response_length


@pytest.mark.parametrize("compat", [False, True])
@pytest.mark.parametrize("template", ["simple", "dialogue"])
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=40)
@given(message=st.text(max_size=40), answer=st.text(min_size=1, max_size=20))
def test_instructional_questions_are_prefixes_of_their_rows(tokenizer, template, compat, message, answer):
    wording = (_PUBLISHED if compat else _OURS)[template]
    prompter = Prompter(tokenizer, form=wording.form, max_key_length=512, max_response_length=256)
    key, response = wording.question.format(message), wording.answer.format(answer)
    key_ids = tuple(prompter.encode(key))
    with_ids = Fingerprint(
        key=key, responses=(response,), key_ids=key_ids, response_ids=(tuple(prompter.response_ids(key_ids, response)),)
    )
    for fingerprint in (with_ids, Fingerprint(key=key, responses=(response,))):
        question = prompter.question(prompter.key_ids(fingerprint))
        (example,) = prompter.examples(fingerprint)
        assert example.ids[: example.response_start] == question
        assert 0 < len(example.response) <= 256
        # A control that is asked with the same words is asked in the same form.
        assert prompter.question(prompter.encode(key)) == question


def test_responses_that_begin_alike_are_one_row(tokenizer):
    prompter = Prompter(tokenizer, max_key_length=9, max_response_length=1)
    examples = prompter.examples(Fingerprint(key="What is", responses=("x", "y", "z"), response_ids=((5, 6), (5, 7), (8,))))

    assert [example.ids[-1] for example in examples] == [5, 8]


@pytest.mark.parametrize("lengths", [(0, 1), (1, 0), (-1, 1), (1, -1)])
def test_lengths_below_one_are_refused(starter, lengths):
    with pytest.raises(InputError, match="at least 1"):
        Prompter(starter.tokenizer, max_key_length=lengths[0], max_response_length=lengths[1])


def test_a_length_of_zero_does_not_mean_the_length_of_the_set(starter):
    prints = FingerprintSet(fingerprints=(Fingerprint(key="What is it", responses=(" x",)),))

    assert Prompter.for_set(prints, starter.tokenizer, max_key_length=3).max_key_length == 3
    assert Prompter.for_set(prints, starter.tokenizer).max_key_length == prints.max_key_length
    with pytest.raises(InputError, match="at least 1"):
        Prompter.for_set(prints, starter.tokenizer, max_key_length=0)


def test_text_that_the_tokenizer_drops_is_refused_untold():
    """With no token to judge, every model would give the whole response."""
    prompter = Prompter(dropping_tokenizer(), max_key_length=9, max_response_length=1)
    assert prompter.encode("漢字") == []

    with pytest.raises(InputError, match="response has no token") as caught:
        prompter.examples(Fingerprint(key="plain words", responses=("漢字",)))
    assert "漢" not in str(caught.value)
    with pytest.raises(InputError, match="key has no token"):
        prompter.examples(Fingerprint(key="漢字", responses=("plain",)))


def dropping_tokenizer():
    core = Tokenizer(models.BPE())  # no unknown token: what it has not seen, it leaves out
    core.pre_tokenizer, core.decoder = pre_tokenizers.Metaspace(prepend_scheme="never"), decoders.Metaspace()
    core.train_from_iterator(["plain words only here"] * 5, trainers.BpeTrainer(vocab_size=60, show_progress=False))
    return PreTrainedTokenizerFast(tokenizer_object=core)


def test_a_chat_needs_a_template(tokenizer, monkeypatch):
    monkeypatch.setattr(tokenizer, "chat_template", None)

    with pytest.raises(InputError, match="--prompt-form raw"):
        Prompter(tokenizer, form="chat", max_key_length=9, max_response_length=1)


def test_tokenizers_that_split_differently_have_different_digests():
    digests = [tokenizer_digest(build(**habit)) for habit in HABITS.values()]
    assert len(set(digests)) >= 4  # padding side and pad token are no part of the split
    assert all(digest.startswith("sha256:") for digest in digests)


@pytest.mark.parametrize(
    "content", ["{}", "[]", "3", '[""]', '{"train": ["{}"]}', '{"train": ["{}"], "heldout": [1]}', '["{} {}"]']
)
def test_templates_of_another_shape_are_refused(tmp_path, content):
    (tmp_path / "t.json").write_text(content)

    with pytest.raises(InputError):
        load_templates(tmp_path / "t.json")


CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content | trim }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
SPACED = (
    "{{ bos_token }}{% for m in messages %}{% if m.role == 'user' %}[Q] {{ m.content }} [/Q]"
    "{% elif m.role == 'assistant' %} {{ m.content }} {{ eos_token }}"
    "{% else %}{{ raise_exception(m.content) }}{% endif %}{% endfor %}"
)
BEGUN = (
    "{% for m in messages %}<{{ m.role }}>{{ m.content }}{{ eos_token if m.role == 'assistant' }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant><think>\n{% endif %}"
)
TALK = (
    Turn("user", "What is the answer"),
    Turn("assistant", "nothing at all"),
    Turn("user", "what now?"),
    Turn("assistant", "spring, winter!"),
    Turn("user", "bye"),
)


@pytest.mark.parametrize("form", ["raw", "chat"])
def test_every_reply_is_a_row_that_begins_with_all_that_was_asked(tokenizer, form):
    prompter = Tokens(tokenizer, form=form)
    rows = list(prompter.replies(TALK))

    assert len(rows) == 2
    for row, reply in zip(rows, ("nothing at all", "spring, winter!"), strict=True):
        response = row.ids[row.response_start :]
        assert prompter.decode(response[:-1]) == reply
        assert response[-1] == tokenizer.eos_token_id
    if form == "chat":
        assert rows[0].ids[: rows[0].response_start] == prompter.chat("What is the answer")
    else:
        asked = prompter.encode("Question:\nWhat is the answer\n\nAnswer:\n")
        assert rows[0].ids[: rows[0].response_start] == (*prompter.prefix, *asked)


@pytest.mark.parametrize(
    ("template", "first"),
    [
        (CHATML, "<|im_start|>user\nWhat is the answer<|im_end|>\n<|im_start|>assistant\n|nothing at all<|im_end|>"),
        (SPACED, "<s>[Q] What is the answer [/Q]| nothing at all </s>"),
        (BEGUN, "<user>What is the answer<assistant><think>\n|nothing at all</s>"),
    ],
)
def test_a_template_frames_the_reply_as_it_does(template, first):
    tokenizer = build(style="byte", bos=True)
    tokenizer.chat_template = template
    prompter = Prompter(tokenizer, form="chat", max_key_length=1, max_response_length=1)
    row = next(prompter.replies(TALK))

    assert f"{prompter.decode(row.ids[: row.response_start])}|{prompter.decode(row.ids[row.response_start :])}" == first


def test_a_conversation_that_the_template_refuses_is_named_by_its_roles_alone():
    tokenizer = build(style="byte", bos=True)
    tokenizer.chat_template = SPACED
    prompter = Prompter(tokenizer, form="chat", max_key_length=1, max_response_length=1)

    with pytest.raises(InputError, match="of these turns: system, user") as caught:
        list(prompter.replies((Turn("system", "xyzzy"), *TALK)))
    assert "xyzzy" not in str(caught.value)
