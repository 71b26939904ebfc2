"""Runs that make images from images: `--given` through train, sample, evaluate and plot."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import genus
from genus.cli import main

SMALL = ["--set", "channels=4", "critic_channels=4", "latents=2"]


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run of a small upscaler of digits."""
    folder = tmp_path_factory.mktemp("runs") / "up"
    words = ["train", "pix2pix", "--data", "digits", "--given", "Downsample:2", "--steps", "4"]
    assert (
        main([*words, *SMALL, "--evaluate-every", "2", "--samples", "5", "--out", str(folder)]) == 0
    )
    return folder


@pytest.fixture(scope="module")
def plain(tmp_path_factory) -> Path:
    """A run of a model that goes by nothing."""
    folder = tmp_path_factory.mktemp("runs") / "plain"
    words = ["train", "independent", "--data", "digits", "--steps", "1", "--out", str(folder)]
    assert main(words) == 0
    return folder


def test_the_run_says_what_it_is_given(run):
    record = json.loads((run / "config.json").read_text())
    assert record["data"]["name"] == "digits:downsample:2"
    assert record["data"]["source"] == {"name_or_path": "digits", "given": "downsample:2"}
    assert record["data"]["digest"] == genus.load_data("digits", given="downsample:2").digest
    assert record["spec"]["condition"] == [1, 4, 4]


def test_grids_of_the_training_show_condition_sample_and_original_of_valid_examples(run):
    grids = sorted((run / "samples").glob("*.png"))
    assert len(grids) == 2
    batch = genus.load_data("digits", given="downsample:2").valid.batch(torch.arange(5))
    with Image.open(grids[-1]) as picture:
        pixels = np.asarray(picture)[..., 0]
    side = 48 + 2  # a digit is enlarged sixfold, and framed
    assert pixels.shape == (5 * side, 3 * side)
    for row in range(5):
        tiles = [
            pixels[row * side + 1 : row * side + 49, c * side + 1 : c * side + 49] for c in (0, 2)
        ]
        given, original = (np.rint(t[3::6, 3::6] / 255 * 16).astype(int) for t in tiles)
        assert (original == batch.x[row, 0].numpy()).all()
        assert (given[::2, ::2] == batch.y[row, 0].numpy()).all()


def test_resuming_loads_the_same_pairs_and_refuses_others(cli, run):
    for words in ([], ["--given", "downsample:2"], ["--data", "digits"]):
        answer = cli("train", "--resume", "--out", run, *words)
        assert answer.code == 0, answer.err
        assert "finished already" in answer.err
    cli("train", "--resume", "--out", run, "--given", "blur:1").refused("leave --given out")
    cli("train", "--resume", "--out", run, "--given", "nonsense").refused(
        "choose from", "blur:SIGMA"
    )


def test_a_run_without_a_name_is_called_by_what_it_is_given(cli):
    words = ("train", "pix2pix", "--data", "digits", "--given", "hide:lower", "--steps", 1, *SMALL)
    answer = cli(*words)
    assert answer.code == 0, answer.err
    assert Path("runs/pix2pix-digits-hide-lower/config.json").is_file()
    answer = cli("train", "pix2pix", "--data", "digits", "--given", "hide:lower", "--resume")
    assert "finished already" in answer.err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["vae", "--given", "downsample:2"], ("vae does not go by an image", "pix2pix")),
        (["pix2pix"], ("pix2pix needs images", "--given downsample:2")),
        (["pix2pix", "--given", "sharpen"], ("no degradation 'sharpen'", "grayscale")),
        (["pix2pix", "--given", "downsample:3"], ("8x8", "2, 4, 8")),
        (["pix2pix", "--given", "grayscale"], ("3 colours",)),
        (["pix2pix", "--given", "blur:1", "--conditional"], ("leave one or the other out",)),
        (["pix2pix", "--given", "blur:1", "--labelled", "50"], ("leave one or the other out",)),
    ],
)
def test_what_cannot_be_trained_is_refused_with_the_remedy(cli, words, said):
    cli("train", *words, "--data", "digits", "--steps", 1).refused(*said)
    assert not Path("runs").exists()


def test_samples_are_strips_of_condition_samples_and_original(cli, run):
    answer = cli("sample", run, "-n", 4, "--each", 3, "-o", "strips.png", "--json")
    assert answer.code == 0, answer.err
    recipe = answer.json["recipe"]
    assert (recipe["n"], recipe["each"], recipe["split"]) == (4, 3, "test")
    assert recipe["data"] == "digits:downsample:2"
    with Image.open("strips.png") as picture:
        assert picture.size == (5 * 50, 4 * 50)


