"""Pictures of latents, held against models whose every pixel is known."""

from __future__ import annotations

import io
import json
from math import nan

import numpy as np
import picture_toys as toys
import pytest
import torch
from PIL import Image
from scipy.spatial import geometric_slerp

from genus import Spec, create, load_data
from genus.applications import plot_interpolation, plot_reconstructions, plot_traversal
from genus.applications.interpolation import between
from genus.errors import ConfigError, DataError, SpecError, TrainingError

SCALE = 16
"""An image of 3 x 2 is shown 16 times as large, the most that stays within 48 pixels."""


def labels(axis, which):
    return [tick.get_text() for tick in getattr(axis, f"get_{which}ticklabels")()]


def test_every_example_stands_above_its_reconstruction():
    data = toys.images(n=40)
    rows = torch.arange(20)
    picture = plot_reconstructions(toys.Negative(toys.TALL), data, rows=rows)
    tiles = toys.cut(picture, 3, 2, SCALE)
    x = data.test.batch(rows).x[:, 0].numpy()
    assert tiles.shape[:2] == (4, 16)  # 16 and 4, two rows each
    np.testing.assert_array_equal(tiles[0], toys.grey(x[:16]))
    np.testing.assert_array_equal(tiles[1], toys.grey(8 - x[:16]))
    np.testing.assert_array_equal(tiles[2, :4], toys.grey(x[16:]))
    np.testing.assert_array_equal(tiles[3, :4], toys.grey(8 - x[16:]))
    assert (tiles[2:, 4:] == 255).all()
    assert labels(picture.figure.axes[0], "y") == ["example", "mean"] * 2
    nats = -np.abs(2 * x - 8).sum((1, 2))
    assert picture.facts["log_prob"] == pytest.approx(nats.mean())
    assert picture.facts["standard_error"] == pytest.approx(nats.std(ddof=1) / 20**0.5)
    assert picture.facts["rows"] == rows.tolist()


def test_one_reconstruction_has_no_standard_error():
    facts = plot_reconstructions(toys.Negative(toys.TALL), toys.images(), n=1).facts
    assert np.isnan(facts["standard_error"])


def test_a_model_that_restores_in_its_own_way_is_asked_that_way():
    picture = plot_reconstructions(toys.Restorer(toys.TALL), toys.images(), n=3)
    assert (toys.cut(picture, 3, 2, SCALE)[1] == toys.grey(2)).all()


def test_draws_are_draws_and_depend_on_the_seed():
    model, data = toys.Negative(toys.TALL), toys.images()
    shown = [
        toys.cut(plot_reconstructions(model, data, n=6, draw=True, seed=s), 3, 2, SCALE)
        for s in (0, 0, 1)
    ]
    np.testing.assert_array_equal(shown[0], shown[1])
    assert (shown[0] != shown[2]).any()
    original, restored = shown[0].astype(int)
    kept = np.abs(restored - (255 - original)) <= 1
    assert (kept | (restored == 0)).all()
    assert 0 < kept.mean() < 1
    picture = plot_reconstructions(model, data, n=6, draw=True)
    assert labels(picture.figure.axes[0], "y") == ["example", "drawn"]


def test_a_class_conditional_model_is_told_the_labels():
    spec = Spec(toys.TALL.shape, toys.TALL.levels, 3)
    model, data = toys.Negative(spec), toys.images()
    rows = torch.tensor([4, 2, 0])
    plot_reconstructions(model, data, rows=rows)
    assert model.seen.tolist() == model.decoded.tolist() == [1, 2, 0]
    with pytest.raises(SpecError, match="class-conditional, and the data have no labels"):
        plot_reconstructions(model, toys.images(labels=False))


