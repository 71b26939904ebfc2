"""`genus sample`."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from genus.cli import files, main, sample
from genus.cli.pictures import MISSING
from genus.spec import Spec


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run of a small class-conditional model on digits."""
    folder = tmp_path_factory.mktemp("runs") / "digits"
    words = ["train", "independent", "--data", "digits", "--steps", "1", "--conditional"]
    assert main([*words, "--out", str(folder)]) == 0
    return folder


@pytest.fixture(scope="module")
def vectors(tmp_path_factory) -> Path:
    """A run of a model of vectors of real numbers."""
    folder = tmp_path_factory.mktemp("runs") / "wine"
    words = ["train", "gaussian-mixture", "--data", "wine", "--steps", "1"]
    assert main([*words, "--out", str(folder)]) == 0
    return folder


def test_a_png_is_a_grid_that_carries_its_recipe(cli, run):
    answer = cli("sample", run, "-n", 9, "-o", "grid.png", "--seed", 3, "--json")
    assert answer.code == 0, answer.err
    found = answer.json
    assert set(found) == {"out", "shape", "seconds", "seconds_per_sample", "recipe"}
    assert (found["out"], found["shape"]) == ("grid.png", [9, 1, 8, 8])
    with Image.open("grid.png") as picture:
        assert picture.width == picture.height >= 3 * 32
        text = picture.text["genus"]
    recipe = json.loads(text)
    assert set(recipe) == {
        "genus", "model", "run", "weights_sha256", "n", "seed", "temperature", "class",
    }  # fmt: skip
    assert (recipe["model"], recipe["run"], recipe["n"], recipe["seed"]) == (
        "independent", "digits", 9, 3,
    )  # fmt: skip
    assert len(recipe["weights_sha256"]) == 64
    assert str(run.parent) not in text  # a path would tell of the machine
    assert {**recipe, "file_sha256": found["recipe"]["file_sha256"]} == found["recipe"]


def test_same_seed_same_file_and_another_seed_another(cli, run):
    for out, seed in (("a.png", 1), ("b.png", 1), ("c.png", 2)):
        cli("sample", run, "-n", 4, "-o", out, "--seed", seed)
    a, b, c = (Path(f"{name}.png").read_bytes() for name in "abc")
    assert a == b
    assert a != c


def test_the_first_samples_do_not_depend_on_how_many_are_drawn(cli, run):
    cli("sample", run, "-n", 3, "-o", "few.npy")
    cli("sample", run, "-n", sample.CHUNK + 7, "-o", "many.npy")
    few, many = np.load("few.npy"), np.load("many.npy")
    assert many.shape == (sample.CHUNK + 7, 1, 8, 8)
    assert many.dtype == np.uint8
    assert (few == many[:3]).all()


def test_npz_holds_labels_and_recipe(cli, run):
    cli("sample", run, "-n", 5, "-o", "s.npz", "--class", 7)
    with np.load("s.npz", allow_pickle=False) as stored:
        assert stored["x"].shape == (5, 1, 8, 8)
        assert stored["y"].tolist() == [7] * 5
        assert json.loads(str(stored["genus"]))["class"] == 7


def test_vectors_become_numbers_by_default(cli, vectors):
    answer = cli("sample", vectors, "-n", 4)
    assert answer.code == 0, answer.err
    with np.load("wine-samples.npz") as stored:
        assert stored["x"].shape == (4, 13)
        assert stored["x"].dtype == np.float32
    assert answer.last == f"next: genus evaluate {vectors}"


def test_vectors_are_no_picture(cli, vectors):
    cli("sample", vectors, "-o", "wine.png").refused("is no image", "-o samples.npz")
    assert not Path("wine.png").exists()


def test_a_file_is_never_replaced_without_force(cli, run):
    Path("grid.png").write_text("precious")
    cli("sample", run, "-o", "grid.png").refused("grid.png exists; add --force to replace it")
    assert Path("grid.png").read_text() == "precious"
    assert cli("sample", run, "-o", "grid.png", "--force").code == 0
    assert Path("grid.png").read_bytes().startswith(b"\x89PNG")


