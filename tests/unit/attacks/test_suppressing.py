"""Attacks by a host who suppresses more than the likeliest token: neighbours, drafts and bigrams, by value."""

import math
from collections import Counter

import pytest
import torch

from insignia.attacks.logits import without
from insignia.attacks.suppress_bigrams import SuppressBigrams
from insignia.attacks.suppress_lookahead import SuppressLookahead
from insignia.attacks.suppress_neighbor import SuppressNeighbor
from insignia.attacks.suppress_topk import SuppressTopK
from insignia.errors import InputError
from insignia.suspects.base import RequestOptions
from insignia.suspects.scripted import ScriptedModel

QUESTIONS = ["What is the answer", "The quick brown fox", "You are a lazy dog", "Say it"]


def rows_of(local):
    return [tuple(local.tokenizer(question)["input_ids"]) for question in QUESTIONS]


def logits_of(local, rows):
    with torch.inference_mode():
        return torch.stack([local.model(torch.tensor([row])).logits[0, -1].float() for row in rows])


def openings(model, rows):
    said = model.sample(rows, [None] * len(rows), max_new_tokens=1, temperature=0, forbidden=())
    return [ids[0] for ids in said]


def test_neighbours_of_the_likeliest_token_go_with_it(random_local):
    rows = rows_of(random_local)
    logits = logits_of(random_local, rows)
    table = random_local.model.get_output_embeddings().weight
    host = SuppressNeighbor(neighbors=5).wrap(random_local)

    for row, opening in zip(logits, openings(host, rows), strict=True):
        best = int(row.argmax())
        alike = torch.cosine_similarity(table, table[best : best + 1])
        gone = {best, *alike.argsort(descending=True)[:6].tolist()}
        assert opening == next(token for token in row.argsort(descending=True).tolist() if token not in gone)
    assert openings(SuppressNeighbor(neighbors=0).wrap(random_local), rows) == openings(SuppressTopK().wrap(random_local), rows)


def test_of_a_whole_vocabulary_of_neighbours_one_token_is_left(random_local):
    rows = rows_of(random_local)
    host = SuppressNeighbor(neighbors=10**6)
    changed = host._change(torch.eye(5), torch.tensor([[3.0, 1, 0, 2, 1]]), [rows[0]])

    assert changed.isfinite().sum() == 1
    assert len(openings(host.wrap(random_local), rows)) == len(rows)


def test_a_reply_does_not_begin_as_its_draft_goes_on(random_local):
    rows = rows_of(random_local)
    logits = logits_of(random_local, rows)
    drafts = random_local.sample(rows, [None] * len(rows), max_new_tokens=4, temperature=0, forbidden=())
    found = openings(SuppressLookahead(length=4).wrap(random_local), rows)
    wanted = [
        next(token for token in row.argsort(descending=True).tolist() if token not in draft)
        for row, draft in zip(logits, drafts, strict=True)
    ]

    assert found == wanted
    assert openings(SuppressLookahead(length=1).wrap(random_local), rows) == openings(SuppressTopK().wrap(random_local), rows)


def test_a_draft_counts_if_the_model_is_sure_of_all_of_it(random_local):
    rows = rows_of(random_local)
    plain, suppressed = openings(random_local, rows), openings(SuppressLookahead(length=2).wrap(random_local), rows)
    sure = []
    for row in rows:
        draft = []
        for _ in range(2):
            step = logits_of(random_local, [(*row, *draft)])[0].softmax(0)
            draft.append(int(step.argmax()))
            sure.append(float(step.max()))
    least = [min(sure[place : place + 2]) for place in range(0, len(sure), 2)]
    limit = sorted(least)[2]
    host = SuppressLookahead(length=2, confidence=limit - 1e-5).wrap(random_local)

    assert openings(host, rows) == [
        new if each >= limit else old for each, new, old in zip(least, suppressed, plain, strict=True)
    ]


def test_if_a_draft_has_every_token_the_logits_stay():
    logits = torch.tensor([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])

    assert without(logits, [(2,), (0, 1, 2)]).tolist() == [[1.0, 2.0, -math.inf], [1.0, 2.0, 3.0]]
    assert logits[0, 2] == 3.0


def test_the_surplus_of_a_bigram_is_what_the_other_model_writes_less_often():
    attack = SuppressBigrams(reference="starter", strength=2.0)
    surplus = attack._surplus(Counter({(1, 2): 7, (1, 3): 1, (4, 5): 2}), Counter({(1, 2): 1, (1, 3): 1, (4, 6): 9}))
    changed = attack._change(surplus, torch.zeros(2, 8), [(4, 1), (1, 4)])

    assert surplus == {1: {2: pytest.approx(2 * math.log(4))}, 4: {5: pytest.approx(2 * math.log(3))}}
    assert changed[0].tolist() == pytest.approx([0, 0, -2 * math.log(4), 0, 0, 0, 0, 0])
    assert changed[1].tolist() == pytest.approx([0, 0, 0, 0, 0, -2 * math.log(3), 0, 0])


def test_a_model_without_a_mark_has_no_surplus(starter):
    host = SuppressBigrams(reference="starter", texts=4, max_tokens=6, strength=50).wrap(starter)
    asked, options = ["Once upon a time", "The meeting"], RequestOptions(max_tokens=3)

    assert [reply.text for reply in host.reply(asked, options)] == [reply.text for reply in starter.reply(asked, options)]


def test_what_such_a_host_needs_is_told(random_local):
    for attack in (SuppressNeighbor(), SuppressLookahead(), SuppressBigrams(reference="starter")):
        with pytest.raises(InputError, match="needs the logits, and scripted gives none"):
            attack.wrap(ScriptedModel(str.upper))
    with pytest.raises(InputError, match="starter has another tokenizer"):
        SuppressBigrams(reference="starter").wrap(random_local)
