import json

import pytest

from insignia.artifacts import provenance
from insignia.errors import FormatError, InputError, OutputError
from insignia.models.base import Reply
from insignia.verification.null import DesignNull
from insignia.verification.transcript import Header, Rules, Transcript


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
