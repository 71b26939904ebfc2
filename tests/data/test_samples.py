"""Reading samples of other models: the same levels as the data, nothing converted in silence."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from genus.data import load_data
from genus.data.samples import looks_like_samples, read_samples
from genus.errors import DataError


def save(folder, images, mode="L"):
    folder.mkdir(exist_ok=True)
    for i, image in enumerate(images):
        Image.fromarray(image).convert(mode).save(folder / f"{i}.png")
    return folder


def grey(n=8, side=8, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, side, side), dtype=np.uint8)


@pytest.fixture(scope="module")
def digits():
    return load_data("digits")


@pytest.fixture
def photos(tmp_path):
    """A folder of colour images as data."""
    colours = np.random.default_rng(1).integers(0, 256, (20, 6, 5, 3), dtype=np.uint8)
    return load_data(save(tmp_path / "photos", colours, "RGB"))


def test_a_level_that_was_saved_as_a_picture_comes_back(tmp_path, digits):
    levels = np.arange(17).repeat(64).reshape(17, 8, 8)
    pixels = np.rint(levels * 255 / 16).astype(np.uint8)
    given = read_samples(save(tmp_path / "s", pixels), digits)
    assert sorted(set(given.x[:, 0, 0, 0].tolist())) == list(range(17))
    assert given.x.shape == (17, 1, 8, 8)
    assert given.notes == ("8-bit pixels v became 17 levels: round(v * 16 / 255)",)


def test_values_between_levels_are_rounded_and_said(tmp_path, digits):
    given = read_samples(save(tmp_path / "s", grey()), digits)
    expected = np.rint(
        np.stack([np.array(Image.open(tmp_path / "s" / f"{i}.png")) for i in range(8)]) * 16.0 / 255
    )
    assert np.array_equal(given.x[:, 0], expected)
    assert given.notes[1].endswith("% of the pixels lay between two levels")


def test_samples_of_a_folder_get_the_levels_of_the_folder(tmp_path):
    images = grey(20)
    data = load_data(save(tmp_path / "data", images), levels=10)
    given = read_samples(save(tmp_path / "s", images), data)
    everything = {
        tuple(x.flatten().tolist())
        for name in ("train", "valid", "test")
        for x in data.split(name).batch(np_rows(len(data.split(name)))).x
    }
    assert {tuple(x.flatten().tolist()) for x in given.x} == everything


def np_rows(n):
    import torch

    return torch.arange(n)


def test_colours(tmp_path, photos):
    colours = np.random.default_rng(2).integers(0, 256, (7, 6, 5, 3), dtype=np.uint8)
    given = read_samples(save(tmp_path / "s", colours, "RGB"), photos)
    assert np.array_equal(given.x, colours.transpose(0, 3, 1, 2))
    assert given.notes == ()


def test_grey_saved_as_rgb_is_read_as_grey_and_said(tmp_path, digits):
    """What torchvision's save_image makes of grey images."""
    plain = read_samples(save(tmp_path / "s", grey()), digits)
    given = read_samples(save(tmp_path / "t", grey(), "RGB"), digits)
    assert np.array_equal(given.x, plain.x)
    assert "8 of 8 images are RGB with equal channels, read as grey" in given.notes


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda to: save(to, grey(8, 9)), ("8 of 9x9", "digits is 8x8", "resiz")),
        (
            lambda to: save(to, [*grey(3, 8), *grey(3, 9), *grey(2, 7)]),
            ("3 of 9x9, 2 of 7x7", "digits is 8x8"),
        ),
        (
            lambda to: save(
                to, np.random.default_rng(0).integers(0, 256, (6, 8, 8, 3), "u1"), "RGB"
            ),
            ("digits, which is grey", "6 of 6", "has colours", "convert('L')"),
        ),
    ],
)
def test_other_images_are_refused(tmp_path, digits, make, words):
    with pytest.raises(DataError) as error:
        read_samples(make(tmp_path / "s"), digits)
    for word in words:
        assert word in str(error.value)