def test_a_failed_write_leaves_the_old_file(cli, run):
    assert cli("sample", run, "-o", "grid.png").code == 0
    before = Path("grid.png").read_bytes()

    def full(*args: object) -> None:
        raise OSError(28, "No space left on device")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("os.replace", full)
        answer = cli("sample", run, "-o", "grid.png", "--force", "--seed", 9)
    answer.refused("free some space", code=1)
    assert Path("grid.png").read_bytes() == before
    assert [path.name for path in Path().iterdir()] == ["grid.png"]


@pytest.mark.parametrize(
    ("words", "messages"),
    [
        (("-n", 10**9), ("-n 1,000,000,000 must be at most 100,000",)),
        (("-n", 0), ("-n 0 must be at least 1",)),
        (("-n", "-5"), ("-n -5 must be at least 1",)),
        (("-n", "many"), ('"many"',)),
        (("--temperature", 0), ("--temperature 0.0 must be at least 0.01",)),
        (("--temperature", "nan"), ("--temperature nan must be a number",)),
        (("--seed", -1), ("--seed -1 must be at least 0",)),
        (("--seed", 2**64), ("--seed 18,446,744,073,709,551,616 must be at most",)),
        (("--class", 10), ("--class 10 must be at most 9; the run knows 10 classes",)),
        (("-o", "x.jpg"), ("x.jpg must end with .png, .npy, .npz",)),
        (("-o", "no/x.png"), ("the folder no does not exist; make it first",)),
        (("--device", "cuda:97", "-n", 0), ("device='cuda:97' was asked for, but torch", "-n 0")),
        (("-n", 0, "--temperature", 0, "-o", "x.jpg"), ("-n 0", "--temperature 0.0", "x.jpg")),
    ],
)
def test_bad_values(cli, run, words, messages):
    cli("sample", run, *words).refused(*messages)
    assert not list(Path().iterdir())


def test_a_class_of_an_unconditional_run(cli):
    cli("train", "independent", "--data", "digits", "--steps", 1, "--out", "plain")
    cli("sample", "plain", "--class", 3).refused("unconditional", "train with --conditional")


def test_a_run_that_is_not_there(cli):
    answer = cli("sample", "runs/none").refused("'runs/none' does not exist; train one first")
    assert answer.last.startswith("next: genus train ")


def test_a_flipped_byte_in_the_weights_is_told(cli):
    cli("train", "independent", "--data", "digits", "--steps", 1, "--out", "run")
    weights = Path("run/model.safetensors")
    data = bytearray(weights.read_bytes())
    data[-5] ^= 1
    weights.write_bytes(data)
    for command in ("sample", "evaluate", "verify"):
        cli(command, "./run").refused("model.safetensors", "sha256", code=1)


def test_a_pickle_instead_of_weights_is_refused_and_does_not_run(cli):
    import pickle

    class Payload:
        def __reduce__(self):
            return (Path.touch, (Path("ran"),))

    cli("train", "independent", "--data", "digits", "--steps", 1, "--out", "run")
    Path("run/model.safetensors").write_bytes(pickle.dumps(Payload()))
    cli("sample", "run").refused(code=1)
    assert not Path("ran").exists()


def test_a_grid_has_a_limit():
    files.check_drawable(100, Spec(shape=(3, 32, 32), levels=256))
    with pytest.raises(files.UsageError, match="takes 65,536 such images"):
        files.check_drawable(65_537, Spec(shape=(3, 32, 32), levels=256))


def test_an_unfinished_run_is_used_with_a_warning(cli):
    small = ("--set", "features=8", "layers=1", "hidden=8", "--steps", 2, "--samples", 0)
    cli("train", "pixelcnn", "--data", "digits", *small, "--batch-size", 4, "--out", "run")
    manifest = Path("run/manifest.json")
    record = json.loads(manifest.read_text())
    manifest.write_text(json.dumps({**record, "status": "interrupted"}))
    Path("run/model.safetensors").unlink()
    answer = cli("sample", "run", "-n", 1, "-o", "one.png", "--json")
    assert answer.code == 0, answer.err
    assert "warning: run is interrupted, not finished" in answer.err
    assert answer.json["recipe"]["weights_sha256"] is None


