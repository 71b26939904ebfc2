"""Figures of a model on a device are those of the processor; applications keep to it as well."""

import numpy as np
import pytest
import torch
from pretended import DEVICE, pretended
from training_toys import toy_data

import genus
from genus.applications import FineTuning
from genus.capabilities import Bounded, Classifies, Fits, supports
from genus.registry import list_models
from genus.spec import Spec
from genus.training import loading

SPEC = Spec(shape=(1, 4, 4), levels=3, classes=3)


@pytest.fixture(params=["naive-bayes", "vae", "gated-pixelcnn", "gan"])
def model(request):
    torch.manual_seed(0)
    cls = list_models()[request.param]
    made = genus.create(request.param, SPEC, **cls.tiny).double()
    if supports(cls, Fits):
        made.fit(lambda: [toy_data(600, spec=SPEC).train.batch(range(300))])
    return made.eval()


def both(model, say):
    """Return what is said of the model on the processor, and then on the device."""
    first = say(model)
    with pretended():
        return first, say(model.to(DEVICE))


def numbers(tree, path=()):
    """Yield the numbers in nested dictionaries and lists, but for those of a clock."""
    parts = tree.items() if isinstance(tree, dict) else enumerate(tree)
    for key, value in parts:
        if isinstance(value, dict | list):
            yield from numbers(value, (*path, key))
        elif isinstance(value, int | float) and "seconds" not in str(key):
            yield (*path, key), value


def test_an_evaluation_says_the_same(model):
    data = toy_data(600, spec=SPEC)
    here, there = both(model, lambda m: genus.evaluate(m, data, samples=100))
    if here.likelihood is not None:
        np.testing.assert_allclose(there.likelihood.nats, here.likelihood.nats, rtol=1e-6)
    got, wanted = (dict(numbers(said.samples.to_json())) for said in (there, here))
    assert got == pytest.approx(wanted, rel=1e-4, nan_ok=True)
    assert len(wanted) > 20


def test_features_and_a_probe_are_the_same(model):
    data = toy_data(600, spec=SPEC)
    if not hasattr(model, "features"):
        pytest.skip("no features")
    here, there = both(model, lambda m: genus.extract_features(m, data.test).x)
    np.testing.assert_allclose(there, here, rtol=1e-6, atol=1e-9)
    with pretended():
        genus.linear_probe(model, data)


def test_classifiers_start_from_it(model):
    data, settings = toy_data(600, spec=SPEC), FineTuning(steps=20)
    if model.name in ("naive-bayes", "gan"):
        pytest.skip("no features that can be trained")
    here, there = both(
        model, lambda m: genus.train_classifier(m, data, labels=[30], seeds=1, settings=settings)
    )
    assert there.to_json() == here.to_json()


def test_a_comparison_judges_where_it_trained(tmp_path, monkeypatch):
    data, moved = toy_data(600, spec=SPEC.unconditional()), []
    monkeypatch.setattr(loading, "find_device", lambda name: moved.append(name) or DEVICE)
    with pretended():
        found = genus.compare(
            ["independent", "vae"], data, time_budget=0.3, samples=60, out=tmp_path / "out"
        )
    assert moved.count("auto") >= 2  # the others are weights that a training hands back
    models = [row.evaluation for row in found.rows if row.kind == "model"]
    assert [model.likelihood.nats.shape for model in models] == [(150,)] * 2


def test_classes_are_the_same(model):
    if model.spec.classes is None or not (supports(model, Classifies) or supports(model, Bounded)):
        pytest.skip("no classes")
    data = toy_data(600, spec=SPEC)
    here, there = both(model, lambda m: genus.classify(m, data))
    torch.testing.assert_close(there.log_posterior_NY, here.log_posterior_NY, rtol=1e-6, atol=1e-6)
    assert there.accuracy == here.accuracy
