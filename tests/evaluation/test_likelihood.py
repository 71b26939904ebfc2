"""Units, kinds and batches of the likelihood block."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from genus.errors import ConfigError, SpecError, TrainingError
from genus.evaluation.likelihood import bits_per_dim, score, scoring_mode
from genus.spec import Spec


@pytest.mark.parametrize(("levels", "bits"), [(2, 1.0), (256, 8.0), (17, math.log2(17))])
def test_a_uniform_model_needs_log2_of_the_levels(levels, bits):
    spec = Spec(shape=(3, 4, 5), levels=levels)
    assert bits_per_dim(-60 * math.log(levels), spec) == pytest.approx(bits)


def test_continuous_data_have_no_bits():
    with pytest.raises(SpecError, match="report a density in nats"):
        bits_per_dim(-1.0, Spec(shape=(3,)))


def test_score_covers_every_example_including_the_last_partial_batch(toys):
    data = toys.make_bars(sizes=(20, 10, 301))
    result = score(toys.UniformModel(data.spec), data.test, batch_size=100)
    assert result.kind == "exact"
    assert result.nats.shape == (301,)
    assert result.mean == pytest.approx(-64 * math.log(5), rel=1e-6)
    assert result.samples is None


@pytest.mark.parametrize("batch_size", [1, 7, 256, None])
def test_the_bound_does_not_depend_on_the_batch_size(toys, batch_size):
    data = toys.make_bars(sizes=(20, 10, 300))
    model = toys.BoundModel(data.spec)
    expected = score(model, data.test, 5, batch_size=64, seed=3)
    result = score(model, data.test, 5, batch_size=batch_size, seed=3)
    assert result.kind == "lower bound"
    assert result.label == "lower bound (k=5)"
    np.testing.assert_array_equal(result.nats, expected.nats)
    assert not np.array_equal(result.nats, score(model, data.test, 5, seed=4).nats)


def test_a_model_without_likelihood_is_not_available(toys):
    data = toys.make_bars()
    result = score(toys.ReplayModel(data.spec, data.train.x), data.test)
    assert result.kind == "n/a"
    assert math.isnan(result.mean)


def test_scoring_is_done_in_evaluation_mode_and_restores_each_mode(toys):
    data = toys.make_bars()
    model = toys.UniformModel(data.spec)
    model.inner = torch.nn.Linear(1, 1).eval()
    model.train()
    model.inner.eval()
    score(model, data.test)
    assert model.was_training is False
    assert model.training
    assert not model.inner.training


def test_half_precision_weights_are_scored_in_float32_and_kept(toys):
    data = toys.make_bars()
    model = toys.UniformModel(data.spec)
    model.weight.data.fill_(0.001)
    model.bfloat16()
    with scoring_mode(model) as ready:
        assert ready.weight.dtype == torch.float32
    assert model.weight.dtype == torch.bfloat16
    model.double()
    with scoring_mode(model) as ready:
        assert ready.weight.dtype == torch.float64


def test_autocast_of_the_caller_does_not_reach_the_score(toys):
    data = toys.make_bars()
    model = toys.UniformModel(data.spec)
    seen = []
    model.log_prob = lambda x: seen.append(torch.is_autocast_enabled("cpu")) or torch.zeros(len(x))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        score(model, data.test)
    assert seen == [False]


def test_nan_is_an_error_that_counts(toys):
    data = toys.make_bars()
    model = toys.UniformModel(data.spec)
    model.weight.data.fill_(math.nan)
    with pytest.raises(TrainingError, match=r"NaN for 60 of 60 examples.*smaller learning rate"):
        score(model, data.test)


def test_arguments_out_of_range(toys):
    data = toys.make_bars(sizes=(5, 5, 0))
    model = toys.UniformModel(data.spec)
    with pytest.raises(ConfigError, match="k=0 must be at least 1"):
        score(model, data.train, 0)
    with pytest.raises(ConfigError, match="batch_size=0"):
        score(model, data.train, batch_size=0)
    with pytest.raises(ConfigError, match="no examples"):
        score(model, data.test)
