"""`genus classify`."""

from __future__ import annotations

import csv
import math
from pathlib import Path

import pytest

from genus.cli import main
from genus.data import load_data


def trained(folder: Path, *words: str) -> Path:
    assert main(["train", *words, "--steps", "1", "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """Naive Bayes with Gaussians on wine."""
    folder = tmp_path_factory.mktemp("runs") / "bayes"
    return trained(folder, "independent", "--data", "wine", "--conditional")


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    """A run that was not shown the labels."""
    return trained(tmp_path_factory.mktemp("runs") / "plain", "independent", "--data", "wine")


def test_json_shape_and_figures(cli, run):
    answer = cli("classify", run, "--json")
    assert answer.code == 0, answer.err
    found = answer.json
    assert set(found) == {
        "run", "digest", "model", "data", "split", "labels", "examples", "accuracy",
        "standard_error", "majority", "calibration", "temperature", "tempered", "confusion", "k",
    }  # fmt: skip
    assert set(found["calibration"]) == {"bins", "error", "log_prob", "standard_error"}
    assert set(found["calibration"]["bins"][0]) == {
        "low", "high", "count", "confidence", "accuracy",
    }  # fmt: skip
    assert (found["data"], found["split"], found["examples"]) == ("wine", "test", 36)
    assert found["digest"] == load_data("wine").digest
    assert found["accuracy"] > 0.9
    assert found["majority"] == pytest.approx(14 / 36)
    right = sum(found["confusion"][i][i] for i in range(3))
    assert right / 36 == pytest.approx(found["accuracy"])


def test_a_model_of_bounds_says_that_its_posterior_is_approximate(cli, run):
    words = ("--data", "wine", "--conditional", "--steps", 2, "--samples", 0, "--set", "hidden=8")
    assert cli("train", "vae", *words, "--out", "bounds").code == 0
    answer = cli("classify", "bounds", "--k", 3)
    assert "approximate: by bounds of 3 samples" in answer.out
    assert cli("classify", "bounds", "--k", 3, "--json").json["k"] == 3
    assert cli("classify", run, "--json").json["k"] is None


def test_in_words(cli, run):
    answer = cli("classify", run)
    assert answer.code == 0, answer.err
    for words in ("accuracy", "nats per example", "expected calibration error, 15 bins",
                  "temperature", "Reliability", "Confusions", "class_2"):  # fmt: skip
        assert words in answer.out
    assert answer.last == f"next: genus classify {run} -o posterior.csv"


def test_the_posterior_of_every_example_and_its_likelihood(cli, run):
    answer = cli("classify", run, "-o", "p.csv", "--json")
    assert answer.code == 0, answer.err
    with Path("p.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 36
    assert list(rows[0]) == [
        "row", "class", "predicted", "p(class_0)", "p(class_1)", "p(class_2)", "log_prob",
    ]  # fmt: skip
    right = sum(row["class"] == row["predicted"] for row in rows)
    assert right / 36 == pytest.approx(answer.json["accuracy"])
    for row in rows:
        assert sum(float(row[f"p(class_{c})"]) for c in range(3)) == pytest.approx(1)
    nats = [math.log(float(row[f"p({row['class']})"])) for row in rows]
    assert sum(nats) / 36 == pytest.approx(answer.json["calibration"]["log_prob"])
    import torch

    from genus.training import load

    expected = load(run).log_prob(load_data("wine").test.x).double()
    found = torch.tensor([float(row["log_prob"]) for row in rows])
    torch.testing.assert_close(found.double(), expected, atol=1e-4, rtol=1e-5)


def test_valid_split_and_bins(cli, run):
    found = cli("classify", run, "--split", "valid", "--bins", 4, "--json").json
    assert (found["split"], found["examples"]) == ("valid", 18)
    assert len(found["calibration"]["bins"]) == 4


def test_a_run_that_knows_no_classes(cli, plain):
    answer = cli("classify", plain).refused("knows no classes", "--conditional")
    assert answer.last.startswith("next: genus train independent --data wine --conditional")


def test_a_model_that_cannot_classify(cli):
    words = ("--data", "digits", "--steps", 2, "--samples", 0, "--set", "hidden=8")
    assert cli("train", "autoencoder", *words, "--out", "coder").code == 0
    answer = cli("classify", "coder").refused("autoencoder has no posterior", "gaussian-mixture")
    assert answer.last == "next: genus models"


@pytest.mark.parametrize(
    ("words", "messages"),
    [
        (("--bins", 0), ("--bins 0 must be at least 1",)),
        (("--k", 0), ("--k 0 must be at least 1; 16 is usual",)),
        (("--device", "cuda:97", "--bins", 0), ("device='cuda:97' was asked for", "--bins 0")),
        (("--bins", 10**6, "-o", "p.txt"), ("--bins 1,000,000", "must end with .csv")),
        (("-o", "no/p.csv"), ("the folder no does not exist",)),
        (("--split", "tset"), ("no split 'tset'; did you mean test?",)),
        (("--data", "digits"), ("the model is for shape=(13,)",)),
        (("--levels", 3), ("say how --data is read",)),
        (("--ot", "p.csv"), ("--ot",)),
    ],
)
def test_bad_words(cli, run, words, messages):
    cli("classify", run, *words).refused(*messages)


def table(path: Path, labels: list[str]) -> None:
    """Write some wines as CSV, their kinds renamed in turn."""
    x = load_data("wine").train.x.tolist()
    head = ",".join(f"v{i}" for i in range(13))
    lines = [",".join(map(str, row)) + f",{labels[i % len(labels)]}" for i, row in enumerate(x)]
    path.write_text("\n".join([f"{head},kind", *lines]) + "\n")


def test_other_data_need_the_same_classes(cli, run, tmp_path):
    table(tmp_path / "two.csv", ["a", "b"])
    answer = cli("classify", run, "--data", "two.csv", "--label", "kind")
    answer.refused("knows 3 classes, but two.csv has 2")
    table(tmp_path / "three.csv", ["a", "b", "c"])
    found = cli("classify", run, "--data", "three.csv", "--label", "kind", "--json").json
    assert found["labels"] == ["a", "b", "c"]


def test_other_data_without_labels(cli, run, tmp_path):
    table(tmp_path / "wines.csv", ["a", "b", "c"])
    text = (tmp_path / "wines.csv").read_text().splitlines()
    (tmp_path / "wines.csv").write_text("\n".join(row.rpartition(",")[0] for row in text) + "\n")
    cli("classify", run, "--data", "wines.csv").refused("has no labels")
