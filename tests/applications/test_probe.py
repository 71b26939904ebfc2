"""Features of all examples, and linear probes of them."""

import numpy as np
import pytest
import torch
from application_toys import Featureless, Fixed, Plane, blobs, dataset
from sklearn.linear_model import LogisticRegression

from genus.applications import extract_features, linear_probe, value_probe
from genus.applications.extract import raw_values
from genus.applications.linear import Scaler, Whitener, fit_linear
from genus.errors import ConfigError, DataError, SpecError, TrainingError
from genus.spec import Spec


@pytest.fixture
def plane():
    torch.manual_seed(0)
    return Plane(Spec(shape=(2,)))


def test_features_of_every_example_whatever_the_batch_size(plane) -> None:
    data = blobs((37, 10, 10))
    tables = [extract_features(plane, data.train, batch_size=size) for size in (5, 37, 256)]
    expected = plane.features(data.train.x).detach().numpy()
    for table in tables:
        np.testing.assert_allclose(table.x, expected, atol=1e-6)
        assert np.array_equal(table.y, data.train.y)
    assert not plane.map.weight.grad
    assert plane.training  # as it was


def test_chosen_rows_come_in_their_order(plane) -> None:
    data = blobs((37, 10, 10))
    rows = torch.tensor([30, 2, 7])
    assert np.array_equal(extract_features(plane, data.train, rows=rows).y, data.train.y[rows])


def test_levels_are_probed_on_the_unit_interval() -> None:
    x = np.array([[0, 4], [2, 1]])
    data = dataset(Spec(shape=(2,), levels=5, classes=2), {"train": (x, np.array([0, 1]))})
    np.testing.assert_allclose(raw_values(data.spec, data.train).x, x / 4)


def test_progress_counts_examples(plane) -> None:
    seen: list[int] = []
    extract_features(plane, blobs((10, 3, 3)).train, batch_size=4, progress=seen.append)
    assert seen == [4, 8, 10]


def test_the_probe_is_scikit_learns_at_the_chosen_strength() -> None:
    """The strengths after one another, each from the last, end where each would by itself."""
    data = blobs((300, 90, 400))
    probe = value_probe(data)
    x, valid, test = data.train.x.numpy(), data.valid.x.numpy(), data.test.x.numpy()
    mean, deviation = x.mean(0), x.std(0)
    scores = {}
    for strength in probe.valid:
        alone = LogisticRegression(C=1 / (strength * 300), max_iter=5000, tol=1e-8)
        alone.fit((x - mean) / deviation, data.train.y)
        scores[strength] = alone.score((valid - mean) / deviation, data.valid.y)
        if strength == probe.strength:
            accuracy = alone.score((test - mean) / deviation, data.test.y)
    assert probe.valid == pytest.approx(scores, abs=0.012)
    assert probe.strength == max(k for k, v in probe.valid.items() if v == max(scores.values()))
    assert probe.accuracy == pytest.approx(accuracy, abs=0.003)
    assert probe.standard_error == pytest.approx((accuracy * (1 - accuracy) / 400) ** 0.5, rel=0.05)
    assert (probe.of, probe.features, probe.labels, probe.tested) == ("raw values", 2, 300, 400)
    assert probe.converged


@pytest.mark.parametrize("classes", [2, 3])
def test_as_a_layer_it_says_the_same(classes: int) -> None:
    data = blobs((200, 60, 60), classes)
    train, valid = data.train.x.numpy(), data.valid.x.numpy()
    fit = fit_linear(train, data.train.y.numpy(), valid, data.valid.y.numpy(), [1e-2])
    x = fit.scaler(valid)
    weight, bias = fit.layer(5)
    logits = torch.from_numpy(x @ weight.T + bias)
    expected = fit.machine.predict_proba(x)
    np.testing.assert_allclose(logits.softmax(1)[:, :classes].numpy(), expected, atol=1e-3)


def test_test_is_not_looked_at_when_choosing() -> None:
    """Other labels in test change the accuracy and nothing else."""
    data = blobs()
    other = blobs()
    other.test.y = (other.test.y + 1) % 3
    one, two = value_probe(data), value_probe(other)
    assert (one.strength, one.valid) == (two.strength, two.valid)
    assert one.accuracy > 0.9
    assert two.accuracy < 0.1


def test_of_equally_good_strengths_the_largest_is_taken() -> None:
    y = np.arange(40) % 2
    far = ((10 * y[:, None] + np.random.default_rng(0).normal(size=(40, 2))).astype(np.float32), y)
    parts = dict.fromkeys(("train", "valid", "test"), far)
    probe = value_probe(dataset(Spec(shape=(2,), classes=2), parts))
    assert set(probe.valid.values()) == {1.0}
    assert probe.strength == 0.1


