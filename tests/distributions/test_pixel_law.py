"""The mixture over the colours of a pixel as a decoder's law, held against the sum over images."""

import itertools

import pytest
import torch

from genus.distributions.ordered import OrderedLaw
from genus.distributions.pixel_law import pixel_law
from genus.distributions.pixel_mixture import PixelMixture
from genus.spec import Spec

COLOUR = Spec(shape=(3, 2, 3), levels=5)
PIXEL = Spec(shape=(2, 1, 1), levels=3)


def some(spec, rows, same=False):
    """A mixture and what a decoder may say of each pixel, loudly."""
    mixture = PixelMixture("logistic", spec, 3)
    generator = torch.Generator().manual_seed(0)
    shape = (1 if same else rows, mixture.outputs, *spec.shape[1:])
    raw = torch.randn(*shape, generator=generator, dtype=torch.float64)
    return mixture, raw.expand(rows, -1, -1, -1)


def noise(spec, rows, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(rows, *spec.shape, generator=generator, dtype=torch.float64)


def every_pixel():
    return torch.tensor(list(itertools.product(range(3), repeat=2))).view(-1, 2, 1, 1)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_the_probabilities_of_all_pixels_sum_to_one(temperature):
    law = pixel_law(*some(PIXEL, 9, same=True)).tempered(temperature)
    assert law.log_prob(every_pixel()).flatten(1).sum(1).exp().sum().item() == pytest.approx(1)


@pytest.mark.parametrize("temperature", [1.0, 0.5])
def test_draws_follow_the_law(temperature):
    n = 20_000
    drawn = pixel_law(*some(PIXEL, n, same=True)).tempered(temperature).icdf(noise(PIXEL, n))
    counts = torch.bincount((drawn.flatten(1) * torch.tensor([3, 1])).sum(1), minlength=9)
    law = pixel_law(*some(PIXEL, 9, same=True)).tempered(temperature)
    p = law.log_prob(every_pixel()).flatten(1).sum(1).exp()
    assert ((counts - n * p).abs() / (n * p * (1 - p)).sqrt().clamp(min=1)).max() < 5


def test_the_colours_of_a_pixel_depend_on_each_other():
    law = pixel_law(*some(PIXEL, 9, same=True))
    table = law.log_prob(every_pixel()).flatten(1).sum(1).exp().view(3, 3)
    assert (table - table.sum(1, keepdim=True) * table.sum(0)).abs().max() > 0.02


def test_colours_at_once_fill_as_the_walk_over_all_entries_does():
    law, u = pixel_law(*some(COLOUR, 7)), noise(COLOUR, 7)
    known = noise(COLOUR, 7, seed=2) < 0.4
    x = torch.randint(5, u.shape, generator=torch.Generator().manual_seed(3))
    filled = law.fill(x, known, u)
    assert torch.equal(filled, OrderedLaw.fill(law, x, known, u))
    assert torch.equal(filled[known], x[known])
    assert not torch.equal(filled, law.fill(torch.zeros_like(x), known, u))


def test_the_walk_gives_the_whole_law_at_every_position():
    law = pixel_law(*some(COLOUR, 4))
    x = torch.randint(5, law.shape, generator=torch.Generator().manual_seed(0))
    whole, walk = law.log_prob(x).flatten(1), law.stream()
    rows = torch.tensor([2, 0, 3, 1])
    for position, index in enumerate(law.order):
        if position == 7:
            walk.select(rows)
            x, whole = x[rows], whole[rows]
        value = x.flatten(1)[:, index]
        assert (walk.next().log_prob(value) - whole[:, index]).abs().max() < 1e-9
        walk.push(value)


def test_pixels_do_not_depend_on_each_other():
    law = pixel_law(*some(COLOUR, 2))
    x = torch.zeros(law.shape, dtype=torch.long)
    other = x.clone()
    other[:, :, 0, 1] = 3
    moved = (law.log_prob(x) != law.log_prob(other)).any(0).any(0)
    assert moved.nonzero().tolist() == [[0, 1]]


def test_images_of_one_colour_have_a_mean_with_a_slope():
    mixture, raw = some(Spec(shape=(1, 2, 3), levels=5), 2)
    raw = raw.clone().requires_grad_()
    pixel_law(mixture, raw).mean.sum().backward()
    assert raw.grad.abs().sum() > 0
