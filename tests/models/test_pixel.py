"""What is special to PixelCNN and Row LSTM: which context they see, and how they sample."""

from functools import partial

import pytest
import torch
from autoregressive_checks import (
    assert_streamed_laws_equal_the_full_pass,
    context,
    draw_both_ways,
    examples,
    loud_model,
)

from genus import Spec, create

NAMES = ["pixelcnn", "row-lstm"]

loud = partial(loud_model, features=12, layers=4, hidden=12)


def test_pixelcnn_has_the_blind_spot_of_the_paper_and_no_other() -> None:
    """With 3x3 kernels the context grows one column to the right for each row up, no faster."""
    H, W = 6, 9
    seen = context(loud("pixelcnn", Spec(shape=(1, H, W), levels=3), kernel=3, layers=8))
    for r in range(H):
        for c in range(W):
            for rr in range(r + 1):
                for cc in range(W):
                    before = (rr, cc) < (r, c)
                    blind = cc - c > r - rr
                    assert seen[r * W + c, rr * W + cc] == (before and not blind), (r, c, rr, cc)


def test_row_lstm_sees_its_triangle() -> None:
    """One column wider for each row up; the first kernel and layers only extend it to the left."""
    H, W = 6, 9
    seen = context(loud("row-lstm", Spec(shape=(1, H, W), levels=3), kernel=3, layers=1))
    r, c = 5, 4
    for rr in range(r):
        for cc in range(W):
            expected = abs(cc - c) <= r - rr or cc < c - (r - rr)
            if cc - c > r - rr:
                assert not seen[r * W + c, rr * W + cc]
            elif abs(cc - c) <= r - rr:
                assert seen[r * W + c, rr * W + cc] == expected


@pytest.mark.parametrize("name", NAMES)
def test_colours_see_those_before_them_and_nothing_else(name: str) -> None:
    seen = context(loud(name, Spec(shape=(3, 2, 3), levels=4)))
    assert not seen.triu().any()
    for pixel in range(6):  # green sees red, blue sees red and green of its own pixel
        red, green, blue = (3 * pixel + i for i in range(3))
        assert seen[green, red]
        assert seen[blue, red]
        assert seen[blue, green]


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("shape", [(1, 5, 4), (3, 3, 5), (1, 1, 6), (1, 6, 1), (3, 1, 1)])
def test_streamed_laws_equal_the_full_pass(name: str, shape: tuple[int, int, int]) -> None:
    spec = Spec(shape=shape, levels=5, classes=2)
    assert_streamed_laws_equal_the_full_pass(loud(name, spec), *examples(spec))


@pytest.mark.parametrize("name", NAMES)
def test_both_samplers_draw_the_same_image_from_the_same_noise(name: str) -> None:
    assert torch.equal(*draw_both_ways(loud(name, Spec(shape=(3, 4, 3), levels=17)).float()))


@pytest.mark.parametrize("name", NAMES)
def test_completion_keeps_what_is_known_and_says_what_it_is(name: str) -> None:
    model = loud(name, Spec(shape=(1, 4, 4), levels=3))
    x = torch.randint(3, (2, 1, 4, 4), generator=torch.Generator().manual_seed(0))
    top = torch.zeros_like(x, dtype=torch.bool)
    top[:, :, :2] = True
    below = model.complete(x, top, generator=torch.Generator().manual_seed(0))
    assert below.exact
    assert torch.equal(below.x[top], x[top])
    entries = model.conditionals(below.x).log_prob(below.x)
    torch.testing.assert_close(below.log_prob, (entries * ~top).flatten(1).sum(1))
    above = model.complete(x, ~top, generator=torch.Generator().manual_seed(0), particles=8)
    assert not above.exact
    assert "sequential Monte Carlo, 8 particles" in above.method
    assert torch.equal(above.x[~top], x[~top])


@pytest.mark.parametrize("name", NAMES)
def test_low_temperature_draws_the_mode(name: str) -> None:
    model = loud(name, Spec(shape=(1, 3, 3), levels=4))
    cold = model.sample(2, temperature=1e-4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(model.conditionals(cold).logits.argmax(-1), cold)
    with pytest.raises(ValueError, match="temperature=0 must be"):
        model.sample(1, temperature=0)


@pytest.mark.parametrize("name", NAMES)
def test_it_needs_images_with_levels(name: str) -> None:
    with pytest.raises(ValueError, match=r"needs images \(C, H, W\) with levels"):
        create(name, Spec(shape=(13,)))
