"""Changes of images: what they do, and that they are shared fairly and leave gradients alone."""

import torch

from genus.nn.augment import CHANGES, augmented, brightened, cut, moved
from genus.random import BatchNoise


def images(n=6, size=(16, 24)):
    return torch.randn(n, 3, *size, generator=torch.Generator().manual_seed(0))


def test_images_move_by_whole_pixels_and_their_edges_are_drawn_out():
    x = images(1)
    assert torch.equal(moved(x, torch.full((1, 3), 0.5)), x)
    out = moved(x, torch.tensor([[0.999, 0.0, 0.0]]))  # two rows down, three columns to the left
    assert torch.equal(out[..., 2:, :-3], x[..., :-2, 3:])
    assert torch.equal(out[..., 0, :-3], x[..., 0, 3:])
    assert torch.equal(out[..., 2:, -1], x[..., :-2, -1])


def test_all_shifts_are_equally_likely():
    x = torch.arange(16.0).expand(20_000, 1, 16, 16)
    u = torch.rand(20_000, 3, generator=torch.Generator().manual_seed(1))
    shift = 8 - moved(x, u)[:, 0, 0, 8]
    counts = torch.stack([(shift == s).sum() for s in (-2, -1, 0, 1, 2)])
    assert counts.sum() == 20_000
    assert (counts - 4000).abs().max() < 300


def test_a_square_is_cut_out_wherever_its_centre_falls():
    x = torch.ones(1, 1, 8, 8)
    middle = cut(x, torch.full((1, 3), 0.5))
    assert middle.sum() == 64 - 16
    assert middle[..., 2:6, 2:6].abs().max() == 0
    assert cut(x, torch.zeros(1, 3)).sum() == 64 - 4  # a corner, of which a quarter is inside


def test_light_is_added_to_all_pixels_alike():
    x = images()
    u = torch.rand(6, 3, generator=torch.Generator().manual_seed(2))
    out = brightened(x, u)
    slope = (out[:, :, 1] - out[:, :, 0]) / (x[:, :, 1] - x[:, :, 0])
    assert torch.allclose(slope, (0.5 + u[:, 1])[:, None, None].expand_as(slope), atol=1e-3)


def test_each_change_happens_as_often_as_it_should():
    n = 3000
    x = images(1).expand(n, -1, -1, -1)
    noise = BatchNoise(n, torch.Generator().manual_seed(3))
    same = (augmented(x, noise, 0.3) == x).flatten(1).all(1).float().mean()
    # Of 25 shifts one leaves an image where it is.
    assert abs(float(same) - 0.7 * 0.7 * (0.7 + 0.3 / 15)) < 0.03
    assert torch.equal(augmented(x, noise, 0.0), x)


def test_one_image_does_not_depend_on_the_others_and_gradients_pass():
    x = images().requires_grad_()
    u = torch.rand(6, 3, generator=torch.Generator().manual_seed(4))
    for change in CHANGES:
        alone = torch.cat([change(x[i : i + 1], u[i : i + 1]) for i in range(6)])
        assert torch.allclose(alone, change(x, u), atol=1e-6)
        (gradient,) = torch.autograd.grad(change(x, u).sum(), x)
        assert gradient.abs().sum() > 0
