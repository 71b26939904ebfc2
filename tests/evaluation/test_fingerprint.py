"""Figures that were measured in different ways are not set beside each other."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from genus.errors import ConfigError
from genus.evaluation import compare
from genus.evaluation import fingerprint as module
from genus.evaluation.fingerprint import check_same, fingerprint
from genus.evaluation.samples import Reference

GIVEN = {
    "nets": ["a", "b"],
    "n": 100,
    "digest": "sha256:0",
    "split": "test",
    "seed": 0,
    "rows": [torch.arange(6).view(3, 2)],
}
OTHERS = {
    "nets": ["a", "c"],
    "n": 101,
    "digest": "sha256:1",
    "split": "valid",
    "seed": 1,
    "rows": [torch.arange(6).view(2, 3)],
}


@pytest.mark.parametrize("name", GIVEN)
def test_whatever_a_figure_depends_on_moves_it(name):
    assert fingerprint(**GIVEN) == fingerprint(**GIVEN)
    assert fingerprint(**{**GIVEN, name: OTHERS[name]}) != fingerprint(**GIVEN)


def test_the_version_of_the_figures_moves_it(monkeypatch):
    before = fingerprint(**GIVEN)
    monkeypatch.setattr(module, "VERSION", module.VERSION + 1)
    assert fingerprint(**GIVEN) != before


def test_the_integer_type_of_levels_does_not():
    same = {**GIVEN, "rows": [GIVEN["rows"][0].to(torch.uint8)]}
    assert fingerprint(**same) == fingerprint(**GIVEN)


def test_references_of_other_size_or_seed_have_others(toys, cache_folder, quick):
    data = toys.make_bars(sizes=(300, 60, 100))
    first = Reference(data)
    assert Reference(data).fingerprint == first.fingerprint
    assert Reference(data, n=50).fingerprint != first.fingerprint
    assert Reference(data, seed=1).fingerprint != first.fingerprint
    assert Reference(data, split="valid").fingerprint != first.fingerprint


def test_a_comparison_of_different_figures_is_refused(toys, cache_folder, tmp_path):
    result = compare(["independent"], toys.make_points(), out=tmp_path / "o", time_budget=1)
    row = result.rows[0]
    prints = {row.evaluation.samples.fingerprint for row in result.rows}
    assert len(prints) == 1
    for other in ("0123456789abcdef", None):
        block = dataclasses.replace(row.evaluation.samples, fingerprint=other)
        strange = dataclasses.replace(
            row, evaluation=dataclasses.replace(row.evaluation, samples=block)
        )
        with pytest.raises(ConfigError, match=f"independent: {other or 'none'}, real data: "):
            dataclasses.replace(result, rows=(strange, *result.rows[1:]))


def test_old_records_compare_with_each_other():
    check_same({"a": None, "b": None})
    check_same({})
