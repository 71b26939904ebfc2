"""`evaluate`: which figures it gives, and the JSON that others read."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from genus import create
from genus.data import ArraySplit, DataSet, iterate
from genus.errors import SpecError
from genus.evaluation import evaluate
from genus.evaluation.scoring import Evaluation
from genus.evaluation.storage import load_evaluation, save_evaluation
from genus.spec import Spec


@pytest.fixture
def data(toys, cache_folder, quick):
    return toys.make_bars(sizes=(200, 40, 60))


def shape_of(value):
    """Return the keys of nested dictionaries, and types elsewhere."""
    if isinstance(value, dict):
        return {key: shape_of(item) for key, item in value.items()}
    return type(value).__name__


MEASURE = {"value": "float", "floor": "float", "standard_error": "NoneType"}
SCORES = {
    "description": "str",
    "fingerprint": "str",
    "frechet": {"value": "float", "floor": "float", "standard_error": "float"},
    "frechet_null": "float",
    "precision": MEASURE,
    "recall": MEASURE,
    "density": MEASURE,
    "coverage": MEASURE,
    "kernel": {"value": "float", "floor": "float", "standard_error": "float"},
    "sliced": {"value": "float", "floor": "float", "standard_error": "float"},
}


def test_the_json_keeps_its_shape(toys, data):
    result = evaluate(toys.BoundModel(data.spec), data, k=3, training_seconds=1.5)
    assert shape_of(result.to_json()) == {
        "format": "int",
        "model": "str",
        "family": "str",
        "data": {
            "name": "str",
            "digest": "str",
            "split": "str",
            "examples": "int",
            "dims": "int",
            "levels": "int",
            "known": "NoneType",
        },
        "likelihood": {
            "kind": "str",
            "k": "int",
            "nats": "float",
            "standard_error": "float",
            "interval": "NoneType",
            "bits_per_dim": "float",
            "bits_per_dim_standard_error": "float",
            "bits_per_dim_interval": "NoneType",
            "examples": "int",
        },
        "samples": "NoneType",
        "cost": {
            "parameters": "int",
            "training_seconds": "float",
            "seconds_per_sample": "NoneType",
        },
        "seed": "int",
        "notes": "list",
    }
    block = evaluate(toys.UniformModel(data.spec), data).to_json()["samples"]
    assert shape_of(block) == {
        "n": "int",
        "features": {"trained": SCORES, "random": SCORES},
        "nearer_to_train": {"share": "float", "standard_error": "float", "null": "float"},
        "bins": {"bins": "int", "different": MEASURE, "divergence": MEASURE},
        "classes": {
            "statistic": MEASURE,
            "p_value": "float",
            "degrees": "int",
            "counts": "list",
            "expected": "list",
        },
        "labels": "NoneType",
        "fingerprint": "str",
        "notes": "list",
        "audit": {
            "verdict": "list",
            "summary": "str",
            "findings": "list",
            "copied": "float",
            "copied_error": "float",
            "unseen": "float",
        },
    }
    assert shape_of(block["audit"]["findings"][0]) == {
        "kind": "str",
        "statistic": "str",
        "value": "float",
        "expected": "float",
        "standard_error": "float",
        "z": "float",
        "threshold": "float",
        "seen": "bool",
        "extent": "str",
        "words": "str",
    }


def test_the_figures_of_a_uniform_model(toys, data):
    content = evaluate(toys.UniformModel(data.spec), data).to_json()
    assert content["likelihood"]["kind"] == "exact"
    assert content["likelihood"]["bits_per_dim"] == pytest.approx(math.log2(5))
    assert content["likelihood"]["nats"] == pytest.approx(-64 * math.log(5))
    assert content["likelihood"]["examples"] == 60
    assert content["data"]["digest"] == data.digest
    assert content["data"]["split"] == "test"
    assert content["samples"]["n"] == 60
    json.dumps(content, allow_nan=False)


def test_an_implicit_model_has_samples_and_no_likelihood(toys, data):
    content = evaluate(toys.ReplayModel(data.spec, data.train.x), data).to_json()
    likelihood = content["likelihood"]
    assert likelihood["kind"] == "n/a"
    assert likelihood["nats"] is likelihood["bits_per_dim"] is likelihood["standard_error"] is None
    assert content["samples"]["nearer_to_train"]["share"] > 0.55


def test_continuous_data_never_get_bits(toys, cache_folder):
    import torch

    data = toys.make_points()

    class Normal:
        name, family, spec = "normal", "toy", data.spec

        def log_prob(self, x, y=None):
            return -x.square().sum(1)

        def sample(self, n, *, y=None, generator=None, temperature=1.0):
            return torch.randn(n, 3, generator=generator)

    content = evaluate(Normal(), data).to_json()
    assert content["likelihood"]["bits_per_dim"] is None
    assert content["likelihood"]["nats"] < 0
    assert list(content["samples"]["features"]) == ["values"]


def test_samples_can_be_left_out(toys, data):
    result = evaluate(toys.UniformModel(data.spec), data, samples=0)
    assert result.samples is None
    assert result.drawn is None


def test_same_seed_same_evaluation(toys, data):
    model = toys.UniformModel(data.spec)
    first, second = (evaluate(model, data, seed=5).to_json() for _ in range(2))
    first["cost"] = second["cost"] = None
    assert first == second


def test_a_model_for_other_data_is_refused(toys, data):
    model = toys.UniformModel(Spec(shape=(1, 8, 8), levels=17))
    with pytest.raises(SpecError, match=r"levels=17, but bars has shape=.* levels=5"):
        evaluate(model, data)


def test_slow_samplers_draw_fewer_and_the_result_says_so(toys, data, monkeypatch):
    from genus.evaluation import drawing

    monkeypatch.setattr(drawing, "sampling_cost", lambda model, y: 1.0)
    result = evaluate(toys.UniformModel(data.spec), data, sample_budget=55)
    assert result.samples.n == 55
    assert result.notes[0] == "55 samples instead of 60: drawing them all would take over 55 s"
    assert result.notes[1].startswith("55 examples do not fill 64 features (FD[trained], FD[rand")
    assert len(result.notes) == 2


def test_an_impossible_example_is_minus_infinity_and_null_in_json(toys, data):
    import torch

    model = toys.UniformModel(data.spec)
    model.log_prob = lambda x: torch.full((len(x),), -math.inf)
    result = evaluate(model, data, samples=0)
    assert result.likelihood.mean == -math.inf
    assert result.to_json()["likelihood"]["nats"] is None


def test_the_error_of_bits_per_known_entry_is_that_of_a_ratio(cache_folder):
    """Examples of 1 to 20 known entries: their bits differ twentyfold, and their ratio hardly."""
    rng = np.random.default_rng(0)

    def split(n):
        x = rng.integers(0, 4, (n, 20))
        return ArraySplit(x, None, np.arange(20) < rng.integers(1, 21, n)[:, None])

    ragged = DataSet("ragged", Spec((20,), 4), {s: split(300) for s in ("train", "test")}, "")
    model = create("independent", ragged.spec)
    model.fit(lambda: iterate(ragged.train, 64))
    found = evaluate(model, ragged, samples=0)
    bits, known = -found.likelihood.nats / math.log(2), found.known
    rows = rng.integers(0, 300, (2000, 300))
    ratios = bits[rows].sum(1) / known[rows].sum(1)
    assert found.bits_per_dim == pytest.approx(bits.sum() / known.sum())
    assert found.bits_per_dim_error == pytest.approx(ratios.std(), rel=0.1)
    save_evaluation(cache_folder, found, {})
    assert load_evaluation(cache_folder, {}).bits_per_dim_error == found.bits_per_dim_error


def test_storing_and_loading(toys, data, tmp_path):
    result = evaluate(toys.UniformModel(data.spec), data)
    save_evaluation(tmp_path, result, {"seed": 0})
    again = load_evaluation(tmp_path, {"seed": 0})
    assert isinstance(again, Evaluation)
    assert again.to_json() == result.to_json()
    np.testing.assert_array_equal(again.likelihood.nats, result.likelihood.nats)
    assert again.drawn.equal(result.drawn[:64])
    assert load_evaluation(tmp_path, {"seed": 1}) is None
    (tmp_path / "evaluation.json").write_text("{")
    assert load_evaluation(tmp_path, {"seed": 0}) is None
