"""What is special to Diagonal BiLSTM: it sees all but one pixel, and it streams."""

import pytest
import torch
from autoregressive_checks import (
    assert_streamed_laws_equal_the_full_pass,
    context,
    draw_both_ways,
    examples,
    loud_model,
)

from genus import Spec
from genus.config import build_config
from genus.families.pixel import LayeredPixelNetwork
from genus.registry import list_models

SHAPES = [(1, 5, 6), (1, 6, 3), (1, 1, 6), (1, 6, 1), (3, 3, 4), (3, 4, 1), (2, 2, 3)]


def loud(spec: Spec, **config: object) -> LayeredPixelNetwork:
    options = {"features": 24, "layers": 2, "kernel": 3, "hidden": 48, **config}
    model = loud_model("diagonal-bilstm", spec, **options)
    assert isinstance(model, LayeredPixelNetwork)
    return model


@pytest.mark.parametrize("kernel", [3, 5])
@pytest.mark.parametrize("layers", [1, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_it_sees_all_but_one_pixel(shape: tuple[int, int, int], layers: int, kernel: int) -> None:
    """The last colour of the last pixel of the row above, beyond the reach of the first kernel."""
    C, _, W = shape
    seen = context(loud(Spec(shape=shape, levels=3), layers=layers, kernel=kernel))
    for t in range(len(seen)):
        row, column = divmod(t // C, W)
        for s in range(len(seen)):
            colour, source = s % C, divmod(s // C, W)
            unseen = source == (row - 1, W - 1) and colour == C - 1 and column < W - 1 - kernel // 2
            assert seen[t, s] == (s < t and not unseen), (row, column, t % C, source, colour)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("options", [{}, {"skips": True}, {"residual": False}])
def test_streamed_laws_equal_the_full_pass(
    shape: tuple[int, int, int], options: dict[str, bool]
) -> None:
    spec = Spec(shape=shape, levels=5, classes=2)
    assert_streamed_laws_equal_the_full_pass(loud(spec, **options), *examples(spec))


@pytest.mark.parametrize("shape", SHAPES)
def test_both_samplers_draw_the_same_image_from_the_same_noise(
    shape: tuple[int, int, int],
) -> None:
    assert torch.equal(*draw_both_ways(loud(Spec(shape=shape, levels=17)).float()))


def test_skips_reach_every_layer_past_the_others() -> None:
    model = loud(Spec(shape=(1, 3, 3), levels=2), layers=3, skips=True)
    with torch.no_grad():
        for layer in list(model.layers)[1:]:
            layer.up.weight.zero_()
    u = torch.randn(1, 1, 3, 3, dtype=torch.float64)
    before = model.parameters_of(u, None)
    with torch.no_grad():
        model.skips[0].weight.zero_()
    assert not torch.allclose(model.parameters_of(u, None), before)


def test_presets_have_the_sizes_of_the_paper() -> None:
    found = {
        (name, preset): build_config(cls.Config, values, name)
        for name, cls in list_models().items()
        for preset, values in cls.presets.items()
    }
    assert found["diagonal-bilstm", "mnist"].features == 2 * 16
    assert found["row-lstm", "imagenet32"].features == 2 * 384
    assert not found["row-lstm", "imagenet64"].residual
    assert found["pixelcnn", "cifar10"].layers == 15
