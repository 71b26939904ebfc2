"""Diagonal BiLSTM against the equations of the paper, written pixel by pixel."""

import pytest
import torch
from torch import Tensor

from genus.nn.causal import colour_groups
from genus.nn.cursor import Cursor
from genus.nn.diagonal_lstm import DiagonalLSTM
from genus.nn.skewed import skew

SHAPES = [(4, 6), (6, 4), (3, 3), (1, 5), (5, 1), (1, 1), (2, 7)]


def made(inputs: int = 3, features: int = 5, colours: int = 1, seed: int = 0) -> DiagonalLSTM:
    """A layer in float64 with nothing left at zero."""
    torch.manual_seed(seed)
    layer = DiagonalLSTM(inputs, features, colours=colours).double()
    torch.nn.init.normal_(layer.initial)
    return layer


def half(layer: DiagonalLSTM, direction: int, x: Tensor) -> Tensor:
    """The states of one direction, from the left, one pixel after another."""
    Fs = layer.features
    assert layer.input_to_state.bias is not None
    k_is = layer.input_to_state.causal_weight()[:, :, 0, 0].chunk(2)[direction]
    bias = layer.input_to_state.bias.chunk(2)[direction]
    k_above, k_beside = layer.state_to_state[direction].chunk(2)
    B, _, H, W = x.shape
    outside_h, outside_c = (s.expand(B, Fs) for s in layer.initial[direction])
    h: dict[tuple[int, int], Tensor] = {}
    c: dict[tuple[int, int], Tensor] = {}
    for row in range(H):
        for column in range(W):
            above = h.get((row - 1, column), outside_h)
            beside = h.get((row, column - 1), outside_h)
            gates = x[:, :, row, column] @ k_is.T + bias + above @ k_above + beside @ k_beside
            o, f, i, g = gates.chunk(4, 1)
            before = c.get((row, column - 1), outside_c)
            c[row, column] = f.sigmoid() * before + i.sigmoid() * g.tanh()
            h[row, column] = o.sigmoid() * c[row, column].tanh()
    rows = [torch.stack([h[row, column] for column in range(W)], -1) for row in range(H)]
    return torch.stack(rows, 2)


def plain(layer: DiagonalLSTM, x: Tensor) -> Tensor:
    """Both halves: the second in the mirror, shifted down by one row."""
    right = half(layer, 1, x.flip(3)).flip(3)
    shifted = torch.cat([torch.zeros_like(right[:, :, :1]), right[:, :, :-1]], 2)
    return half(layer, 0, x) + shifted


