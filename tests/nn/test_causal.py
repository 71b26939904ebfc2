"""Causal layers: masks that stay out of the way, gates against colour groups, two ways to run."""

import pytest
import torch

from genus.nn import CausalConv2d, Cursor, RowLSTM
from genus.nn.causal import causal_mask, colour_groups


def test_masked_weights_are_zero_and_get_no_gradient() -> None:
    layer = CausalConv2d("A", 6, 12, (5, 5), colours=3)
    layer(torch.randn(2, 6, 4, 5)).square().sum().backward()
    assert layer.mask is not None
    masked = layer.mask == 0
    assert masked.any()
    assert layer.weight.grad is not None
    assert layer.weight.grad[masked].abs().max() == 0
    assert layer.weight[masked].abs().max() == 0


def test_a_seen_kernel_is_not_multiplied() -> None:
    assert CausalConv2d("B", 4, 4, (1, 1), colours=1).mask is None


def test_mask_a_and_b_differ_in_the_own_colour_only() -> None:
    a = causal_mask("A", 3, 3, 2, 3, 3)
    b = causal_mask("B", 3, 3, 2, 3, 3)
    centre = (b - a)[:, :, -1, 1]
    assert torch.equal(centre, torch.eye(3))
    assert (b - a).sum() == 3


def test_every_gate_has_its_own_colour_groups() -> None:
    """Groups laid out over all gates at once would let a pixel's own value through."""
    features, colours = 7, 3  # not divisible, as in a careless configuration
    layer = CausalConv2d("B", 6, 4 * features, (1, 1), colours=colours, gates=4)
    assert layer.mask is not None
    gates = layer.mask.view(4, features, 6, 1, 1)
    groups_in, groups_out = colour_groups(6, colours), colour_groups(features, colours)
    allowed = groups_in[None, :] <= groups_out[:, None]
    for gate in gates:
        assert torch.equal(gate[:, :, 0, 0].bool(), allowed)


@pytest.mark.parametrize("shape", [(4, 6), (6, 4), (1, 5), (5, 1)])
@pytest.mark.parametrize("layer", ["conv", "lstm"])
def test_one_pixel_at_a_time_equals_the_whole_map(layer: str, shape: tuple[int, int]) -> None:
    torch.manual_seed(0)
    H, W = shape
    if layer == "conv":
        network = CausalConv2d("B", 3, 5, (5, 3), colours=1).double()
    else:
        network = RowLSTM(3, 5, 5).double()
        torch.nn.init.normal_(network.initial)
    x = torch.randn(2, 3, H, W, dtype=torch.float64)
    whole = network(x)
    cursor = Cursor(H, W)
    for r in range(H):
        for c in range(W):
            pixel = network(x[:, :, r : r + 1, c : c + 1], cursor)
            torch.testing.assert_close(pixel[:, :, 0, 0], whole[:, :, r, c], rtol=0, atol=1e-12)
            cursor.advance()


def test_row_lstm_is_the_recurrence_of_the_paper() -> None:
    """Against the equations written with plain convolutions, row by row."""
    torch.manual_seed(1)
    layer = RowLSTM(2, 3, 3).double()
    torch.nn.init.normal_(layer.initial)
    x = torch.randn(1, 2, 4, 5, dtype=torch.float64)
    k_is = layer.input_to_state.causal_weight()[:, :, 0]  # (4F, I, S)
    k_ss = layer.state_to_state.weight.view(12, 3, 3).permute(0, 2, 1)  # (4F, F, S)
    h, c = (s[None, :, None].expand(1, 3, 5) for s in layer.initial)
    rows = []
    for i in range(4):
        gates = torch.nn.functional.conv1d(x[:, :, i], k_is, layer.input_to_state.bias, padding=1)
        gates = gates + torch.nn.functional.conv1d(h, k_ss, padding=1)
        o, f, n, g = gates.chunk(4, 1)
        c = f.sigmoid() * c + n.sigmoid() * g.tanh()
        h = o.sigmoid() * c.tanh()
        rows.append(h)
    torch.testing.assert_close(layer(x), torch.stack(rows, 2))
