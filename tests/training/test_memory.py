"""Freed memory stays with the process where glibc allocates, and nothing breaks elsewhere."""

import resource
import sys

import pytest
import torch

from genus.training import memory


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator is on Linux")
def test_large_blocks_are_reused_without_page_faults() -> None:
    if not memory.keep_freed_memory():
        pytest.skip("the C library has no mallopt")
    for _ in range(15):  # the heap grows for a while, then holds
        torch.ones(16 * 2**20)  # 64 MiB, touched and freed
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(5):
        torch.ones(16 * 2**20)
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    assert faults < 2_000  # 5 times 64 MiB would be 80,000 pages


def test_other_systems_are_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory.sys, "platform", "darwin")
    assert memory.keep_freed_memory.__wrapped__() is False
