import torch

from insignia.records import Candidate
from insignia.suspects.base import Inquiry, RequestOptions


def test_a_model_chooses_by_its_scores_plus_the_handicaps(random_local):
    question, ids = "The quick brown fox", [7, 30, 31, 40, 41]
    candidates = tuple(Candidate(text=random_local.tokenizer.decode([each]), token_id=each) for each in ids)
    (seen,) = random_local.weigh([Inquiry(question, candidates)], RequestOptions(), "scores")
    best, worst = int(torch.tensor(seen.scores).argmax()), int(torch.tensor(seen.scores).argmin())
    gap = seen.scores[best] - seen.scores[worst]
    asked = [
        Inquiry(question, candidates, tuple(extra if number == worst else 0.0 for number in range(len(ids))))
        for extra in (gap * 0.99, gap * 1.01)
    ]
    chosen = [reply.text for reply in random_local.weigh([Inquiry(question, candidates), *asked], RequestOptions(), "choice")]

    assert chosen == [candidates[best].text, candidates[best].text, candidates[worst].text]