def test_grey_images_for_colour_data_and_another_size_at_once(tmp_path, photos):
    with pytest.raises(DataError) as error:
        read_samples(save(tmp_path / "s", grey()), photos)
    assert "8 of 8x8 (height x width), but photos is 6x5" in str(error.value)
    assert "8 of 8 images are grey, but photos is RGB" in str(error.value)


def test_damaged_files_are_named(tmp_path, digits):
    folder = save(tmp_path / "s", grey())
    (folder / "cut.png").write_bytes((folder / "0.png").read_bytes()[:-30])
    with pytest.raises(DataError, match=r"cut\.png is damaged"):
        read_samples(folder, digits)


def test_paths_that_hold_no_samples(tmp_path, digits):
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="holds no image files"):
        read_samples(tmp_path / "empty", digits)
    with pytest.raises(DataError, match=r"there is no file or folder .*did you mean empty"):
        read_samples(tmp_path / "emtpy", digits)
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(DataError, match="holds no samples that can be read"):
        read_samples(tmp_path / "notes.txt", digits)
    Image.fromarray(grey()[0]).save(tmp_path / "grid.png")
    with pytest.raises(DataError, match="is one picture"):
        read_samples(tmp_path / "grid.png", digits)
    with pytest.raises(DataError, match="which image files cannot hold"):
        read_samples(tmp_path / "empty", load_data("wine"))


def test_arrays(tmp_path, digits):
    levels = np.random.default_rng(0).integers(0, 17, (9, 1, 8, 8), dtype=np.uint8)
    np.save(tmp_path / "a.npy", levels)
    np.save(tmp_path / "b.npy", levels[:, 0])
    np.savez(tmp_path / "c.npz", x=levels.astype(np.int64), genus="recipe")
    np.save(tmp_path / "d.npy", levels / 16)
    np.save(tmp_path / "e.npy", levels.astype(np.float32))
    for name in ("a.npy", "b.npy", "c.npz", "d.npy", "e.npy"):
        assert np.array_equal(read_samples(tmp_path / name, digits).x, levels), name


@pytest.mark.parametrize(
    ("array", "words"),
    [
        (np.full((6, 8, 8), np.nan), "384 NaN or infinite values, the first at index (0, 0, 0"),
        (np.full((6, 8, 8), 255, np.uint8), "values from 255 to 255, outside the levels 0..16"),
        (np.full((6, 8, 8), -1.0), "neither in [0, 1] nor whole numbers in 0..16"),
        (np.full((6, 8, 8), 3.5), "neither in [0, 1] nor whole numbers in 0..16"),
        (np.zeros((6, 64), np.uint8), "shape (64,), but those of digits (1, 8, 8)"),
        (np.zeros((6, 3, 8, 8), np.uint8), "shape (3, 8, 8), but those of digits (1, 8, 8)"),
        (np.zeros((0, 8, 8), np.uint8), "holds no samples"),
        (np.full((6, 9, 9), 99), "\n  - "),  # shape and range at once
    ],
)
def test_arrays_that_differ_are_refused(tmp_path, digits, array, words):
    np.save(tmp_path / "a.npy", array)
    with pytest.raises(DataError) as error:
        read_samples(tmp_path / "a.npy", digits)
    assert words in str(error.value)


def test_real_numbers(tmp_path):
    wine = load_data("wine")
    np.save(tmp_path / "a.npy", np.ones((6, 13), np.int64))
    assert read_samples(tmp_path / "a.npy", wine).x.dtype == np.float32
    np.save(tmp_path / "a.npy", np.full((6, 13), 1e300))
    with pytest.raises(DataError, match="as float32 holds 78"):
        read_samples(tmp_path / "a.npy", wine)


def test_what_may_be_samples(tmp_path):
    assert looks_like_samples(save(tmp_path / "s", grey(1)))
    assert looks_like_samples(tmp_path)
    (tmp_path / "t").mkdir()
    assert not looks_like_samples(tmp_path / "t")
