"""Tables with missing cells, from the file to the figure."""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from genus import load
from genus.cli import main
from genus.data import as_arrays, load_data


def write_table(path: Path, *, levels: bool = False, n: int = 240, seed: int = 0) -> Path:
    """Write four columns that depend on each other and on a class; a quarter of the cells lack."""
    draw = np.random.default_rng(seed)
    kind = draw.integers(2, size=n)
    common = draw.normal(size=(n, 1)) + 3 * kind[:, None]
    x = common + 0.3 * draw.normal(size=(n, 4))
    cells = [[str(int(v > 1.5)) if levels else f"{v:.4f}" for v in row] for row in x]
    for row, column in zip(*np.nonzero(draw.random((n, 4)) < 0.25), strict=True):
        cells[row][column] = ("", "?", "NA", "nan")[(row + column) % 4]
    lines = [",".join([*row, "xy"[y]]) for row, y in zip(cells, kind, strict=True)]
    path.write_text("\n".join(["a,b,c,d,kind", *lines, ",,,?,x"]) + "\n")
    return path


@pytest.fixture(scope="module")
def table(tmp_path_factory) -> Path:
    return write_table(tmp_path_factory.mktemp("data") / "holes.csv")


@pytest.fixture(scope="module")
def run(table) -> Path:
    """A mixture of Gaussians for each class."""
    out = table.parent / "run"
    words = ["train", "gaussian-mixture", "--data", str(table), "--label", "kind", "--conditional"]
    assert main([*words, "--steps", "20", "--set", "components=1", "--out", str(out)]) == 0
    return out


def test_the_data_say_what_is_missing(cli, table):
    answer = cli("data", table, "--label", "kind")
    assert answer.code == 0
    missing = load_data(table, label="kind").missing
    assert f"missing           {missing.cells:,} cells in 4 columns" in answer.out
    assert str(missing) in answer.out
    assert "1 rows without any value were left out, the first in line 242" in answer.out
    assert cli("data", table, "--label", "kind", "--json").json["missing"] == missing.columns


def test_training_and_evaluation_score_what_is_known(cli, table, run):
    data = load_data(table, label="kind")
    model = load(run)
    test = as_arrays(data.test)
    nats = model.marginal_log_prob(test.x, test.known).double()
    answer = cli("evaluate", run, "--json")
    found = answer.json
    assert found["likelihood"]["nats"] == pytest.approx(float(nats.mean()), abs=1e-5)
    assert found["data"]["known"] == pytest.approx(float(test.known.sum()) / len(test.x))
    assert found["samples"] is None
    assert "likelihoods are of what is known, and samples are not judged" in found["notes"][0]
    words = cli("evaluate", run).out
    assert f"exact, of the known entries ({found['data']['known']:.4g} of 4 in the mean)" in words
    valid = as_arrays(data.valid)
    shown = model.marginal_log_prob(valid.x, valid.known, valid.y).double().sum()
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    logged = next(line for line in lines if line["kind"] == "valid")
    assert logged["nats_per_dim"] == pytest.approx(-float(shown) / int(valid.known.sum()), abs=1e-5)


def test_bits_are_shared_out_among_known_entries(cli, tmp_path):
    table, out = write_table(tmp_path / "t.csv", levels=True), tmp_path / "run"
    words = ("--data", table, "--label", "kind", "--levels", "2", "--steps", "9", "--out", out)
    answer = cli("train", "bernoulli-mixture", *words)
    assert "nats/known entry = " in answer.out
    found = cli("evaluate", out, "--json").json
    likelihood = found["likelihood"]
    unit = found["data"]["known"] * math.log(2)
    assert likelihood["bits_per_dim"] == pytest.approx(-likelihood["nats"] / unit)
    error = likelihood["bits_per_dim_standard_error"]
    # Of a ratio: examples of which more is known have more bits, and that is no error.
    assert error == pytest.approx(likelihood["standard_error"] / unit, rel=0.05)
    assert error < likelihood["standard_error"] / unit
    assert "bits/known entry" in cli("evaluate", out).out


@pytest.mark.parametrize("model", ["made", "vae", "gan"])
def test_models_that_need_every_entry_are_refused_before_training(cli, table, tmp_path, model):
    out = tmp_path / "run"
    words = ("train", model, "--data", table, "--label", "kind", "--steps", "3", "--out", out)
    for more in ((), ("--dry-run",)):
        cli(*words, *more).refused(
            f"{model} needs examples of which every entry is known",
            str(load_data(table, label="kind").missing),
            "bernoulli-mixture, gaussian-mixture, hmm, independent, naive-bayes",
            "fill in or drop those rows",
        )
    assert not out.exists()


def test_a_comparison_names_the_models_that_cannot(cli, table, tmp_path):
    words = ("compare", "vae", "gaussian-mixture", "independent", "--data", table)
    words += ("--label", "kind", "--time-budget", "2s", "--out", tmp_path / "c")
    answer = cli(*words, "--json")
    assert answer.code == 0, answer.err
    rows = {row["label"]: row for row in answer.json["rows"]}
    assert list(rows) == ["vae", "gaussian-mixture", "independent"]
    assert "vae needs examples of which every entry is known" in rows["vae"]["reason"]
    better, worse = (
        rows[name]["evaluation"]["likelihood"]["nats"]
        for name in ("gaussian-mixture", "independent")
    )
    assert better > worse + 0.5
    assert any("likelihoods are of what is known" in note for note in answer.json["notes"])
    page = (tmp_path / "c" / "report.html").read_text()
    assert "nats, known" in page
    assert "Samples are not judged" in page
    again = cli(*words, "--resume")
    assert "nats, known" in again.out
    assert "of each, against held-out data" not in again.out


