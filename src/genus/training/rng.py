"""The global random states as tensors, so that a checkpoint can hold them without pickling.

Training draws its order and its noise from generators that depend on the step alone. The global
ones are kept for what draws from them unasked, such as dropout.
"""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor


def seed_everything(seed: int) -> None:
    """Seed the global generators of Python, NumPy and torch."""
    random.seed(seed)
    np.random.seed(seed % 2**32)
    torch.manual_seed(seed)


def states() -> dict[str, Tensor]:
    """Return the states of the global generators of Python, NumPy and torch."""
    version, words, gauss = random.getstate()
    # The words are below 2**32, so float64 holds them exactly; NaN stands for "none kept".
    python = [version, *words, math.nan if gauss is None else gauss]
    legacy: Any = np.random.get_state(legacy=True)
    name, keys, place, has_gauss, cached = legacy
    assert name == "MT19937"
    found = {
        "python": torch.tensor(python, dtype=torch.float64),
        "numpy": torch.tensor([*keys.tolist(), place, has_gauss, cached], dtype=torch.float64),
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        found["cuda"] = torch.cuda.get_rng_state()
    return found


def restore(saved: dict[str, Tensor]) -> None:
    """Put back what `states` returned."""
    version, *words, gauss = saved["python"].tolist()
    kept = None if math.isnan(gauss) else gauss
    random.setstate((int(version), tuple(int(word) for word in words), kept))
    *keys, place, has_gauss, cached = saved["numpy"].tolist()
    state: Any = ("MT19937", np.array(keys, np.uint32), int(place), int(has_gauss), cached)
    np.random.set_state(state)
    # A copy: torch 2.13 crashes the process when the state is a view into a larger tensor.
    torch.set_rng_state(saved["torch"].clone())
    if "cuda" in saved and torch.cuda.is_available():
        torch.cuda.set_rng_state(saved["cuda"].clone())


@contextlib.contextmanager
def preserved() -> Iterator[None]:
    """Leave the caller's global generators as they were."""
    before = states()
    try:
        yield
    finally:
        restore(before)
