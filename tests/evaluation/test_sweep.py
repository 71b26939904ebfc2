"""Samples at several temperatures, against one reference."""

from __future__ import annotations

import math

import pytest
import torch

from genus import create
from genus.data.base import ArraySplit, DataSet
from genus.errors import ConfigError, SpecError
from genus.evaluation.drawing import draw
from genus.evaluation.samples import Reference
from genus.evaluation.sweep import sweep
from genus.spec import Spec


def cloud(n, seed):
    return torch.randn(n, 3, generator=torch.Generator().manual_seed(seed)).numpy()


@pytest.fixture(scope="module")
def data():
    splits = {"train": ArraySplit(cloud(600, 0)), "valid": ArraySplit(cloud(200, 1))}
    splits["test"] = ArraySplit(cloud(200, 2))
    return DataSet("cloud", Spec((3,)), splits, "sha256:cloud")


@pytest.fixture(scope="module")
def model(data):
    found = create("gaussian-mixture", data.spec, components=1)
    found.fit(lambda: [data.train.batch(torch.arange(600))])
    return found


def test_a_low_temperature_trades_recall_for_precision(model, data):
    found = sweep(model, data, [0.1, 1.0], samples=200)
    cold, plain = (found.blocks[t].scores["values"] for t in (0.1, 1.0))
    assert cold.precision.value > plain.precision.value
    assert cold.recall.value < plain.recall.value - 0.2
    assert cold.frechet.value > 5 * plain.frechet.value
    content = found.to_json()
    assert [point["temperature"] for point in content["sweep"]] == [0.1, 1.0]


def test_temperature_one_is_what_evaluate_measures(model, data):
    reference = Reference(data, n=150, seed=3)
    found = sweep(model, data, [1.0], reference=reference, seed=3)
    assert found.blocks[1.0].scores == reference.measure(draw(model, 150, seed=3)[0]).scores
    assert torch.equal(draw(model, 5, temperature=1.0)[0], draw(model, 5)[0])
    assert not torch.equal(draw(model, 5, temperature=0.5)[0], draw(model, 5)[0])


def test_what_cannot_be_swept_is_refused(model, data):
    with pytest.raises(ConfigError, match=r"temperature 0 must(?s:.)*-1 must(?s:.)*nan must"):
        sweep(model, data, [0.0, -1.0, math.nan])
    with pytest.raises(ConfigError, match=r"temperature 0.5 is there twice"):
        sweep(model, data, [0.5, 0.5])
    with pytest.raises(ConfigError, match="there are 0 temperatures"):
        sweep(model, data, [])
    with pytest.raises(SpecError, match="the model is for shape"):
        sweep(create("independent", Spec((4,))), data, [1.0])
