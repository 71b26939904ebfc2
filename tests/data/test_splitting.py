import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from genus.data.splitting import carve, divide, uniforms
from genus.errors import DataError


@given(n=st.integers(3, 200), seed=st.integers(0, 2**40), classes=st.integers(1, 5))
def test_every_row_is_in_exactly_one_split(n, seed, classes):
    y = np.arange(n) % classes
    parts = divide(n, y, seed)
    assert all(len(rows) for rows in parts.values())
    assert sorted(np.concatenate(list(parts.values()))) == list(range(n))


@given(seed=st.integers(0, 1000), counts=st.lists(st.integers(10, 60), min_size=2, max_size=4))
def test_splits_hold_the_classes_in_proportion(seed, counts):
    y = np.repeat(np.arange(len(counts)), counts)
    for rows in divide(len(y), y, seed).values():
        got = np.bincount(y[rows], minlength=len(counts))
        expected = len(rows) * np.array(counts) / len(y)
        assert (abs(got - expected) <= 2).all()


def test_seeds_differ_and_one_seed_repeats():
    first, again, other = (divide(100, None, seed)["test"].tolist() for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_the_division_is_the_same_on_every_machine():
    assert divide(12, None, 0)["test"].tolist() == [5]
    assert uniforms(2, 7).tolist() == [0.8720734548204873, 0.29536538151378355]


@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_examples_for_three_splits(n):
    with pytest.raises(DataError, match="add examples until there are 3 or more"):
        divide(n, None, 0)


def test_carving_needs_something_to_take():
    stays, taken = carve(np.array([3, 4, 8]), None, 0)
    assert sorted([*stays, *taken]) == [3, 4, 8]
    with pytest.raises(DataError, match="too few to take others away"):
        carve(np.array([1]), None, 0)
