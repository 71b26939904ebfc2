"""Classifiers from two starts: what differs is the weights at the start, and nothing else."""

import copy

import numpy as np
import pytest
import torch
from application_toys import Featureless, Fixed, Plane, blobs, dataset
from torch import nn

from genus.applications import FineTuning, train_classifier
from genus.applications.classifier import _gain
from genus.applications.fine_tuning import (
    Classifier,
    descend,
    start_network,
    summary,
    update,
)
from genus.applications.linear import Scaler, fit_linear
from genus.errors import ConfigError, DataError, SpecError
from genus.spec import Spec

QUICK = FineTuning(steps=30, learning_rates=(1e-2,), evaluations=3)


class Informed(Plane):
    """Features that a random start lacks: two of 20 columns tell the classes."""

    name = "informed"

    def __init__(self, spec, config=None):
        super().__init__(spec, config)
        self.map = nn.Linear(spec.dims, 2)

    def know(self):
        with torch.no_grad():
            self.map.weight.zero_()
            self.map.weight[0, 0] = self.map.weight[1, 1] = 1.0


def hidden_blobs():
    """Return blobs in the first two of 20 columns; the others are loud noise."""
    plain, rng = blobs((300, 150, 300)), np.random.default_rng(1)
    parts = {}
    for name, split in plain.splits.items():
        noise = 6 * rng.normal(size=(len(split), 18)).astype(np.float32)
        parts[name] = (np.concatenate([split.x.numpy(), noise], 1), split.y)
    return dataset(Spec(shape=(20,), classes=3), parts)


def test_what_a_run_knows_is_a_gain_at_few_labels() -> None:
    torch.manual_seed(0)
    model = Informed(Spec(shape=(20,)))
    model.know()
    before = copy.deepcopy(model.state_dict())
    gains = train_classifier(model, hidden_blobs(), labels=[12, None], seeds=2, settings=QUICK)
    few, all_ = gains.rows
    assert (few.labels, few.seeds, all_.labels, all_.seeds) == (12, 2, 300, 1)
    assert few.gain > 0.2
    assert few.run - few.random == pytest.approx(few.gain)
    assert few.spread is not None
    assert all_.spread is None
    assert len(gains.trials) == 6
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_equal_starts_gain_nothing(monkeypatch) -> None:
    """With the same weights at the start, everything else is the same too."""
    from genus.applications import classifier

    model = Plane(Spec(shape=(2,)))
    monkeypatch.setattr(classifier, "start_network", lambda model, *_: copy.deepcopy(model))
    gains = train_classifier(model, blobs(), labels=[9], seeds=2, settings=QUICK)
    assert gains.rows[0].gain == 0
    assert gains.rows[0].spread == 0


def test_the_random_start_is_the_same_network_with_weights_of_the_seed() -> None:
    torch.manual_seed(17)
    data, model = blobs(), Plane(Spec(shape=(2,)))
    one, again, two = (start_network(model, "random", data, seed) for seed in (0, 0, 1))
    assert torch.equal(one.map.weight, again.map.weight)
    assert not torch.equal(one.map.weight, two.map.weight)
    assert one.map.weight.shape == model.map.weight.shape
    assert not torch.equal(one.map.weight, model.map.weight)


def test_it_begins_as_the_linear_probe() -> None:
    data, model = blobs(), Plane(Spec(shape=(2,)))
    rows = torch.arange(60)
    network = Classifier(model, data, rows, torch.arange(100))
    x = model.features(data.train.x[rows]).detach().numpy()
    valid = model.features(data.valid.x).detach().numpy()
    labels = data.train.y[rows].numpy(), data.valid.y.numpy()
    fit = fit_linear(x, labels[0], valid, labels[1], scalers=[Scaler])
    expected = fit.machine.predict_proba(fit.scaler(valid))
    found = network(data.valid.x).softmax(1).detach().numpy()
    np.testing.assert_allclose(found, expected, atol=1e-4)
    accuracy, _ = summary(network, data.valid, torch.arange(100))
    assert accuracy == pytest.approx(max(fit.valid.values()))


