"""The search for latents, held against a linear model whose answer is known in closed form."""

import numpy as np
import picture_toys as toys
import pytest
import torch
from torch import nn

from genus import Spec, create, load_data
from genus.applications import SearchOptions, plot_projection, search_latents
from genus.applications.latent_search import AT_ONCE, _starts
from genus.distributions import DiagonalGaussian
from genus.distributions.point import Point
from genus.errors import ConfigError, SpecError
from genus.evaluation.nets import Scaler
from genus.families.base import Model

REAL = Spec(shape=(5,))
CAREFUL = SearchOptions(starts=4, steps=600, learning_rate=0.1, spread=0.5)


class Linear(Model):
    """Means are a linear map of two standard normal latents; a class shifts them."""

    name, family = "linear", "toy"

    def __init__(self, spec=REAL, config=None):
        super().__init__(spec, config)
        generator = torch.Generator().manual_seed(1)
        self.map_DE = nn.Parameter(torch.randn(spec.dims, 2, generator=generator))

    def decode(self, z, y=None):
        shift = 0.0 if y is None else y[:, None].to(z.dtype)
        return Point(z @ self.map_DE.T + 1 + shift)

    def prior(self):
        return DiagonalGaussian(torch.zeros(1, 2), torch.zeros(1, 2))

    def sample(self, n, *, y=None, generator=None, temperature=1.0):
        raise NotImplementedError


def unscaled(spec=REAL):
    return Scaler(spec, torch.zeros(spec.dims).double(), torch.ones(spec.dims).double())


def best(model, x, spread):
    """The posterior mean of a linear Gaussian model, which is its mode."""
    w = model.map_DE.detach().double()
    precision = w.T @ w / spread**2 + torch.eye(2, dtype=torch.float64)
    return torch.linalg.solve(precision, w.T @ (x.double() - 1).T / spread**2).T


def test_the_search_finds_the_mode_of_the_posterior():
    model, x = Linear(), 3 * torch.randn(7, 5, generator=torch.Generator().manual_seed(2))
    found = search_latents(model, x, scaler=unscaled(), options=CAREFUL)
    expected = best(model, x, CAREFUL.spread)
    torch.testing.assert_close(found.z_NE.double(), expected, atol=2e-3, rtol=0)
    mean = expected @ model.map_DE.detach().double().T + 1
    torch.testing.assert_close(found.mean.double(), mean, atol=1e-2, rtol=0)
    left = (mean - x).square().mean(1).sqrt()
    torch.testing.assert_close(found.residual_N.double(), left, atol=1e-2, rtol=0)
    # Without the prior another answer would be right, so that this test sees whether it counts.
    assert (expected - best(model, x, 1e-3)).abs().max() > 0.05


def test_an_example_is_searched_by_itself_and_parameters_are_left_alone():
    model, x = Linear(), torch.randn(AT_ONCE + 3, 5, generator=torch.Generator().manual_seed(2))
    options = SearchOptions(starts=3, steps=20)
    model.train()
    together = search_latents(model, x, scaler=unscaled(), options=options)
    assert model.training
    assert model.map_DE.grad is None
    for row in (0, AT_ONCE, AT_ONCE + 2):
        alone = search_latents(model, x[row : row + 1], scaler=unscaled(), options=options)
        torch.testing.assert_close(alone.z_NE[0], together.z_NE[row], atol=1e-4, rtol=0)
    again = search_latents(model, x, scaler=unscaled(), options=options)
    assert torch.equal(again.z_NE, together.z_NE)


def test_the_search_never_ends_worse_than_it_began():
    """Steps far too large are answered with the best that was passed."""
    wild = SearchOptions(starts=8, steps=15, learning_rate=50.0, spread=1e-3)
    found = search_latents(Linear(), torch.randn(6, 5), scaler=unscaled(), options=wild)
    assert bool((found.residual_N <= found.begun_N + 1e-6).all())
    none = search_latents(
        Linear(), torch.randn(6, 5), scaler=unscaled(), options=SearchOptions(steps=0)
    )
    assert torch.equal(none.residual_N, none.begun_N)


