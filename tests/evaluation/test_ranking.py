"""Ranks of models, with ties where chance alone could have made the difference."""

from __future__ import annotations

import numpy as np
import pytest

from genus.evaluation.column import Column
from genus.evaluation.latex import escaped
from genus.evaluation.outcome import Row
from genus.evaluation.provenance import DataReference
from genus.evaluation.ranking import ranks
from genus.evaluation.scoring import Cost, Evaluation
from genus.likelihood import LogLikelihood

DATA = DataReference("toy", "sha256:0", "test", 4, 8, 2)


def row(label, nats=(0.0, 0.0), interval=None, kind="model"):
    found = LogLikelihood(np.asarray(nats, float), "exact", None, interval)
    return Row(label, kind, Evaluation(label, "toy", DATA, found, None, None, Cost(1)))


def column(figures, better="less", unit=None):
    return Column(
        "figure",
        "samples",
        lambda row: "",
        "",
        "",
        figure=lambda row: figures.get(row.label),
        better=better,
        unit=unit,
    )


def test_what_cannot_be_told_apart_shares_a_rank():
    figures = {"a": (1.0, 0.1), "b": (1.2, 0.1), "c": (1.5, 0.1), "d": (9.0, 0.0)}
    rows = [row(label) for label in "abcd"]
    # b and c are 0.3 apart, 2.1 errors of the difference; a and b are 1.4.
    assert ranks(column(figures), rows) == {"a": 1, "b": 1, "c": 3, "d": 4}
    assert ranks(column(figures, "more"), rows) == {"d": 1, "c": 2, "b": 3, "a": 3}
    figures["c"] = (1.45, 0.1)  # of a it can be told, of b not
    assert ranks(column(figures), rows) == {"a": 1, "b": 1, "c": 2, "d": 4}


def test_who_has_no_figure_and_who_is_no_model_is_not_ranked():
    figures = {"a": (1.0, 0.0), "real data": (0.0, 0.0)}
    rows = [row("a"), row("b"), row("real data", kind="control"), Row("c", "model", None, "why")]
    assert ranks(column(figures), rows) == {"a": 1}
    assert ranks(Column("", "cost", lambda row: "", "", ""), rows) == {}


def test_likelihoods_of_the_same_examples_are_compared_example_by_example():
    """The examples differ by hundreds of nats, the two models by one on each of them."""
    hard = np.linspace(-900, -100, 50)
    noise = np.tile([-0.5, 0.5], 25)
    rows = [row("a", hard), row("b", hard - 1 + noise)]
    figures = {
        r.label: (-r.evaluation.likelihood.mean, r.evaluation.likelihood.standard_error)
        for r in rows
    }
    assert ranks(column(figures, unit=1.0), rows) == {"a": 1, "b": 2}
    assert ranks(column(figures), rows) == {"a": 1, "b": 1}  # were they different examples
    tied = [row("a", hard), row("b", hard + 3 * noise)]
    figures["b"] = (figures["a"][0], figures["a"][1])
    assert ranks(column(figures, unit=1.0), tied) == {"a": 1, "b": 1}


@pytest.mark.parametrize("width", [0.0, 2.0])
def test_equal_models_with_intervals_are_told_apart_as_rarely_as_without(width):
    """Of 400 pairs of equal models one in twenty; fewer if the bracket is wide."""
    rng, told = np.random.default_rng(0), 0
    for _ in range(400):
        hard, rows = rng.normal(-90, 20, 100), []
        for label in "ab":
            nats = hard + rng.normal(0, 5, 100)
            ends = (nats.mean() - width / 2, nats.mean() + width / 2)
            rows.append(row(label, nats, interval=ends))
        figures = {r.label: (r.evaluation.likelihood.mean, 0.0) for r in rows}
        told += len(set(ranks(column(figures, unit=1.0), rows).values())) > 1
    assert (5 <= told <= 36) if width == 0 else told <= 10


def test_an_interval_is_beaten_only_by_what_lies_beyond_it():
    rows = [row("a"), row("b", interval=(-1.2, -0.8))]
    assert ranks(column({"a": (0.9, 0.0), "b": (1.0, 0.1)}, unit=1.0), rows) == {"a": 1, "b": 1}
    assert ranks(column({"a": (0.7, 0.0), "b": (1.0, 0.1)}, unit=1.0), rows) == {"a": 1, "b": 2}


@pytest.mark.parametrize("letter", "&%$#_{}~^\\<>")
def test_no_letter_means_something_to_latex(letter):
    assert escaped(letter) != letter
    assert escaped(escaped("ab")) == "ab"
