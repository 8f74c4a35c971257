import errno
import os
import traceback
from pathlib import Path

import pytest

from insignia.errors import FormatError, InputError, OutputError
from insignia.files import digest_of_file, new_file, new_folder, read_json, read_rows, refuse_existing, write_json, write_text


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


@pytest.mark.parametrize("content", ['[1, "a"]', ' \n[1,\n"a"]\n', '1\n\n"a"', '\ufeff1\r\n"a"\r\n'])
def test_rows_are_a_list_or_lines(tmp_path, content):
    (tmp_path / "f").write_text(content, encoding="utf-8", newline="")

    assert read_rows(tmp_path / "f") == [1, "a"]


def test_a_missing_file_and_a_folder_are_input_errors(tmp_path):
    with pytest.raises(InputError, match="there is no file"):
        read_json(tmp_path / "none")
    with pytest.raises(InputError, match="is a folder"):
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


def test_a_file_written_in_pieces_appears_whole_or_not_at_all(tmp_path):
    (tmp_path / "out").write_text("old")

    def fail():
        with new_file(tmp_path / "out") as scratch:
            scratch.write_text("half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("out", "old")]

    with new_file(tmp_path / "out") as scratch:
        scratch.write_text("new")
        assert (tmp_path / "out").read_text() == "old"
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("out", "new")]


def test_an_existing_folder_is_kept_unless_forced(tmp_path):
    with new_folder(tmp_path / "out") as scratch:
        (scratch / "old").write_text("x")
    with pytest.raises(OutputError, match="exists"):
        refuse_existing(tmp_path / "out", force=False)
    with new_folder(tmp_path / "out", force=True) as scratch:
        (scratch / "new").write_text("x")

    assert [path.name for path in Path(tmp_path / "out").iterdir()] == ["new"]
    assert len(list(tmp_path.iterdir())) == 1


def test_a_secret_folder_and_those_made_for_it_are_its_owners_alone(tmp_path):
    with new_folder(tmp_path / "made" / "secret", secret=True) as scratch:
        (scratch / "part").mkdir()
        write_text(scratch / "part" / "file", "x")
    write_text(tmp_path / "also" / "made" / "key", "x", secret=True)
    with new_folder(tmp_path / "public" / "model") as scratch:
        write_text(scratch / "file", "x", secret=True)

    modes = {str(path.relative_to(tmp_path)): path.stat().st_mode & 0o777 for path in tmp_path.rglob("*")}
    for name in ("made", "made/secret", "made/secret/part", "also", "also/made"):
        assert modes[name] == 0o700, name
    assert modes["made/secret/part/file"] == modes["also/made/key"] == 0o600
    assert modes["public"] == modes["public/model"] == 0o777 & ~_mask()
    assert modes["public/model/file"] == 0o666 & ~_mask()


def _mask():
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_a_folder_that_was_there_keeps_its_mode(tmp_path):
    (tmp_path / "shared").mkdir(mode=0o755)
    write_text(tmp_path / "shared" / "key", "x", secret=True)

    assert (tmp_path / "shared").stat().st_mode & 0o777 == 0o755 & ~_mask()


def test_digest_is_the_sha256_of_the_bytes(tmp_path):
    (tmp_path / "f").write_bytes(b"abc")

    assert digest_of_file(tmp_path / "f") == "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def refused(*_arguments, **_options):
    raise OSError(errno.EACCES, "Permission denied")


@pytest.mark.parametrize("step", ["tempfile.mkstemp", "pathlib.Path.replace", "pathlib.Path.chmod", "pathlib.Path.mkdir"])
def test_a_refusal_at_any_step_keeps_the_old_file(tmp_path, monkeypatch, step):
    """Tests may run as root, whom no mode keeps from writing: the refusal is played."""
    path = tmp_path / "file"
    write_text(path, "old")
    with monkeypatch.context() as patch:
        patch.setattr(step, refused)
        with pytest.raises(OutputError, match=f"cannot write {path}: Permission denied"):
            write_text(path, "new")

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_secret_is_never_readable_by_others_while_it_is_written(tmp_path, monkeypatch):
    modes = []
    monkeypatch.setattr(os, "fsync", lambda handle: modes.append(os.fstat(handle).st_mode & 0o777))
    write_text(tmp_path / "secret", "x", secret=True)

    assert modes == [0o600]


