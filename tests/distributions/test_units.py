"""Units of real columns."""

import torch

from genus.distributions.units import location_and_unit


def test_a_column_that_does_not_vary_keeps_its_unit():
    """A third is rounded, and its mean too: a deviation of 1e-16 is none."""
    x = torch.full((1000, 3), 1 / 3, dtype=torch.float64)
    x[:, 1] *= 1e6
    x[:, 2] = 1e6 + torch.arange(1000.0) % 2
    assert (x[:, 0].sum() / 1000 - x[0, 0]).abs() > 0
    location, unit = location_and_unit(x)
    torch.testing.assert_close(unit, torch.tensor([1.0, 1.0, 0.5]).double())
    torch.testing.assert_close(location, x.mean(0))


def test_one_example_and_unknown_entries():
    assert location_and_unit(torch.tensor([[5.0, -2.0]]))[1].tolist() == [1, 1]
    x = torch.tensor([[0.0, 7.0], [2.0, 9.0], [1e9, 0.0]])
    known = torch.tensor([[True, True], [True, True], [False, False]])
    location, unit = location_and_unit(x, known)
    assert (location.tolist(), unit.tolist()) == ([1, 8], [1, 1])
    location, unit = location_and_unit(x, torch.zeros_like(known))
    assert (location.tolist(), unit.tolist()) == ([0, 0], [1, 1])
