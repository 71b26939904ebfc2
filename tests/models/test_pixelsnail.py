"""What is special to PixelSNAIL: attention that keeps the order of the colours, full context."""

import pytest
import torch

from genus import Spec, create
from genus.families.pixel import PixelNetwork

SMALL = {"features": 12, "blocks": 1, "layers": 1, "key": 4, "value": 4, "hidden": 12}
LAWS = ["auto", "mixture"]


def loud(spec: Spec, **config: object) -> PixelNetwork:
    """A model in float64 whose weights are large enough for every dependence to show."""
    torch.manual_seed(0)
    model = create("pixelsnail", spec, **{**SMALL, **config}).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return model.eval()


def context(model: PixelNetwork) -> torch.Tensor:
    """(D, D) boolean in the order of drawing: which input (column) moves which output (row)."""
    torch.manual_seed(1)
    D, order = model.spec.dims, model.order()
    total = torch.zeros(D, D, dtype=torch.float64)
    for _ in range(3):
        u = torch.randn(1, *model.spec.shape, dtype=torch.float64)
        jacobian = torch.autograd.functional.jacobian(
            lambda v: model.parameters_of(v, None).square().sum(-1), u
        )
        total += jacobian.reshape(D, D).abs()
    return total[order][:, order] > 0


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("shape", [(1, 5, 4), (1, 1, 6), (1, 6, 1), (3, 3, 4), (2, 2, 3)])
def test_one_block_sees_everything_before_and_nothing_else(
    shape: tuple[int, int, int], law: str
) -> None:
    """Colours too, at the own pixel and in the attention."""
    seen = context(loud(Spec(shape=shape, levels=3), likelihood=law))
    assert torch.equal(seen, torch.ones_like(seen).tril(-1))


@pytest.mark.parametrize("features", [7, 12])
def test_groups_that_do_not_divide_evenly_do_not_leak(features: int) -> None:
    model = loud(Spec(shape=(3, 2, 2), levels=3), features=features, hidden=8, heads=2, value=3)
    assert not context(model).triu().any()


def test_attention_is_what_sees_far() -> None:
    """Without its result only the convolutions' neighbourhood is left."""
    model = loud(Spec(shape=(1, 4, 6), levels=2))
    with torch.no_grad():
        model.blocks[0].out.weight.zero_()
    seen = context(model)
    far, here = 5, 3 * 6 + 2  # the last pixel of the first row, from the third of the last
    assert not seen[here, far]
    assert seen[here, here - 1]


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("shape", [(1, 5, 4), (3, 3, 5), (1, 1, 6), (1, 6, 1), (3, 1, 1)])
def test_streamed_laws_equal_the_full_pass(shape: tuple[int, int, int], law: str) -> None:
    spec = Spec(shape=shape, levels=5, classes=2)
    model = loud(spec, blocks=2, layers=2, heads=2, likelihood=law)
    x = torch.randint(5, (3, *shape), generator=torch.Generator().manual_seed(0))
    y = torch.tensor([0, 1, 1])
    full = model.conditionals(x, y).log_probs().flatten(1, -2)
    stream = model.stream(3, y)
    for index in model.order().tolist():
        torch.testing.assert_close(stream.next().log_probs(), full[:, index], rtol=0, atol=1e-9)
        stream.push(x.flatten(1)[:, index])


@pytest.mark.parametrize("law", LAWS)
def test_a_rearranged_stream_goes_on_from_the_chosen_rows(law: str) -> None:
    model = loud(Spec(shape=(3, 3, 4), levels=5, classes=2), blocks=2, likelihood=law)
    x = torch.randint(5, (3, 3, 3, 4), generator=torch.Generator().manual_seed(0))
    y, index = torch.tensor([0, 1, 1]), torch.tensor([2, 0, 0, 1])
    full = model.conditionals(x[index], y[index]).log_probs().flatten(1, -2)
    stream, order = model.stream(3, y), model.order().tolist()
    for position, entry in enumerate(order):
        if position == 16:  # between two colours of a pixel
            stream.select(index)
        drawn = stream.next()
        if position >= 16:
            torch.testing.assert_close(drawn.log_probs(), full[:, entry], rtol=0, atol=1e-9)
        stream.push(x[index if position >= 16 else slice(None)].flatten(1)[:, entry])


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("shape", [(1, 4, 5), (3, 4, 3)])
def test_both_samplers_draw_the_same_image_from_the_same_noise(
    shape: tuple[int, ...], law: str
) -> None:
    model = loud(Spec(shape=shape, levels=17), blocks=2, likelihood=law).float()
    draws = [
        model.sample(4, generator=torch.Generator().manual_seed(3), streaming=streaming)
        for streaming in (True, False)
    ]
    assert torch.equal(*draws)


def test_masked_weights_are_zero_and_get_no_gradient() -> None:
    torch.manual_seed(0)
    model = create("pixelsnail", Spec(shape=(3, 3, 3), levels=4), **SMALL)
    model.log_prob(torch.randint(4, (2, 3, 3, 3))).sum().backward()
    masked = [m for m in model.modules() if getattr(m, "mask", None) is not None]
    assert len(masked) > 5
    for module in masked:
        hidden = module.mask == 0
        assert module.weight[hidden].abs().max() == 0
        assert module.weight.grad[hidden].abs().max() == 0


def test_the_memory_of_a_stream_is_bounded_and_as_stated() -> None:
    spec = Spec(shape=(3, 4, 5), levels=4)
    model = create("pixelsnail", spec, **{**SMALL, "blocks": 2, "heads": 2})
    stream, sizes = model.stream(2), []
    for _ in range(spec.dims):
        stream.next()
        stream.push(torch.zeros(2, dtype=torch.long))
        sizes.append(stream.cursor.bytes())
    assert len(set(sizes[3:])) == 1, "it does not grow after the first pixel"
    caches = [
        tensor
        for key, tensor in stream.cursor._memory.items()
        if key in [block.attention for block in model.blocks]
    ]
    assert sum(cache.numel() for cache in caches) == 2 * (2 * 2 * (4 + 4)) * spec.dims


@pytest.mark.parametrize("spec", [Spec(shape=(13,)), Spec(shape=(5,), levels=2)])
def test_it_needs_images_with_levels(spec: Spec) -> None:
    with pytest.raises(ValueError, match=r"needs images \(C, H, W\) with levels"):
        create("pixelsnail", spec)


def test_bad_options_are_refused() -> None:
    with pytest.raises(ValueError, match="kernel=4 must be odd"):
        create("pixelsnail", Spec(shape=(1, 4, 4), levels=2), kernel=4)
    with pytest.raises(ValueError, match="key=0 must be above zero"):
        create("pixelsnail", Spec(shape=(1, 4, 4), levels=2), key=0)
