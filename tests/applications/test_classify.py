"""Bayes' rule: a model of the law that the data came from, and ones that cannot classify."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from application_toys import Normals, Plane, blobs, dataset
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.metrics import confusion_matrix, log_loss

import genus
from genus.applications import classify
from genus.applications.calibration import best_temperature
from genus.errors import ConfigError, DataError, SpecError
from genus.spec import Spec


def model_of(data) -> Normals:
    return Normals(data.spec)


def test_the_figures_are_those_of_the_true_posterior() -> None:
    data = blobs((30, 300, 2000))
    found = classify(model_of(data), data, likelihoods=True)
    x, y = data.test.x.double(), data.test.y
    centres = model_of(data).centre_YD.double()
    logits = -0.5 * (x[:, None] - centres).square().sum(2)
    torch.testing.assert_close(found.log_posterior_NY, logits.log_softmax(1), atol=1e-4, rtol=1e-4)
    assert found.accuracy == float((logits.argmax(1) == y).double().mean())
    assert found.calibration.log_prob == pytest.approx(
        -log_loss(y.numpy(), logits.softmax(1).numpy()), abs=1e-5
    )
    truth = (logits - math.log(2 * math.pi)).logsumexp(1) - math.log(3)
    torch.testing.assert_close(found.log_prob_N, truth, atol=1e-4, rtol=1e-4)
    assert found.temperature == pytest.approx(1, abs=0.25)
    assert found.calibration.error < 0.02
    expected = confusion_matrix(y.numpy(), logits.argmax(1).numpy())
    assert np.array_equal(np.array(found.confusion), expected)
    assert found.majority == pytest.approx(667 / 2000)


def test_gaussian_classes_agree_with_scikit_learns_discriminant() -> None:
    """Classes of one Gaussian each with a common covariance are linear discriminant analysis."""
    data = genus.load_data("wine")
    model = genus.create("gaussian-mixture", data.spec, components=1, covariance="diag", pseudo=0.0)
    from genus.data import iterate

    torch.manual_seed(0)
    model.fit(lambda: iterate(data.train, 64))
    found = classify(model, data)
    from sklearn.naive_bayes import GaussianNB

    bayes = GaussianNB(var_smoothing=0).fit(data.train.x.double(), data.train.y)
    assert np.array_equal(
        found.log_posterior_NY.argmax(1).numpy(), bayes.predict(data.test.x.double())
    )
    linear = LinearDiscriminantAnalysis().fit(data.train.x.double(), data.train.y)
    assert abs(found.accuracy - linear.score(data.test.x.double(), data.test.y)) < 0.1


def test_an_overstated_posterior_is_mended_on_valid_and_judged_on_test() -> None:
    class Loud(Normals):
        name = "loud"

        def class_log_prob(self, x):
            return (4 * super().class_log_prob(x)).log_softmax(1)

    data = blobs((30, 2000, 2000))
    found = classify(Loud(data.spec), data)
    assert found.temperature == pytest.approx(4, rel=0.25)
    assert found.tempered.error < found.calibration.error / 2
    assert found.tempered.log_prob > found.calibration.log_prob
    right = classify(model_of(data), data)
    assert found.tempered.log_prob == pytest.approx(right.calibration.log_prob, abs=0.01)


def test_the_temperature_is_of_valid_whatever_is_classified() -> None:
    data = blobs((30, 200, 200))
    model = model_of(data)
    found = classify(model, data)
    of_valid = best_temperature(model.class_log_prob(data.valid.x), data.valid.y)
    of_test = best_temperature(model.class_log_prob(data.test.x), data.test.y)
    assert found.temperature == pytest.approx(of_valid, rel=1e-4)
    assert found.temperature != pytest.approx(of_test, rel=1e-2)
    assert classify(model, data, split="valid").temperature == found.temperature


def test_where_valid_is_all_right_no_temperature_is_told() -> None:
    data = blobs((30, 3, 30))
    found = classify(model_of(data), data)
    assert (found.temperature, found.tempered) == (None, None)
    assert found.to_json()["tempered"] is None


def test_the_record_is_json_without_the_arrays_of_examples() -> None:
    data = blobs()
    found = classify(model_of(data), data, split="valid", bins=5)
    content = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert set(content) == {
        "model", "data", "split", "labels", "examples", "accuracy", "standard_error", "majority",
        "calibration", "temperature", "tempered", "confusion", "k",
    }  # fmt: skip
    assert len(content["calibration"]["bins"]) == 5
    assert content["labels"] == ["0", "1", "2"]
    assert sum(map(sum, content["confusion"])) == content["examples"] == 100


def test_an_impossible_truth_is_minus_infinity_and_stays_json() -> None:
    class Certain(Normals):
        name = "certain"

        def class_log_prob(self, x):
            return torch.tensor([0.0, -math.inf, -math.inf]).expand(len(x), 3)

    data = blobs()
    found = classify(Certain(data.spec), data)
    assert found.calibration.log_prob == -math.inf
    assert found.to_json()["calibration"]["log_prob"] is None
    assert found.accuracy == pytest.approx(0.34)


def test_an_example_without_posterior_is_named() -> None:
    class Empty(Normals):
        name = "empty"

        def class_log_prob(self, x):
            log_p = super().class_log_prob(x)
            log_p[x[:, 0] > 3] = math.nan
            return log_p

    data = blobs()
    with pytest.raises(DataError, match=r"of 100 examples \(row \d+ is the first\).*smoothing"):
        classify(Empty(data.spec), data)


def test_what_cannot_classify() -> None:
    data = blobs()
    with pytest.raises(ConfigError, match=r"plane has no posterior.*gaussian-mixture"):
        classify(Plane(Spec(shape=(2,))), data)
    plain = genus.create("independent", data.spec.unconditional())
    with pytest.raises(SpecError, match=r"knows no classes.*--conditional"):
        classify(plain, data)
    with pytest.raises(SpecError, match="knows 3 classes, but toy has 4"):
        classify(model_of(data), blobs(classes=4))
    with pytest.raises(SpecError, match="the model is for shape"):
        classify(model_of(data), blobs(spec=Spec(shape=(2,), levels=9, classes=3)))
    bare = dataset(Spec(shape=(2,)), {"test": (np.zeros((4, 2), np.float32), None)})
    with pytest.raises(DataError, match="has no labels"):
        classify(model_of(data), bare)
    with pytest.raises(DataError, match="no split 'tset'"):
        classify(model_of(data), data, split="tset")
    with pytest.raises(ConfigError, match="bins=0"):
        classify(model_of(data), data, bins=0)
    with pytest.raises(ConfigError, match="batch_size=0"):
        classify(model_of(data), data, batch_size=0)


class Bounds(Plane):
    """Knows p(x | y) through bounds alone, which fall short by the same noise for every class."""

    name = "bounds"

    def __init__(self, spec) -> None:
        super().__init__(spec)
        self.truth = Normals(spec)

    def elbo(self, x, y=None, *, generator=None):
        raise NotImplementedError

    def iwae(self, x, k, y=None, *, generator=None):
        shared = torch.rand(len(x), generator=generator)
        return self.truth.log_prob(x, y) - 5 * shared / k


@pytest.mark.parametrize("batch_size", [256, 7])
def test_bounds_stand_in_the_rule_with_the_same_noise_for_every_class(batch_size) -> None:
    data = blobs((30, 30, 60))
    exact = classify(model_of(data), data)
    found = classify(Bounds(data.spec), data, k=4, batch_size=batch_size)
    torch.testing.assert_close(found.log_posterior_NY, exact.log_posterior_NY, atol=1e-4, rtol=1e-4)
    assert (found.k, exact.k) == (4, None)
    with pytest.raises(ConfigError, match="k=0 must be at least 1"):
        classify(Bounds(data.spec), data, k=0)


def test_a_conditional_autoencoder_tells_classes_apart() -> None:
    data = blobs((300, 60, 60))
    torch.manual_seed(0)
    model = genus.create("vae", data.spec, latents=1, hidden=16, depth=1)
    model.initialise(data.train.batch(torch.arange(300)))
    optimiser = torch.optim.Adam(model.parameters(), 1e-2)
    loss, generator = model.objectives()[0].loss, torch.Generator().manual_seed(0)
    for _ in range(150):
        optimiser.zero_grad()
        loss(data.train.batch(torch.arange(300)), model.noise(300, generator))["loss"].backward()
        optimiser.step()
    wrong_at_most = 1 - classify(model_of(data), data).accuracy + 0.1
    found = classify(model, data, k=8)
    assert 1 - found.accuracy < wrong_at_most
    again = classify(model, data, k=8, batch_size=7)
    torch.testing.assert_close(found.log_posterior_NY, again.log_posterior_NY)


def test_a_model_without_density_has_no_likelihoods() -> None:
    class Only(Plane):
        name = "only"

        def class_log_prob(self, x):
            return torch.zeros(len(x), 3).log_softmax(1)

    data = blobs()
    model = Only(data.spec)
    assert classify(model, data).log_prob_N is None
    with pytest.raises(ConfigError, match="no density"):
        classify(model, data, likelihoods=True)


def test_the_record_is_frozen() -> None:
    data = blobs()
    with pytest.raises(dataclasses.FrozenInstanceError):
        classify(model_of(data), data).accuracy = 1.0
