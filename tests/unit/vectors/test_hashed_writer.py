"""Shards that several threads write in order, and digests that need no second reading."""

import random
import time

import pytest
import torch
from blake3 import blake3
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file

from insignia.checkpoints import header_of
from insignia.vectors.hashed_writer import HashedWriter
from insignia.vectors.stored_rows import byte_view
from insignia.vectors.threads import in_lanes

TENSORS = {"one.safetensors": {"a": 7, "b": 0, "c": 300}, "two.safetensors": {"d": 50}}


@pytest.fixture
def writer(tmp_path):
    headers = {
        shard: header_of([(name, "F32", (count,)) for name, count in tensors.items()]) for shard, tensors in TENSORS.items()
    }
    with HashedWriter(tmp_path, headers) as found:
        yield found


def pieces(step):
    """Each shard's (name, first element, elements) in the order of its file."""
    return [
        [(name, first, min(step, count - first)) for name, count in tensors.items() for first in range(0, count, step)]
        for tensors in TENSORS.values()
    ]


@pytest.mark.parametrize("step", [1, 8, 1000])
def test_pieces_of_several_threads_are_written_in_order_and_digested(writer, tmp_path, step):
    whole = {name: torch.randn(count) for tensors in TENSORS.values() for name, count in tensors.items()}

    def run(piece):
        name, first, count = piece
        time.sleep(random.random() / 5000)
        writer.write(name, 4 * first, byte_view(whole[name][first : first + count]))

    in_lanes(pieces(step), run)

    for shard, tensors in TENSORS.items():
        assert {name: values.tolist() for name, values in load_file(tmp_path / shard).items()} == {
            name: whole[name].tolist() for name in tensors
        }
        assert writer.digests[shard] == f"blake3:{blake3((tmp_path / shard).read_bytes()).hexdigest()}"


def test_a_thread_that_fails_lets_the_others_go(writer):
    def run(piece):
        name, first, count = piece
        try:
            writer.write({"c": "missing"}.get(name, name), 4 * first, memoryview(bytes(4 * count)))
        except KeyError:
            writer.abandon()
            raise

    with pytest.raises(KeyError, match="missing"):
        in_lanes(pieces(10), run)


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 20), max_size=6))
def test_every_job_of_every_lane_is_run_once_and_begun_in_order(counts):
    begun = []
    in_lanes([[(lane, job) for job in range(count)] for lane, count in enumerate(counts)], begun.append)

    assert sorted(begun) == [(lane, job) for lane, count in enumerate(counts) for job in range(count)]
