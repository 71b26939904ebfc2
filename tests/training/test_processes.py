"""Two processes do what one does with the same global batch."""

import os
import signal
import threading
import time

import pytest
import torch
from training_toys import differences, final_tensors, make, toy_data

from genus.errors import ConfigError, TrainingError
from genus.training import Hook, RunFolder, TrainConfig, TrainingInterrupted, train
from genus.training.checkpoint import newest_valid
from genus.training.tensors import from_file

pytestmark = pytest.mark.slow
CONFIG = {"steps": 12, "batch_size": 8, "precision": "float32", "samples": 4, "evaluate_every": 4}


def kept(run):
    return from_file(run / "model.safetensors", None)


@pytest.mark.parametrize(
    ("name", "options", "tolerance"),
    [
        # Sums in another order: rounding of the type, grown a little over 12 steps.
        ("toy-chain", {"double": True, "dropout": 0.0}, 1e-12),
        ("toy-players", {}, 1e-5),
        ("toy-counts", {}, 0.0),
    ],
)
def test_two_processes_equal_one(tmp_path, name, options, tolerance):
    data = toy_data()
    one = train(make(name, **options), data, tmp_path / "one", TrainConfig(**CONFIG))
    two = train(make(name, **options), data, tmp_path / "two", TrainConfig(**CONFIG, processes=2))
    first, second, start = kept(one.path), kept(two.path), make(name, **options).state_dict()
    worst = max((first[k] - second[k]).abs().max().item() for k in first)
    moved = max((first[k] - start[k]).abs().max().item() for k in first if k != "seen")
    print(f"{name}: largest difference {worst:.1e}, largest change by training {moved:.1e}")
    assert worst <= tolerance
    assert moved > 1e-3
    assert one.steps == two.steps == 12 or name == "toy-counts"
    assert RunFolder(two.path).read_manifest()["processes"] == 2
    scores = [
        [x["nats_per_dim"] for x in RunFolder(r.path).read_metrics() if "nats_per_dim" in x]
        for r in (one, two)
    ]
    if name in ("toy-chain", "toy-counts"):  # a bound takes its noise per process
        assert scores[0] == pytest.approx(scores[1], rel=1e-6)


class Wait(Hook):
    """In step 5 the first process waits for the signal that its parent is sent."""

    def __init__(self, flag):
        self.flag = flag

    def on_step(self, session):
        if session.step == 5 and session.engine.is_first:
            self.flag.touch()
            while not session.interrupts.received:
                time.sleep(0.01)


def signal_when(flag):
    while not flag.exists():
        time.sleep(0.01)
    os.kill(os.getpid(), signal.SIGTERM)


def test_two_processes_resume_to_the_bit(tmp_path):
    """A signal stops both at the same step; dropout and what is remembered differ by process."""
    data, config, flag = toy_data(), TrainConfig(**CONFIG, processes=2), tmp_path / "flag"
    train(make("toy-chain", memory=True), data, tmp_path / "whole", config)
    threading.Thread(target=signal_when, args=(flag,), daemon=True).start()
    with pytest.raises(KeyboardInterrupt) as told:
        train(make("toy-chain", memory=True), data, tmp_path / "cut", config, hooks=[Wait(flag)])
    assert told.value.exit_code == 143
    assert "resume with: genus train toy-chain" in str(told.value)
    assert newest_valid(tmp_path / "cut" / "state").step == 5
    train(make("toy-chain", memory=True), data, tmp_path / "cut", resume=True)
    assert differences(final_tensors(tmp_path / "whole"), final_tensors(tmp_path / "cut")) == []
    states = newest_valid(tmp_path / "cut" / "state").tensors["rng/torch"]
    assert states.shape[0] == 2
    assert not torch.equal(states[0], states[1])


def signal_at_once(before):
    while signal.getsignal(signal.SIGTERM) == before:
        time.sleep(0.001)
    os.kill(os.getpid(), signal.SIGTERM)


def test_a_signal_while_the_processes_start(tmp_path):
    before = signal.getsignal(signal.SIGTERM)
    threading.Thread(target=signal_at_once, args=(before,), daemon=True).start()
    config = TrainConfig(**CONFIG, processes=2)
    with pytest.raises(TrainingInterrupted, match="stopped") as told:
        train(make("toy-chain"), toy_data(), tmp_path / "run", config)
    assert told.value.exit_code == 143
    assert RunFolder(tmp_path / "run").status == "crashed"
    assert signal.getsignal(signal.SIGTERM) == before


def test_an_error_in_the_workers_is_told(tmp_path):
    config = TrainConfig(**CONFIG, processes=2, learning_rate=1e38)
    with pytest.raises(TrainingError, match="lower learning_rate"):
        train(make("toy-chain"), toy_data(), tmp_path / "run", config)
    assert RunFolder(tmp_path / "run").status == "failed"


class SlowSamples(Hook):
    """The first process, which alone draws samples, takes longer to evaluate than the other."""

    def before_step(self, session):
        if session.step == 0 and session.engine.is_first:
            draw = session.model.sample

            def slowly(*arguments, **options):
                time.sleep(0.3)
                return draw(*arguments, **options)

            session.model.sample = slowly


def test_a_time_budget_is_one_clock_for_all_processes(tmp_path):
    """Else the second process evaluates again while the first trains, and they wait apart."""
    config = TrainConfig(time_budget=1.0, batch_size=8, samples=4, processes=2)
    train(make("toy-chain"), toy_data(), tmp_path / "run", config, hooks=[SlowSamples()])
    lines = RunFolder(tmp_path / "run").read_metrics()
    assert len([line for line in lines if line["kind"] == "valid"]) == 2


class Die(Hook):
    def before_step(self, session):
        if session.step == 3 and not session.engine.is_first:
            os.kill(os.getpid(), signal.SIGKILL)


def test_a_dead_worker_ends_the_run(tmp_path):
    config = TrainConfig(**CONFIG, processes=2)
    with pytest.raises(RuntimeError, match="exit code -9"):
        train(make("toy-chain"), toy_data(), tmp_path / "run", config, hooks=[Die()])
    assert RunFolder(tmp_path / "run").status in ("crashed", "failed")
    assert newest_valid(tmp_path / "run" / "state") is not None


def test_what_cannot_be_sent_is_refused(tmp_path):
    class Local(Hook):
        pass

    config = TrainConfig(**CONFIG, processes=2)
    with pytest.raises(TrainingError, match=r"cannot be sent to other processes.*processes=1"):
        train(make("toy-chain"), toy_data(), tmp_path / "run", config, hooks=[Local()])


def test_a_launcher_of_another_size_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "4")
    with pytest.raises(ConfigError, match="started 4 processes; set processes=4"):
        train(make("toy-chain"), toy_data(), tmp_path / "run", TrainConfig(**CONFIG))
