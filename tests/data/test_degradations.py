"""What is lost of an image: against NumPy, Pillow and SciPy, and on data that it does not fit."""

import numpy as np
import pytest
import torch
from PIL import Image

from genus.data import ArraySplit, DataSet, degradation, degrade, load_data
from genus.data.degradations import PARTS, USAGES, Blur, Downsample, Grayscale, Hide
from genus.data.degraded import degradation_of
from genus.errors import ConfigError, DataError, SpecError
from genus.spec import Batch, Spec

COLOUR = Spec((3, 6, 4), levels=256)
GREY = Spec((1, 9, 14), levels=256)
ALL = (Grayscale(), Downsample(2), Blur(0.8), *(Hide(part) for part in PARTS))


def images(spec, n=5, seed=0):
    return torch.randint(
        spec.levels, (n, *spec.shape), generator=torch.Generator().manual_seed(seed)
    )


def pillow_grey(x):
    """Return what Pillow makes of ``(B, 3, H, W)`` in its mode L, which is BT.601 as well."""
    pictures = x.byte().permute(0, 2, 3, 1).numpy()
    grey = [np.asarray(Image.fromarray(p).convert("L")) for p in pictures]
    return torch.from_numpy(np.stack(grey)).unsqueeze(1).long()


def test_grey_is_what_pillow_makes_of_colours():
    x = images(COLOUR)
    assert (Grayscale()(x, COLOUR) - pillow_grey(x)).abs().max() <= 1
    swapped = Grayscale()(x.flip(1), COLOUR)  # blue for red: the oracle must notice
    assert (swapped - pillow_grey(x)).abs().max() > 10


def test_a_smaller_image_holds_the_means_of_blocks():
    x = images(COLOUR)
    mean = x.numpy().reshape(5, 3, 3, 2, 2, 2).mean((3, 5))
    found = Downsample(2)(x, COLOUR)
    assert np.array_equal(found.numpy(), np.floor(mean + 0.5))
    assert not np.array_equal(found.numpy(), x.numpy()[:, :, ::2, ::2])


@pytest.mark.parametrize("sigma", [0.3, 1.0, 2.5])
def test_a_blur_is_the_gaussian_of_scipy(sigma):
    ndimage = pytest.importorskip("scipy.ndimage")
    x = images(GREY)
    wanted = ndimage.gaussian_filter(
        x.numpy().astype(float), (0, 0, sigma, sigma), mode="mirror", truncate=4.0
    )
    found = Blur(sigma)(x, GREY).numpy()
    assert np.abs(found - wanted).max() < 0.51
    other = ndimage.gaussian_filter(
        x.numpy().astype(float), (0, 0, sigma, sigma), mode="constant", truncate=4.0
    )
    assert sigma < 0.5 or np.abs(found - other).max() > 5  # so the border is held to it as well


def test_a_blur_keeps_what_is_even_and_works_on_one_pixel():
    for shape in ((1, 5, 4), (2, 1, 1), (1, 1, 7)):
        spec = Spec(shape, levels=256)
        x = torch.full((2, *shape), 201)
        assert torch.equal(Blur(3.0)(x, spec), x)


@pytest.mark.parametrize(
    ("part", "rows", "columns"),
    [
        ("upper", range(4), range(14)),
        ("lower", range(4, 9), range(14)),
        ("left", range(9), range(7)),
        ("right", range(9), range(7, 14)),
        ("centre", range(2, 7), range(3, 11)),
    ],
)
def test_a_hidden_part_is_the_middle_level_and_the_rest_is_as_it_was(part, rows, columns):
    x = images(GREY)
    y = Hide(part)(x, GREY)
    for i in range(9):
        for j in range(14):
            hidden = i in rows and j in columns
            assert torch.equal(y[..., i, j], torch.full((5, 1), 127) if hidden else x[..., i, j])


@pytest.mark.parametrize("change", ALL, ids=str)
def test_each_gives_levels_of_the_shape_that_it_says_whatever_the_batch(change):
    x = images(COLOUR)
    shape = change.shape(COLOUR)
    y = change(x, COLOUR)
    Spec(shape, levels=256).check(y)
    before = x.clone()
    assert torch.equal(change(x[2:3], COLOUR), y[2:3])
    assert torch.equal(x, before)
    assert degradation(str(change)) == change


def test_binary_images_stay_binary():
    spec = Spec((3, 6, 4), levels=2)
    for change in ALL:
        Spec(change.shape(spec), levels=2).check(change(images(spec), spec))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("downsmple:2", r"no degradation 'downsmple:2'.*hide:upper\|lower.*"),
        ("downsample", "is written downsample:FACTOR"),
        ("grayscale:2", "is written grayscale"),
        ("downsample:two", "'two' is no whole number"),
        ("downsample:1.5", "'1.5' is no whole number"),
        ("downsample:1", "at least 2"),
        ("blur:x", "'x' is no number"),
        ("blur:0", "between 0.1 and 100"),
        ("blur:nan", "between 0.1 and 100"),
        ("hide:middle", "upper, lower, left, right, centre"),
    ],
)
def test_what_cannot_be_read_says_what_can(text, words):
    with pytest.raises(ConfigError, match=words):
        degradation(text)