def test_compare_leaves_out_what_was_not_named(cli, table, tmp_path):
    words = ("compare", "--data", table, "--label", "kind", "--time-budget", "1s")
    answer = cli(*words, "--out", tmp_path / "c", "--csv")
    assert "vae is left out: vae needs examples of which every entry is known" in answer.err
    assert {row["label"] for row in csv.DictReader(answer.out.splitlines())} >= {
        "independent", "gaussian-mixture",
    }  # fmt: skip


def test_classes_are_judged_by_what_is_known(cli, table, run, tmp_path):
    out = tmp_path / "posterior.csv"
    found = cli("classify", run, "-o", out, "--json").json
    assert found["accuracy"] > 0.8
    data, model = load_data(table, label="kind"), load(run)
    test = as_arrays(data.test)
    evidence = [
        model.marginal_log_prob(test.x, test.known, torch.full((len(test.x),), label))
        for label in range(2)
    ]
    expected = (torch.stack(evidence, 1) + model.log_prior_Y).softmax(1)
    with out.open() as file:
        rows = list(csv.DictReader(file))
    written = torch.tensor([[float(row["p(x)"]), float(row["p(y)"])] for row in rows])
    assert torch.allclose(written, expected, atol=1e-5)
    nats = torch.tensor([float(row["log_prob"]) for row in rows])
    assert torch.allclose(nats, model.marginal_log_prob(test.x, test.known), atol=1e-4)


def test_what_needs_whole_examples_is_refused(cli, run):
    cli("features", run).refused("cells are missing", "every entry is known")
    cli("complete", run, "--data", "none.csv", "-o", "f.csv").refused("there is no such file")


def test_a_table_is_filled_in(cli, table, run, tmp_path):
    out = tmp_path / "filled.csv"
    answer = cli("complete", run, "--data", table, "-o", out, "--json")
    assert answer.code == 0, answer.err
    before = list(csv.reader(table.read_text().splitlines()))
    after = list(csv.reader(out.read_text().splitlines()))
    assert len(after) == len(before) == 242
    holes = 0
    for old, new in zip(before, after, strict=True):
        for cell, filled in zip(old, new, strict=True):
            if cell in ("", "?", "NA", "nan"):
                holes += 1
                assert math.isfinite(float(filled))
            else:
                assert filled == cell
    found = answer.json
    assert found["filled"]["cells"] == holes
    assert found["exact"]
    assert load_data(out, label="kind").missing is None
    same = tmp_path / "same.csv"
    assert cli("complete", run, "--data", table, "-o", same).code == 0
    assert same.read_bytes() == out.read_bytes()
    other = tmp_path / "other.csv"
    assert cli("complete", run, "--data", table, "-o", other, "--seed", "1").code == 0
    assert other.read_bytes() != out.read_bytes()
    # What is drawn goes with what is known: the columns stay as close to each other as they were.
    whole = np.array([[float(cell) for cell in row[:4]] for row in after[1:]])
    assert np.corrcoef(whole.T)[0, 1] > 0.9


def test_levels_are_filled_in_as_they_were_written(cli, tmp_path):
    lines = [";".join(("0", "0.5", "1", "?")[(i * k) % 4] for k in (1, 3, 5)) for i in range(60)]
    table, out = tmp_path / "t.csv", tmp_path / "run"
    table.write_text("\n".join(lines) + "\n")
    words = ("--data", table, "--levels", "3", "--steps", "5", "--out", out)
    assert cli("train", "bernoulli-mixture", *words).code == 0
    assert cli("complete", out, "--data", table, "-o", tmp_path / "f.csv").code == 0
    found = [line.split(";") for line in (tmp_path / "f.csv").read_text().splitlines()]
    assert len(found) == 60
    assert {cell for row in found for cell in row} == {"0", "0.5", "1"}


def test_what_cannot_be_filled_in(cli, run, table, tmp_path):
    out = tmp_path / "f.csv"
    words = ("complete", run, "-o", out)
    cli(*words).refused("takes a table with missing cells: --data holes.csv")
    cli(*words, "--data", table, "--entries", "0").refused("leave it out")
    cli(*words, "--data", table, "-n", "3").refused("a table is filled in once")
    narrow = tmp_path / "narrow.csv"
    narrow.write_text("a,b,kind\n1,?,x\n2,3,y\n")
    cli(*words, "--data", narrow).refused("has 2 columns of values, but the run takes examples")
    whole = tmp_path / "whole.csv"
    whole.write_text("a,b,c,d\n1,2,3,4\n2,3,4,5\n")
    cli(*words, "--data", whole).refused("has no missing cell")
    assert not out.exists()
    spare = tmp_path / "spare.csv"
    spare.write_text("a,b,c,d\n1,2,3,4\n2,?,4,5\n")
    assert cli(*words, "--data", spare).code == 0
    cli(*words, "--data", spare).refused("exists")


def test_sequences_with_gaps_have_a_model(cli, table, tmp_path):
    words = ("train", "hmm", "--data", table, "--label", "kind", "--steps", "4")
    answer = cli(*words, "--out", tmp_path / "run", "--set", "states=2")
    assert answer.code == 0, answer.err
    assert "nats/known entry" in answer.out