def test_a_secret_that_replaces_a_public_file_becomes_private(tmp_path):
    path = tmp_path / "file"
    write_text(path, "public")
    path.chmod(0o644)
    write_text(path, "secret", secret=True)

    assert path.stat().st_mode & 0o777 == 0o600


def test_missing_folders_are_made_and_text_is_kept_readable(tmp_path):
    path = tmp_path / "a" / "b" / "f.json"
    write_json(path, {"ü": "漢\n"})

    assert read_json(path) == {"ü": "漢\n"}
    assert "漢" in path.read_text(encoding="utf-8")


def test_a_folder_is_not_replaced_by_a_file(tmp_path):
    (tmp_path / "out").mkdir()

    with pytest.raises(OutputError, match="cannot write"):
        write_text(tmp_path / "out", "x")
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_a_number_too_long_to_read_is_a_format_error(tmp_path):
    (tmp_path / "f").write_text("1" * 5000)

    with pytest.raises(FormatError):
        read_json(tmp_path / "f")


def test_an_error_of_syntax_has_its_place_and_not_the_text_there(tmp_path):
    (tmp_path / "f").write_text('{"a": 1,\n "TOPSECRET" 2}')

    with pytest.raises(FormatError, match="line 2, column 14") as caught:
        read_json(tmp_path / "f")
    assert "TOPSECRET" not in "".join(traceback.format_exception(caught.value))


@pytest.mark.parametrize("renames", [0, 1])
def test_a_refused_rename_puts_the_old_folder_back_and_leaves_no_scrap(tmp_path, monkeypatch, renames):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "old").write_text("x")
    rename, done = Path.replace, []

    def refuse_once(self, target):
        done.append(target)
        return refused() if len(done) == renames + 1 else rename(self, target)

    with pytest.raises(OutputError, match="Permission denied"), new_folder(tmp_path / "out", force=True):
        monkeypatch.setattr(Path, "replace", refuse_once)

    assert [path.name for path in (tmp_path / "out").iterdir()] == ["old"]
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_a_place_where_no_folder_can_be_made_is_an_output_error(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.mkdtemp", refused)
    ran = []
    with pytest.raises(OutputError, match="Permission denied"), new_folder(tmp_path / "out"):
        ran.append(True)
    assert ran == []


def test_a_disk_that_fills_up_inside_the_block_is_an_output_error(tmp_path):
    with pytest.raises(OutputError, match="No space left"), new_folder(tmp_path / "out"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert list(tmp_path.iterdir()) == []


def test_a_stopped_run_keeps_the_folder_that_was_to_be_replaced(tmp_path):
    (tmp_path / "out").mkdir()
    with pytest.raises(KeyboardInterrupt), new_folder(tmp_path / "out", force=True):
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == [tmp_path / "out"]


def test_an_existing_folder_is_refused_before_the_block_runs(tmp_path):
    (tmp_path / "out").mkdir()
    ran = []
    with pytest.raises(OutputError, match="--force"), new_folder(tmp_path / "out"):
        ran.append(True)
    assert ran == []


def test_half_of_a_surrogate_pair_is_no_text(tmp_path):
    (tmp_path / "half.json").write_text('["\\ud83d", "\\ud83d\\ude00"]')
    (tmp_path / "whole.json").write_text('["\\uD83D\\uDE00"]')

    assert read_json(tmp_path / "whole.json") == ["\U0001f600"]
    with pytest.raises(FormatError, match="surrogate"):
        read_json(tmp_path / "half.json")