def test_arrays_hold_samples_conditions_and_originals_of_test(cli, run):
    for out, seed in (("a.npz", 0), ("b.npz", 0), ("c.npz", 1)):
        assert cli("sample", run, "-n", 30, "-o", out, "--seed", seed).code == 0
    found, same, other = (np.load(f"{name}.npz") for name in "abc")
    batch = genus.load_data("digits", given="downsample:2").test.batch(torch.arange(30))
    assert (found["given"] == batch.y.numpy()).all()
    assert (found["original"] == batch.x.numpy()).all()
    assert found["x"].shape == (30, 1, 8, 8)
    assert (found["x"] == same["x"]).all()
    assert not (found["x"] == other["x"]).all()
    assert cli("sample", run, "-n", 5, "-o", "few.npy").code == 0
    assert (np.load("few.npy") == found["x"][:5]).all()


def test_ones_own_images_are_upscaled(cli, run):
    Path("mine").mkdir()
    for i in range(3):
        pixels = np.random.default_rng(i).integers(0, 256, (4, 4), dtype=np.uint8)
        Image.fromarray(pixels).save(f"mine/{i}.png")
    answer = cli("sample", run, "--from", "mine", "-o", "mine.npz", "--json")
    assert answer.code == 0, answer.err
    assert answer.json["recipe"]["from"] == "mine"
    assert answer.json["recipe"]["n"] == 3
    found = np.load("mine.npz")
    assert found["x"].shape == (3, 1, 8, 8)
    assert found["given"].max() <= 16
    assert "original" not in found
    assert cli("sample", run, "--from", "mine", "-n", 2, "-o", "mine.png").code == 0
    with Image.open("mine.png") as picture:
        assert picture.size == (2 * 50, 2 * 50)


def test_images_that_do_not_fit_are_refused_before_anything_is_drawn(cli, run, plain):
    Image.new("L", (8, 8)).save("large.png")
    cli("sample", run, "--from", "large.png").refused("8x8", "4x4")
    cli("sample", run, "--from", "none").refused("none does not exist")
    cli("sample", run, "-n", 500).refused("360 images to go by", "--each")
    cli("sample", run, "--each", 0).refused("--each 0")
    cli("sample", run, "-n", 2000, "--each", 100).refused("makes 200,000 samples, above 100,000")
    cli("sample", run, "--class", 1).refused("goes by images, not by labels")
    cli("sample", plain, "--from", "large.png", "--each", 2).refused(
        "--from large.png: the run was not trained with --given", "--each 2"
    )


def test_an_evaluation_tells_how_near_samples_come_to_their_originals(cli, run):
    answer = cli("evaluate", run, "--samples", 40, "--json")
    assert answer.code == 0, answer.err
    found = answer.json["pairs"]
    assert (found["n"], found["degradation"]) == (40, "downsample:2")
    for row in ("model", "baseline"):
        assert found[row]["psnr"]["value"] > 3
        assert 0 <= found[row]["consistency"]["value"] <= found[row]["l1"]["value"] < 1
    words = cli("evaluate", run, "--samples", 40)
    assert "40 pairs given downsample:2" in words.out
    assert "PSNR, dB" in words.out
    assert "condition alone" in words.out
    assert "very examples" in " ".join(words.out.split())


def test_a_sweep_of_temperatures_is_given_conditions(cli, run):
    answer = cli("evaluate", run, "--temperatures", "0.5,1", "--samples", 20)
    assert answer.code == 0, answer.err


def test_a_film_is_made_of_a_run(cli, run):
    assert cli("plot", run, "progress", "-o", "film.gif").code == 0
    with Image.open("film.gif") as picture:
        assert picture.n_frames == 2


@pytest.mark.parametrize(
    "words",
    [
        ("complete", "RUN", "--lower-half"),
        ("classify", "RUN"),
        ("features", "RUN"),
        ("plot", "RUN", "interpolation"),
        ("plot", "RUN", "projection"),
        ("plot", "RUN", "traversal"),
        ("plot", "RUN", "latent-map"),
        ("plot", "RUN", "reconstructions"),
        ("sample", "RUN", "--animate", "a.gif"),
        ("train", "classifier", "--from", "RUN"),
    ],
    ids=" ".join,
)
def test_what_such_a_run_cannot_do_is_refused_in_words(cli, run, words):
    cli(*(run if word == "RUN" else word for word in words)).refused("pix2pix")


def test_a_comparison_gives_no_images_and_says_so_before_it_trains(cli):
    words = ("compare", "pix2pix", "independent", "--data", "digits", "--time-budget", "1s")
    cli(*words, "--out", "both").refused("pix2pix makes images from images", "leave it out")
    assert not Path("both").exists()


def test_the_list_of_models_says_which_goes_by_images(cli):
    listed = {model["name"]: model["from_images"] for model in cli("models", "--json").json}
    assert listed["pix2pix"] is True
    assert listed["gan"] is False
    answer = cli("models", "pix2pix")
    assert "from images (--given downsample:2)" in answer.out
    assert answer.last.endswith(
        "genus train pix2pix --data digits --given downsample:2 --time-budget 60s"
    )
