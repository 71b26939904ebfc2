"""Calibration against figures by hand, SciPy's minimiser and a posterior that is right."""

import math

import numpy as np
import pytest
import torch
from scipy.optimize import minimize_scalar

from genus.applications.calibration import (
    RANGE,
    best_temperature,
    calibration_error,
    reliability,
    tempered,
)
from genus.errors import ConfigError


def drawn(n: int = 20_000, scale: float = 1.0, seed: int = 0):
    """Return a posterior over 4 classes and labels drawn from it, then overstated ``scale``."""
    generator = torch.Generator().manual_seed(seed)
    log_p = (2 * torch.randn(n, 4, generator=generator, dtype=torch.float64)).log_softmax(1)
    y = torch.multinomial(log_p.exp(), 1, generator=generator).squeeze(1)
    return tempered(log_p, 1 / scale), y


def test_by_hand() -> None:
    """Confidences 0.85, 0.85, 0.55: right, wrong, right."""
    p = torch.tensor([[0.85, 0.15], [0.15, 0.85], [0.55, 0.45]], dtype=torch.float64)
    bins = reliability(p.log(), torch.tensor([0, 0, 0]), bins=10)
    assert [b.count for b in bins] == [0] * 5 + [1, 0, 0, 2, 0]
    assert (bins[8].confidence, bins[8].accuracy) == (pytest.approx(0.85), 0.5)
    assert bins[0].accuracy is None
    expected = (2 * abs(0.5 - 0.85) + 1 * abs(1.0 - 0.55)) / 3
    assert calibration_error(bins) == pytest.approx(expected)


def test_edges_belong_to_the_bin_below_and_certainty_to_the_last() -> None:
    p = torch.tensor([[0.5, 0.5], [1.0, 0.0]]).double()
    bins = reliability(p.log(), torch.tensor([0, 0]), bins=4)
    assert [b.count for b in bins] == [0, 1, 0, 1]


def test_a_right_posterior_is_calibrated_and_an_overstated_one_is_not() -> None:
    log_p, y = drawn()
    assert calibration_error(reliability(log_p, y)) < 0.015
    assert best_temperature(log_p, y) == pytest.approx(1, abs=0.03)
    loud, y = drawn(scale=3.0)
    assert calibration_error(reliability(loud, y)) > 0.1
    temperature = best_temperature(loud, y)
    assert temperature == pytest.approx(3, abs=0.1)
    assert calibration_error(reliability(tempered(loud, temperature), y)) < 0.015


@pytest.mark.parametrize("scale", [0.3, 1.0, 5.0])
def test_the_temperature_is_what_a_minimiser_finds(scale: float) -> None:
    log_p, y = drawn(500, scale)

    def loss(log_t: float) -> float:
        nats = tempered(log_p, math.exp(log_t)).gather(1, y[:, None])
        return -float(nats.mean())

    found = minimize_scalar(loss, bounds=(-6, 6), method="bounded", options={"xatol": 1e-8})
    assert best_temperature(log_p, y) == pytest.approx(math.exp(found.x), rel=1e-4)


def test_the_order_of_classes_is_kept() -> None:
    log_p, _ = drawn(100)
    assert torch.equal(tempered(log_p, 4.0).argmax(1), log_p.argmax(1))
    torch.testing.assert_close(tempered(log_p, 1.0), log_p)


def test_where_all_is_right_valid_cannot_tell() -> None:
    log_p, _ = drawn(100)
    assert best_temperature(log_p, log_p.argmax(1)) is None


def test_where_the_posterior_misleads_the_temperature_is_the_highest() -> None:
    log_p, _ = drawn(100)
    assert best_temperature(log_p, log_p.argmin(1)) == RANGE[1]


def test_an_impossible_class_is_no_obstacle() -> None:
    p = torch.tensor([[1.0, 0.0, 0.0], [0.5, 0.5, 0.0], [0.2, 0.8, 0.0]]).log()
    temperature = best_temperature(p, torch.tensor([0, 0, 0]))
    assert temperature is not None
    assert np.isfinite(temperature)
    assert calibration_error(reliability(p, torch.tensor([0, 0, 0]))) > 0


def test_no_bins_is_refused() -> None:
    with pytest.raises(ConfigError, match="bins=0 must be at least 1"):
        reliability(torch.zeros(1, 2), torch.zeros(1).long(), bins=0)
