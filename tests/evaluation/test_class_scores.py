"""Class balance against SciPy, and what labels are worth, with planted failures."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
import torch

from genus.data import ArraySplit, DataSet
from genus.errors import ConfigError, SpecError
from genus.evaluation import evaluate
from genus.evaluation.class_scores import chi_squared, trained_accuracy
from genus.evaluation.features import Recipe, feature_nets
from genus.evaluation.labels import LabelReference
from genus.evaluation.nets import Scaler
from genus.evaluation.samples import Reference
from genus.spec import Batch, Spec

QUICK = Recipe(width=8, steps=60, batch_size=32)


@pytest.mark.parametrize("counts", [([30, 10], [20, 20]), ([5, 0, 45], [9, 3, 80]), ([7], [9])])
def test_chi_squared_agrees_with_scipy(counts):
    first, second = (torch.tensor(c) for c in counts)
    expected = scipy.stats.chi2_contingency(np.array(counts), correction=False)
    found = chi_squared(first, second)
    assert found.statistic == pytest.approx(expected.statistic)
    assert found.degrees == expected.dof
    assert found.p_value == pytest.approx(expected.pvalue)


def test_a_class_that_nobody_has_is_left_out():
    found = chi_squared(torch.tensor([3, 0, 7]), torch.tensor([5, 0, 9]))
    assert found == chi_squared(torch.tensor([3, 7]), torch.tensor([5, 9]))


def test_p_values_are_uniform_under_the_null():
    rng = np.random.default_rng(0)
    p = np.full(10, 0.1)
    values = [
        chi_squared(*(torch.from_numpy(rng.multinomial(n, p)) for n in (500, 900))).p_value
        for _ in range(300)
    ]
    assert scipy.stats.kstest(values, "uniform").pvalue > 0.01


def test_histograms_must_have_the_same_classes():
    with pytest.raises(ConfigError, match="2 classes of 0 examples and 3 classes of 6"):
        chi_squared(torch.zeros(2), torch.tensor([1, 2, 3]))


@pytest.fixture
def data(toys, cache_folder, quick, monkeypatch):
    from genus.evaluation import class_scores

    monkeypatch.setattr(class_scores.trained_accuracy, "__defaults__", (QUICK,))
    return toys.make_bars(sizes=(300, 60, 100))


def labels_of(data):
    trained, _ = feature_nets(data)
    return LabelReference(data, "test", 200, trained)


def test_real_examples_with_their_labels_are_worth_what_real_ones_are(data):
    labels = labels_of(data)
    found = labels.measure(labels.train.x, labels.train.y)
    assert found.n == 200
    assert found.classification.value == found.classification.floor > 0.9
    assert found.accuracy.floor > 0.9
    assert found.accuracy.value > 0.9
    again = labels_of(data)
    assert again.measure(again.train.x, again.train.y) == found  # to the bit


def test_exchanged_labels_are_seen_by_both(data):
    labels = labels_of(data)
    found = labels.measure(labels.train.x, (labels.train.y + 1) % 4)
    assert found.accuracy.value < 0.1
    assert found.classification.value < 0.1


def test_no_classifier_learns_from_held_out_examples(data):
    read = {"train": 0, "test": 0}

    class Watched(ArraySplit):
        def __init__(self, split, name):
            super().__init__(split.x, split.y)
            self.name = name

        def batch(self, rows, *, generator=None):
            read[self.name] += generator is not None
            return super().batch(rows)

    watched = {name: Watched(data.split(name), name) for name in ("train", "test")}
    twin = DataSet("bars", data.spec, {**data.splits, **watched}, "sha256:watched")
    labels = labels_of(twin)
    assert read["train"] > 0  # the feature network
    labels.measure(labels.train.x, labels.train.y)
    assert read["test"] == 0
    held_out = set(map(tuple, labels.held_out.x.flatten(1).tolist()))
    assert not held_out & set(map(tuple, labels.train.x.flatten(1).tolist()))


def test_held_out_labels_do_not_move_what_is_learnt(data):
    """If the test split were learnt from, its wrong labels would be found right."""
    labels = labels_of(data)
    wrong = Batch(labels.held_out.x, (labels.held_out.y + 1) % 4)
    assert trained_accuracy(labels.train, wrong, data.spec, labels.classifier.scaler) < 0.1


def test_refuses_what_has_no_labels():
    spec = Spec(shape=(1, 2, 2), levels=2, classes=2)
    x = torch.zeros(3, 1, 2, 2, dtype=torch.int64)
    with pytest.raises(SpecError, match="needs the labels"):
        trained_accuracy(Batch(x), Batch(x, torch.zeros(3).long()), spec, Scaler(spec))
    with pytest.raises(SpecError, match=r"outside 0\.\.1"):
        trained_accuracy(Batch(x, torch.full((3,), 5)), Batch(x, torch.ones(3).long()), spec, None)


class Conditional:
    """Draws training examples of a class; ``wrong`` is added to the label."""

    name, family = "conditional", "toy"

    def __init__(self, data, wrong=0):
        self.spec, self.data, self.wrong = data.spec, data, wrong

    def sample(self, n, *, y=None, generator=None, temperature=1.0):
        x, labels = self.data.train.x, self.data.train.y
        if y is None:
            y = torch.randint(4, (n,), generator=generator)
        rows = [(labels == (label + self.wrong) % 4).nonzero().flatten() for label in y.tolist()]
        picked = [r[torch.randint(len(r), (), generator=generator)] for r in rows]
        return x[torch.stack(picked)].long()


def test_a_class_conditional_model_is_asked_for_labels(data):
    good = evaluate(Conditional(data), data).samples.labels
    assert good.n == 100
    assert good.accuracy.value > 0.9
    assert good.classification.value > 0.85
    assert evaluate(Conditional(data, wrong=2), data).samples.labels.accuracy.value < 0.1


def test_the_balance_of_classes(toys, data):
    reference = Reference(data)
    fair = reference.measure(reference.real).classes
    assert fair.p_value > 0.001
    assert sum(fair.counts) == 100
    assert sum(fair.expected) == pytest.approx(100)
    one = reference.measure(data.test.x[data.test.y == 1][:1].repeat(100, 1, 1, 1).long()).classes
    assert one.counts[1] == 100
    assert one.p_value < 1e-6
    assert one.statistic.value > 20 * max(one.statistic.floor, one.degrees)


def test_without_labels_there_are_no_class_scores(toys, cache_folder, quick):
    reference = Reference(toys.make_bars(sizes=(240, 60, 60), labels=False))
    assert reference.labels is None
    block = reference.measure(reference.real)
    assert block.classes is None
    assert block.bins is not None
