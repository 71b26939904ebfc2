"""Each figure of the sample block sees the planted failures that it should, on digits."""

from __future__ import annotations

import math
import runpy
from pathlib import Path

import pytest
import torch

import genus
from genus.evaluation.features import feature_nets
from genus.evaluation.labels import LabelReference

pytestmark = pytest.mark.slow
METRICS = runpy.run_path(str(Path(__file__).parents[2] / "benchmarks" / "metrics.py"))
SEEN = METRICS["SEEN"]

MUST_SEE = {
    "one class missing": {"FD", "KID", "SW", "recall", "cover.", "JS", "classes"},
    "classes four to one": {"classes", "JS", "FD"},
    "repeats": {"FD", "FD rand", "KID", "SW", "recall", "cover.", "bins", "JS", "classes"},
    "blur": {"FD", "FD rand", "KID", "KID rand", "SW", "SW rand", "recall", "cover.", "dens."},
    "noise": {"KID rand", "SW rand"},
    "contrast 80%": {"FD", "FD rand", "KID", "KID rand", "SW", "SW rand", "recall"},
    "all copied from train": {"near"},
}
QUALITY = set(METRICS["FIGURES"]) - {"near"}
MUST_NOT_SEE = {
    "real data": set(METRICS["FIGURES"]),
    "30% copied from train": QUALITY,
    "all copied from train": QUALITY,
    "blur": {"near"},  # no figure of copying may fire on samples that are merely poor
    "noise": {"near"},
    "contrast 80%": {"near"},
}


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GENUS_CACHE", str(tmp_path_factory.mktemp("cache")))
        failures = METRICS["FAILURES"] | {"classes four to one": METRICS["unbalanced"](4)}
        found, _ = METRICS["behaviour"](
            genus.load_data("digits"), n=130, nulls=6, failures=failures, say=lambda line: None
        )
        yield found


@pytest.mark.parametrize("failure", MUST_SEE)
def test_what_must_be_seen_is(scores, failure):
    missed = {name: scores[failure][name] for name in MUST_SEE[failure]}
    assert all(abs(z) > SEEN for z in missed.values()), missed


@pytest.mark.parametrize("failure", MUST_NOT_SEE)
def test_there_is_no_false_alarm(scores, failure):
    found = {name: scores[failure][name] for name in MUST_NOT_SEE[failure]}
    assert all(abs(z) <= SEEN for z in found.values()), found


def test_failures_push_the_figures_to_the_side_they_should(scores):
    for name in ("FD", "KID", "SW", "FD rand", "JS"):
        assert scores["repeats"][name] > SEEN
    assert scores["one class missing"]["cover."] < -SEEN
    assert scores["blur"]["recall"] < -SEEN
    assert scores["all copied from train"]["near"] > SEEN


def test_a_null_without_spread_is_not_divided_by():
    assert METRICS["z_score"](0.5, [0.5, 0.5]) == 0
    assert METRICS["z_score"](0.6, [0.5, 0.5]) == math.inf
    assert METRICS["z_score"](0.6, [0.5, 0.5], least=0.1) == pytest.approx(1)


def test_one_example_of_each_class_is_accurate_and_teaches_little(tmp_path, monkeypatch):
    """What is missing within a class only the classification accuracy score sees."""
    monkeypatch.setenv("GENUS_CACHE", str(tmp_path))
    data = genus.load_data("digits")
    labels = LabelReference(data, "test", 400, feature_nets(data)[0])
    right = labels.classifier.classify(labels.train.x) == labels.train.y
    first = [(right & (labels.train.y == y)).nonzero()[0, 0] for y in range(10)]
    few = labels.train.x[torch.stack(first)].repeat(40, 1, 1, 1)
    found = labels.measure(few, torch.arange(10).repeat(40))
    assert found.accuracy.value == 1
    assert found.classification.floor > 0.85
    assert found.classification.value < found.classification.floor - 0.15
