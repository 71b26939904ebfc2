import numpy as np
import pytest

from genus.data import as_arrays, load_data
from genus.data.catalogue import EMBEDDED
from genus.data.embedded import _BANDS, TILE, _tiles

DIGESTS = {
    "digits": "fec229b8762372d0f981b0a0a34dbf5c96baf7279c1b52cc4073ae46e7d45ba0",
    "wine": "9d8783a491ad1339254d75000d8799e163d11dce84290e99f53b52e7b1e4d0bd",
    "patches": "c8456b2d108a6a81b7b5145faccf5b63e2f0c7b8da75604e72002f5686032fb7",
    "rings": "35e3a997bbb28fead8ab44e7ebbc273dab0dfb51ecf095c8c64f995327b6ea69",
    "moons": "0af178313366a94d3cc239e080874b08b0260785ae3e0792d07f126b6b4ae9e3",
}


@pytest.mark.parametrize("name", EMBEDDED)
def test_contents_never_change(name):
    assert load_data(name).digest == f"sha256:{DIGESTS[name]}"


@pytest.mark.parametrize("name", EMBEDDED)
def test_the_list_says_what_is_loaded(name):
    data, entry = load_data(name), EMBEDDED[name]
    assert (data.spec.shape, data.spec.levels, data.spec.classes) == (
        entry.shape, entry.levels, entry.classes,
    )  # fmt: skip
    assert {split: len(part) for split, part in data.splits.items()} == entry.counts
    for part in data.splits.values():
        batch = as_arrays(part)
        data.spec.check(batch.x)
        if data.spec.classes:
            data.spec.check_labels(batch.y, len(batch))
            assert len(data.labels) == data.spec.classes


def test_digits_splits_are_disjoint_and_stratified():
    data = load_data("digits")
    rows = [row.tobytes() for part in data.splits.values() for row in as_arrays(part).x.numpy()]
    assert len(set(rows)) == len(rows) == 1797
    shares = np.stack([data.class_counts(name) / len(data.split(name)) for name in data.splits])
    assert np.ptp(shares, axis=0).max() < 0.01


def test_wine_is_in_raw_units_with_names():
    data = load_data("wine")
    assert len(data.value_names) == 13
    assert as_arrays(data.train).x[:, data.value_names.index("proline")].mean() > 500


def test_patches_share_no_pixel_between_splits():
    place = np.broadcast_to(np.arange(640, dtype=np.int64)[None, :, None], (427, 640, 3))
    columns = {name: set(np.unique(_tiles(place, *band))) for name, band in _BANDS.items()}
    assert not columns["train"] & columns["valid"]
    assert not columns["train"] & columns["test"]
    assert not columns["valid"] & columns["test"]


def test_patches_are_tiles_of_the_photographs():
    from sklearn.datasets import load_sample_image

    data = load_data("patches")
    assert len(data.train) >= 2000
    first = as_arrays(data.train, 1).x[0].numpy()
    photograph = load_sample_image("china.jpg")
    assert np.array_equal(first, photograph[:TILE, :TILE].transpose(2, 0, 1))


def test_toys_lie_where_they_should():
    rings = as_arrays(load_data("rings").train)
    radius = rings.x.norm(dim=1)
    for label in range(3):
        assert abs(radius[rings.y == label].mean() - (label + 1)) < 0.02
        assert abs(radius[rings.y == label].std() - 0.1) < 0.01
    moons = as_arrays(load_data("moons").train)
    assert moons.x[moons.y == 0, 1].mean() > 0.5 > 0 > moons.x[moons.y == 1, 1].mean()