def test_an_unknown_name_lists_every_degradation():
    with pytest.raises(ConfigError) as caught:
        degradation("sharpen")
    assert all(usage in str(caught.value) for usage in USAGES)


@pytest.mark.parametrize(
    ("change", "spec", "words"),
    [
        (Grayscale(), GREY, "3 colours, and these have 1"),
        (Downsample(2), GREY, "does not divide the sides of 9x14; bring them to another --size"),
        (Downsample(4), Spec((1, 6, 12), levels=2), "take a factor of 2, 3, 6"),
        (Blur(1), Spec((5,), levels=3), "images of levels"),
        (Hide("upper"), Spec((1, 4, 4)), "images of levels"),
        (Hide("upper"), Spec((1, 1, 4), levels=2), "hides nothing"),
        (Hide("lower"), Spec((1, 1, 4), levels=2), "hides everything"),
    ],
)
def test_data_that_do_not_fit_are_refused(change, spec, words):
    with pytest.raises(DataError, match=words):
        change.shape(spec)


def test_every_look_at_degraded_data_gives_the_pair_and_no_label():
    plain, data = load_data("digits"), load_data("digits", given="Downsample:2")
    assert data.spec == Spec((1, 8, 8), levels=17, condition=(1, 4, 4))
    assert data.name == "digits:downsample:2"
    assert data.labels == ()
    rows = torch.tensor([3, 0, 7])
    for name in ("train", "valid", "test"):
        batch, x = data.split(name).batch(rows), plain.split(name).batch(rows).x
        assert torch.equal(batch.x, x)
        assert torch.equal(batch.y, Downsample(2)(x, plain.spec))
    assert degradation_of(data.test) == Downsample(2)
    assert degradation_of(plain.test) is None


def test_the_digest_says_which_data_and_which_degradation():
    plain = load_data("digits")
    digests = [plain.digest, *(degrade(plain, a).digest for a in (Downsample(2), Blur(1), Blur(2)))]
    assert len(set(digests)) == 4
    assert all(digest.startswith("sha256:") and len(digest) == 71 for digest in digests)
    other = DataSet("digits", plain.spec, plain.splits, "sha256:" + "0" * 64)
    assert degrade(other, Blur(1)).digest != degrade(plain, Blur(1)).digest


def test_the_source_of_degraded_data_loads_them_again():
    data = load_data("digits", given="blur:0.75")
    again = load_data(**data.source)
    assert (again.digest, again.name, again.spec) == (data.digest, data.name, data.spec)


def test_what_cannot_be_degraded_is_refused_with_all_reasons():
    with pytest.raises(DataError, match="degraded already"):
        degrade(load_data("digits", given="downsample:2"), Downsample(2))
    with pytest.raises(DataError, match="drops all labels"):
        load_data("digits", given="downsample:2", labelled=50)
    with pytest.raises(ConfigError, match="choose from"):
        load_data("no-such-data", given="sharpen")  # said before anything is read
    known = np.ones((4, 1, 3, 3), bool)
    known[0, 0, 0, 0] = False
    split = ArraySplit(np.zeros((4, 1, 3, 3), int), known=known)
    holed = DataSet("holed", Spec((1, 3, 3), levels=2), {"train": split}, "sha256:0")
    with pytest.raises(DataError) as caught:
        degrade(holed, Downsample(2))
    assert "1 of 36 cells" in str(caught.value)
    assert "does not divide" in str(caught.value)


def test_a_batch_moves_and_is_cut_with_its_conditions():
    y = torch.arange(8).view(2, 1, 2, 2)
    batch = Batch(torch.zeros(2, 1, 4, 4), y)
    assert torch.equal(batch[slice(1, 2)].y, y[1:])


@pytest.mark.parametrize(
    ("y", "words"),
    [
        (torch.zeros(2, 1, 4, 4, dtype=torch.long), "images of shape"),
        (torch.zeros(3, dtype=torch.long), "images of shape"),
        (torch.zeros(3, 1, 4, 4), "quantise first"),
        (torch.full((3, 1, 4, 4), 17), "outside 0..16"),
    ],
)
def test_conditions_are_checked(y, words):
    spec = Spec((1, 8, 8), levels=17, condition=(1, 4, 4))
    with pytest.raises(SpecError, match=words):
        spec.check_condition(y, 3)
    good = torch.full((3, 1, 4, 4), 16)
    assert spec.check_condition(good, 3) is good
