"""The scripts in examples/ run, with tiny budgets."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"


def run(script: str, *words: str | Path, cwd: Path) -> str:
    """Return what a script prints; it must succeed."""
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / script), *map(str, words)],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.slow
def test_train_sample_and_complete(tmp_path):
    out = run("train_and_sample.py", "--seconds", "3", "--out", "run", cwd=tmp_path)
    assert "bits/dim (exact)" in out
    grid = np.asarray(Image.open(tmp_path / "run" / "grid.png"))
    assert grid.shape == (8 * 8 * 6, 8 * 8 * 6)
    assert grid.max() > grid.min()

    out = run("complete_image.py", "run", "completed.png", cwd=tmp_path)
    assert "exact" in out
    picture = np.asarray(Image.open(tmp_path / "completed.png"))[::8, ::8]
    assert picture.shape == (6 * 8, 5 * 8)
    first, second = picture[:, :8], picture[:, 8:16]
    for row in range(0, 48, 8):
        assert np.array_equal(first[row : row + 4], second[row : row + 4])
    assert not np.array_equal(first, second)


def test_wine(tmp_path):
    """Every classifier does better than chance at every size, and far better with many wines."""
    out = run("wine.py", "--divisions", "1", cwd=tmp_path)
    rows = [line for line in out.splitlines() if " ± " in line]
    assert len(rows) == 6
    for row in rows:
        found = [float(cell.split()[-1]) for cell in row.split(" ± ")[:-1]]
        assert len(found) == 5
        assert min(found) > 40
        assert found[-1] > 85


def test_every_example_is_run():
    """A script without a test would rot."""
    assert {path.name for path in EXAMPLES.glob("*.py")} == {
        "train_and_sample.py",
        "complete_image.py",
        "wine.py",
    }