def test_a_way_begins_and_ends_at_its_examples():
    data = toys.images()
    model = toys.Negative(toys.TALL)
    picture = plot_interpolation(model, data, rows=torch.tensor([3, 7, 2, 5]), steps=3)
    tiles = toys.cut(picture, 3, 2, SCALE)
    x = data.test.batch(torch.tensor([3, 7, 2, 5])).x[:, 0].numpy()
    for row, (first, last) in enumerate(((0, 1), (2, 3))):
        way = [x[first], 8 - x[first], 8 - (x[first] + x[last]) / 2, 8 - x[last], x[last]]
        np.testing.assert_array_equal(tiles[row], toys.grey(np.stack(way)))
    axis = picture.figure.axes[0]
    assert labels(axis, "y") == ["3 to 7", "2 to 5"]
    assert labels(axis, "x") == ["example", "0", "0.5", "1", "example"]
    facts = picture.facts
    assert (facts["route"], facts["latents"], facts["ends"]) == ("straight", 6, [[3, 7], [2, 5]])
    assert facts["distance"][0] == pytest.approx(np.linalg.norm(x[0] - x[1]))


def test_the_arc_is_that_of_scipy_and_keeps_the_length():
    generator = torch.Generator().manual_seed(0)
    a, b = torch.randn(2, 5, 7, generator=generator, dtype=torch.float64)
    a, b = a / a.norm(dim=1, keepdim=True), b / b.norm(dim=1, keepdim=True)
    t = torch.linspace(0, 1, 6, dtype=torch.float64)
    ours = between(a, b, t, "sphere")
    for row in range(5):
        theirs = geometric_slerp(a[row].numpy(), b[row].numpy(), t.numpy())
        np.testing.assert_allclose(ours[row], theirs, atol=1e-10)
    torch.testing.assert_close(ours.norm(dim=2), torch.ones(5, 6, dtype=torch.float64))
    assert (between(a, b, t, "straight").norm(dim=2)[:, 1:-1] < 0.999).all()


@pytest.mark.parametrize("last", [[0.0, 0.0], [2.0, 0.0], [-1.0, 0.0], [1.0, 1e-9]])
def test_without_an_arc_the_way_is_straight(last):
    a, b = torch.tensor([[1.0, 0.0]]), torch.tensor([last])
    t = torch.linspace(0, 1, 5)
    torch.testing.assert_close(between(a, b, t, "sphere"), between(a, b, t, "straight"))


def test_the_arc_is_for_a_standard_normal_of_many_latents():
    wide = Spec(shape=(1, 4, 3), levels=9)
    data = toys.images(spec=wide)

    def route(model, **more):
        return plot_interpolation(model, data, n=1, **more).facts["route"]

    assert route(toys.Normal(wide)) == "sphere"
    assert route(toys.Negative(wide)) == "straight"
    assert route(toys.Deviant(wide)) == "straight"
    assert route(toys.Negative(wide), route="sphere") == "sphere"
    assert route(toys.Normal(wide), route="straight") == "straight"
    few = toys.Normal(toys.TALL)
    assert plot_interpolation(few, toys.images(), n=1).facts["route"] == "straight"


def test_pairs_of_a_class_conditional_model_share_their_class():
    spec = Spec(toys.TALL.shape, toys.TALL.levels, 3)
    model, data = toys.Negative(spec), toys.images()
    ends = plot_interpolation(model, data, n=7, steps=2).facts["ends"]
    assert len(ends) == 7
    assert all(a % 3 == b % 3 and a != b for a, b in ends)
    assert model.seen.tolist() == [row % 3 for pair in ends for row in pair]
    assert model.decoded.tolist() == [a % 3 for a, _ in ends for _ in range(2)]
    with pytest.raises(ConfigError, match="rows 0 and 1 are of classes 0 and 1"):
        plot_interpolation(model, data, rows=torch.tensor([0, 1]))


def test_a_model_without_an_encoder_goes_between_draws_of_its_prior():
    data = toys.images()
    picture = plot_interpolation(toys.Drawn(toys.TALL), data, n=2, steps=4, seed=3)
    assert picture.facts["ends"] == "prior"
    assert toys.cut(picture, 3, 2, SCALE).shape[:2] == (2, 4)
    assert "draws of the prior" in picture.figure.axes[0].get_title(loc="left")
    with pytest.raises(ConfigError, match="does not encode"):
        plot_interpolation(toys.Drawn(toys.TALL), data, rows=torch.tensor([0, 1]))
    conditional = toys.Drawn(Spec(toys.TALL.shape, toys.TALL.levels, 3))
    picture = plot_interpolation(conditional, data, n=4, steps=2)
    assert conditional.decoded.tolist() == [0, 0, 1, 1, 2, 2, 0, 0]
    assert labels(picture.figure.axes[0], "y")[1] == "class _hidden"


