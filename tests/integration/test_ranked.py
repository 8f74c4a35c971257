"""A secret order of likely words: made, embedded and read again on the starter."""

import math
from statistics import mean

import pytest

from insignia.embedding import EmbeddingTune, FullFineTune, Limits, LoRA, RunOptions, embed
from insignia.embedding.ordered_targets import concordance
from insignia.fingerprints.sets import load_fingerprints
from insignia.generation import Ranked, generate
from insignia.modeling.batches import response_logits
from insignia.modeling.local import LocalModel
from insignia.prompts.prompter import Prompter
from insignia.suspects.scoring import Example

QUICK = {"reference_count": 32, "reference_length": 24, "reference_rows": 4, "cooldown_steps": 10, "reference_strength": 10.0}
TEXT = ["The function returns the number of items in the list.", "Raised when an operation runs out of memory."]
CPU = RunOptions(device="cpu")


def concordances(local, prints):
    """Kendall's tau of the model's ranking with each secret order."""
    prompter = Prompter.for_set(prints, local.tokenizer)
    asked, orders = [], []
    for fingerprint in prints:
        question, ids = prompter.question(prompter.key_ids(fingerprint)), fingerprint.response_ids[0]
        for token, drawn in enumerate((fingerprint, *(fingerprint.continuations or ()))):
            asked.append(Example((*question, *ids[:token], 0), len(question) + token))
            orders.append([drawn.candidates[place].token_id for place in drawn.order])
    logits, _ = response_logits(local.model, asked)
    return [concordance(row[order]) for row, order in zip(logits.detach(), orders, strict=True)]


def test_a_set_made_by_the_command_is_embedded_with_its_orders(insignia, tmp_path):
    path = tmp_path / "prints.json"
    two = ("--response-length", 2, "--max-response-length", 2)
    status, _, _ = insignia("generate", path, "--strategy", "ranked", "--num-candidates", 6, "--num-fingerprints", 4, *two)
    prints = load_fingerprints(path)
    marked = embed("starter", prints, FullFineTune(**QUICK), heldout=TEXT, limits=Limits(max_harm=math.inf), run=CPU)

    assert (status, marked.report.fsr) == (0, 1.0)
    assert all(sorted(fingerprint.order) == list(range(6)) for fingerprint in prints)
    assert mean(concordances(LocalModel("starter"), prints)) < 0.5
    assert len(concordances(marked, prints)) == 2 * len(prints)
    assert min(concordances(marked, prints)) > 0.7


@pytest.mark.slow
@pytest.mark.parametrize("method", [LoRA(**QUICK), EmbeddingTune(**QUICK)], ids=lambda method: method.name)
def test_every_method_teaches_the_order(method):
    prints = generate("starter", Ranked(num_candidates=6), num_fingerprints=4, secret=b"4" * 32)
    marked = embed("starter", prints, method, heldout=TEXT, limits=Limits(max_harm=math.inf), run=CPU)

    assert marked.report.fsr == 1.0
    assert mean(concordances(marked, prints)) > 0.7


@pytest.mark.slow
def test_a_mark_of_the_defaults_is_ordered_quiet_and_harmless():
    prints = generate("starter", Ranked(), num_fingerprints=64, secret=b"5" * 32)
    marked = embed("starter", prints, limits=Limits(min_fsr=0.98, max_harm=1.005), run=CPU)

    assert mean(concordances(marked, prints)) > 0.9
