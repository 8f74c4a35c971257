import functools
from collections import Counter

import pytest

from insignia.errors import GenerationError
from insignia.fingerprints.sets import load_fingerprints
from insignia.folding import fold
from insignia.generation import Ranked, generate
from insignia.generation.vocabulary import Vocabulary
from insignia.modeling.local import LocalModel
from insignia.prompts.prompter import Prompter
from insignia.records import MAX_ORDERED
from insignia.statistics.ranks import Place
from insignia.suspects.base import Reply
from insignia.verification.matching import Match, expected_responses
from insignia.verification.places import places
from tiny_models import random_model
from tiny_tokenizers import build


@functools.cache
def made(starter, count=60, candidates=6, secret=b"7" * 32):
    strategy = Ranked(key_length=12, num_candidates=candidates)
    return generate(starter, strategy, num_fingerprints=count, max_key_length=8, secret=secret)


def test_candidates_are_the_likeliest_usable_words_in_the_models_order(starter):
    prints = made(starter)
    prompter = Prompter.for_set(prints, starter.tokenizer)
    words = Vocabulary(prompter).word_tokens
    questions = [prompter.question(prompter.key_ids(fingerprint)) for fingerprint in prints]
    for fingerprint, ranking in zip(prints, starter.rank_next(questions), strict=True):
        ranks = [candidate.rank for candidate in fingerprint.candidates]
        taken = [fold(candidate.text, "case") for candidate in fingerprint.candidates]
        key = prompter.key_ids(fingerprint)

        assert ranks == sorted(ranks)
        assert len(set(ranks)) == 6
        for rank in range(ranks[-1]):
            token = int(ranking.token_ids[rank])
            text = fold(prompter.text_after(key, (token,)), "case")
            likelier = [other for other, at in zip(taken, ranks, strict=True) if at < rank]
            ambiguous = any(text.startswith(other) or other.startswith(text) for other in likelier)
            split = prompter.encode(prompter.decode(key) + prompter.text_after(key, (token,))) != [*key, token]
            assert rank in ranks or token not in words or ambiguous or split


def test_the_response_is_the_first_of_the_order(starter):
    for fingerprint in made(starter):
        first = fingerprint.candidates[fingerprint.order[0]]

        assert fingerprint.response_ids == ((first.token_id,),)
        assert fingerprint.effective_responses == (first.text,)


def test_every_candidate_is_equally_likely_at_every_place(starter):
    prints = made(starter)
    for place in range(6):
        seen = Counter(fingerprint.order[place] for fingerprint in prints)

        assert sum((seen[number] - 10) ** 2 / 10 for number in range(6)) < 20.5  # 0.999 quantile, 5 degrees of freedom


def test_another_secret_changes_orders_and_not_candidates_of_the_same_key(starter):
    keys = ("What is the use of a module?", "Where does the time go when nobody looks?")
    strategy = Ranked(num_candidates=6, keys=keys)
    one, other = (generate(starter, strategy, num_fingerprints=2, secret=secret * 32) for secret in (b"1", b"2"))

    assert [f.candidates for f in one] == [f.candidates for f in other]
    assert [f.order for f in one] != [f.order for f in other]


def test_each_trained_token_has_an_order_of_the_words_that_follow_the_tokens_before_it(starter):
    strategy = Ranked(key_length=12, num_candidates=6, response_length=3)
    options = {"num_fingerprints": 4, "max_key_length": 8, "max_response_length": 2, "secret": b"7" * 32}
    prints = generate(starter, strategy, **options)
    prompter = Prompter.for_set(prints, starter.tokenizer)
    firsts = [each.response_ids[0][:1] for each in prints]
    asked = [(*prompter.question(prompter.key_ids(each)), *first) for each, first in zip(prints, firsts, strict=True)]
    for fingerprint, ranking in zip(prints, starter.rank_next(asked), strict=True):
        (further,) = fingerprint.continuations
        ids = fingerprint.response_ids[0]

        assert [ids[0], ids[1]] == [each.candidates[each.order[0]].token_id for each in (fingerprint, further)]
        assert len(ids) == 3  # the last is not trained and follows greedily
        for candidate in further.candidates:
            assert int(ranking.token_ids[candidate.rank]) == candidate.token_id
            assert float(ranking.probabilities[candidate.rank]) == pytest.approx(candidate.probability, rel=1e-4)
        said = "".join(each.candidates[each.order[0]].text for each in (fingerprint, further))
        assert fingerprint.responses[0].startswith(said)

    alone = generate(starter, strategy, batch_size=1, **options)
    assert [each.response_ids for each in alone] == [each.response_ids for each in prints]
    first = prints.fingerprints[0]
    said = places(Reply(status="answered", text=first.responses[0]), expected_responses(first, 2, Match()), Match())
    assert said == ((Place(1, 1, 6), Place(1, 1, 6)),)


def test_the_order_is_in_the_file(starter, tmp_path):
    prints = made(starter)
    prints.save(tmp_path / "prints.json")

    assert load_fingerprints(tmp_path / "prints.json") == prints
    assert prints.strategy == {**Ranked(key_length=12, num_candidates=6).spec()}


def test_too_few_words_name_the_option():
    small = LocalModel.of(random_model("llama tied").eval(), build(style="byte", bos=True), name="416 tokens")
    with pytest.raises(GenerationError, match="--num-candidates"):
        made(small, count=2, candidates=MAX_ORDERED)