def test_fine_tuning_is_never_worse_on_valid_than_the_probe() -> None:
    """A step size that ruins everything leaves the classifier at step 0."""
    settings = FineTuning(steps=20, learning_rates=(1e2,), evaluations=4)
    (trial, _) = train_classifier(
        Plane(Spec(shape=(2,))), blobs(), labels=[30], seeds=1, settings=settings
    ).trials
    assert (trial.step, trial.start) == (0, "run")
    assert trial.accuracy > 0.8


def test_what_is_kept_is_what_was_best_on_valid() -> None:
    """Steps so large that every look is another, and the last is not the best."""
    data, rows = blobs(), torch.arange(9)
    looked_at = torch.arange(100)
    reached = []
    for seed in range(3):
        network = Classifier(Plane(Spec(shape=(2,))), data, rows, looked_at)
        settings = FineTuning(steps=12, evaluations=12, patience=12)
        best, step = descend(network, data, rows, looked_at, 3.0, seed, settings)
        assert summary(network, data.valid, looked_at) == best
        reached.append(step)
    assert min(reached) < 12


def test_weights_of_the_features_are_trained_with_those_of_the_layer() -> None:
    data, model = blobs(), Plane(Spec(shape=(2,)))
    rows = torch.arange(300)
    network = Classifier(model, data, rows, rows[:100])
    before = copy.deepcopy(network.state_dict())
    optimizer = torch.optim.SGD(network.parameters(), lr=0.1)
    update(network, optimizer, data.train, rows[:50], torch.Generator())
    changed = {k for k, v in network.state_dict().items() if not torch.equal(v, before[k])}
    assert changed == {"model.map.weight", "model.map.bias", "head.weight", "head.bias"}


def test_trials_can_be_repeated() -> None:
    model, data = Plane(Spec(shape=(2,))), blobs()
    with torch.random.fork_rng():
        one = train_classifier(model, data, labels=[9], seeds=1, settings=QUICK)
        torch.rand(7)
        two = train_classifier(model, data, labels=[9], seeds=1, settings=QUICK)
    assert one.trials == two.trials


def test_the_error_of_the_gain_is_of_pairs() -> None:
    """Two classifiers that are right on the same examples differ by nothing, without error."""
    right = torch.rand(2, 500, generator=torch.Generator().manual_seed(0)) < 0.8
    same = _gain(10, right, right)
    assert (same.gain, same.standard_error, same.spread) == (0.0, 0.0, 0.0)
    other = torch.rand(2, 500, generator=torch.Generator().manual_seed(1)) < 0.6
    found = _gain(10, right, other)
    each = (right.double() - other.double()).mean(0)
    assert found.gain == pytest.approx(float(each.mean()))
    draws = np.random.default_rng(0).choice(each.numpy(), (4000, 500)).mean(1)
    assert found.standard_error == pytest.approx(draws.std(), rel=0.05)


def test_what_cannot_be_trained() -> None:
    data, spec = blobs(), Spec(shape=(2,))
    with pytest.raises(ConfigError, match=r"fixed are not differentiable.*--probe"):
        train_classifier(Fixed(spec), data)
    with pytest.raises(ConfigError, match="featureless has no features"):
        train_classifier(Featureless(spec), data)
    with pytest.raises(SpecError, match="the model is for"):
        train_classifier(Plane(Spec(shape=(3,))), data)
    plane = Plane(spec)
    with pytest.raises(ConfigError, match="2 labels are too few for 3 classes"):
        train_classifier(plane, data, labels=[30, 2])
    with pytest.raises(DataError, match="ask for 300 at most"):
        train_classifier(plane, data, labels=[301])
    with pytest.raises(ConfigError, match="must not be empty"):
        train_classifier(plane, data, seeds=0)
    with pytest.raises(ConfigError, match="must not be empty"):
        train_classifier(plane, data, labels=[])
    with pytest.raises(DataError, match="no labels"):
        train_classifier(plane, dataset(spec, {"train": (np.zeros((4, 2), np.float32), None)}))


def test_bad_settings_are_all_named_at_once() -> None:
    with pytest.raises(ConfigError, match=r"steps=0 must be.*patience=-1.*rate 0 must be above"):
        FineTuning(steps=0, patience=-1, learning_rates=(0.0,))
    with pytest.raises(ConfigError, match="there must be a learning rate"):
        FineTuning(learning_rates=())