def test_one_latent_is_moved_at_a_time_and_the_most_active_first():
    data = toys.images(n=30)
    x = data.test.x.clone()
    x[:, 0, 2, 0], x[:, 0, 0, 1] = x[:, 0, 2, 0] % 2 * 8, x[:, 0, 0, 1] % 2
    x[:, 0, 1, 0] = 4
    data.test.x.copy_(x)
    model = toys.Negative(toys.TALL)
    picture = plot_traversal(model, data, n=6, steps=3, rows=torch.tensor([11]))
    spread = x.reshape(30, 6).double().numpy().std(0)
    order = np.argsort(-spread, kind="stable")
    facts = picture.facts
    assert facts["latents"] == order.tolist()
    assert (order[0], order[-1]) == (4, 2)
    np.testing.assert_allclose(facts["deviation"], spread[order], rtol=1e-6)
    assert (facts["row"], facts["active"], facts["of"]) == (11, 5, 6)
    tiles = toys.cut(picture, 3, 2, SCALE)
    for row, latent in enumerate(order):
        for column, t in enumerate((-3, 0, 3)):
            z = x[11].double().flatten().numpy().copy()
            z[latent] += t * spread[latent]
            wanted = toys.grey(8 - z).reshape(3, 2)
            assert np.abs(tiles[row, column].astype(float) - wanted).max() <= 1, (row, column)
    axis = picture.figure.axes[0]
    assert labels(axis, "x") == ["-3σ", "0", "+3σ"]
    assert labels(axis, "y")[0] == f"z[4]  σ={spread[4]:.2g}"


def test_the_class_of_the_example_stays():
    model = toys.Negative(Spec(toys.TALL.shape, toys.TALL.levels, 3))
    plot_traversal(model, toys.images(), n=2, steps=3, rows=torch.tensor([4]))
    assert model.seen.tolist() == [1]
    assert model.decoded.tolist() == [1] * 6


def test_draws_along_a_way_share_their_noise():
    """What changes along a row is the latent: with a latent that does nothing, nothing changes."""
    data = toys.images(n=20)
    data.test.x[:] = 5
    for picture in (
        plot_traversal(toys.Negative(toys.TALL), data, n=2, steps=5, draw=True),
        plot_interpolation(toys.Negative(toys.TALL), data, n=2, steps=5, draw=True),
    ):
        tiles = toys.cut(picture, 3, 2, SCALE)
        assert (tiles[:, 2:5] == tiles[:, 1:4]).all()
        assert 0 < (tiles == 0).mean() < 1


def test_real_numbers_are_stretched_to_one_range():
    spec = Spec(shape=(1, 3, 2))
    data = toys.DataSet(
        "real", spec, {"test": toys.ArraySplit(np.random.default_rng(0).normal(size=(9, 1, 3, 2)))},
        "sha256:0",
    )  # fmt: skip

    class Same(toys.Negative):
        def decode(self, z, y=None):
            return toys.Law(z.view(-1, 1, 3, 2))

    tiles = toys.cut(plot_reconstructions(Same(spec), data, n=9), 3, 2, SCALE)
    np.testing.assert_array_equal(tiles[0], tiles[1])
    assert (tiles.min(), tiles.max()) == (0, 255)


