"""What every test stands on: one thread per process, seeded noise and a cache of its own.

It lies at the root so that the examples in docstrings, which are tests too, have the same.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator

import pytest

# Many small operations: threads cost more than they give, and beside xdist they fight for cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Drawing without a screen.
os.environ.setdefault("MPLBACKEND", "Agg")

# One cache for the whole session, its worker processes included, and never the user's own.
_MADE_CACHE = "GENUS_TEST_CACHE" not in os.environ
if _MADE_CACHE:
    os.environ["GENUS_TEST_CACHE"] = tempfile.mkdtemp(prefix="genus-test-cache-")
os.environ["GENUS_CACHE"] = os.environ["GENUS_TEST_CACHE"]


def pytest_unconfigure(config: pytest.Config) -> None:
    """Remove the cache when the process that made it ends."""
    if _MADE_CACHE:
        shutil.rmtree(os.environ["GENUS_TEST_CACHE"], ignore_errors=True)


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    """Start every test from the same global noise, and leave none of it to the next."""
    import numpy as np
    import torch

    state = np.random.get_state()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        np.random.seed(0)
        yield
    np.random.set_state(state)