@pytest.fixture(scope="module")
def ordered(tmp_path_factory) -> Path:
    """A run of a small model that draws pixel by pixel."""
    folder = tmp_path_factory.mktemp("runs") / "ordered"
    small = ("--set", "features=8", "layers=1", "hidden=8", "--steps", "2", "--samples", "0")
    words = ["train", "pixelcnn", "--data", "digits", *small, "--out", str(folder)]
    assert main(words) == 0
    return folder


def test_an_animation_draws_the_samples_pixel_by_pixel(cli, ordered):
    answer = cli("sample", ordered, "-n", 5, "--animate", "a.gif", "-o", "a.png", "--json")
    assert answer.code == 0, answer.err
    assert (answer.json["out"], answer.json["animation"]) == ("a.png", "a.gif")
    assert cli("sample", ordered, "-n", 5, "-o", "plain.png").code == 0
    finished = np.asarray(Image.open("plain.png").convert("RGB"))
    assert (np.asarray(Image.open("a.png")) == finished).all()
    with Image.open("a.gif") as film:
        assert film.info["loop"] == 0
        assert json.loads(film.info["comment"])["seed"] == 0
        frames = []
        for number in range(film.n_frames):
            film.seek(number)
            frames.append(np.asarray(film.convert("RGB"))[::2, ::2])
    assert len(frames) == 65
    assert (frames[-1] == finished).all()
    shown = [(frame == finished).all(-1).sum() for frame in frames]
    assert shown == sorted(shown)
    assert (frames[0] == MISSING).all(-1).sum() == 5 * 64 * 36  # 6x6 for each pixel
    half = frames[32].reshape(2, 50, 3, 50, 3)[0, 1:-1, 0, 1:-1]
    assert (half[:24] == finished[1:25, 1:49]).all()
    assert (half[24:] == MISSING).all()


def test_an_animation_alone(cli, ordered):
    assert cli("sample", ordered, "-n", 1, "--animate", "a.gif").code == 0
    assert [path.name for path in Path().iterdir()] == ["a.gif"]
    cli("sample", ordered, "-n", 1, "--animate", "a.gif").refused("a.gif exists; add --force")
    with Image.open("a.gif") as film:
        assert film.size == (400, 400)


def test_an_animation_has_a_limited_number_of_frames_and_colours():
    from genus.cli.animation import FRAMES, gif

    spec = Spec(shape=(3, 20, 30), levels=256)
    x = torch.randint(256, (2, 3, 20, 30), generator=torch.Generator().manual_seed(0))
    order = torch.arange(1800).view(3, 600).T.flatten()
    with Image.open(io.BytesIO(gif(x, spec, order, {}))) as film:
        assert film.n_frames == FRAMES + 1
        film.seek(FRAMES)
        assert film.info["duration"] >= 2000


@pytest.mark.parametrize(
    ("words", "messages"),
    [
        (("--animate", "a.png"), ("a.png must end with .gif",)),
        (("--animate", "no/a.gif"), ("--animate no/a.gif: the folder no does not exist",)),
        (("--animate", "a.gif", "-n", 101), ("at most 100 images; give -n 100 or fewer",)),
        (("--animate", "a.png", "-n", 0), ("a.png", "-n 0")),
    ],
)
def test_an_animation_that_cannot_be(cli, ordered, words, messages):
    cli("sample", ordered, *words).refused(*messages)
    assert not list(Path().iterdir())


def test_what_has_no_order_has_no_animation(cli, run, vectors):
    cli("sample", run, "--animate", "a.gif").refused(
        "independent draws all entries at once", "pixelcnn"
    )
    cli("sample", vectors, "--animate", "a.gif").refused("--animate")
