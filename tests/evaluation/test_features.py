"""Feature networks: what they see, where they are kept, and damage to what is kept."""

from __future__ import annotations

import json

import pytest
import torch

from genus.data import ArraySplit, DataSet
from genus.evaluation import cache
from genus.evaluation.features import Recipe, feature_nets, reserved_rows, visible_rows

SMALL = Recipe(width=8, steps=60, batch_size=32)


@pytest.mark.parametrize(
    ("shape", "levels"), [((1, 8, 8), 17), ((3, 32, 32), 256), ((1, 28, 20), 2), ((3, 64, 64), 3)]
)
def test_works_for_images_of_any_size(toys, cache_folder, shape, levels):
    data = toys.make_bars(shape=shape, levels=levels, sizes=(40, 20, 20))
    nets = feature_nets(data, Recipe(width=4, steps=3, batch_size=8))
    assert [net.name for net in nets] == ["trained", "random"]
    for net in nets:
        features = net(data.test.x)
        assert features.shape == (20, 64)
        assert features.dtype == torch.float64
        assert torch.isfinite(features).all()


def test_the_classifier_learns_and_both_have_the_fixed_scale(toys, cache_folder):
    data = toys.make_bars()
    trained, random = feature_nets(data, Recipe(width=8, steps=150, batch_size=64))
    assert float(trained.description.split("(")[1].split("%")[0]) > 95
    for net in (trained, random):
        features = net(data.train.x[visible_rows(data)])
        assert float(features.var(0).sum()) == pytest.approx(64, rel=1e-4)


def test_without_labels_a_denoiser_is_trained(toys, cache_folder):
    data = toys.make_bars(labels=False)
    trained, _ = feature_nets(data, SMALL)
    assert "restore noisy examples" in trained.description


def test_real_vectors_are_judged_by_standardised_columns(toys, cache_folder):
    data = toys.make_points()
    (net,) = feature_nets(data)
    features = net(data.train.x)
    assert net.name == "values"
    assert features.mean(0).abs().max() < 1e-3
    assert torch.allclose(features.std(0), torch.ones(3).double(), atol=1e-3)
    assert not list(cache_folder.rglob("*"))


def test_symbols_in_vectors_have_networks_too(toys, cache_folder):
    from genus.spec import Spec

    g = torch.Generator().manual_seed(0)
    splits = {
        s: ArraySplit(torch.randint(4, (50, 9), generator=g)) for s in ("train", "valid", "test")
    }
    data = DataSet("symbols", Spec(shape=(9,), levels=4), splits, "sha256:symbols")
    assert all(net(data.test.x).shape == (50, 64) for net in feature_nets(data, SMALL))


def test_never_reads_test_and_reserves_what_the_floor_needs(toys, cache_folder):
    data = toys.make_bars(sizes=(240, 20, 60))
    reserved, visible = reserved_rows(data), visible_rows(data)
    assert len(reserved) == 40
    assert sorted([*reserved.tolist(), *visible.tolist()]) == list(range(240))
    read = []

    class Watched(ArraySplit):
        def batch(self, rows, *, generator=None):
            read.append(rows)
            return super().batch(rows)

    class Forbidden(ArraySplit):
        def batch(self, rows, *, generator=None):
            raise AssertionError("a feature network has read the test split")

    data.splits["train"] = Watched(data.train.x, data.train.y)
    data.splits["test"] = Forbidden(data.test.x, data.test.y)
    feature_nets(data, SMALL)
    # One row is looked at to see whether there are labels.
    seen = {row for rows in read if len(rows) > 1 for row in rows.tolist()}
    assert seen <= set(visible.tolist())


def test_nets_come_back_from_the_cache_bit_for_bit(toys, cache_folder):
    data, said = toys.make_bars(), []
    first = feature_nets(data, SMALL, progress=said.append)
    assert len(said) == 2
    second = feature_nets(data, SMALL, progress=said.append)
    assert len(said) == 2
    for a, b in zip(first, second, strict=True):
        assert a.fingerprint == b.fingerprint
        assert a.description == b.description
        assert torch.equal(a(data.test.x), b(data.test.x))
    assert not list(cache_folder.rglob("*.tmp"))


def test_other_contents_make_another_net(toys, cache_folder):
    data = toys.make_bars()
    other = DataSet("bars", data.spec, data.splits, "sha256:other")
    feature_nets(data, SMALL)
    feature_nets(other, SMALL)
    feature_nets(data, Recipe(width=8, steps=61, batch_size=32))
    assert len(list((cache_folder / "features").glob("*.safetensors"))) == 6


def test_the_random_net_does_not_depend_on_global_randomness(toys, cache_folder):
    data = toys.make_bars()
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = feature_nets(data, SMALL)
    assert torch.equal(torch.random.get_rng_state(), before)
    for file in cache_folder.rglob("*.safetensors"):
        file.unlink()
    torch.manual_seed(2)
    again = feature_nets(data, SMALL)
    assert [n.fingerprint for n in first] == [n.fingerprint for n in again]


@pytest.mark.parametrize("damage", ["weights", "record"])
def test_a_damaged_file_is_made_anew_with_a_warning(toys, cache_folder, damage):
    data = toys.make_bars()
    first = feature_nets(data, SMALL)
    pattern = "*.safetensors" if damage == "weights" else "*.json"
    for file in (cache_folder / "features").glob(pattern):
        content = bytearray(file.read_bytes())
        content[-9] ^= 1
        file.write_bytes(bytes(content) if damage == "weights" else b"{")
    with pytest.warns(UserWarning, match="is damaged .* and is made anew"):
        again = feature_nets(data, SMALL)
    assert [n.fingerprint for n in first] == [n.fingerprint for n in again]
    feature_nets(data, SMALL)  # and now it is whole again: a warning would be an error


def test_a_cache_that_cannot_be_written_costs_a_warning_only(toys, tmp_path, monkeypatch):
    blocker = tmp_path / "file"
    blocker.write_text("not a folder")
    monkeypatch.setenv("GENUS_CACHE", str(blocker))
    with pytest.warns(UserWarning, match="cannot keep"):
        cache.store("features", "k", {"a": torch.ones(2)}, {})


def test_the_record_holds_the_hash(cache_folder):
    cache.store("features", "k", {"a": torch.ones(2)}, {"description": "d"})
    record = json.loads((cache_folder / "features" / "k.json").read_text())
    assert len(record["sha256"]) == 64
    tensors, notes = cache.load("features", "k")
    assert notes == {"description": "d"}
    assert torch.equal(tensors["a"], torch.ones(2))
