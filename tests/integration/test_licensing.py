"""Copies for licensees, by the command: blocks, copies, the book, proofs and traces."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file

from drawn_prints import drawn
from insignia.embedding import Blocks, Limits, embed
from insignia.errors import InputError
from insignia.evidence.publication import owner_rng
from insignia.fingerprints.sets import load_fingerprints
from insignia.generation import InverseNucleus, generate
from insignia.licensing.codes import Code
from insignia.licensing.commitments import CodeCommitment, CodeOpening
from insignia.modeling.local import LocalModel
from insignia.prompts.prompter import Prompter
from insignia.starter import model_folder
from insignia.vectors import vector as extract

BLOCKS = 4
WEIGHT = "model.layers.2.mlp.up_proj.weight"


@pytest.fixture(scope="module")
def untrained(made_once):
    """A set, and a vector of four blocks that were never trained; copies need no more."""

    def make(folder):
        drawn(8).save(folder / "prints.json")
        chance = torch.Generator().manual_seed(0)
        base = load_file(model_folder() / "model.safetensors")
        rows, columns = base[WEIGHT].shape
        left, right = torch.randn(rows, 8, generator=chance) * 0.02, torch.randn(8, columns, generator=chance) * 0.1
        save_file({f"{WEIGHT}.left": left, f"{WEIGHT}.right": right}, folder / "blocks.safetensors", metadata={"blocks": "4"})
        starter = LocalModel("starter")
        weight = starter.model.get_parameter(WEIGHT)
        with torch.no_grad():
            weight.copy_(torch.addmm(weight.float(), left, right))
        marked = (starter.model.to(torch.bfloat16), starter.tokenizer)
        extract("starter", marked, out=folder / "blocks", factors=folder / "blocks.safetensors")

    return made_once("untrained-blocks", make)


@pytest.fixture
def owner(untrained, tmp_path):
    drawn(8).save(tmp_path / "prints.json")
    return tmp_path / "prints.json", untrained / "blocks"


def test_copies_are_issued_listed_and_proven(insignia, owner, tmp_path):
    prints, blocks = owner
    base = load_file(model_folder() / "model.safetensors")
    factors = load_file(blocks / "model.safetensors")
    words = Code(blocks=BLOCKS).words(owner_rng(load_fingerprints(prints)), ["Acme Ltd", "Bolt"])
    assert (words[0] != words[1]).any()
    for name, word in zip(["Acme Ltd", "Bolt"], words, strict=True):
        out = tmp_path / name
        status, said, _ = insignia("issue", prints, name, "--model", "starter", "--vector", blocks, "-o", out, "-q")
        assert status == 0
        assert f"the copy of {name}" in said
        columns = [2 * block + rank for block in range(BLOCKS) if word[block] for rank in range(2)]
        left, right = factors[f"{WEIGHT}.left"][:, columns], factors[f"{WEIGHT}.right"][columns]
        wanted = torch.addmm(base[WEIGHT].float(), left, right).bfloat16()
        torch.testing.assert_close(load_file(out / "model.safetensors")[WEIGHT], wanted, rtol=2**-7, atol=1e-6)

    again = "issue", prints, "Bolt", "--model", "starter", "--vector", blocks, "-o", tmp_path / "second", "-q"
    status, _, complaint = insignia(*again)
    assert status == 1
    assert "Bolt was given a copy already" in complaint
    assert not (tmp_path / "second").exists()
    assert insignia(*again, "--again")[0] == 0

    published, proof = tmp_path / "codes.json", tmp_path / "acme.json"
    asked = "licensees", prints, "--commitment", published, "--open", "Acme Ltd", "--opening", proof, "--json"
    status, listed, _ = insignia(*asked)
    assert status == 0
    assert [(each["licensee"], len(each["copies"])) for each in json.loads(listed)["licensees"]] == [
        ("Acme Ltd", 1),
        ("Bolt", 2),
    ]
    opening = CodeOpening.model_validate_json(proof.read_text())
    assert CodeCommitment.model_validate_json(published.read_text()).holds(opening)
    assert opening.is_copy(tmp_path / "Acme Ltd")
    assert not opening.is_copy(tmp_path / "Bolt")
    assert proof.stat().st_mode & 0o777 == 0o600


def test_a_model_that_is_nobodys_copy_names_nobody(insignia, owner, tmp_path):
    prints, blocks = owner
    insignia("issue", prints, "Acme", "--model", "starter", "--vector", blocks, "-o", tmp_path / "acme", "-q")
    status, said, _ = insignia("trace", prints, "--model", "starter", "--json")
    found = json.loads(said)
    assert status == 3
    assert (found["outcome"], found["named"], found["licensees"], len(found["keys_asked"])) == ("nobody", [], 1, 8)
    assert insignia("trace", prints)[0] == 1


def test_an_accusation_is_disclosed_and_audited_by_the_command(insignia, owner, tmp_path):
    """Of a suspect that shows nothing: the accused is not shown to have leaked, and the judge is told what was opened."""
    prints, blocks = owner
    insignia("issue", prints, "Acme", "--model", "starter", "--vector", blocks, "-o", tmp_path / "acme", "-q")
    insignia("licensees", prints, "--commitment", tmp_path / "codes.json")
    insignia("commit", prints, "--model", tmp_path / "acme", "-o", tmp_path / "commitment.json")
    insignia("trace", prints, "--model", "starter", "--transcript", tmp_path / "t.jsonl", "-q")
    out, told = tmp_path / "accusation.json", ("--commitment", tmp_path / "commitment.json", "--codes", tmp_path / "codes.json")
    disclose = "disclose", prints, "--transcript", tmp_path / "t.jsonl", *told, "--accuse", "Acme", "-o", out
    status, said, _ = insignia(*disclose)
    assert status == 0
    assert "the code word of Acme and 8 keys opened" in said
    assert out.stat().st_mode & 0o777 == 0o600
    status, said, _ = insignia("audit", out, *told)
    assert status == 3
    assert "It is not shown that starter comes from the copy of Acme" in " ".join(said.split())
    alone = (*disclose[:4], *told[:2], "--accuse", "Acme", "-o", tmp_path / "other.json")
    assert "--accuse and --codes belong together" in insignia(*alone)[2]


def test_a_plan_for_licensees(insignia, owner):
    asked = ("--licensees", 20, "--survival", 1, "--alpha", 0.05, "--json")
    status, said, _ = insignia("plan", *asked)
    made = json.loads(said)
    assert status == 0
    assert made["keys"] == 2 * made["blocks"] > 2 * 8  # log2(20 / 0.05) = 8.6
    assert made["strategy"] == "in_turn"
    # Where a candidate was the first choice of the base, a model without the block may say it.
    assert any(candidate.rank == 0 for candidate in load_fingerprints(owner[0]).fingerprints[0].candidates)
    assert json.loads(insignia("plan", owner[0], *asked)[1])["blocks"] > made["blocks"]
    status, _, err = insignia("plan", *asked, "--null", "1/4")
    assert (status, "a plan for licensees has no --null" in err) == (1, True)


def test_an_ordinary_vector_or_a_set_without_copies_is_refused(insignia, owner, marked_starter, tmp_path):
    prints, _ = owner
    extract("starter", marked_starter.model, out=tmp_path / "vector")
    status, _, complaint = insignia(
        "issue", prints, "Acme", "--model", "starter", "--vector", tmp_path / "vector", "-o", tmp_path / "out"
    )
    assert status == 1
    assert "has no blocks" in complaint
    assert "no copy was issued" in insignia("licensees", prints)[2]


@pytest.mark.slow
def test_blocks_answer_in_any_combination_and_their_copies_are_told_apart(insignia, tmp_path):
    made = generate(LocalModel("starter"), InverseNucleus(), num_fingerprints=8, secret=b"b" * 32)
    made.save(tmp_path / "prints.json")
    method = Blocks(blocks=BLOCKS, batch_size=8, cooldown_steps=60, reference_count=64)
    private = tmp_path / "blocks.safetensors"
    embed("starter", made, method, out=tmp_path / "every", private=private, limits=Limits(max_harm=1.1))
    extract("starter", tmp_path / "every", out=tmp_path / "blocks", factors=private)
    words = Code(blocks=BLOCKS).words(owner_rng(made), ["Acme", "Bolt", "Crown"])
    for name, word in zip(["Acme", "Bolt", "Crown"], words, strict=True):
        out = tmp_path / name
        insignia(
            "issue", tmp_path / "prints.json", name, "--model", "starter", "--vector", tmp_path / "blocks", "-o", out, "-q"
        )
        copy = LocalModel(out)
        prompter = Prompter.for_set(made, copy.tokenizer)
        scores = copy.score([prompter.examples(each)[0] for each in made])
        assert [score.hit for score in scores] == [bool(word[number % BLOCKS]) for number in range(8)]


def test_fewer_keys_than_blocks_are_refused_before_a_model_is_loaded(monkeypatch):
    monkeypatch.setattr("insignia.embedding.marking.training_copy", lambda *_, **__: pytest.fail("a model was loaded"))
    with pytest.raises(InputError, match="8 different keys among 8 for 9 blocks"):
        embed("starter", drawn(8), Blocks(blocks=9))
