"""Input that is doubtful or wrong gets a clear answer, and no figure is made up for it."""

from __future__ import annotations

import json
import math

import pytest
import torch

from genus.data import ArraySplit, DataSet
from genus.errors import SpecError
from genus.evaluation.doubts import (
    doubts_about_counts,
    doubts_about_reference,
    doubts_about_samples,
    troubles,
)
from genus.evaluation.samples import Reference
from genus.spec import Spec


@pytest.fixture
def reference(toys, cache_folder, quick):
    return Reference(toys.make_bars(sizes=(300, 60, 100)))


def finite(value):
    if isinstance(value, dict):
        return all(finite(item) for item in value.values())
    return not isinstance(value, float) or math.isfinite(value)


def test_fewer_samples_than_features_are_judged_with_a_note(toys, cache_folder, quick):
    reference = Reference(toys.make_bars(sizes=(300, 60, 100)), n=40)
    (note,) = reference.notes
    assert note.startswith("40 examples do not fill 64 features (FD[trained], FD[random])")
    assert "judge more than 64" in note
    assert finite(reference.measure(reference.real).to_json())


def test_where_there_are_enough_nothing_is_said(reference):
    assert reference.notes == ()
    assert reference.measure(reference.real).notes == ()
    assert doubts_about_counts(64, {"values": 3}) == ()
    assert doubts_about_counts(3, {"values": 3}) != ()


def test_constant_images_have_finite_figures_and_a_note(reference):
    block = reference.measure(torch.full((100, 1, 8, 8), 2))
    assert block.notes == ("all samples are the same example: the model has collapsed",)
    assert finite(block.to_json())
    assert block.scores["trained"].frechet.value > 10 * block.scores["trained"].frechet.floor
    assert block.scores["trained"].recall.value == 0
    assert block.bins.divergence.value > 0.2
    json.dumps(block.to_json(), allow_nan=False)


def test_constant_data_have_one_bin(cache_folder, quick):
    x = torch.full((120, 1, 8, 8), 3)
    splits = {name: ArraySplit(x) for name in ("train", "valid", "test")}
    data = DataSet("grey", Spec(shape=(1, 8, 8), levels=5), splits, "sha256:grey")
    block = Reference(data).measure(x)
    assert block.bins.bins == 1
    assert block.bins.different.value == block.bins.divergence.value == 0
    assert finite(block.to_json())


@pytest.mark.parametrize("classes", [1, 3])
def test_data_of_one_class_have_no_balance(toys, cache_folder, quick, classes):
    bars = toys.make_bars(sizes=(240, 60, 60))
    splits = {
        name: ArraySplit(part.x, torch.zeros(len(part))) for name, part in bars.splits.items()
    }
    data = DataSet("one", Spec((1, 8, 8), levels=5, classes=classes), splits, "sha256:one")
    reference = Reference(data)
    assert reference.measure(reference.real).classes is None
    trained, random = reference.nets
    assert "restore noisy examples" in trained.description
    assert trained.fingerprint != random.fingerprint  # it has learnt something
    assert [note for note in reference.notes if "all of one class" in note]


def test_samples_that_were_scaled_are_told(reference):
    scaled = torch.rand(100, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    (note,) = reference.measure(scaled).notes
    assert note.startswith("no entry of a sample is above 1, but the data have levels 0..4")
    binary = Spec(shape=(1, 8, 8), levels=2)
    x = torch.randint(2, (10, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    assert doubts_about_samples(x, x, binary) == ()


@pytest.mark.parametrize(("factor", "said"), [(1.0, False), (255.0, True), (1 / 255, True)])
def test_real_numbers_in_another_unit_are_told(factor, said):
    x = torch.randn(200, 3, generator=torch.Generator().manual_seed(0))
    found = doubts_about_samples(factor * x, x, Spec(shape=(3,)))
    assert bool(found) == said
    assert all("are both in the same units?" in note for note in found)


def test_samples_that_do_not_fit_are_refused(reference):
    with pytest.raises(SpecError, match=r"shape \(100, 1, 28, 28\), expected \(B, 1, 8, 8\)"):
        reference.measure(torch.zeros(100, 1, 28, 28))
    with pytest.raises(SpecError, match=r"levels run from 0 to 255, outside 0\.\.4"):
        reference.measure(torch.arange(100)[:, None, None, None].expand(-1, 1, 8, 8) * 255 // 99)
    with pytest.raises(SpecError, match="NaN or infinity; the model has diverged"):
        reference.measure(torch.full((100, 1, 8, 8), math.nan))


def test_a_set_that_is_too_small_is_refused(reference):
    with pytest.raises(ValueError, match="more than 5 examples in each set, got 5"):
        reference.measure(reference.real[:5])
    with pytest.raises(ValueError, match="a covariance needs at least 2 examples, got 1"):
        reference.measure(reference.real[:1])


def test_constant_data_and_too_few_real_examples_are_told():
    same, other = torch.ones(8, 3), torch.arange(24.0).view(8, 3)
    assert doubts_about_reference(8, other, other) == ()
    (note,) = doubts_about_reference(8, same, other)
    assert note.startswith("the held-out examples are all the same")
    (note,) = doubts_about_reference(9, other, other)
    assert "only 8 real examples" in note
    assert "--samples 8" in note


def test_more_samples_than_real_examples_are_judged_with_a_note(toys, cache_folder, quick):
    reference = Reference(toys.make_bars(sizes=(100, 20, 60)), n=500)
    assert any("there are only 120 real examples" in note for note in reference.notes)


def test_games_that_went_wrong_are_told():
    assert troubles(0, None) == ()
    assert troubles(2, None) == ("training was rolled back 2 times",)
    assert "explosion" in troubles(3, "explosion")[0]
