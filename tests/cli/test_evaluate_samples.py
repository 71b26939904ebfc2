"""`genus evaluate FOLDER --against D`: samples of anyone's model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from genus.cli import main
from genus.data import load_data
from genus.evaluation import features


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    """Feature networks that train in a fraction of a second."""
    recipe = features.Recipe(width=8, steps=60, batch_size=32)
    monkeypatch.setattr(features, "Recipe", lambda: recipe)


def digits(n, split="train"):
    return load_data("digits").split(split).batch(torch.arange(n)).x


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Copies of 120 training digits as pictures and as an archive, and a run."""
    root = tmp_path_factory.mktemp("samples")
    x = digits(120)
    (root / "copies").mkdir()
    for i, image in enumerate(x):
        pixels = np.rint(image[0].numpy() * 255 / 16).astype(np.uint8)
        Image.fromarray(pixels).save(root / "copies" / f"{i:03}.png")
    np.savez(root / "copies.npz", x=x.numpy())
    words = ["train", "independent", "--data", "digits", "--steps", "1", "--out", str(root / "run")]
    assert main(words) == 0
    return root


def test_a_folder_and_an_archive_of_the_same_samples_get_the_same_block(cli, place):
    found = cli("evaluate", place / "copies", "--against", "digits", "--json").json
    assert set(found) == {
        "run", "path", "format", "model", "family", "data", "likelihood", "samples", "cost",
        "seed", "notes",
    }  # fmt: skip
    assert (found["run"], found["path"]) == (None, str(place / "copies"))
    assert found["likelihood"]["kind"] == "n/a"
    assert found["cost"]["parameters"] is None
    assert found["samples"]["n"] == 120
    assert found["samples"]["audit"]["verdict"] == ["copies"]
    assert "8-bit pixels v became 17 levels: round(v * 16 / 255)" in found["notes"]
    other = cli("evaluate", place / "copies.npz", "--against", "digits", "--json").json
    assert other["samples"] == found["samples"]


def test_in_words(cli, place):
    answer = cli("evaluate", place / "copies.npz", "--against", "digits", "--samples", 100)
    assert answer.code == 0, answer.err
    for words in (
        "on digits, test split",
        "n/a: that takes the model",
        "100 samples",
        "audit: copies (",
        "note: 100 of 120 samples were judged, chosen by seed 0",
    ):
        assert words in answer.out
    assert "parameters" not in answer.out
    assert answer.last.startswith("next: genus compare --data digits")


def test_a_run_says_what_the_audit_found(cli, place):
    answer = cli("evaluate", place / "run", "--samples", 120)
    assert "audit: noise (" in answer.out
    assert "times as much fine grain" in answer.out


def test_data_of_ones_own_are_read_with_their_options(cli, place, tmp_path):
    answer = cli(
        "evaluate", place / "copies", "--against", place / "copies", "--levels", 4, "--json"
    )
    assert answer.code == 0, answer.err
    assert answer.json["data"]["levels"] == 4
    assert "v * 4 // 256" in " ".join(answer.json["notes"])


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("copies",), "is not a run (it has no config.json); to judge it as samples"),
        (("copies.npz",), "say against which data: --against DATA"),
        (("copis", "--against", "digits"), "no file or folder 'copis'; did you mean copies"),
        (("run", "--against", "digits"), "'run' is a run, which is scored on the data"),
        (("copies", "--against", "digtis"), "did you mean digits?"),
        (("copies", "--against", "digits", "--split", "tset"), "did you mean test?"),
        (("copies", "--against", "digits", "--k", 8), "--k is for a run"),
        (("copies", "--against", "digits", "--sample-budget", 8), "nothing is drawn"),
        (("copies", "--against", "digits", "--device", "auto"), "--device is for a run"),
        (("copies", "--against", "digits", "--samples", 3), "--samples 3 must be at least 6"),
        (("copies", "--against", "digits", "--samples", 500), "120 samples, but 500 are needed"),
        (("copies", "--against", "digits", "--size", 8), "--size cannot be used with digits"),
        (("copies", "--against", "wine"), "image files cannot hold"),
        (("copies", "--against", "patches"), "grey, but patches is RGB"),
        (("empty", "--against", "digits"), "holds no image files"),
        (("few", "--against", "digits"), "4 samples, but 6 are needed"),
        (("nan.npy", "--against", "digits"), "NaN"),
        (("run", "--levels", 4), "belong to --against"),
    ],
)
def test_bad_input(cli, place, monkeypatch, words, message):
    monkeypatch.chdir(place)
    (place / "empty").mkdir(exist_ok=True)
    (place / "few").mkdir(exist_ok=True)
    for i, image in enumerate(digits(4)):
        Image.fromarray(image[0].numpy().astype(np.uint8)).save(place / "few" / f"{i}.png")
    np.save(place / "nan.npy", np.full((9, 8, 8), np.nan))
    cli("evaluate", *words).refused(message)


def test_the_whole_train_split_is_all_copies_and_its_labels_are_not_used(cli, tmp_path):
    train = load_data("digits").train
    rows = train.batch(torch.arange(len(train)))
    np.savez(tmp_path / "train.npz", x=rows.x.numpy(), y=rows.y.numpy())
    for seed in (0, 1):
        words = ("--against", "digits", "--seed", seed, "--json")
        found = cli("evaluate", tmp_path / "train.npz", *words).json
        audit = found["samples"]["audit"]
        assert audit["verdict"] == ["copies"]
        assert abs(audit["copied"] - 1) < 2 * audit["copied_error"]
        assert any("labels in train.npz are not used" in note for note in found["notes"])


def test_samples_that_are_the_test_split_are_found_out(cli, tmp_path):
    np.save(tmp_path / "cheat.npy", digits(360, "test").numpy())
    answer = cli("evaluate", tmp_path / "cheat.npy", "--against", "digits")
    assert answer.code == 0, answer.err
    assert "audit: held-out copies" in answer.out


def test_an_array_without_examples(cli, tmp_path):
    np.save(tmp_path / "one.npy", np.float32(3))
    answer = cli("evaluate", tmp_path / "one.npy", "--against", "digits")
    assert (answer.code, "holds no samples, but an array of shape ()" in answer.err) == (2, True)