def test_few_labels_are_fewer(plane) -> None:
    probe = linear_probe(plane, blobs(), labels=9, seed=4)
    assert (probe.labels, probe.seed, probe.features) == (9, 4, 5)
    assert probe.of == "features of plane"
    assert set(probe.to_json()["valid"]) == {"0.1", "0.01", "0.001", "0.0001", "1e-05"}


def test_a_constant_column_is_dropped_even_where_rounding_makes_it_vary() -> None:
    x = np.stack([np.full(50, 1e6, np.float32), np.arange(50, dtype=np.float32)], 1)
    x[0, 0] = np.nextafter(np.float32(1e6), np.float32(2e6))
    scaled = Scaler(x)(x)
    assert np.abs(scaled[:, 0]).max() == 0
    assert scaled[:, 1].std() == pytest.approx(1)


def test_white_columns_are_uncorrelated_and_axes_that_do_not_vary_are_left_out() -> None:
    """Of five columns one is constant and one the sum of two others."""
    z = np.random.default_rng(0).normal(size=(5000, 3)).astype(np.float32)
    x = np.stack([1e4 * z[:, 0], z[:, 1], z[:, 2], z[:, 1] + z[:, 2], np.ones(5000)], 1)
    white = Whitener(x.astype(np.float32))(x.astype(np.float32))
    assert white.shape == (5000, 3)
    np.testing.assert_allclose(np.cov(white.T, ddof=0), np.eye(3), atol=1e-4)


def test_what_tells_classes_apart_is_found_however_little_it_varies() -> None:
    """Two columns differ by a ten-thousandth of their deviation, and by that classes differ."""
    rng = np.random.default_rng(0)

    def part(n: int):
        y, common = rng.integers(2, size=n), rng.normal(size=n)
        other = common + 1e-4 * (2 * y - 1 + 0.3 * rng.normal(size=n))
        return np.stack([common, other], 1).astype(np.float32), y

    data = dataset(
        Spec(shape=(2,), classes=2),
        {"train": part(500), "valid": part(200), "test": part(200)},
    )
    probe = value_probe(data)
    assert probe.whitened
    assert probe.accuracy > 0.98
    x, y = data.train.x.numpy(), data.train.y.numpy()
    valid = data.valid.x.numpy(), data.valid.y.numpy()
    plain = fit_linear(x, y, *valid, scalers=[Scaler])
    assert max(plain.valid.values()) < 0.7


def test_features_that_never_vary_are_probed_in_vain() -> None:
    """Those of a model whose latents have collapsed, for instance."""
    y = np.arange(60) % 3
    same = (np.full((60, 4), 0.3, np.float32), y)
    spec = Spec(shape=(4,), classes=3)
    probe = value_probe(dataset(spec, dict.fromkeys(("train", "valid", "test"), same)))
    assert not probe.whitened
    assert probe.accuracy == pytest.approx(1 / 3)


def test_of_equally_good_scalings_the_plain_one_is_taken() -> None:
    assert not value_probe(blobs()).whitened


def test_what_cannot_be_probed(plane) -> None:
    data = blobs()
    with pytest.raises(ConfigError, match=r"featureless has no features; .*vae"):
        linear_probe(Featureless(Spec(shape=(2,))), data)
    with pytest.raises(SpecError, match=r"the model is for shape=\(2,\)"):
        linear_probe(plane, blobs(spec=Spec(shape=(2,), classes=3, levels=2)))
    one = dataset(
        data.spec, {k: (np.zeros((9, 2), np.float32), np.ones(9, int)) for k in data.splits}
    )
    with pytest.raises(DataError, match="are of class 1"):
        linear_probe(plane, one)
    with pytest.raises(ConfigError, match="1 labels are too few for 3 classes"):
        linear_probe(plane, data, labels=1)
    with pytest.raises(ConfigError, match="strengths must be above zero, got 0"):
        linear_probe(plane, data, strengths=[0, 1])
    with pytest.raises(ConfigError, match="strengths must be above zero, got none"):
        value_probe(data, strengths=[])
    with pytest.raises(ConfigError, match="batch_size=0"):
        extract_features(plane, data.train, batch_size=0)
    with pytest.raises(ConfigError, match="no examples"):
        extract_features(plane, blobs((0, 3, 3)).train)


def test_features_that_are_not_finite_are_named(plane) -> None:
    with torch.no_grad():
        plane.map.weight[0, 0] = float("nan")
    with pytest.raises(TrainingError, match="features of 300 of 300 examples are not finite"):
        extract_features(plane, blobs().train)


def test_features_need_not_be_trainable_to_be_probed() -> None:
    assert linear_probe(Fixed(Spec(shape=(2,))), blobs()).accuracy > 0.9
