import numpy as np
import pytest
import torch

from genus.data import ArraySplit, BinarisedSplit, DataSet, as_arrays, iterate
from genus.errors import DataError
from genus.spec import Spec


def make(y=None):
    x = np.arange(20).reshape(10, 2)
    labels = None if y is None else np.asarray(y)
    splits = {name: ArraySplit(x, labels) for name in ("train", "valid", "test")}
    return DataSet("toy", Spec((2,), levels=20, classes=3 if y else None), splits, "sha256:ab")


def test_levels_come_as_int64_and_real_numbers_as_float32():
    rows = torch.tensor([1, 0])
    assert ArraySplit(np.eye(2, dtype=bool)).batch(rows).x.dtype == torch.int64
    assert ArraySplit(np.eye(2)).batch(rows).x.dtype == torch.float32
    assert ArraySplit(np.eye(2, dtype=int) * 70_000).batch(rows).x.max() == 70_000


def test_levels_are_kept_in_one_byte():
    assert ArraySplit(np.zeros((3, 4), np.int64)).x.dtype == torch.uint8


def test_labels_of_another_length_are_refused():
    with pytest.raises(DataError, match=r"give one integer per example, shape \(3,\)"):
        ArraySplit(np.zeros((3, 1), int), np.zeros(2, int))


def test_iterate_gives_every_row_once_in_order():
    batches = list(iterate(make().train, 4))
    assert [len(batch) for batch in batches] == [4, 4, 2]
    assert torch.equal(torch.cat([b.x for b in batches]), as_arrays(make().train).x)
    with pytest.raises(DataError, match="batch_size=0 must be at least 1"):
        next(iterate(make().train, 0))


def test_as_arrays_stops_at_the_limit():
    batch = as_arrays(make([0, 1] * 5).train, limit=3)
    assert batch.x.shape == (3, 2)
    assert batch.y.tolist() == [0, 1, 0]


def test_misspelt_split_has_near_matches():
    with pytest.raises(DataError, match=r"toy has no split 'tset'; did you mean test\?"):
        make().split("tset")


def test_class_counts_include_classes_without_examples():
    assert make([0] * 7 + [1] * 3).class_counts("test").tolist() == [7, 3, 0]
    with pytest.raises(DataError, match="has no labels"):
        make().class_counts()


@pytest.fixture
def grey():
    return np.linspace(0, 255, 400 * 16).astype(np.uint8).reshape(400, 1, 4, 4)


def test_every_look_binarises_anew_and_the_same_generator_alike(grey):
    split = BinarisedSplit(grey)
    rows = torch.arange(400)
    looks = [
        split.batch(rows, generator=torch.Generator().manual_seed(seed)).x for seed in (1, 1, 2)
    ]
    assert torch.equal(looks[0], looks[1])
    assert not torch.equal(looks[0], looks[2])
    assert torch.equal(split.batch(rows).x, split.batch(rows).x)


def test_processes_that_share_a_batch_see_what_one_process_would(grey):
    split = BinarisedSplit(grey)

    def look(rows):
        return split.batch(rows, generator=torch.Generator().manual_seed(3)).x

    rows = torch.tensor([5, 9, 300, 17])
    assert torch.equal(look(rows), torch.cat([look(rows[:2]), look(rows[2:])]))


def test_binarisation_has_the_grey_values_as_means(grey):
    split = BinarisedSplit(grey)
    generator = torch.Generator().manual_seed(0)
    mean = sum(split.batch(torch.arange(400), generator=generator).x for _ in range(100)) / 100
    p = torch.from_numpy(grey) / 255
    z = (mean - p).sum() / ((p * (1 - p)).sum() / 100).sqrt()
    assert abs(z) < 4
    assert (mean[torch.from_numpy(grey) == 0] == 0).all()
    assert (mean[torch.from_numpy(grey) == 255] == 1).all()
