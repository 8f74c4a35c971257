"""Keys that another model writes, behind an API or on this machine."""

import json

import pytest

from tiny_server import serving


@pytest.fixture
def writer():
    """An API that writes a sentence about whatever word it is asked for; yields its address and what it was asked."""
    asked = []

    def answer(path, headers, body):
        asked.append((path, body))
        word = body["messages"][-1]["content"].rsplit(" ", 1)[1]
        message = {"role": "assistant", "content": f"{word} was never what the others had thought it was."}
        return 200, {"choices": [{"message": message, "finish_reason": "stop"}]}

    with serving(answer) as address:
        yield address, asked


def test_an_api_writes_the_keys_by_a_request_of_ones_own(insignia, writer, tmp_path):
    url, asked = writer
    prompt = ["--writer-name", "theirs", "--writer-prompt", "Say something that begins with {}"]
    status, _, err = insignia("generate", tmp_path / "p.json", "--num-fingerprints", 5, "--writer", url, *prompt, "-q")
    made = json.loads((tmp_path / "p.json").read_text())

    assert status == 0, err
    assert all(" was never what the others" in fingerprint["key"] for fingerprint in made["fingerprints"])
    assert {(path, body["model"]) for path, body in asked} == {("/v1/chat/completions", "theirs")}
    assert all(body["messages"][-1]["content"].startswith("Say something that begins with ") for _, body in asked)
    assert made["provenance"]["inputs"]["writer"] == f"theirs at {url}"


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--writer", "http://127.0.0.1:9/v1"], "--writer-name"),
        (["--writer", "starter", "--writer-name", "x"], "--writer-name"),
        (["--writer", "starter", "--writer-prompt", "no place"], "exactly one"),
    ],
)
def test_options_of_a_writer_that_make_no_sense_are_one_line(insignia, tmp_path, options, named):
    status, _, err = insignia("generate", tmp_path / "p.json", *options, "-q")

    assert (status, named in err, (tmp_path / "p.json").exists()) == (1, True, False)
