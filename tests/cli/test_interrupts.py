"""Ctrl-C and SIGTERM in a real process, once and twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from genus.training import RunFolder
from genus.training.checkpoint import newest_valid

SMALL = ["features=8", "layers=1", "hidden=8"]
LARGE = ["features=256", "layers=12", "hidden=256"]
"""One step of this takes seconds, so that a second signal comes before it has ended."""


def begin(out: Path, options: list[str], batch: int) -> subprocess.Popen[str]:
    """Start a training run that would go on for ever, and wait until it has begun."""
    words = ["train", "pixelcnn", "--data", "digits", "--out", str(out), "--steps", "1000000"]
    words += ["--samples", "0", "--batch-size", str(batch), "--set", *options]
    command = [sys.executable, "-m", "genus", *words]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 120
    while not list((out / "state").glob("step-*/*")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, "training did not begin"
        time.sleep(0.05)
    time.sleep(1.0)
    return process


def wait_for(process: subprocess.Popen[str], words: str) -> None:
    """Read stderr up to the line with these words."""
    assert process.stderr is not None
    for line in process.stderr:
        if words in line:
            return
    raise AssertionError(f"{words!r} was not written")


@pytest.mark.slow
@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_the_first_signal_writes_a_checkpoint_and_says_how_to_go_on(tmp_path, signum, code):
    out = tmp_path / "run"
    process = begin(out, SMALL, 8)
    os.kill(process.pid, signum)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == code
    assert "resume with" in stderr
    assert stderr.rstrip().endswith(f"next: genus train --resume --out {out}")
    assert "Traceback" not in stdout + stderr
    assert RunFolder(out).status == "interrupted"
    checkpoint = newest_valid(out / "state")
    assert checkpoint is not None
    assert checkpoint.step > 0


@pytest.mark.slow
def test_the_second_signal_ends_at_once_and_the_old_checkpoint_is_intact(tmp_path):
    out = tmp_path / "run"
    process = begin(out, LARGE, 1024)
    os.kill(process.pid, signal.SIGINT)
    wait_for(process, "again: at once")
    sent = time.monotonic()
    os.kill(process.pid, signal.SIGINT)
    _, stderr = process.communicate(timeout=60)
    assert time.monotonic() - sent < 20
    assert process.returncode == 130
    assert "stopped at once" in stderr
    assert "Traceback" not in stderr
    checkpoint = newest_valid(out / "state")
    assert checkpoint is not None
    assert checkpoint.step == 0
