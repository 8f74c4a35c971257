import os
from concurrent.futures import ThreadPoolExecutor

import pytest

from insignia.offset_files import OffsetFile


@pytest.fixture(params=["POSIX", "Windows"])
def system(request, monkeypatch):
    if request.param == "Windows":
        for name in ("preadv", "pwrite"):
            monkeypatch.delattr(os, name, raising=False)


@pytest.mark.usefixtures("system")
def test_threads_write_and_read_at_offsets_of_their_own(tmp_path):
    pieces = [bytes([number]) * 1000 for number in range(64)]
    with OffsetFile(tmp_path / "file", "xb") as file, ThreadPoolExecutor(8) as threads:
        list(threads.map(lambda number: file.write(memoryview(pieces[number]), 1000 * number), reversed(range(64))))
    with OffsetFile(tmp_path / "file") as file, ThreadPoolExecutor(8) as threads:
        assert file.size == 64_000
        assert list(threads.map(lambda number: file.read(1000, 1000 * number), range(64))) == pieces
        assert file.read(1000, 63_990) == pieces[63][:10]
        assert file.read(1, 64_000) == b""


def test_what_is_new_replaces_nothing(tmp_path):
    (tmp_path / "file").write_bytes(b"kept")
    with pytest.raises(FileExistsError):
        OffsetFile(tmp_path / "file", "xb")
    assert (tmp_path / "file").read_bytes() == b"kept"
