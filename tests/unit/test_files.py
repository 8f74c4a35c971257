import errno
import os
from pathlib import Path

import pytest

from insignia.errors import FormatError, InputError, OutputError
from insignia.files import digest_of_file, new_folder, read_json, refuse_existing, write_json, write_text


def test_a_secret_file_is_the_owners_alone_and_others_follow_the_umask(tmp_path):
    write_text(tmp_path / "secret", "x", secret=True)
    write_text(tmp_path / "public", "x")

    assert (tmp_path / "secret").stat().st_mode & 0o777 == 0o600
    assert (tmp_path / "public").stat().st_mode & 0o044


def test_a_full_disk_leaves_the_old_file_and_no_scrap(tmp_path, monkeypatch):
    path = tmp_path / "file.json"
    write_json(path, {"old": True})

    def full(_handle):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        write_json(path, {"new": True})
    assert read_json(path) == {"old": True}
    assert list(tmp_path.iterdir()) == [path]


def test_an_unwritable_place_is_an_output_error(tmp_path):
    (tmp_path / "file").write_text("x")

    with pytest.raises(OutputError):
        write_text(tmp_path / "file" / "below", "x")


@pytest.mark.parametrize("content", [b"", b'{"a": ', b"\xff\xfe", b"[" * 100_000])
def test_what_is_not_json_is_a_format_error(tmp_path, content):
    (tmp_path / "f").write_bytes(content)

    with pytest.raises(FormatError):
        read_json(tmp_path / "f")


def test_a_missing_file_and_a_folder_are_input_errors(tmp_path):
    with pytest.raises(InputError, match="there is no file"):
        read_json(tmp_path / "none")
    with pytest.raises(InputError, match="cannot read"):
        read_json(tmp_path)


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    def fail():
        with new_folder(tmp_path / "out") as scratch:
            (scratch / "half").write_text("x")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert list(tmp_path.iterdir()) == []

    with new_folder(tmp_path / "out") as scratch:
        (scratch / "whole").write_text("x")
        (scratch / "whole").chmod(0o600)
        assert not (tmp_path / "out").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert (tmp_path / "out" / "whole").stat().st_mode & 0o044


def test_an_existing_folder_is_kept_unless_forced(tmp_path):
    with new_folder(tmp_path / "out") as scratch:
        (scratch / "old").write_text("x")
    with pytest.raises(OutputError, match="exists"):
        refuse_existing(tmp_path / "out", force=False)
    with new_folder(tmp_path / "out", force=True) as scratch:
        (scratch / "new").write_text("x")

    assert [path.name for path in Path(tmp_path / "out").iterdir()] == ["new"]
    assert len(list(tmp_path.iterdir())) == 1


def test_digest_is_the_sha256_of_the_bytes(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")

    assert digest_of_file(tmp_path / "f") == "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
