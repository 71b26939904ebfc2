"""What is special to Gated PixelCNN: two stacks that together have no blind spot."""

from functools import partial

import pytest
import torch
import torch.nn.functional as F
from autoregressive_checks import (
    assert_a_rearranged_stream_goes_on,
    assert_streamed_laws_equal_the_full_pass,
    context,
    draw_both_ways,
    examples,
    loud_model,
)

from genus import Spec, create
from genus.models.gated_pixelcnn import GatedPixelCNN
from genus.nn.causal import CausalConv2d
from genus.nn.gates import tanh_gate

Pixel = tuple[int, int]


# Gates are flat far from zero: what enters them is kept from growing with the inputs of a unit.
loud = partial(
    loud_model, "gated-pixelcnn", by_inputs=True, features=10, layers=3, hidden=40, kernel=3
)


def reach(H: int, W: int, kernel: int, span: int, layers: int) -> torch.Tensor:
    """The context by the rules of the paper, followed from pixel to pixel without a network."""
    first, side = kernel // 2, span // 2
    pixels = [(r, c) for r in range(H) for c in range(W)]
    up: dict[Pixel, set[Pixel]] = {}
    left: dict[Pixel, set[Pixel]] = {}
    for r, c in pixels:
        up[r, c] = {p for p in pixels if r - first <= p[0] < r and abs(p[1] - c) <= first}
        left[r, c] = {p for p in pixels if p[0] == r and c - first <= p[1] < c}
    for _ in range(layers):
        up = {
            (r, c): set().union(
                *(up[p] for p in pixels if r - side <= p[0] <= r and abs(p[1] - c) <= side)
            )
            for r, c in pixels
        }
        left = {
            (r, c): up[r, c].union(
                *(left[p] for p in pixels if p[0] == r and c - side <= p[1] <= c)
            )
            for r, c in pixels
        }
    return torch.tensor([[q in left[p] for q in pixels] for p in pixels])


@pytest.mark.parametrize(
    ("shape", "kernel", "span", "layers"),
    [((6, 9), 3, 3, 1), ((6, 9), 3, 3, 2), ((5, 8), 5, 3, 1), ((7, 8), 3, 5, 1), ((9, 4), 5, 3, 2)],
)
def test_few_layers_see_what_the_paper_says(
    shape: Pixel, kernel: int, span: int, layers: int
) -> None:
    model = loud(Spec(shape=(1, *shape), levels=3), kernel=kernel, span=span, layers=layers)
    assert torch.equal(context(model), reach(*shape, kernel, span, layers))


@pytest.mark.parametrize("shape", [(1, 4, 6), (1, 6, 3), (3, 3, 4), (2, 4, 2)])
def test_deep_enough_it_sees_every_earlier_entry(shape: tuple[int, int, int]) -> None:
    """No blind spot, and every earlier colour of the own pixel; 10 features for 3 colours."""
    seen = context(loud(Spec(shape=shape, levels=3), layers=6))
    assert torch.equal(seen, torch.ones_like(seen).tril(-1))


def test_a_layer_is_the_equations_of_the_paper() -> None:
    """Against whole kernels with zeros in them, on an image shifted down by one row."""
    model = loud(Spec(shape=(1, 5, 6), levels=2, classes=3), layers=1, kernel=5, positions=False)
    u, y = torch.randn(2, 1, 5, 6, dtype=torch.float64), torch.tensor([2, 0])
    [layer] = model.layers
    rows = model.above.weight.shape[2]
    shifted = F.pad(u, (0, 0, 1, -1))
    kernel = F.pad(model.above.weight, (0, 0, 0, rows))[:, :, : 2 * rows - 1]
    v = F.conv2d(F.pad(shifted, (2, 2, rows - 1, rows - 1)), kernel, model.above.bias)
    kernel = F.pad(layer.vertical.weight, (0, 0, 0, 1))
    bias = layer.bias(y)[:, :, None, None]
    v = F.conv2d(v, kernel, layer.vertical.bias, padding=1) + bias[:, :20]
    across = torch.einsum("oi,bihw->bohw", layer.across.weight[:, :, 0, 0], v)
    across = across + layer.across.bias[:, None, None] + bias[:, 20:]
    left = model.left.weight.clone()
    left[..., 2:] = 0
    h = F.conv2d(u, left, model.left.bias, padding=(0, 2))
    own = layer.horizontal.weight.clone()
    own[..., 2:] = 0
    x = F.conv2d(h, own, padding=(0, 1)) + across
    y_BFHW = torch.tanh(x[:, :10]) / (1 + torch.exp(-x[:, 10:]))
    h = h + torch.einsum("oi,bihw->bohw", layer.out.weight[:, :, 0, 0], y_BFHW)
    torch.testing.assert_close(model.maps(u, y), h.relu())