@pytest.mark.parametrize("shape", SHAPES)
def test_it_is_the_recurrence_of_the_paper(shape: tuple[int, int]) -> None:
    layer = made()
    x = torch.randn(2, 3, *shape, dtype=torch.float64)
    torch.testing.assert_close(layer(x), plain(layer, x), rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", SHAPES)
def test_its_own_backward_pass_is_that_of_the_equations(shape: tuple[int, int]) -> None:
    layer = made(seed=1)
    x = torch.randn(2, 3, *shape, dtype=torch.float64, requires_grad=True)
    asked = torch.randn(2, layer.features, *shape, dtype=torch.float64)
    wanted = [x, *layer.parameters()]
    found, expected = (
        torch.autograd.grad((way(x) * asked).sum(), wanted)
        for way in (layer, lambda v: plain(layer, v))
    )
    for mine, theirs in zip(found, expected, strict=True):
        assert mine.abs().max() > 0
        torch.testing.assert_close(mine, theirs, rtol=0, atol=1e-11)


def test_gradients_agree_with_difference_quotients() -> None:
    layer = made(2, 3)
    x = torch.randn(2, 2, 3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(layer, (x,))


def test_two_uses_of_one_layer_add_their_gradients() -> None:
    layer = made()
    x = torch.randn(1, 3, 3, 4, dtype=torch.float64)
    once = torch.autograd.grad(layer(x).sum(), layer.state_to_state)[0]
    twice = torch.autograd.grad((layer(x) + layer(x)).sum(), layer.state_to_state)[0]
    torch.testing.assert_close(twice, 2 * once)


@pytest.mark.parametrize("shape", SHAPES)
def test_one_pixel_at_a_time_equals_the_whole_map(shape: tuple[int, int]) -> None:
    layer, (H, W) = made(), shape
    x = torch.randn(2, 3, H, W, dtype=torch.float64)
    whole, cursor = layer(x), Cursor(H, W)
    with torch.no_grad():
        for r in range(H):
            for c in range(W):
                for value in (torch.randn(2, 3, 1, 1).double(), x[:, :, r : r + 1, c : c + 1]):
                    pixel = layer(value, cursor)  # the last visit to a pixel counts
                torch.testing.assert_close(pixel[:, :, 0, 0], whole[:, :, r, c], rtol=0, atol=1e-12)
                cursor.advance()


def test_a_stream_can_be_rearranged_anywhere() -> None:
    layer, (H, W) = made(), (3, 4)
    x = torch.randn(2, 3, H, W, dtype=torch.float64)
    for at in range(1, H * W):
        cursor, order = Cursor(H, W), torch.tensor([1, 1, 0])
        mixed = x[order].clone()
        whole = layer(mixed)
        with torch.no_grad():
            for position in range(H * W):
                r, c = divmod(position, W)
                if position == at:
                    cursor.select(order)
                batch = x if position < at else mixed
                pixel = layer(batch[:, :, r : r + 1, c : c + 1], cursor)
                if position >= at:
                    torch.testing.assert_close(pixel[:, :, 0, 0], whole[:, :, r, c])
                cursor.advance()


def test_every_gate_of_both_directions_has_its_own_colour_groups() -> None:
    layer = made(inputs=6, features=7, colours=3)  # not divisible, as in a careless configuration
    assert layer.input_to_state.mask is not None
    inputs, outputs = colour_groups(6, 3), colour_groups(7, 3)
    allowed = inputs[None, :] <= outputs[:, None]
    for gate in layer.input_to_state.mask.view(8, 7, 6):
        assert torch.equal(gate.bool(), allowed)


def test_the_forget_gates_start_open() -> None:
    layer = DiagonalLSTM(4, 50)
    assert layer.input_to_state.bias is not None
    mean = layer.input_to_state.bias.view(2, 4, 50).mean(2)
    assert ((mean - torch.tensor([0.0, 1.0, 0.0, 0.0])).abs() < 0.3).all()


@pytest.mark.parametrize("batch", [0, 1])
def test_small_batches(batch: int) -> None:
    layer = made()
    x = torch.randn(batch, 3, 3, 4, dtype=torch.float64)
    assert layer(x).shape == (batch, 5, 3, 4)
    layer(x).sum().backward()


def test_the_geometry_names_every_pixel_once() -> None:
    for height, width in SHAPES:
        geometry = skew(height, width, torch.device("cpu"))
        assert len(geometry.diagonals) == height + width - 1
        for pixel_N, place_N in zip(geometry.pixel_DN, geometry.place_DN, strict=True):
            assert sorted(pixel_N.tolist()) == list(range(height * width))
            places = sorted([*place_N.tolist(), *geometry.outside.tolist()])
            assert places == list(range(len(places)))


def test_bfloat16_outside_gives_nearly_the_same() -> None:
    layer = made().float()
    x = torch.randn(2, 3, 6, 5)
    with torch.autocast("cpu", torch.bfloat16):
        rough = layer(x)
        rough.float().square().sum().backward()
    torch.testing.assert_close(rough.float(), layer(x), rtol=0.1, atol=0.05)
    assert layer.state_to_state.grad is not None
    assert layer.state_to_state.grad.dtype == torch.float32
