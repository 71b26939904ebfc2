"""A run that shares its processors says so, once, and no other run does."""

from types import SimpleNamespace

import pytest
import torch

from genus.training import crowding
from genus.training.crowding import Crowding, Usage, crowded

QUIET, BUSY = Usage(20.0, 39.5, 1400), Usage(20.0, 25.0, 3900)


@pytest.mark.parametrize(
    ("after", "threads", "expected"),
    [
        (QUIET, 2, False),
        (BUSY, 2, True),
        (BUSY, 1, False),  # one thread waits for nobody
        (BUSY._replace(put_aside=200), 2, False),  # waits for its data
        (BUSY._replace(processor=39.0), 2, False),  # has all there is
    ],
)
def test_both_signs_are_asked_for(after, threads, expected):
    assert crowded(Usage(0.0, 0.0, 0), after, threads) is expected


@pytest.mark.parametrize(
    ("after", "threads", "device", "told"),
    [(BUSY, 2, "cpu", 1), (QUIET, 2, "cpu", 0), (BUSY, 1, "cpu", 0), (BUSY, 2, "meta", 0)],
)
def test_it_is_said_once(monkeypatch, after, threads, device, told):
    usages = iter([Usage(0.0, 0.0, 0), after])
    monkeypatch.setattr(Usage, "now", lambda: next(usages))
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads)
    clock = iter([14.0, 16.0, 17.0, 40.0])
    monkeypatch.setattr(crowding.time, "perf_counter", lambda: next(clock))
    notes = []
    session = SimpleNamespace(
        engine=SimpleNamespace(device=torch.device(device)), note=notes.append
    )
    hook = Crowding()
    hook.on_start(session)
    for _ in range(4):
        hook.on_step(session)
    assert len(notes) == told
    assert all("OMP_NUM_THREADS=1" in note for note in notes)


def test_usage_grows():
    before = Usage.now()
    sum(range(10**6))
    after = Usage.now()
    assert after.clock > before.clock
    assert after.processor >= before.processor
    assert after.put_aside >= before.put_aside
