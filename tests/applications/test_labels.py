"""Balanced choices of labels, and data that cannot be used."""

import numpy as np
import pytest
import torch
from application_toys import blobs, dataset

from genus.applications.labels import balanced_rows, check_classes, labels_of, share
from genus.errors import ConfigError, DataError
from genus.spec import Spec

SKEWED = torch.tensor([0] * 70 + [1] * 20 + [2] * 10)


@pytest.mark.parametrize("n", [3, 10, 11, 29, 30])
def test_choices_are_balanced_distinct_and_as_many_as_asked_for(n: int) -> None:
    rows = balanced_rows(SKEWED, n, seed=1)
    assert len(rows.unique()) == n
    counts = torch.bincount(SKEWED[rows], minlength=3)
    assert int(counts.max() - counts.min()) <= 1


def test_a_small_choice_is_part_of_a_large_one_and_another_seed_chooses_others() -> None:
    few, many = balanced_rows(SKEWED, 7, 3), balanced_rows(SKEWED, 20, 3)
    assert set(few.tolist()) <= set(many.tolist())
    assert not torch.equal(few, balanced_rows(SKEWED, 7, 4))
    assert torch.equal(few, balanced_rows(SKEWED, 7, 3))


def test_who_gets_the_odd_one_is_left_to_the_seed() -> None:
    """Else the first classes would have one example more in every trial."""
    counts = [torch.bincount(SKEWED[balanced_rows(SKEWED, 4, s)], minlength=3) for s in range(9)]
    assert len({int(c.argmax()) for c in counts}) == 3


def test_too_few_and_too_many() -> None:
    with pytest.raises(ConfigError, match="2 labels are too few for 3 classes; ask for 3"):
        balanced_rows(SKEWED, 2, 0)
    with pytest.raises(DataError, match=r"of class 2, but there\s+are 10; ask for 30 at most"):
        balanced_rows(SKEWED, 40, 0)


def test_data_without_labels() -> None:
    plain = dataset(Spec(shape=(2,)), {"train": (np.zeros((4, 2), np.float32), None)})
    with pytest.raises(DataError, match=r"toy has no labels.*--label"):
        labels_of(plain, "train")


def test_an_empty_split() -> None:
    data = blobs((3, 0, 3))
    with pytest.raises(DataError, match="valid split of toy is empty"):
        labels_of(data, "valid")


def test_one_class_only() -> None:
    with pytest.raises(DataError, match="all 5 labelled examples of here are of class 7"):
        check_classes(torch.full((5,), 7), "here")
    check_classes(torch.tensor([0, 1]), "here")


def test_the_standard_error_is_that_of_repeated_draws() -> None:
    right = torch.rand(400, generator=torch.Generator().manual_seed(0)) < 0.8
    p, error = share(right)
    draws = np.random.default_rng(0).binomial(400, p, 20_000) / 400
    assert error == pytest.approx(draws.std(), rel=0.03)
