"""Maps of latents, held against scikit-learn and against models whose latents are known."""

from __future__ import annotations

import numpy as np
import picture_toys as toys
import pytest
import torch
from matplotlib.colors import to_rgb
from scipy.stats import norm
from sklearn.decomposition import PCA

from genus import Spec, create, load_data
from genus.applications import extract_features, plot_latent_map
from genus.applications.codes import some_rows
from genus.applications.latent_grid import decoded_grid
from genus.applications.latent_map import plane_of
from genus.distributions import DiagonalGaussian
from genus.distributions.latent_mixture import LatentMixture
from genus.errors import ConfigError, DataError, SpecError


def scatter(picture):
    """Return where the points of a map lie, and their colours."""
    points = picture.figure.axes[0].collections[0]
    return np.asarray(points.get_offsets()), points.get_facecolors()[:, :3]


def test_components_are_those_of_scikit_learn():
    z = torch.randn(50, 6, generator=torch.Generator().manual_seed(0)) @ torch.diag(
        torch.tensor([3.0, 1.0, 0.5, 2.0, 0.1, 0.2])
    )
    plane, theirs = plane_of(z + 5), PCA(2).fit(z.numpy())
    np.testing.assert_allclose(plane.share, theirs.explained_variance_ratio_, rtol=1e-5)
    wanted = theirs.transform(z.numpy())
    sign = np.sign((plane.at_N2.numpy() * wanted).sum(0))
    np.testing.assert_allclose(plane.at_N2.numpy() * sign, wanted, atol=1e-4)
    weights = np.linalg.lstsq((z - z.mean(0)).numpy(), plane.at_N2.numpy(), rcond=None)[0]
    assert (np.abs(weights).max(0) == weights.max(0)).all()  # the sign is fixed


def test_two_latents_are_shown_as_they_are_with_the_colours_of_their_classes():
    data = toys.images(n=30)
    picture = plot_latent_map(toys.Plane(toys.TALL), data)
    at, colours = scatter(picture)
    x = data.test.x.reshape(30, 6)[:, :2].double().numpy()
    found = {(*place, *colour) for place, colour in zip(at, colours, strict=True)}
    wanted = {
        (*place, *to_rgb(f"C{row % 3}")) for row, place in enumerate(x)
    }  # the first colours of the usual cycle are those of tab10
    assert found == wanted
    legend = picture.figure.axes[0].get_legend()
    names = [text.get_text() for text in legend.get_texts()]
    assert names == ["under_score", " _hidden", r"for \$5 or \$9"]
    for handle, index in zip(legend.legend_handles, range(3), strict=True):
        assert to_rgb(handle.get_color()) == to_rgb(f"C{index}")
    assert picture.facts["axes"] == "latents"
    share = x.var(0) / x.var(0).sum()
    np.testing.assert_allclose(picture.facts["explained_variance"], share)


def test_the_grid_runs_to_the_right_and_upwards_over_the_quantiles_of_the_prior():
    grid = decoded_grid(toys.Plane(toys.TALL), torch.zeros(2, 2), points=5)
    wanted = norm.ppf(np.linspace(0.025, 0.975, 5))
    np.testing.assert_allclose(grid.at_2G, [wanted, wanted], atol=1e-9)
    tiles = grid.x.view(5, 5, 6)
    np.testing.assert_allclose(tiles[..., 0], np.tile(wanted, (5, 1)), atol=1e-6)
    np.testing.assert_allclose(tiles[..., 5], np.tile(wanted[::-1, None], (1, 5)), atol=1e-6)
    picture = plot_latent_map(toys.Plane(toys.TALL), toys.images())
    axis = picture.figure.axes[1]
    across = [t.get_text() for t in axis.get_xticklabels()]
    up = [t.get_text() for t in axis.get_yticklabels()]
    assert across == up[::-1]
    assert (across[0], across[2], across[-1]) == ("-1.96", "0.00", "1.96")
    assert list(axis.get_yticks()) == sorted(axis.get_yticks())  # rows are counted downwards


def test_quantiles_of_another_prior_are_told_from_its_draws():
    model = toys.Plane(toys.TALL)
    law = LatentMixture(
        torch.tensor([0.0, 0.0]),
        torch.tensor([[-3.0, 0.0], [3.0, 10.0]]),
        torch.full((2, 2), -1.0),
    )
    model.prior = lambda: law
    grid = decoded_grid(model, torch.zeros(2, 2), points=3)
    assert grid.of == "the prior"
    low = 3 - np.exp(-1) * norm.ppf(0.05)
    np.testing.assert_allclose(grid.at_2G[0, [0, 2]], [-low, low], atol=0.05)
    np.testing.assert_allclose(grid.at_2G[1, 2], 10 + np.exp(-1) * norm.ppf(0.95), atol=0.05)
    model.prior = lambda: DiagonalGaussian(torch.ones(1, 2), torch.zeros(1, 2))
    assert decoded_grid(model, torch.zeros(2, 2), points=3).at_2G[0, 1] == pytest.approx(
        1, abs=0.05
    )


