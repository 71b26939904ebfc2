"""`genus features`, and `genus train classifier`, which starts from them."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from genus.cli import app, main
from genus.data import load_data

SMALL = ("--set", "hidden=24", "latents=12", "depth=1")
PAGE = (Path(__file__).parents[2] / "docs" / "guides" / "command-line.md").read_text()


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A small autoencoder of digits."""
    folder = tmp_path_factory.mktemp("runs") / "coder"
    words = ["train", "autoencoder", "--data", "digits", "--steps", "60", "--samples", "0"]
    assert main([*words, *SMALL, "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def bare(tmp_path_factory) -> Path:
    """A run of a model without hidden units, which has no features."""
    folder = tmp_path_factory.mktemp("runs") / "bare"
    words = ["train", "fvsbn", "--data", "digits", "--steps", "1", "--batch-size", "4"]
    assert main([*words, "--samples", "0", "--out", str(folder)]) == 0
    return folder


def test_the_file_holds_every_example_with_its_label(cli, run):
    answer = cli("features", run)
    assert answer.code == 0, answer.err
    assert "12 features of 1,257 train, 180 valid, 360 test, with labels" in answer.out
    assert answer.last == f"next: genus features {run} --probe"
    with np.load("coder-features.npz") as file:
        assert set(file) == {f"{a}_{s}" for a in "xy" for s in ("train", "valid", "test")} | {
            "genus"
        }
        assert (file["x_valid"].shape, file["x_valid"].dtype) == ((180, 12), np.float32)
        assert np.array_equal(file["y_test"], load_data("digits").test.y)
        recipe = json.loads(str(file["genus"]))
    assert (recipe["model"], recipe["name"], recipe["run"]) == ("autoencoder", "digits", "coder")


def test_the_file_is_a_data_set_for_other_models(cli, run):
    assert cli("features", run, "-o", "codes.npz").code == 0
    found = cli("data", "codes.npz", "--json").json
    assert (found["shape"], found["classes"], found["counts"]["valid"]) == ([12], 10, 180)
    words = ("--conditional", "--set", "components=1", "--steps", 2, "--out", "mixture")
    assert cli("train", "gaussian-mixture", "--data", "codes.npz", *words).code == 0
    assert cli("classify", "mixture", "--json").json["accuracy"] > 0.7


def test_one_split_has_plain_names(cli, run):
    answer = cli("features", run, "--split", "valid", "-o", "v.npz", "--json")
    assert answer.code == 0, answer.err
    assert set(answer.json) == {
        "run", "model", "data", "out", "features", "examples", "labelled", "recipe",
    }  # fmt: skip
    assert answer.json["examples"] == {"valid": 180}
    with np.load("v.npz") as file:
        assert set(file) == {"x", "y", "genus"}


def test_a_probe_stands_beside_that_of_the_pixels(cli, run):
    answer = cli("features", run, "--probe", "--json")
    assert answer.code == 0, answer.err
    ours, pixels = answer.json["probes"]
    assert set(ours) == {
        "of", "features", "classes", "labels", "strength", "valid", "accuracy", "standard_error",
        "tested", "converged", "seed", "whitened",
    }  # fmt: skip
    assert (ours["of"], ours["features"]) == ("features of autoencoder", 12)
    assert (pixels["of"], pixels["features"], pixels["tested"]) == ("raw pixels", 64, 360)
    assert pixels["accuracy"] > 0.94
    assert ours["accuracy"] > 0.6
    assert "out" not in answer.json
    assert not Path("coder-features.npz").exists()


def test_a_probe_in_words(cli, run):
    answer = cli("features", run, "--probe", "--labels", 100, "--seed", 3)
    assert answer.code == 0, answer.err
    assert "100 labels of 10 classes; scaling and strength chosen on valid" in answer.out
    assert re.search(r"raw pixels\s+64 .* ± ", answer.out)
    assert answer.last == f"next: genus train classifier --from {run}"


def test_file_and_probe_at_once(cli, run):
    found = cli("features", run, "--probe", "--labels", 50, "-o", "f.npz", "--json").json
    assert {"out", "probes"} <= set(found)
    assert Path("f.npz").is_file()


def test_data_without_labels_have_features_and_no_probe(cli, tmp_path):
    np.save(tmp_path / "plain.npy", np.random.default_rng(0).normal(size=(60, 3)))
    words = ("--data", "plain.npy", "--steps", 3, *SMALL, "--samples", 0, "--out", "run")
    assert cli("train", "autoencoder", *words).code == 0
    answer = cli("features", "run", "--json")
    assert answer.json["labelled"] is False
    assert answer.last == "next: genus evaluate run"
    cli("features", "run", "--probe").refused("plain.npy has no labels", "--label")
    cli("train", "classifier", "--from", "run").refused("plain.npy has no labels")


@pytest.mark.parametrize(
    ("words", "messages"),
    [
        (("--labels", 100), ("--labels is for --probe",)),
        (("--probe", "--labels", 0), ("--labels 0 must be at least 1",)),
        (("--probe", "--labels", 9), ("9 labels are too few for 10 classes",)),
        (("--probe", "--labels", 5000), ("ask for", "at most")),
        (("--probe", "--split", "test"), ("--probe alone writes nothing; add -o FILE",)),
        (("--device", "cuda:97"), ("device='cuda:97' was asked for, but torch",)),
        (("-o", "f.csv", "--seed", -1), ("must end with .npz", "--seed -1 must be at least 0")),
        (("-o", "no/f.npz"), ("the folder no does not exist",)),
        (("--split", "tset"), ("no split 'tset'; did you mean test?",)),
        (("--data", "wine"), ("the model is for shape=(1, 8, 8) levels=17, but wine has",)),
        (("--gray",), ("say how --data is read",)),
        (("--prob",), ("Did you mean --probe?",)),
    ],
)
def test_bad_words(cli, run, words, messages):
    cli("features", run, *words).refused(*messages)


def test_a_file_is_not_replaced_unless_told(cli, run):
    Path("f.npz").write_bytes(b"mine")
    cli("features", run, "-o", "f.npz").refused("f.npz exists; add --force")
    assert Path("f.npz").read_bytes() == b"mine"
    assert cli("features", run, "-o", "f.npz", "--force").code == 0


def test_a_run_without_features(cli, bare):
    answer = cli("features", bare).refused("fvsbn has no features", "vae", "autoencoder")
    assert answer.last == "next: genus models"
    cli("train", "classifier", "--from", bare).refused("fvsbn has no features")
    cli("features", "nothing").refused("'nothing' does not exist")


def test_a_classifier_from_a_run_and_one_from_nothing(cli, run):
    words = ("--labels", 50, "all", "--seeds", 2, "--steps", 20, "--learning-rate", 0.001)
    answer = cli("train", "classifier", "--from", run, *words, "--json")
    assert answer.code == 0, answer.err
    assert set(answer.json) == {
        "run", "digest", "model", "data", "tested", "rows", "trials", "settings",
    }  # fmt: skip
    few, every = answer.json["rows"]
    assert set(few) == {"labels", "seeds", "run", "random", "gain", "standard_error", "spread"}
    assert (few["labels"], few["seeds"], every["labels"], every["seeds"]) == (50, 2, 1257, 1)
    assert few["gain"] == pytest.approx(few["run"] - few["random"])
    assert every["run"] > few["run"] > 0.5
    assert [t["start"] for t in answer.json["trials"]] == ["run", "random"] * 3
    assert answer.json["settings"]["learning_rates"] == [0.001]


def test_a_classifier_in_words(cli, run):
    words = ("--labels", 30, "--seeds", 1, "--steps", 5, "--learning-rate", 0.001)
    answer = cli("train", "classifier", "--from", run, *words)
    assert answer.code == 0, answer.err
    for word in ("from the run", "from random", "gain", "360 test examples"):
        assert word in answer.out
    assert answer.last == f"next: genus features {run} --probe"


@pytest.mark.parametrize(
    ("words", "messages"),
    [
        (("--labels", 0), ("--labels '0' must be a number of at least 1, or all",)),
        (("--labels", "some", "-3"), ("--labels 'some'", "--labels '-3'")),
        (("--labels", 4), ("4 labels are too few for 10 classes",)),
        (("--labels", 1_000_000), ("ask for", "or for all")),
        (("--seeds", 0, "--steps", 0), ("--seeds 0 must be", "--steps 0 must be")),
        (("--batch-size", 0), ("--batch-size 0 must be at least 1",)),
        (("--learning-rate", 0), ("--learning-rate 0.0 must be at least",)),
        (("--data", "wine"), ("the model is for shape=(1, 8, 8)",)),
    ],
)
def test_bad_words_for_a_classifier(cli, run, words, messages):
    cli("train", "classifier", "--from", run, *words).refused(*messages)


def test_features_without_weights_cannot_be_trained(cli):
    words = ("--data", "digits", "--steps", 1, "--set", "components=5", "--out", "mixture")
    assert cli("train", "gaussian-mixture", *words).code == 0
    answer = cli("train", "classifier", "--from", "mixture").refused("not differentiable")
    assert answer.last == "next: genus features mixture --probe"


def test_the_command_of_two_words_has_help_and_asks_for_the_run(cli):
    answer = cli("train", "classifier", "--help")
    assert answer.code == 0
    assert "genus train classifier --from" in answer.out
    refused = cli("train", "classifier").refused("--from")
    assert refused.last == "next: genus train classifier --help"
    assert "classifier" in cli("train", "--help").out


@pytest.mark.parametrize("words", app.SUBCOMMANDS, ids=" ".join)
def test_every_option_of_a_command_of_two_words_is_documented(words):
    text = PAGE.partition(f"## genus {' '.join(words)}\n")[2].partition("\n## ")[0]
    assert text, f"no section on genus {' '.join(words)}"
    shared = ("--json", "--help", "--size", "--gray", "--levels", "--label", "--data-root")
    names = {
        name
        for argument in app.build()[words[0]][words[1]].assemble_argument_collection()
        for name in argument.names
        if name.startswith("-")
    }
    missing = [name for name in names if name not in shared and f"`{name}" not in text]
    assert not missing
    listed = re.findall(r"^\| `(--[a-z-]+)", text, re.MULTILINE)
    assert set(listed) <= names