@pytest.mark.parametrize(
    "shape", [(1, 5, 4), (3, 3, 5), (1, 1, 6), (1, 6, 1), (3, 1, 1), (2, 7, 2)]
)
@pytest.mark.parametrize(("span", "n"), [(3, 3), (5, 3), (3, 1)])
def test_streamed_laws_equal_the_full_pass(shape: tuple[int, int, int], span: int, n: int) -> None:
    spec = Spec(shape=shape, levels=5, classes=2)
    assert_streamed_laws_equal_the_full_pass(loud(spec, span=span, kernel=5), *examples(spec, n))


def test_a_stream_can_be_rearranged_and_widened_anywhere() -> None:
    """As particle methods do: the rows that are chosen go on as if they had always been there."""
    spec = Spec(shape=(2, 3, 4), levels=4, classes=3)
    generator = torch.Generator().manual_seed(0)
    after = [3] * 9 + [5] * 7 + [4] * 8  # rows from each position on
    before = [3, *after[:-1]]
    # Each row is chosen as often as another: at random, all would soon be copies of a single one.
    chosen = {
        position: (torch.randperm(max(old, new), generator=generator) % old)[:new]
        for position, (old, new) in enumerate(zip(before, after, strict=True))
    }
    assert_a_rearranged_stream_goes_on(loud(spec), *examples(spec), chosen)


@pytest.mark.parametrize("shape", [(3, 4, 3), (1, 7, 5)])
def test_both_samplers_draw_the_same_image_from_the_same_noise(shape: tuple[int, int, int]) -> None:
    assert torch.equal(*draw_both_ways(loud(Spec(shape=shape, levels=17)).float()))


def test_every_layer_is_told_the_class() -> None:
    """Labels matter, and do so through the gates of either stack of every layer."""
    model = loud(Spec(shape=(1, 4, 4), levels=3, classes=2))
    x = torch.randint(3, (4, 1, 4, 4), generator=torch.Generator().manual_seed(0))
    zero, one = (model.log_prob(x, torch.full((4,), label)) for label in (0, 1))
    assert (zero - one).abs().min() > 1e-6
    model.log_prob(x, torch.tensor([0, 1, 0, 1])).sum().backward()
    for layer in model.layers:
        for part in layer.bias.weight.grad.chunk(4, 1):  # two gates of two stacks
            assert part.abs().max() > 0


def test_masked_weights_are_zero_and_get_no_gradient() -> None:
    model = create("gated-pixelcnn", Spec(shape=(3, 4, 4), levels=3), features=10, layers=2)
    model.log_prob(torch.randint(3, (2, 3, 4, 4))).sum().backward()
    layers = [module for module in model.modules() if isinstance(module, CausalConv2d)]
    masked = [(layer.weight, layer.mask == 0) for layer in layers if layer.mask is not None]
    assert len(masked) == 7  # left, two for each layer, penultimate and last
    for weight, hidden in masked:
        assert hidden.any()
        assert weight[hidden].abs().max() == 0
        assert weight.grad[hidden].abs().max() == 0


def test_a_deep_vertical_stack_keeps_its_signal() -> None:
    """Gates shrink what they pass on; the first weights make up for it."""
    torch.manual_seed(0)
    model = create("gated-pixelcnn", Spec(shape=(1, 8, 8), levels=2), features=32, layers=20)
    v = model.above(torch.randint(2, (8, 1, 8, 8)) * 2.0 - 1)
    for layer in model.layers:
        v = tanh_gate(layer.vertical(v))
    assert 0.2 < v[:, :, 4:].std() < 0.6


@pytest.mark.parametrize("option", ["kernel", "span"])
def test_kernels_too_small_to_see_a_neighbour_are_refused(option: str) -> None:
    with pytest.raises(ValueError, match=f"{option}=1 .*must be at least 3"):
        create("gated-pixelcnn", Spec(shape=(1, 4, 4), levels=2), **{option: 1})
    with pytest.raises(ValueError, match=f"{option}=4 must be odd"):
        create("gated-pixelcnn", Spec(shape=(1, 4, 4), levels=2), **{option: 4})


def test_the_presets_have_the_sizes_of_the_paper() -> None:
    paper = {"layers": 20, "features": 384, "span": 5}
    assert GatedPixelCNN.presets["imagenet32"].items() >= paper.items()