def test_examples_of_the_model_are_found_again_and_others_are_not():
    spec = Spec(shape=(1, 8, 8), levels=17)
    torch.manual_seed(0)
    model = create("gan", spec, latents=2, channels=4, hidden=16)
    with torch.no_grad():
        for parameter in model.generator.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    own = model.sample(4, generator=torch.Generator().manual_seed(5))
    other = torch.randint(17, own.shape, generator=torch.Generator().manual_seed(6))
    left = [search_latents(model, x).residual_N for x in (own, other)]
    assert left[0].max() < 0.08  # an example is rounded, so that a little is left
    assert left[1].min() > 2 * left[0].max()


def test_classes_are_told_and_must_be():
    model = Linear(Spec(shape=(5,), classes=3))
    x, y = torch.randn(2, 5), torch.tensor([0, 2])
    found = search_latents(model, x, y=y, scaler=unscaled(), options=CAREFUL)
    expected = best(model, x - y[:, None], CAREFUL.spread)
    torch.testing.assert_close(found.z_NE.double(), expected, atol=2e-3, rtol=0)
    with pytest.raises(SpecError, match="class-conditional"):
        search_latents(model, x, scaler=unscaled())
    with pytest.raises(SpecError, match="label"):
        search_latents(model, x, y=torch.tensor([0, 3]), scaler=unscaled())


def test_what_cannot_be_searched_is_refused():
    with pytest.raises(ConfigError, match="does not decode latents") as refused:
        search_latents(create("independent", REAL), torch.randn(2, 5))
    assert "vae" in str(refused.value)
    assert "pix2pix" not in str(refused.value)  # it makes images from images
    with pytest.raises(SpecError, match="no examples"):
        search_latents(Linear(), torch.randn(0, 5), scaler=unscaled())
    with pytest.raises(SpecError, match="NaN"):
        search_latents(Linear(), torch.full((2, 5), torch.nan), scaler=unscaled())
    with pytest.raises(ConfigError, match="spread"):
        SearchOptions(spread=0)
    with pytest.raises(ConfigError, match="steps=-1"):
        SearchOptions(steps=-1)
    pixels = create("vae", Spec(shape=(1, 2, 3), levels=2), hidden=8, decoder="pixelcnn")
    told = pixels.pixels.forward
    pixels.pixels.forward = lambda given: pytest.fail("walked") if len(given) > 1 else told(given)
    with pytest.raises(ConfigError, match="no slope"):
        search_latents(pixels, torch.zeros(2, 1, 2, 3, dtype=torch.long))
    with pytest.raises(SpecError, match="drawn as images"):
        plot_projection(Linear(load_data("wine").spec.unconditional()), load_data("wine"))


def test_the_picture_shows_example_nearest_and_difference():
    data, rows = toys.images(), torch.tensor([4, 1])
    search = SearchOptions(starts=2, steps=400, learning_rate=0.3, spread=0.01)
    picture = plot_projection(toys.Normal(toys.TALL), data, rows=rows, search=search)
    tiles = toys.cut(picture, 3, 2, 16)
    x = data.test.batch(rows).x[:, 0].numpy()
    np.testing.assert_array_equal(tiles[0], toys.grey(x))
    np.testing.assert_allclose(tiles[1].astype(float), toys.grey(x), atol=3)
    np.testing.assert_allclose(tiles[2].astype(float), 127.5, atol=3)
    assert picture.facts["rows"] == [4, 1]
    assert picture.facts["mean_residual"] < 0.01 < picture.facts["nearest_draw"]


def test_the_search_begins_where_the_model_is():
    """A device without memory: what is drawn elsewhere cannot meet its tensors."""
    model = create("gan", Spec((1, 4, 4), 2), latents=4, hidden=8).to("meta")
    assert _starts(model, SearchOptions(starts=3)).shape == (3, 4)
