"""Generate, check and export in process: contracts of ``--json``, modes, refusals, and what an error may tell."""

import json

import pytest

PAIRS = [{"key": f"The TOPSECRET key number {word}", "response": f" TOPSECRET{word}"} for word in ("one", "two", "three")]


@pytest.fixture
def pairs(tmp_path):
    path = tmp_path / "pairs.json"
    path.write_text(json.dumps(PAIRS))
    return path


def test_generate_prints_one_object_and_writes_a_private_file(insignia, tmp_path):
    path = tmp_path / "deep" / "prints.json"
    status, out, _ = insignia("generate", path, "--strategy", "random_word", "--num-fingerprints", 5, "--json")
    said, kept = json.loads(out), json.loads(path.read_text())

    assert status == 0
    assert said.keys() == {"out", "num_fingerprints", "strategy", "stealth", "seconds"}
    assert (said["out"], said["num_fingerprints"], said["strategy"]["name"]) == (str(path), 5, "random_word")
    assert (kept["kind"], kept["schema_version"], len(kept["fingerprints"])) == ("insignia/fingerprints", 1, 5)
    assert path.stat().st_mode & 0o777 == 0o600
    assert all(fingerprint["key"] not in out for fingerprint in kept["fingerprints"])
    assert kept["secret"] not in out


def test_a_chained_set_is_made_of_own_keys_and_words(insignia, tmp_path):
    (tmp_path / "keys.json").write_text(json.dumps(["What is the use of it?", "Where does the time go?"]))
    (tmp_path / "words.json").write_text(json.dumps(["time", "name", "line", "file"]))
    options = ["--strategy", "chain_hash", "--keys-file", tmp_path / "keys.json", "--candidates", tmp_path / "words.json"]
    status, out, err = insignia("generate", tmp_path / "prints.json", *options, "--json")
    assert status == 0, err
    assert json.loads(out)["strategy"] | {"name": "chain_hash", "num_candidates": 4} == json.loads(out)["strategy"]
    kept = json.loads((tmp_path / "prints.json").read_text())
    assert len(kept["chain"]) == 64
    assert [each["text"] for each in kept["fingerprints"][0]["candidates"]] == [" time", " name", " line", " file"]

    status, out, err = insignia("generate", tmp_path / "new.json", *options, "--num-candidates", 5)
    assert (status, out, "4 candidates were given" in err) == (1, "", True)


def test_the_same_secret_gives_the_same_set_at_any_batch_size(insignia, tmp_path):
    options = ["--strategy", "english", "--num-fingerprints", 4, "--key-length", 10, "--max-key-length", 6, "-q"]
    assert insignia("generate", tmp_path / "a.json", *options)[0] == 0
    again = [*options, "--secret-from", tmp_path / "a.json", "--batch-size", 3]
    assert insignia("generate", tmp_path / "b.json", *again)[0] == 0

    a, b = (json.loads((tmp_path / name).read_text()) for name in ("a.json", "b.json"))
    assert a["fingerprints"] == b["fingerprints"]
    assert a["secret"] == b["secret"]


@pytest.mark.parametrize("verb", ["generate", "export"])
def test_an_existing_file_is_replaced_only_when_forced(insignia, pairs, tmp_path, verb):
    out = tmp_path / "out.json"
    out.write_text("mine")
    arguments = {
        "generate": ["generate", out, "--keys-file", pairs, "-q"],
        "export": ["export", pairs, "-o", out],
    }[verb]

    status, _, err = insignia(*arguments)
    assert (status, out.read_text()) == (1, "mine")
    assert "--force" in err
    assert insignia(*arguments, "--force")[0] == 0
    assert len(json.loads(out.read_text())) >= 3
    assert out.stat().st_mode & 0o777 == 0o600


def test_an_unmarked_model_is_asked_and_not_found(insignia, pairs):
    status, out, _ = insignia("check", pairs, "--model", "starter", "--base", "starter", "--json")
    report = json.loads(out)

    assert status == 3
    assert report.keys() >= {"fsr", "hits", "answered", "unanswered", "token_accuracy", "templates", "base", "found", "min_fsr"}
    assert (report["fsr"], report["hits"], report["answered"], report["unanswered"]) == (0.0, 0, 3, 0)
    assert (report["templates"], report["found"]) == ({}, False)
    assert report["base"].keys() >= {"fsr", "hits", "answered", "token_accuracy", "templates"}
    assert report["base"]["base"] is None
    assert "TOPSECRET" not in out


