"""What is special to PixelSNAIL: attention that keeps the order of the colours, full context."""

from functools import partial

import pytest
import torch
from autoregressive_checks import (
    assert_a_rearranged_stream_goes_on,
    assert_streamed_laws_equal_the_full_pass,
    context,
    draw_both_ways,
    examples,
    loud_model,
)

from genus import Spec, create
from genus.families.stream_memory import held_bytes

SMALL = {"features": 12, "blocks": 1, "layers": 1, "key": 4, "value": 4, "hidden": 12, "kernel": 3}
LAWS = ["auto", "mixture"]

loud = partial(loud_model, "pixelsnail", **SMALL)


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
    model = loud(Spec(shape=(1, 4, 6), levels=2), span=2)
    with torch.no_grad():
        model.blocks[0].out.weight.zero_()
    seen = context(model)
    far, here = 5, 3 * 6 + 2  # the last pixel of the first row, from the third of the last
    assert not seen[here, far]
    assert seen[here, here - 1]


@pytest.mark.parametrize(("span", "sees"), [(2, False), (3, True)])
def test_only_the_wider_kernels_see_to_the_upper_right(span: int, sees: bool) -> None:
    """Beyond the first kernel, and without the attention."""
    model = loud(Spec(shape=(1, 4, 6), levels=2), span=span)
    with torch.no_grad():
        model.blocks[0].out.weight.zero_()
    assert context(model)[2 * 6 + 2, 4].item() is sees  # two rows up, two columns to the right


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("span", [2, 3])
@pytest.mark.parametrize("shape", [(1, 5, 4), (3, 3, 5), (1, 1, 6), (1, 6, 1), (3, 1, 1)])
def test_streamed_laws_equal_the_full_pass(
    shape: tuple[int, int, int], span: int, law: str
) -> None:
    spec = Spec(shape=shape, levels=5, classes=2)
    model = loud(spec, blocks=2, layers=2, heads=2, likelihood=law, kernel=5, span=span)
    assert_streamed_laws_equal_the_full_pass(model, *examples(spec))


@pytest.mark.parametrize("law", LAWS)
def test_a_rearranged_stream_goes_on_from_the_chosen_rows(law: str) -> None:
    spec = Spec(shape=(3, 3, 4), levels=5, classes=2)
    model, rows = loud(spec, blocks=2, likelihood=law), torch.tensor([2, 0, 0, 1])
    between_colours = 16
    assert_a_rearranged_stream_goes_on(model, *examples(spec), {between_colours: rows})


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("shape", [(1, 4, 5), (3, 4, 3)])
def test_both_samplers_draw_the_same_image_from_the_same_noise(
    shape: tuple[int, ...], law: str
) -> None:
    model = loud(Spec(shape=shape, levels=17), blocks=2, likelihood=law).float()
    assert torch.equal(*draw_both_ways(model))


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
        sizes.append(held_bytes(stream.cursor))
    assert len(set(sizes[3 * 5 :])) == 1, "it does not grow after the first row"
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
