"""Killing real training processes, at random moments and at every one that matters."""

import os
import random
import signal
import time
from pathlib import Path

import pytest
from training_forker import Forker
from training_toys import differences, final_tensors

import genus
from genus.training import RunFolder
from genus.training.checkpoint import find, newest_valid

CONFIG = {
    "steps": 60,
    "batch_size": 16,
    "checkpoint_every": 0,
    "evaluate_every": 20,
    "samples": 4,
    "precision": "float32",
}
KILLS = 20


@pytest.fixture(scope="module")
def forker():
    with Forker() as forker:
        yield forker


@pytest.fixture(scope="module")
def whole(forker, tmp_path_factory):
    """The run that nobody killed, and the seconds that it took."""
    out = tmp_path_factory.mktemp("whole") / "run"
    start = time.monotonic()
    assert forker.train(out, model="toy-conv", config=CONFIG) == 0
    return out, time.monotonic() - start


def log_of(out):
    return Path(f"{out}.log").read_text()


def has_temporaries(out):
    return any(out.rglob(".tmp-*"))


@pytest.mark.slow
def test_kill_9_at_random_moments(forker, whole, tmp_path):
    """At least 20 kills; every killed run goes on and ends in the weights of the whole one."""
    reference, seconds = whole
    expected, rng = final_tensors(reference), random.Random(0)
    kills, runs, halves, steps = 0, 0, 0, set()
    while kills < KILLS:
        out, code, runs = tmp_path / f"run-{runs}", None, runs + 1
        while code != 0:
            pid = forker.start(out, model="toy-conv", config=CONFIG)
            time.sleep(rng.uniform(0.0, 0.6) * seconds)
            os.kill(pid, signal.SIGKILL)
            code = forker.wait(pid)
            assert code in (0, -signal.SIGKILL), log_of(out)
            if code:
                kills += 1
                halves += has_temporaries(out)
                assert RunFolder(out).status in ("none", "crashed", "finished")
                found = newest_valid(out / "state") if find(out / "state") else None
                steps.add(found.step if found else None)
        assert not has_temporaries(out)
        assert RunFolder(out).status == "finished"
        assert differences(expected, final_tensors(out)) == []
        assert (out / "model.safetensors").read_bytes() == (
            reference / "model.safetensors"
        ).read_bytes()
        genus.load(out)
    print(f"{kills} kills, {runs} runs, {halves} inside a write, at {len(steps)} different steps")
    assert len(steps) >= 5, "the kills must not all strike at the same place"


@pytest.mark.slow
def test_kill_at_every_write(forker, tmp_path):
    """Before, inside and after every write, sync and rename of a short run."""
    config = {**CONFIG, "steps": 2, "evaluate_every": 2, "keep": 1, "samples": 1}
    assert forker.train(tmp_path / "whole", model="toy-chain", config=config) == 0
    expected = final_tensors(tmp_path / "whole")
    point, halves = 0, 0
    while True:
        point += 1
        out = tmp_path / f"point-{point}"
        code = forker.train(out, model="toy-chain", config=config, kill_at=point)
        if code == 0:
            break
        assert code == -signal.SIGKILL, log_of(out)
        halves += has_temporaries(out)
        if RunFolder(out).exists and find(out / "state"):
            assert newest_valid(out / "state") is not None, "a killed write left a broken one"
        assert forker.train(out, model="toy-chain", config=config) == 0, log_of(out)
        assert differences(expected, final_tensors(out)) == []
        assert not has_temporaries(out)
    print(f"{point - 1} kill points, {halves} of them inside a write")
    assert point > 60
    assert halves > 15


def test_ctrl_c_in_a_process_of_its_own(forker, tmp_path):
    out = tmp_path / "run"
    pid = forker.start(out, model="toy-chain", config={**CONFIG, "steps": 10**6, "keep": 1})
    until(lambda: len(RunFolder(out).read_metrics()) > 2)
    assert RunFolder(out).status == "running"
    os.kill(pid, signal.SIGINT)
    assert forker.wait(pid) == 130
    assert "resume with: genus train toy-chain --data toy --out" in log_of(out)
    assert RunFolder(out).status == "interrupted"
    assert newest_valid(out / "state").step > 0


def test_ctrl_c_twice_does_not_wait_for_the_step(forker, tmp_path):
    out = tmp_path / "run"
    pid = forker.start(out, model="toy-chain", config=CONFIG, sleep_at=5)
    until((out / "asleep").exists)
    os.kill(pid, signal.SIGINT)
    until(lambda: "finishing this step" in log_of(out))
    start = time.monotonic()
    os.kill(pid, signal.SIGINT)
    assert forker.wait(pid) == 130
    assert time.monotonic() - start < 30  # the step would take 60 seconds
    assert newest_valid(out / "state").step == 5


def test_a_second_process_is_refused(forker, tmp_path):
    out = tmp_path / "run"
    first = forker.start(out, model="toy-chain", config=CONFIG, sleep_at=5)
    until((out / "asleep").exists)
    assert forker.train(out, model="toy-chain", config=CONFIG) == 1
    assert f"is being trained by process {first}; wait for it, stop it" in log_of(out)
    os.kill(first, signal.SIGKILL)
    assert forker.wait(first) == -signal.SIGKILL
    assert RunFolder(out).status == "crashed"
    assert forker.train(out, model="toy-chain", config=CONFIG) == 0


def test_a_full_disk(forker, tmp_path):
    """Files may not grow beyond 20 kB from step 4 on; the checkpoint needs more."""
    out = tmp_path / "run"
    full = {"full_at": 4, "file_size": 20_000}
    assert forker.train(out, model="toy-chain", config=CONFIG, **full) == 1
    said = log_of(out)
    assert "TrainingError: cannot write" in said
    assert "free some space. A training run then goes on with resume=True (--resume)" in said
    assert newest_valid(out / "state").step == 3
    assert not has_temporaries(out)
    assert forker.train(out, model="toy-chain", config=CONFIG) == 0


@pytest.mark.skipif(os.name != "posix", reason="needs POSIX permissions")
def test_a_read_only_folder(forker, tmp_path):
    closed = Path("/tmp") / f"genus-read-only-{os.getpid()}"
    closed.mkdir(mode=0o755)
    (closed / "run.log").touch()
    (closed / "run.log").chmod(0o666)
    closed.chmod(0o555)
    try:
        code = forker.train(closed / "run", model="toy-chain", config=CONFIG, nobody=True)
        said = log_of(closed / "run")
        assert code == 1, said
        assert "CheckpointError: cannot write" in said
        assert "make the folder writable, or choose another one (--out)" in said
    finally:
        closed.chmod(0o755)
        (closed / "run.log").unlink()
        closed.rmdir()


def until(condition, seconds=60):
    """Wait until a condition holds."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it never happened"
        time.sleep(0.01)