def test_colours_stay_colours():
    spec = Spec(shape=(3, 2, 2), levels=2)
    x = np.zeros((4, 3, 2, 2), int)
    x[:, 1] = 1
    data = toys.DataSet("green", spec, {"test": toys.ArraySplit(x)}, "sha256:0")
    picture = plot_reconstructions(toys.Negative(spec), data, n=1)
    whole = np.asarray(picture.figure.axes[0].images[0].get_array())
    half = whole.shape[0] // 2
    assert whole[half // 2, half // 2].tolist() == [0, 255, 0]
    assert whole[half + half // 2, half // 2].tolist() == [255, 0, 255]


@pytest.mark.parametrize("draw", [plot_reconstructions, plot_interpolation, plot_traversal])
def test_the_same_seed_gives_the_same_file(draw):
    model, data = toys.Negative(toys.TALL), toys.images()
    first, again, other = (draw(model, data, seed=seed).png() for seed in (0, 0, 1))
    assert first == again
    assert first != other


@pytest.mark.parametrize("draw", [plot_reconstructions, plot_interpolation, plot_traversal])
def test_what_cannot_be_drawn_is_refused(draw):
    data = toys.images()
    model = toys.Negative(toys.TALL)
    with pytest.raises(ConfigError, match="row 24 is not there; the split has rows 0 to 23"):
        draw(model, data, rows=torch.tensor([24] if draw is plot_traversal else [24, 0]))
    with pytest.raises(DataError, match="no split 'tset'"):
        draw(model, data, split="tset")
    with pytest.raises(SpecError, match="the model is for shape"):
        draw(toys.Negative(Spec(shape=(1, 2, 2), levels=9)), data)
    vectors = load_data("wine")
    with pytest.raises(SpecError, match="are drawn as images, but the data are"):
        draw(create("vae", vectors.spec.unconditional(), hidden=8), vectors)
    with pytest.raises(ConfigError, match="vae"):
        draw(create("independent", data.spec.unconditional()), data)


def test_a_model_that_has_diverged_is_told_so():
    model = toys.Negative(toys.TALL)
    with torch.no_grad():
        model.weight.fill_(nan)
    with pytest.raises(TrainingError, match="latents of 24 of 24 examples are not finite"):
        plot_traversal(model, toys.images())


@pytest.mark.parametrize(
    ("draw", "more", "words"),
    [
        (plot_interpolation, {"steps": 1}, "steps=1 must be at least 2"),
        (plot_traversal, {"steps": 1}, "steps=1 must be at least 2"),
        (plot_interpolation, {"rows": torch.tensor([1, 2, 3])}, "3 rows make no pairs"),
        (plot_interpolation, {"rows": torch.tensor([], dtype=torch.long)}, "0 rows make no pairs"),
        (plot_traversal, {"rows": torch.tensor([1, 2])}, "begins at one example, and 2 rows"),
    ],
)
def test_arguments_out_of_range(draw, more, words):
    with pytest.raises(ConfigError, match=words):
        draw(toys.Negative(toys.TALL), toys.images(), **more)


def test_a_model_is_left_as_it_was():
    model = create("vae", toys.TALL, latents=2, hidden=8, dropout=0.5)
    model.train()
    state = {name: value.clone() for name, value in model.state_dict().items()}
    rng = torch.get_rng_state()
    first = plot_traversal(model, toys.images(), n=2).png()
    assert model.training
    assert all(torch.equal(value, state[name]) for name, value in model.state_dict().items())
    assert torch.equal(torch.get_rng_state(), rng)
    assert plot_traversal(model, toys.images(), n=2).png() == first  # no dropout


def test_a_file_carries_its_recipe_and_a_notebook_sees_the_picture(tmp_path):
    picture = plot_reconstructions(toys.Negative(toys.TALL), toys.images(), n=2)
    with Image.open(io.BytesIO(picture.png({"seed": 3}))) as image:
        assert json.loads(image.text["genus"]) == {"seed": 3}
        assert "Software" not in image.text
    assert picture._repr_png_() == picture.png()
    picture.save(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == picture.png()


def test_words_are_inside_the_file():
    """The canvas grows with its labels, so that none is cut off."""
    data = toys.images()
    narrow = plot_traversal(toys.Negative(toys.TALL), data, n=1, steps=2)
    with Image.open(io.BytesIO(narrow.png())) as image:
        pixels = np.asarray(image.convert("L"))
    edge = np.concatenate([pixels[:3].ravel(), pixels[-3:].ravel(), pixels[:, :3].ravel()])
    assert (edge == 255).all()
    assert (pixels[:, -3:] == 255).all()
    assert pixels.shape[1] > 2 * (2 * SCALE + 2)