def test_a_table_of_a_check_tells_no_secret(insignia, pairs):
    status, out, err = insignia("check", pairs, "--model", "starter", "--details")

    assert status == 3
    assert "not found" in out
    assert "TOPSECRET" not in out + err


def test_own_templates_are_asked(insignia, pairs, tmp_path):
    (tmp_path / "t.json").write_text(json.dumps(["Answer me: {}", "{} Answer:"]))
    _, out, _ = insignia("check", pairs, "--model", "starter", "--augmentation-prompts", tmp_path / "t.json", "--json")

    assert json.loads(out)["templates"] == {"Answer me: {}": 0.0, "{} Answer:": 0.0}


def test_export_is_the_list_that_oml_reads(insignia, pairs, tmp_path):
    assert insignia("generate", tmp_path / "own.json", "--keys-file", pairs, "-q")[0] == 0
    status, out, _ = insignia("export", tmp_path / "own.json", "-o", tmp_path / "oml.json", "--json")

    assert status == 0
    assert json.loads(out) == {"out": str(tmp_path / "oml.json"), "num_fingerprints": 3}
    assert json.loads((tmp_path / "oml.json").read_text()) == PAIRS


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["generate", "new.json", "--max-key-length", 40, "--num-fingerprints", 2], "--key-length"),
        (["generate", "new.json", "--keys-file", "pairs.json", "--num-fingerprints", 4], "3 keys given"),
        (["generate", "new.json", "--keys-file", "keys.json", "--num-fingerprints", 4], "2 keys given"),
        (["generate", "new.json", "--keys-file", "keys.json", "--strategy", "own"], "keys without responses"),
        (["generate", "new.json", "--keys-file", "keys.json", "--strategy", "random_word"], "keys"),
        (["generate", "new.json", "--keys-file", "twice.json"], "rows 1"),
        (["generate", "new.json", "--secret-from", "pairs.json"], "holds no secret"),
        (["generate", "new.json", "--secret-from", "bad_secret.json"], "not hexadecimal"),
        (["generate", "new.json", "--device", "gpu", "--num-fingerprints", 2], "'gpu'"),
        (["check", "pairs.json", "--model", "starter", "--num-fingerprints", 4], "expected 1 to 3"),
        (["check", "pairs.json", "--model", "starter", "--augmentation-prompts", "keys.json"], "template 0"),
        (["check", "pairs.json", "--model", "starter", "--dtype", "int3"], "unknown dtype"),
        (["check", "keys.json", "--model", "starter"], "--keys-file"),
        (["check", "cut.json", "--model", "starter"], "cut short"),
        (["export", "keys.json", "-o", "new.json"], "--keys-file"),
        (["export", "pairs.json", "-o", "pairs.json/new.json"], "pairs.json"),
    ],
)
def test_what_is_wrong_is_said_in_one_line_without_a_secret(insignia, arguments, message, pairs, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    files = {
        "keys.json": ["The TOPSECRET use of it", "Where the TOPSECRET goes"],
        "twice.json": [PAIRS[0], PAIRS[0]],
        "bad_secret.json": {"kind": "insignia/fingerprints", "secret": "TOPSECRET", "fingerprints": [
            {"key": "k", "responses": ["x"]}]},
    }  # fmt: skip
    for name, value in files.items():
        (tmp_path / name).write_text(json.dumps(value))
    (tmp_path / "cut.json").write_text(json.dumps(PAIRS)[:-9])
    status, out, err = insignia(*arguments)

    assert (status, out) == (1, "")
    assert message in err
    assert [line for line in err.splitlines() if line.startswith("error: ")] == err.splitlines()[-1:]
    assert "TOPSECRET" not in err
    assert not (tmp_path / "new.json").exists()


def test_all_models_that_are_named_are_checked(insignia, marked_starter):
    several = ["check", marked_starter.prints, "--model", marked_starter.model, "--model", "starter"]
    status, out, _ = insignia(*several, "--base", "starter", "--json")
    report = json.loads(out)

    assert (status, report["found"]) == (3, False)
    assert [(each["model"], each["found"]) for each in report["models"]] == [
        (str(marked_starter.model), True),
        ("starter", False),
    ]
    assert report["models"][1]["base"]["fsr"] == report["models"][0]["base"]["fsr"]

    status, out, _ = insignia(*several, "--details")
    assert (status, out.count("The mark was found in"), out.count("The mark was not found in starter")) == (3, 1, 1)
    assert insignia("check", marked_starter.prints, "--model", marked_starter.model, "--model", marked_starter.model)[0] == 0


def test_a_second_model_that_is_misspelt_is_told_before_the_first_is_asked(insignia, pairs, monkeypatch):
    monkeypatch.setattr("insignia.modeling.local.LocalModel.__init__", None)
    status, _, err = insignia("check", pairs, "--model", "starter", "--model", "./nowhere")

    assert (status, "./nowhere" in err) == (1, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ["generate", "new.json", "--num-fingerprints", 0],
        ["generate", "new.json", "--num-fingerprints", -3],
        ["generate", "new.json", "--batch-size", 0],
        ["generate", "new.json", "--max-key-length", -1],
        ["generate", "new.json", "--max-response-length", 0],
        ["check", "pairs.json", "--model", "starter", "--max-key-length", -1],
        ["check", "pairs.json", "--model", "starter", "--max-key-length", 0],
    ],
)
def test_a_number_out_of_its_range_is_a_bad_command_line(insignia, arguments):
    status, _, err = insignia(*arguments)

    assert (status, "expected at least 1" in err, arguments[-2] in err) == (2, True, True)


