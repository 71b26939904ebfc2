"""`genus complete`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import genus
from genus.cli import main
from genus.cli.pictures import MISSING
from genus.spec import Spec
from genus.training import load

SMALL = ("--set", "features=8", "layers=1", "hidden=8")


def trained(folder: Path, model: str, data: str, *words: str) -> Path:
    done = main(["train", model, "--data", data, "--steps", "2", "--samples", "0", *words,
                 "--out", str(folder)])  # fmt: skip
    assert done == 0
    return folder


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """A run of a model with an order, on digits."""
    return trained(tmp_path_factory.mktemp("runs") / "digits", "pixelcnn", "digits", *SMALL)


@pytest.fixture(scope="module")
def classes(tmp_path_factory) -> Path:
    """A run that knows classes, and completes exactly whatever the mask."""
    folder = tmp_path_factory.mktemp("runs") / "classes"
    return trained(folder, "independent", "digits", "--conditional")


@pytest.fixture(scope="module")
def vectors(tmp_path_factory) -> Path:
    """A run of a model of vectors of real numbers."""
    return trained(tmp_path_factory.mktemp("runs") / "wine", "gaussian-mixture", "wine")


@pytest.fixture(scope="module")
def colours(tmp_path_factory) -> Path:
    """A run on colour images of 4x6 pixels, kept as an array."""
    folder = tmp_path_factory.mktemp("runs")
    x = np.random.default_rng(0).integers(0, 256, (40, 3, 4, 6), dtype=np.uint8)
    np.save(folder / "photos.npy", x)
    return trained(folder / "colours", "independent", str(folder / "photos.npy"))


def picture(path: str, pixels: np.ndarray) -> Path:
    Image.fromarray(pixels.astype(np.uint8)).save(path)
    return Path(path)


def digit(row: int = 0) -> torch.Tensor:
    return genus.load_data("digits").test.batch(torch.tensor([row])).x[0]


def test_a_picture_shows_original_masked_and_completions(cli, run):
    answer = cli("complete", run, "--lower-half", "--index", "0-2", "-n", 3, "-o", "c.png")
    assert answer.code == 0, answer.err
    assert "c.png: 3 images, 3 completions each, 32 of 64 entries missing" in answer.out
    assert "exact: ancestral" in answer.out
    assert "bits for each missing entry" in answer.out
    assert answer.last == f"next: genus sample {run} -n 64 -o grid.png"
    tile = 8 * 6 + 2
    sheet = np.asarray(Image.open("c.png"))
    assert sheet.shape == (3 * tile, 5 * tile, 3)
    tiles = sheet.reshape(3, tile, 5, tile, 3).transpose(0, 2, 1, 3, 4)[:, :, 1:-1:6, 1:-1:6]
    x = torch.stack([digit(row) for row in range(3)])[:, 0].numpy()
    assert (tiles[:, 0, :, :, 0] == np.rint(x * 255 / 16)).all()
    assert (tiles[:, 1, :4] == tiles[:, 0, :4]).all()
    assert (tiles[:, 1, 4:] == MISSING).all()
    for way in range(2, 5):
        assert (tiles[:, way, :4] == tiles[:, 0, :4]).all()
        assert (tiles[:, way, 4:] != MISSING).any(-1).all()
    assert (tiles[:, 2] != tiles[:, 3]).any()


def test_json_says_how_and_how_likely(cli, run):
    answer = cli("complete", run, "--box", "2,2,3,3", "--index", "4,1", "-n", 2, "-o", "c.npz",
                 "--particles", 8, "--json")  # fmt: skip
    assert answer.code == 0, answer.err
    found = answer.json
    assert set(found) == {
        "out", "images", "n", "missing", "entries", "exact", "method", "log_prob", "log_known",
        "log_conditional", "effective", "y", "bits", "seconds", "recipe",
    }  # fmt: skip
    assert found["images"] == ["digits test[4]", "digits test[1]"]
    assert (found["n"], found["missing"], found["entries"]) == (2, 9, 64)
    assert found["exact"] is False
    assert found["method"].startswith("sequential Monte Carlo, 8 particles, ")
    assert found["y"] is None
    assert all(1 <= value <= 8 for row in found["effective"] for value in row)
    with np.load("c.npz", allow_pickle=False) as stored:
        x, original = stored["x"], stored["original"]
        assert x.shape == (2, 2, 1, 8, 8)
        missing = np.zeros((1, 8, 8), bool)
        missing[:, 2:5, 2:5] = True
        assert (stored["missing"] == missing).all()
        assert (x[:, :, ~missing] == original[:, None][:, :, ~missing]).all()
        assert (original[0] == digit(4).numpy()).all()
        recipe = json.loads(str(stored["genus"]))
        scores = stored["log_conditional"]
    assert {**recipe, "file_sha256": found["recipe"]["file_sha256"]} == found["recipe"]
    assert recipe["missing"] == {"box": ["2,2,3,3"]}
    assert (recipe["data"], recipe["split"], recipe["index"]) == ("digits", "test", "4,1")
    assert str(run.parent) not in json.dumps(recipe)
    assert np.allclose(found["bits"], -scores / (9 * np.log(2)), rtol=1e-5)
    whole = load(run).log_prob(torch.from_numpy(x).flatten(0, 1).long()).detach().view(2, 2)
    assert np.allclose(whole, np.add(found["log_known"], found["log_conditional"]), atol=1e-3)


def test_the_first_completions_do_not_depend_on_how_many_there_are(cli, run):
    for out, n, seed in (("few.npz", 2, 5), ("many.npz", 20, 5), ("other.npz", 2, 6)):
        words = ("--lower-half", "--index", "0-4", "-n", n, "-o", out, "--seed", seed)
        assert cli("complete", run, *words).code == 0
    few, many, other = (np.load(f"{name}.npz")["x"] for name in ("few", "many", "other"))
    assert (few == many[:, :2]).all()
    assert (few != other).any()


@pytest.mark.parametrize(
    ("words", "box"),
    [
        (("--lower-half",), np.s_[4:, :]),
        (("--upper-half",), np.s_[:4, :]),
        (("--left-half",), np.s_[:, :4]),
        (("--right-half",), np.s_[:, 4:]),
        (("--box", "0,7,8,1"), np.s_[:, 7:]),
    ],
)
def test_masks(cli, classes, words, box):
    answer = cli("complete", classes, *words, "--index", 0, "-o", "c.npz")
    assert answer.code == 0, answer.err
    expected = np.zeros((8, 8), bool)
    expected[box] = True
    assert (np.load("c.npz")["missing"][0] == expected).all()


def test_masks_add_up_and_white_is_missing(cli, classes):
    mask = np.zeros((8, 8))
    mask[0, 3] = mask[7, 0] = 255
    picture("mask.png", mask)
    words = ("--mask", "mask.png", "--box", "1,1,2,2", "--box", "5,5,1,3", "--index", 0)
    assert cli("complete", classes, *words, "-o", "c.npz").code == 0
    expected = mask > 0
    expected[1:3, 1:3] = expected[5, 5:] = True
    found = np.load("c.npz")
    assert (found["missing"][0] == expected).all()
    assert json.loads(str(found["genus"]))["missing"] == {
        "mask": "mask.png", "box": ["1,1,2,2", "5,5,1,3"],
    }  # fmt: skip


def test_pictures_come_in(cli, classes):
    Path("in").mkdir()
    for row in range(3):
        grey = np.rint(digit(row)[0].numpy() * 255 / 16)
        picture(f"in/{row}.png", grey if row else np.stack([grey] * 3, -1))
    assert cli("complete", classes, "in", "--upper-half", "-o", "all.npz").code == 0
    found = np.load("all.npz")["original"]
    assert (found == torch.stack([digit(row) for row in range(3)]).numpy()).all()
    answer = cli("complete", classes, "in", "--index", "2", "--upper-half", "-o", "1.npz", "--json")
    assert answer.json["images"] == ["2.png"]
    assert cli("complete", classes, "in/1.png", "--upper-half", "-o", "2.npz").code == 0
    assert (np.load("2.npz")["original"][0] == digit(1).numpy()).all()


@pytest.mark.parametrize("name", ["x.npy", "x.npz"])
def test_arrays_come_in(cli, classes, name):
    x = torch.stack([digit(row) for row in range(4)]).numpy().astype(np.uint8)
    if name.endswith("npy"):
        np.save(name, x[:, 0])  # (N, H, W)
    else:
        np.savez(name, x=x)
    words = ("--upper-half", "--index", "1-3", "-o", "c.npz")
    assert cli("complete", classes, name, *words).code == 0
    assert (np.load("c.npz")["original"] == x[1:]).all()


def test_colour_pictures_come_in_and_go_out(cli, colours):
    pixels = np.random.default_rng(1).integers(0, 256, (4, 6, 3))
    picture("photo.png", pixels)
    assert cli("complete", colours, "photo.png", "--left-half", "-o", "c.npz").code == 0
    found = np.load("c.npz")
    assert (found["original"][0] == pixels.transpose(2, 0, 1)).all()
    assert found["missing"].shape == (3, 4, 6)
    assert found["missing"].sum() == 3 * 4 * 3
    assert cli("complete", colours, "photo.png", "--left-half", "-o", "c.png").code == 0


def test_classes_are_inferred_or_said(cli, classes):
    words = ("--lower-half", "--index", "0-1", "-n", 2, "--json")
    said = cli("complete", classes, *words, "--class", 3, "-o", "a.png").json
    assert said["recipe"]["class"] == 3
    inferred = cli("complete", classes, *words, "-o", "b.png").json
    assert inferred["exact"]


def test_models_without_an_order_complete_too(cli, vectors):
    answer = cli("complete", vectors, "--entries", "0,3-5", "--index", "0-1", "-n", 3, "--json")
    assert answer.code == 0, answer.err
    found = answer.json
    assert (found["out"], found["missing"], found["entries"]) == ("wine-completed.npz", 4, 13)
    assert found["exact"]
    assert found["bits"] is None  # a density has none
    assert np.load("wine-completed.npz")["x"].shape == (2, 3, 13)


def test_an_approximate_model_says_so(cli):
    trained(Path("vae"), "vae", "digits")
    answer = cli("complete", "vae", "--lower-half", "--index", 0, "--json")
    assert answer.code == 0, answer.err
    assert answer.json["exact"] is False
    assert "pseudo-Gibbs" in answer.json["method"]
    assert answer.json["bits"] is None
    cli("complete", "vae", "--lower-half", "--method", "smc", "--particles", 9).refused(
        "--method: vae has one way to complete and takes none; leave it out", "--particles: vae"
    )


def test_a_model_that_cannot_is_told_which_can(cli):
    trained(Path("gan"), "gan", "digits")
    answer = cli("complete", "gan", "--lower-half").refused("gan cannot complete", "pixelcnn")
    assert answer.last == "next: genus models"


def test_few_particles_are_remarked_upon(cli, run):
    words = ("--upper-half", "--index", "0", "-n", 1, "--particles", 2)
    answer = cli("complete", run, *words, "-o", "c.png")
    assert answer.code == 0, answer.err
    assert "at the worst moment" in answer.err
    assert "--particles 16 comes nearer" in answer.err
    assert "approximate: sequential Monte Carlo, 2 particles" in answer.out


@pytest.mark.parametrize(
    ("words", "messages"),
    [
        ((), ("nothing is said to be missing", "--lower-half", "--mask FILE, where white")),
        (("--lower-half", "-n", 0), ("-n 0 must be at least 1",)),
        (("--lower-half", "-n", "-3"), ("-n -3 must be at least 1",)),
        (("--lower-half", "-n", 10**9), ("-n 1,000,000,000 must be at most 1,000",)),
        (("--lower-half", "--index", "0-99", "-n", 1000), ("makes 100,000 completions",)),
        (("--lower-half", "--temperature", 0), ("--temperature 0.0 must be at least 0.01",)),
        (("--lower-half", "--device", "cuda:97"), ("device='cuda:97' was asked for, but torch",)),
        (("--lower-half", "--temperature", -1), ("--temperature -1.0 must be at least",)),
        (("--lower-half", "--temperature", "nan"), ("--temperature nan must be a number",)),
        (("--lower-half", "--temperature", "inf"), ("--temperature inf must be at most 100",)),
        (("--lower-half", "--particles", 0), ("--particles 0 must be at least 1; 64 is usual",)),
        (("--lower-half", "--particles", 10**8), ("--particles 100,000,000 must be at most",)),
        (("--lower-half", "--method", "magic"), ("magic",)),
        (("--lower-half", "--seed", -1), ("--seed -1 must be at least 0",)),
        (("--lower-half", "--class", 1), ("--class 1: the run is unconditional",)),
        (("--lower-half", "--index", "3-1"), ("--index '3-1' must be numbers from 0",)),
        (("--lower-half", "--index", "1,1"), ("names a number twice",)),
        (("--lower-half", "--index", "9999"), ("--index 9999: the test split of digits has rows",)),
        (("--lower-half", "--split", "tset"), ("no split 'tset'; did you mean test?",)),
        (("--lower-half", "--data", "wine"), ("--data wine: its examples are",)),
        (("--lower-half", "--entries", "3"), ("--entries is for data that are no images",)),
        (("--lower-half", "-o", "x.jpg"), ("x.jpg must end with .png, .npz",)),
        (("--lower-half", "-o", "no/x.png"), ("the folder no does not exist",)),
        (("--box", "1,2,3"), ("--box '1,2,3' must be four whole numbers",)),
        (("--box", "1,2,3,x"), ("must be four whole numbers",)),
        (("--box", "1,2,3,0"), ("does not lie in images of 8x8",)),
        (("--box", "5,0,4,8"), ("--box 5,0,4,8 does not lie in images of 8x8",)),
        (("--lower-half", "--upper-half"), ("everything is missing", "genus sample")),
        (("--mask", "none.png"), ("--mask none.png is not there",)),
        (("none.png", "--lower-half"), ("none.png does not exist",)),
        (
            ("none.png", "--data", "digits", "-n", 0, "--temperature", 0, "--box", "1",
             "--mask", "none.png", "--index", "x", "-o", "x.gif"),
            ("cannot complete:", "none.png does not exist", "both say which images", "-n 0",
             "--temperature 0.0", "--box '1'", "--mask none.png", "--index 'x'", "x.gif"),
        ),
        (
            ("--box", "9,9,9,9", "--index", "9999", "--class", 3),
            ("cannot complete:", "--box 9,9,9,9", "--index 9999", "--class 3"),
        ),
    ],
)  # fmt: skip
def test_bad_values(cli, run, words, messages):
    cli("complete", run, *words).refused(*messages)
    assert not list(Path().iterdir())


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (np.zeros((8, 8)), ("nothing is missing", "white is missing")),
        (np.full((8, 8), 255), ("everything is missing",)),
        (np.full((8, 10), 255), ("mask.png is 8x10 (height x width)", "are 8x8")),
        (np.full((16, 16), 255), ("mask.png is 16x16",)),
        (np.full((8, 8), 130), ("has 64 pixels that are neither black (known) nor white",)),
        (np.full((8, 8, 3), (255, 0, 0)), ("neither black (known) nor white (missing)",)),
    ],
)
def test_a_mask_that_does_not_fit(cli, run, mask, words):
    picture("mask.png", mask)
    cli("complete", run, "--mask", "mask.png").refused(*words)


def test_a_mask_that_is_no_picture(cli, run):
    Path("mask.png").write_text("white")
    cli("complete", run, "--mask", "mask.png").refused("mask.png: is not an image")


def test_pictures_that_do_not_fit_are_told_at_once(cli, run):
    Path("in").mkdir()
    picture("in/a.png", np.zeros((8, 9)))
    picture("in/b.png", np.full((8, 8, 3), (200, 0, 0)))
    picture("in/c.png", np.zeros((8, 8)))
    Path("in/d.png").write_bytes(Path("in/c.png").read_bytes()[:45])
    Path("in/e.txt").write_text("not a picture, not looked at")
    cli("complete", run, "in", "--lower-half").refused(
        "a.png is 8x9 (height x width), but the run takes 8x8",
        "b.png has colours, but the run is grey",
        "d.png is damaged or cut off",
    )
    cli("complete", run, "in", "--lower-half", "--index", 2, "-o", "c.png")
    assert Path("c.png").exists()


def test_a_folder_without_pictures(cli, run):
    Path("in").mkdir()
    cli("complete", run, "in", "--lower-half").refused("in holds no pictures")


def test_a_file_of_another_kind(cli, run):
    Path("in.txt").write_text("0")
    cli("complete", run, "in.txt", "--lower-half").refused("in.txt must be a folder, or end with")


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.zeros((3, 5, 5), np.uint8), "the run takes examples of (1, 8, 8)"),
        (np.zeros((0, 8, 8), np.uint8), "nothing in it"),
        (np.full((2, 8, 8), 17), "outside 0..16"),
        (np.full((2, 8, 8), -1), "from -1 to -1"),
        (np.full((2, 8, 8), np.nan), "NaN or infinite"),
        (np.zeros((8, 8), np.uint8), "the run takes examples of (1, 8, 8)"),
    ],
)
def test_arrays_that_do_not_fit(cli, run, array, words):
    np.save("x.npy", array)
    cli("complete", run, "x.npy", "--lower-half").refused(words)


def test_an_array_of_objects_is_refused_and_does_not_run(cli, run):
    class Payload:
        def __reduce__(self):
            return (Path.touch, (Path("ran"),))

    np.save("x.npy", np.array([Payload()], object), allow_pickle=True)
    cli("complete", run, "x.npy", "--lower-half").refused("Python objects")
    assert not Path("ran").exists()


def test_vectors_have_no_halves(cli, vectors):
    cli("complete", vectors, "--lower-half").refused("--lower-half is for images", "--entries")
    cli("complete", vectors, "--entries", "13,2").refused("--entries 13", "0 to 12")
    cli("complete", vectors, "--entries", "0", "-o", "x.png").refused("is no image")
    cli("complete", vectors, "--entries", "0-12").refused("everything is missing")


def test_a_file_is_never_replaced_without_force(cli, classes):
    words = ("complete", classes, "--lower-half", "--index", 0)
    assert cli(*words).code == 0
    cli(*words).refused("classes-completed.png exists; add --force")
    assert cli(*words, "--force").code == 0


def test_a_large_picture_has_a_limit():
    from genus.cli.complete import _check_amount
    from genus.cli.errors import UsageError

    spec = Spec(shape=(3, 256, 256), levels=256)
    _check_amount(Path("x.npz"), 100, 100, spec)
    with pytest.raises(UsageError, match="too many for one picture"):
        _check_amount(Path("x.png"), 100, 100, spec)
