import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import drawn_prints
from drawn_prints import drawn, knowing
from insignia.errors import FormatError, InputError, ModelError, OutputError
from insignia.fingerprints.sets import provenance
from insignia.statistics.nulls import DesignNull
from insignia.suspects.base import Alternative, Reply
from insignia.suspects.scripted import ScriptedModel
from insignia.verification.protocol import verify
from insignia.verification.transcript import Header, Rules, Transcript, sole_writer


def header():
    return Header(suspect="s", rules=Rules(null=DesignNull(candidates=16)), provenance=provenance())


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "new" / "t.jsonl"
    transcript = Transcript(header(), file=file)
    transcript.append(3, "a key", Reply.said(" olé \u2028"))
    transcript.append(None, "a cover question", Reply.unanswered("timed out"))
    transcript.append(1, "another key", Reply.said("pearl"))
    return file


def test_what_was_written_is_read(file):
    transcript = Transcript.load(file)

    assert [(entry.number, entry.question, entry.reply.text) for entry in transcript.entries] == [
        (3, "a key", " olé \u2028"),
        (None, "a cover question", ""),
        (1, "another key", "pearl"),
    ]
    assert transcript.header.rules == header().rules
    assert transcript.digest.startswith("sha256:")
    assert file.stat().st_mode & 0o777 == 0o600


def test_what_was_not_asked_for_leaves_no_byte(tmp_path):
    """Lines as they were before there were log-probabilities, but for how texts are folded."""
    rules = (
        '{"alpha":1e-06,"cover":0.5,"futility":0.01,"manner":{"form":"raw","max_tokens":16,"seed":null,"system":null,'
        '"temperature":0.0},"match":{"fold":"alike","how":"prefix","looks":1},"null":{"accepted":1,"candidates":16,"looks":1,'
        '"name":"design"},"survival":0.3,"suspects":1}'
    )
    plain = Transcript(header(), file=tmp_path / "t")
    plain.append(3, "a key", Reply.said("pearl"))
    first, second = (tmp_path / "t").read_text().splitlines()

    assert f'"rules":{rules},' in first
    assert second == (
        f'{{"number":3,"previous":"{hashlib.sha256(first.encode()).hexdigest()}","question":"a key",'
        '"reply":{"reason":"","status":"answered","text":"pearl"}}'
    )


def test_a_transcript_of_0_1_0_folds_white_space_alone(tmp_path):
    Transcript(header(), file=tmp_path / "t")
    (tmp_path / "old").write_text((tmp_path / "t").read_text().replace('"fold":"alike",', ""))

    assert Transcript.load(tmp_path / "t").header.rules.match.fold == "alike"
    assert Transcript.load(tmp_path / "old").header.rules.match.fold == "spaces"


def test_alternatives_are_read_as_they_were_written(tmp_path):
    reply = Reply.said("pearl", (Alternative(text=" olé", log_probability=-0.1), Alternative(text="", log_probability=-3e38)))
    Transcript(header(), file=tmp_path / "t").append(3, "a key", reply)

    assert Transcript.load(tmp_path / "t").entries[0].reply == reply
    assert "olé" not in repr(reply)


def test_a_transcript_in_memory_is_the_same(file):
    written = Transcript.load(file)
    transcript = Transcript(written.header)
    for entry in written.entries:
        transcript.append(entry.number, entry.question, entry.reply)

    assert transcript.digest == written.digest


def test_going_on_cuts_off_what_a_kill_left(file):
    whole = file.read_bytes()
    file.write_bytes(whole[:-20])
    transcript = Transcript.load(file)
    assert len(transcript.entries) == 2
    assert file.read_bytes() == whole[:-20]  # reading changes nothing

    transcript.resume()
    transcript.append(1, "another key", Reply.said("pearl"))
    assert file.read_bytes() == whole
    assert Transcript.load(file).digest == transcript.digest


@pytest.mark.parametrize("change", ["edit", "drop", "swap", "insert"])
def test_a_changed_line_is_found(file, change):
    lines = file.read_text().splitlines(keepends=True)
    if change == "edit":
        lines[1] = lines[1].replace("a key", "b key")
    elif change == "drop":
        del lines[1]
    elif change == "swap":
        lines[1:3] = lines[2], lines[1]
    else:
        lines.insert(2, lines[1])
    file.write_text("".join(lines))

    with pytest.raises(FormatError, match="does not follow") as caught:
        Transcript.load(file)
    assert "a key" not in str(caught.value)


def test_a_changed_header_is_found(file):
    file.write_text(file.read_text().replace('"suspect":"s"', '"suspect":"t"'))
    with pytest.raises(FormatError, match="line 2"):
        Transcript.load(file)


@pytest.mark.parametrize("content", ["", "{}", "{}\n", "TOPSECRET\n", json.dumps([1]) + "\n"])
def test_what_is_no_transcript_is_refused(tmp_path, content):
    (tmp_path / "t").write_text(content)
    with pytest.raises(FormatError) as caught:
        Transcript.load(tmp_path / "t")
    assert "TOPSECRET" not in str(caught.value)


def test_missing_and_existing_files(file, tmp_path):
    with pytest.raises(InputError, match="there is no file"):
        Transcript.load(tmp_path / "none")
    with pytest.raises(OutputError, match="File exists"):
        Transcript(header(), file=file)
    with pytest.raises(OutputError, match="cannot write"):
        Transcript(header(), file=file / "below")


def test_a_record_shows_no_text():
    assert "pearl" not in repr(Transcript(header()).append(1, "key", Reply.said("pearl")))
    assert "key" not in repr(Transcript(header()).append(1, "key", Reply.said("pearl"))).replace("previous", "")


ASKING = """
import sys, time
from pathlib import Path
from drawn_prints import drawn, knowing
from insignia.suspects.base import Reply
from insignia.suspects.scripted import ScriptedModel
from insignia.verification.protocol import verify

file, knows = Path(sys.argv[1]), knowing(drawn())
def slowly(question):
    if file.read_text().count("\\n") > 2:
        print("asking", flush=True)
        time.sleep(600)
    return Reply.said(knows.get(question, "Well."))
verify(drawn(), ScriptedModel(slowly, name="s"), transcript=file)
"""


def test_a_second_process_is_refused_and_a_killed_one_is_in_nobodys_way(tmp_path):
    file = tmp_path / "t.jsonl"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, [Path(drawn_prints.__file__).parent, *sys.path]))}
    command = [sys.executable, "-c", ASKING, file]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as first:
        assert first.stdout.readline() == "asking\n"
        before = file.read_bytes()
        second = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=300)
        assert second.returncode == 1
        assert f"OutputError: another process is writing the transcript {file}" in second.stderr
        assert file.read_bytes() == before
        first.kill()

    model = ScriptedModel(knowing(drawn()), name="s")
    verdict = verify(drawn(), model, transcript=file)
    assert (verdict.outcome, verdict.hits) == ("owned", 6)
    assert file.read_bytes().startswith(before)
    assert [path.name for path in tmp_path.iterdir()] == ["t.jsonl"]


def test_the_lock_ends_with_the_writing_however_it_ends(tmp_path):
    file = tmp_path / "t.jsonl"
    for _ in range(2):
        with pytest.raises(ModelError), sole_writer(None):
            verify(drawn(), ScriptedModel({}, otherwise=Reply.fatal("down")), transcript=file)
    with sole_writer(file), pytest.raises(OutputError, match="another process"), sole_writer(file):
        pass
    with sole_writer(file):
        pass