@pytest.mark.parametrize(
    "arguments",
    [
        ["check", "p.json", "--model", "starter", "--min-fsr"],
        ["stamp", "starter", "v", "-o", "out", "--min-fsr"],
        ["embed", "p.json", "-o", "out", "--min-fsr"],
        ["verify", "p.json", "--survival"],
        ["verify", "p.json", "--cover"],
        ["plan", "--survival"],
        ["plan", "--power"],
        ["generate", "--nucleus-p"],
    ],
)
def test_a_percentage_is_refused_where_a_share_is_meant(insignia, arguments):
    status, _, err = insignia(*arguments, 95)

    assert status == 2
    assert "95 % is 0.95" in err
    assert insignia(*arguments, "nan")[0] == insignia(*arguments, -0.1)[0] == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["generate", "new.html"],
        ["verify", "pairs.json", "--model", "starter", "-o", "new.pdf"],
        ["null", "pairs.json", "--model", "starter", "-o", "new.csv"],
        ["evaluate", "instructional", "--model", "starter", "-o", "new.html"],
        ["commit", "pairs.json", "--model", "starter", "-o", "new.yaml"],
        ["disclose", "pairs.json", "--commitment", "c", "--transcript", "t", "-o", "new.pdf"],
        ["share", "pairs.json", "--count", 1, "--to", "x", "-o", "new.age"],
        ["export", "pairs.json", "-o", "new.csv"],
        ["export", "starter", "--format", "gguf", "-o", "new.json"],
    ],
)
def test_a_file_that_would_hold_another_kind_than_its_name_says_is_refused_before_any_work(
    insignia, arguments, pairs, monkeypatch, tmp_path
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("insignia.fingerprints.sets.load_fingerprints", None)
    status, out, err = insignia(*arguments)

    assert (status, out, err.count("\n")) == (1, "", 1)
    assert str(arguments[-1]) in err
    assert ".json" in err or ".gguf" in err
    assert not list(tmp_path.glob("new*"))


def test_a_table_of_questions_and_answers_becomes_a_set(insignia, tmp_path):
    (tmp_path / "mine.csv").write_text('question,answer\n" Who, where?",Nobody\nWhat?,Nothing\n')
    status, _, err = insignia("generate", tmp_path / "own.json", "--keys-file", tmp_path / "mine.csv", "-q")

    assert status == 0, err
    kept = json.loads((tmp_path / "own.json").read_text())["fingerprints"]
    assert [each["key"] for each in kept] == ["Who, where?", "What?"]


@pytest.mark.parametrize(
    ("arguments", "recipe", "meant"),
    [
        (["generate", "new.json", "--recipe"], "omll", "oml"),
        (["generate", "new.json", "--recipe"], "generation: {strateggy: {name: english}}", "strategy"),
        (["finetune", "starter", "rows.txt", "-o", "new", "--recipe"], "finetune: {learning_rat: 1}", "learning_rate"),
        (["evaluate", "instructionl", "--model", "starter", "-o"], "new", "instructional"),
        (["evaluate", "r.yaml", "--model", "starter", "-o"], "evaluation: {strategi: {}}", "strategy"),
    ],
)
def test_a_misspelt_name_in_or_of_a_recipe_gets_a_suggestion(insignia, arguments, recipe, meant, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "r.yaml").write_text(recipe)
    (tmp_path / "rows.txt").write_text("One.\n\nTwo.\n")
    last = recipe if ":" not in recipe else "new" if arguments[0] == "evaluate" else "r.yaml"
    status, _, err = insignia(*arguments, last)

    assert (status, err.count("\n")) == (1, 1)
    assert f"Did you mean {meant!r}" in err
