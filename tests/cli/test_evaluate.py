"""`genus evaluate`."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from genus.cli import main
from genus.data import load_data


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run on digits that is fitted in no time."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    words = ["train", "independent", "--data", "digits", "--steps", "1", "--out", str(folder)]
    assert main(words) == 0
    return folder


def test_json_shape(cli, run):
    answer = cli("evaluate", run, "--samples", 0, "--json")
    assert answer.code == 0, answer.err
    found = answer.json
    assert set(found) == {
        "run", "format", "model", "family", "data", "likelihood", "samples", "cost", "seed",
        "notes",
    }  # fmt: skip
    assert set(found["likelihood"]) == {
        "kind", "k", "nats", "standard_error", "bits_per_dim", "bits_per_dim_standard_error",
        "examples", "interval", "bits_per_dim_interval",
    }  # fmt: skip
    assert set(found["data"]) == {
        "name", "digest", "split", "examples", "dims", "levels", "known",
    }  # fmt: skip
    assert set(found["cost"]) == {"parameters", "training_seconds", "seconds_per_sample"}
    assert found["samples"] is None


def test_the_figures_agree_with_each_other_and_with_the_data(cli, run):
    found = cli("evaluate", run, "--samples", 0, "--json").json
    data, likelihood = found["data"], found["likelihood"]
    digits = load_data("digits")
    assert (data["name"], data["split"], data["examples"]) == ("digits", "test", 360)
    assert data["digest"] == digits.digest
    assert likelihood["kind"] == "exact"
    assert likelihood["bits_per_dim"] == pytest.approx(-likelihood["nats"] / 64 / math.log(2))
    assert likelihood["standard_error"] > 0
    assert 2.4 < likelihood["bits_per_dim"] < 2.5


def test_in_words_with_samples_beside_their_floor(cli, run):
    answer = cli("evaluate", run, "--samples", 50)
    assert answer.code == 0, answer.err
    for words in ("digits, test split", "bits/dim", "exact", "real data", "nearer to train"):
        assert words in answer.out
    assert answer.last == f"next: genus sample {run} -n 64 -o grid.png"
    assert answer.out.index("frechet of a perfect model") < answer.out.index("nearer to train")
    block = cli("evaluate", run, "--samples", 50, "--json").json["samples"]
    for net, scores in block["features"].items():
        row = next(
            line.split() for line in answer.out.splitlines() if line.split()[:2] == [net, "frechet"]
        )
        measure = scores["frechet"]
        figures = [measure[key] for key in ("value", "standard_error", "floor")]
        assert [float(cell) for cell in row[2:]] == pytest.approx(figures, rel=1e-3)
        assert f"{net} {scores['frechet_null']:.4g}" in answer.out


def test_valid_split(cli, run):
    found = cli("evaluate", run, "--samples", 0, "--split", "valid", "--json").json
    assert (found["data"]["split"], found["data"]["examples"]) == ("valid", 180)


def test_a_model_without_likelihood_says_so(cli):
    small = ("--set", "channels=4", "latents=4", "--steps", 1, "--samples", 0, "--batch-size", 4)
    assert cli("train", "gan", "--data", "digits", *small, "--out", "gan").code == 0
    found = cli("evaluate", "gan", "--samples", 0, "--json").json["likelihood"]
    assert (found["kind"], found["nats"], found["bits_per_dim"]) == ("n/a", None, None)
    assert "n/a" in cli("evaluate", "gan", "--samples", 0).out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--split", "tset"), "no split 'tset'; did you mean test?"),
        (("--k", 0), "--k 0 must be at least 1"),
        (("--k", 10**9), "--k 1,000,000,000 must be at most 100,000"),
        (("--samples", -1), "--samples -1 must be at least 0"),
        (("--samples", 10**9), "--samples 1,000,000,000 must be at most 100,000"),
        (("--seed", 2**64), "--seed 18,446,744,073,709,551,616 must be at most"),
        (("--sample-budget", 0), "--sample-budget 0.0 must be at least 0.1"),
        (("--device", "gpu"), "device='gpu' is not known; choose auto, cpu, cuda or cuda:0"),
        (("--device", "cuda:97"), "device='cuda:97' was asked for, but torch"),
        (("--smaples", 3), "Did you mean --samples?"),
    ],
)
def test_bad_values(cli, run, words, message):
    cli("evaluate", run, *words).refused(message)


def test_a_folder_that_is_no_run(cli, tmp_path):
    (tmp_path / "other").mkdir()
    cli("evaluate", "other").refused("'other' is not a run (it has no config.json)")


def test_data_that_changed_since_are_refused(cli, run, tmp_path):
    import shutil

    shutil.copytree(run, tmp_path / "run")
    config = tmp_path / "run" / "config.json"
    record = json.loads(config.read_text())
    record["data"]["digest"] = "sha256:0"
    config.write_text(json.dumps(record))
    cli("evaluate", "run").refused("digits has changed since the run was trained", "train again")


def test_the_most_suspicious_samples_are_shown(cli, run, tmp_path):
    answer = cli("evaluate", run, "--samples", 30, "--neighbours", "near.png")
    assert answer.code == 0, answer.err
    assert "wrote near.png" in answer.err
    with Image.open("near.png") as image:
        assert image.width > 2 * image.height  # eight or more columns of three
        assert np.asarray(image.convert("L")).std() > 10
    cli("evaluate", run, "--neighbours", "near.png").refused("near.png exists")
    again = cli("evaluate", run, "--samples", 30, "--neighbours", "near.png", "--force", "--json")
    assert again.code == 0
    x = load_data("digits").train.x[:50].numpy()
    np.save(tmp_path / "copies.npy", x)
    words = ("--against", "digits", "--neighbours", "copies.png", "--json")
    answer = cli("evaluate", tmp_path / "copies.npy", *words)
    assert answer.code == 0, answer.err
    assert "copies" in answer.json["samples"]["audit"]["verdict"]
    assert Path("copies.png").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--neighbours", "a.jpg"), "--neighbours a.jpg must end with .png"),
        (("--neighbours", "no/a.png"), "the folder no does not exist"),
        (("--neighbours", "a.png", "--samples", 0), "--samples 0 leaves none"),
        (("--neighbours", "a.png", "--temperatures", "1"), "is for one temperature"),
    ],
)
def test_neighbours_that_cannot_be_shown(cli, run, words, message):
    cli("evaluate", run, *words).refused(message)
    assert not Path("a.png").exists()


def test_neighbours_of_what_are_no_images_or_no_samples(cli, run, monkeypatch):
    common = ("--steps", 2, "--samples", 0)
    assert cli("train", "independent", "--data", "wine", *common, "--out", "w").code == 0
    cli("evaluate", "w", "--neighbours", "a.png").refused("shows images, but the data are")
    monkeypatch.setattr("genus.capabilities.supports", lambda model, capability: False)
    cli("evaluate", run, "--neighbours", "a.png").refused("independent draws no samples")


def test_several_temperatures_are_told_together(cli, run):
    words = ("--temperatures", "0.5,1", "--samples", 40)
    answer = cli("evaluate", run, *words)
    assert answer.code == 0, answer.err
    for word in ("temperature", "0.5", "real data", "precision"):
        assert word in answer.out
    assert answer.last == f"next: genus sample {run} -n 64 --temperature 0.5 -o grid.png"
    found = cli("evaluate", run, *words, "--json").json
    assert [point["temperature"] for point in found["sweep"]] == [0.5, 1.0]
    assert {point["samples"]["n"] for point in found["sweep"]} == {40}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("0.5;1",), "must be numbers with commas"),
        (("0.5,nan",), "--temperatures nan must be a number from 0.01 to 100"),
        (("0,1",), "--temperatures 0.0 must be at least 0.01"),
        (("1,1e9",), "--temperatures 1,000,000,000.0 must be at most 100"),
        (("1,1",), "is there twice"),
        (("1", "--samples", 0), "leaves nothing to judge"),
    ],
)
def test_temperatures_that_cannot_be(cli, run, words, message):
    cli("evaluate", run, "--temperatures", *words).refused(message)


def test_a_game_that_was_given_up_says_so(cli):
    words = ("--steps", 20, "--set", "learning_rate=1e6", "--out", "wild", "--samples", 0)
    assert cli("train", "gan", "--data", "digits", *words).code == 0
    answer = cli("evaluate", "wild", "--samples", 0)
    assert "note: training was given up after 3 rollbacks" in answer.out