def test_without_a_prior_the_grid_follows_the_examples():
    model = create("autoencoder", toys.TALL, latents=2, hidden=8)
    z = torch.arange(101.0)[:, None] * torch.tensor([1.0, -2.0])
    grid = decoded_grid(model, z, points=3)
    assert grid.of == "the centres"
    np.testing.assert_allclose(grid.at_2G, [[2.5, 50, 97.5], [-195, -100, -5]])


def test_a_class_conditional_grid_says_its_class():
    spec = Spec(toys.TALL.shape, toys.TALL.levels, 3)
    model = create("vae", spec, latents=2, hidden=8)
    picture = plot_latent_map(model, toys.images())
    title = picture.figure.axes[1].get_title(loc="left")
    assert title == "decoded, at quantiles of the prior, as class under_score"
    with pytest.raises(SpecError, match="the data have no labels"):
        plot_latent_map(model, toys.images(labels=False))


def test_more_latents_and_data_of_any_kind_have_a_map():
    data = load_data("wine")
    picture = plot_latent_map(create("vae", data.spec.unconditional(), latents=4, hidden=8), data)
    assert len(picture.figure.axes) == 1
    title = picture.figure.axes[0].get_title(loc="left")
    assert title == "two principal components of 4 latents of vae: wine, test"
    assert picture.facts["examples"] == 36
    first = picture.facts["explained_variance"][0]
    assert picture.figure.axes[0].get_xlabel() == f"component 1 ({first:.1%} of the variance)"
    two = plot_latent_map(create("vae", data.spec.unconditional(), latents=2, hidden=8), data)
    assert len(two.figure.axes) == 1  # vectors have no decoded grid


def test_models_that_do_not_encode_are_shown_by_their_features():
    data = load_data("digits")
    model = create("made", data.spec.unconditional(), hidden=16)
    rows = torch.arange(40)
    picture = plot_latent_map(model, data, rows=rows)
    assert picture.facts["of"] == "features"
    wanted = plane_of(torch.from_numpy(extract_features(model, data.test, rows=rows).x))
    np.testing.assert_allclose(scatter(picture)[0], wanted.at_N2)


def test_data_without_labels_have_one_colour_and_no_legend():
    picture = plot_latent_map(toys.Plane(toys.TALL), toys.images(labels=False))
    assert picture.figure.axes[0].get_legend() is None
    assert len(np.unique(scatter(picture)[1], axis=0)) == 1


def test_many_classes_have_a_scale_instead_of_names():
    spec = Spec((2,), None, 26)
    x, y = np.random.default_rng(0).normal(size=(52, 2)), np.arange(52) % 26
    data = toys.DataSet("letters", spec, {"test": toys.ArraySplit(x, y)}, "sha256:0")
    picture = plot_latent_map(create("vae", spec.unconditional(), latents=2, hidden=8), data)
    assert picture.figure.axes[0].get_legend() is None
    assert picture.figure.axes[1].get_ylabel() == "class"
    assert picture.png()


def test_rows_are_chosen_at_random_and_not_in_the_order_of_the_file():
    """Test rows of published sets are sorted by class, and the last would hide the others."""
    data = toys.images(n=100)
    picture = plot_latent_map(toys.Plane(toys.TALL), data, n=50)
    assert picture.facts["examples"] == 50
    rows = some_rows(data.test, 50, seed=0).tolist()
    assert len(set(rows)) == 50
    assert rows != sorted(rows)
    wanted = [to_rgb(f"C{row % 3}") for row in rows]
    np.testing.assert_array_equal(scatter(picture)[1], np.array(wanted))
    first, again = (plot_latent_map(toys.Plane(toys.TALL), data, n=50).png() for _ in range(2))
    assert first == again


def test_what_has_no_map():
    data = toys.images()
    one = create("vae", toys.TALL, latents=1, hidden=8)
    with pytest.raises(ConfigError, match="two latents or more, and the model has one"):
        plot_latent_map(one, data)
    with pytest.raises(DataError, match="two examples or more"):
        plot_latent_map(toys.Plane(toys.TALL), data, n=1)
    with pytest.raises(ConfigError, match="neither encodes nor has features"):
        plot_latent_map(toys.Restorer(toys.TALL), data)
    still = plane_of(torch.ones(4, 3))
    assert still.share == (0.0, 0.0)
