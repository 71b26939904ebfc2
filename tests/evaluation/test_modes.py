"""Kinds that are spelled by channels, counted by a classifier of the channels."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from genus.data.base import ArraySplit, DataSet
from genus.errors import SpecError
from genus.evaluation.features import Recipe
from genus.evaluation.modes import ModeCounter
from genus.spec import Spec

SPEC = Spec((2, 6, 6), levels=4, classes=9)


def spelled(n, seed, kinds=range(9)):
    """Two channels with a bar in one of three rows each; the label is what they spell."""
    rng = np.random.default_rng(seed)
    y = rng.choice(np.asarray(kinds), n)
    x = rng.integers(0, 2, (n, 2, 6, 6))
    for row, label in enumerate(y):
        for channel, digit in enumerate((label // 3, label % 3)):
            x[row, channel, 2 * digit] = 3
    return x, y


@pytest.fixture(scope="module")
def counter():
    splits = {name: ArraySplit(*spelled(600, seed)) for seed, name in enumerate(("train", "valid"))}
    data = DataSet("spelled", SPEC, splits, "sha256:0")
    return ModeCounter(data, Recipe(width=8, steps=150))


def test_kinds_are_told(counter):
    assert counter.accuracy > 0.99
    x, y = spelled(200, 5)
    assert float((counter.kinds(torch.from_numpy(x)) == torch.from_numpy(y)).double().mean()) > 0.98


def test_lost_kinds_are_missed(counter):
    """A model that makes three kinds in equal shares has a divergence of log 3."""
    every = counter(torch.from_numpy(spelled(900, 6)[0]))
    few = counter(torch.from_numpy(spelled(900, 6, kinds=(0, 4, 7))[0]))
    assert (every.found, every.of, every.n) == (9, 9, 900)
    assert every.divergence < 0.05
    assert few.found == 3
    assert few.divergence == pytest.approx(math.log(3), abs=0.1)


def test_what_has_no_such_kinds_is_refused(counter):
    with pytest.raises(SpecError, match="no samples"):
        counter(torch.zeros(0, 2, 6, 6, dtype=torch.long))
    with pytest.raises(SpecError, match="expected"):
        counter(torch.zeros(3, 1, 6, 6, dtype=torch.long))
    for spec in (Spec((2, 6, 6), levels=4, classes=8), Spec((1, 6, 6), levels=4, classes=9)):
        with pytest.raises(SpecError, match="spelled by their channels"):
            ModeCounter(DataSet("none", spec, {}, "sha256:0"))
