"""Samples whose model is not at hand: measured as a model's are, and refused where they differ."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from genus.data import load_data
from genus.errors import ConfigError, SpecError
from genus.evaluation import evaluate, evaluate_samples
from genus.evaluation.samples import Reference
from genus.evaluation.scoring import Evaluation


@pytest.fixture
def bars(toys, cache_folder, quick):
    return toys.make_bars()


def test_the_same_samples_get_the_same_block_as_their_model(toys, bars):
    model = toys.ReplayModel(bars.spec, bars.train.x[:100].long())
    reference = Reference(bars, n=60)
    by_model = _samples_of(model, bars, reference)
    given = evaluate_samples(by_model.drawn, bars, reference=reference)
    assert given.samples == by_model.samples
    assert given.data == by_model.data


def _samples_of(model, bars, reference):
    model.log_prob = lambda x, y=None: torch.zeros(len(x))
    return evaluate(model, bars, reference=reference)


def test_there_is_no_likelihood_and_no_cost(bars):
    found = evaluate_samples(bars.train.x[:60].long(), bars, name="theirs")
    assert (found.model, found.family, found.likelihood.kind) == ("theirs", "samples", "n/a")
    assert found.bits_per_dim is None
    assert found.cost.parameters is None
    assert found.samples.n == 60
    (note,) = found.notes
    assert "60 examples do not fill 64 features" in note
    again = Evaluation.from_json(found.to_json(), found.likelihood.nats, found.drawn)
    assert again.samples == found.samples


def test_doubts_about_samples_are_told(bars):
    same = bars.train.x[:1].long().expand(60, -1, -1, -1)
    notes = evaluate_samples(same, bars).notes
    assert any("identical" in note or "the same" in note for note in notes), notes


def test_of_more_than_usual_so_many_are_chosen_and_said(bars):
    x = bars.train.x.long()
    found = evaluate_samples(x, bars, seed=3)
    assert found.samples.n == 60
    assert found.notes[0] == "60 of 240 samples were judged, chosen by seed 3"
    assert not torch.equal(found.drawn, evaluate_samples(x, bars, seed=4).drawn)
    few = evaluate_samples(x, bars, samples=20)
    assert few.samples.n == 20
    assert any("60 are usual" in note for note in few.notes)


def test_arrays_small_types_and_numbers_near_a_level_are_taken(bars):
    x = bars.train.x[:60]
    expected = evaluate_samples(x.long(), bars).samples
    for same in (x.numpy().astype(np.uint8), x.float() + 0.3, x.double() - 0.49):
        assert evaluate_samples(same, bars).samples == expected


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: x[:, :, :7], r"shape \(60, 1, 7, 8\), expected \(N, 1, 8, 8\)"),
        (lambda x: x[0], r"shape \(1, 8, 8\)"),
        (lambda x: x + 1, r"run from 1 to 5, outside the levels 0\.\.4"),
        (lambda x: x - 1.0, r"run from -1 to 3, outside"),
        (lambda x: x.float().log() * 0, r"values are NaN or infinite"),
        (lambda x: x[:, :, :7] + 1, r"(?s)shape.*outside"),  # both at once
    ],
)
def test_what_does_not_fit_is_refused(bars, change, message):
    with pytest.raises(SpecError, match=message):
        evaluate_samples(change(bars.train.x[:60].long()), bars)


def test_too_few(bars):
    x = bars.train.x.long()
    with pytest.raises(ConfigError, match="5 samples, but 6 are needed"):
        evaluate_samples(x[:5], bars)
    with pytest.raises(ConfigError, match="30 samples, but 40 are needed"):
        evaluate_samples(x[:30], bars, samples=40)
    with pytest.raises(ConfigError, match="5 neighbours"):
        evaluate_samples(x, bars, samples=3)


def test_real_numbers_and_copies_of_them():
    wine = load_data("wine")
    x = wine.train.batch(torch.arange(60)).x
    assert evaluate_samples(x.double(), wine).samples.n == 36
    with pytest.raises(SpecError, match=r"torch\.int64, expected floating point"):
        evaluate_samples(x.long(), wine)


def test_data_with_missing_entries_are_refused(bars):
    import dataclasses

    from genus.data import ArraySplit

    wine = load_data("wine")
    x = wine.train.x.clone()
    known = torch.ones_like(x, dtype=torch.bool)
    known[0, 0] = False
    holes = dataclasses.replace(
        wine, splits={**wine.splits, "train": ArraySplit(x, wine.train.y, known)}
    )
    with pytest.raises(SpecError, match="cannot be compared with parts"):
        evaluate_samples(x, holes)
