from genus.training import clock as module
from genus.training.clock import Clock


def test_only_training_counts_as_training(monkeypatch):
    now = [100.0]
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])
    clock = Clock()
    with clock.doing("training"):
        now[0] += 2
        with clock.doing("evaluation"):
            now[0] += 30
            with clock.doing("sampling"):
                now[0] += 400
        now[0] += 3
        assert clock.training == 5
        with clock.doing("checkpoint"):
            now[0] += 7000
    now[0] += 90000  # between blocks nothing runs
    assert clock.seconds == {
        "training": 5,
        "evaluation": 30,
        "sampling": 400,
        "checkpoint": 7000,
    }
