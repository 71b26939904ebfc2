"""What is special to PixelCNN++: full context, two streams at three resolutions, first lengths."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import Any

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
from torch import Tensor

from genus import Spec, create
from genus.config import build_config
from genus.families.whole_pixel import WholePixelNetwork
from genus.models.pixelcnn_plus import with_ones
from genus.nn.weight_norm import NormedConv2d
from genus.registry import get, preset
from genus.spec import Batch

SHAPES = [(1, 5, 4), (3, 3, 5), (1, 1, 6), (1, 7, 1), (3, 1, 1), (2, 6, 7)]
LAWS = ["mixture", "categorical"]

loud = partial(loud_model, "pixelcnn++", features=6, blocks=1, resolutions=3, mixtures=3)


def context_of_maps(model: WholePixelNetwork) -> Tensor:
    """As `context`, but for the maps, which are those of all colours of a pixel."""

    def lengths(u: Tensor) -> Tensor:
        return model.maps(u, None).square().sum(1, keepdim=True).expand_as(u)

    return context(model, outputs=lengths)


@pytest.mark.parametrize("shape", [(1, 5, 7), (1, 8, 8), (1, 7, 1), (1, 1, 6), (1, 2, 9)])
@pytest.mark.parametrize("resolutions", [1, 3])
def test_it_sees_every_earlier_pixel_and_no_other(
    shape: tuple[int, int, int], resolutions: int
) -> None:
    model = loud(
        Spec(shape=shape, levels=3), blocks=5 if resolutions == 1 else 2, resolutions=resolutions
    )
    seen = context_of_maps(model)
    assert torch.equal(seen, torch.ones_like(seen).tril(-1))


@pytest.mark.parametrize("law", LAWS)
def test_colours_meet_in_the_law_alone(law: str) -> None:
    """The maps know no colour of their pixel; the law knows those before its own."""
    model = loud(Spec(shape=(3, 2, 3), levels=5), likelihood=law)
    pixel = torch.arange(18) // 3
    assert torch.equal(context_of_maps(model), pixel[:, None] > pixel[None, :])
    assert torch.equal(context(model), torch.ones(18, 18).tril(-1).bool())


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("resolutions", [1, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_streamed_laws_equal_the_full_pass(
    law: str, resolutions: int, shape: tuple[int, int, int]
) -> None:
    spec = Spec(shape=shape, levels=5, classes=2)
    model = loud(spec, likelihood=law, resolutions=resolutions)
    assert_streamed_laws_equal_the_full_pass(model, *examples(spec))


@pytest.mark.parametrize("when", range(1, 18, 4))
def test_a_rearranged_stream_goes_on_from_the_other_rows(when: int) -> None:
    """The batch is swapped once, between colours of a pixel too: laws are those of the new rows."""
    spec = Spec(shape=(2, 3, 3), levels=5, classes=2)
    swap = {when: torch.tensor([1, 0])}
    assert_a_rearranged_stream_goes_on(loud(spec), *examples(spec, 2), swap, after_the_law=True)


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("shape", [(3, 4, 5), (1, 9, 7)])
def test_both_samplers_draw_the_same_image_from_the_same_noise(
    law: str, shape: tuple[int, int, int]
) -> None:
    model = loud(Spec(shape=shape, levels=17), likelihood=law).float()
    assert torch.equal(*draw_both_ways(model))


def test_a_stream_does_the_work_of_one_pass() -> None:
    """Blocks of the horizontal stream run once a pixel, those inside at every second one."""
    H, W = 5, 7
    model = loud(Spec(shape=(3, H, W), levels=4))
    calls: Counter[str] = Counter()
    outer = model.streams

    def counted(name: str, step: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def call(*given: Any, **named: Any) -> Tensor:
            calls.update([name])
            return step(*given, **named)

        return call

    inner, innermost = outer.inner, outer.inner.inner
    for name, module in {
        "rows": outer.rows_down[0],
        "pixels": outer.pixels_up[0],
        "inner rows": inner.rows_up[0],
        "inner pixels": inner.pixels_down[0],
        "innermost rows": innermost.rows_down[0],
        "innermost pixels": innermost.pixels_up[0],
    }.items():
        if "rows" in name:
            module.register_forward_hook(lambda *_, name=name: calls.update([name]))
        else:
            module.step = counted(name, module.step)
    model.sample(2)
    assert calls == {
        "rows": 5,
        "pixels": 35,
        "inner rows": 3,
        "inner pixels": 3 * 4,
        "innermost rows": 2,
        "innermost pixels": 2 * 2,
    }


def test_the_first_batch_sets_the_lengths() -> None:
    """After it every convolution gives mean 0 and its own deviation, 1 or 0.1, on that batch."""
    spec = Spec(shape=(3, 12, 9), levels=256, classes=2)
    model = create("pixelcnn++", spec, features=8, blocks=1)
    x = torch.randint(256, (16, *spec.shape), generator=torch.Generator().manual_seed(0))
    batch = Batch(x, torch.arange(16) % 2)
    found = {}
    model.train().initialise(batch)
    assert model.training
    layers = {name: m for name, m in model.named_modules() if isinstance(m, NormedConv2d)}
    for name, layer in layers.items():
        layer.register_forward_hook(
            lambda layer, _, out, name=name: found.update({name: (layer, out)})
        )
    with torch.no_grad():
        model.eval().log_prob(batch.x, batch.y)
    # What the vertical stream finds at its very end is told to the last block.
    assert found.keys() == layers.keys()
    for name, (layer, out) in found.items():
        deviation, mean = torch.std_mean(out, dim=(0, 2, 3), correction=0)
        assert mean.abs().max() < 1e-3, name
        torch.testing.assert_close(
            deviation, torch.full_like(deviation, layer.scale), rtol=0, atol=2e-3, msg=name
        )


def test_a_constant_batch_is_no_reason_to_blow_up() -> None:
    model = create("pixelcnn++", Spec(shape=(1, 4, 4), levels=3), features=4, blocks=1)
    model.initialise(Batch(torch.zeros(5, 1, 4, 4, dtype=torch.long)))
    x = torch.randint(3, (5, 1, 4, 4), generator=torch.Generator().manual_seed(0))
    assert torch.isfinite(model.log_prob(x)).all()
    assert max(m.gain.max() for m in model.modules() if isinstance(m, NormedConv2d)) <= 10


def test_features_are_dropped_in_training_only() -> None:
    model = loud(Spec(shape=(1, 4, 4), levels=3), dropout=0.5)
    x = torch.randint(3, (2, 1, 4, 4), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(model.log_prob(x), model.log_prob(x), rtol=0, atol=0)
    model.train()
    assert not torch.equal(model.log_prob(x), model.log_prob(x))


def test_every_label_has_its_own_bias_and_starts_without() -> None:
    spec = Spec(shape=(1, 4, 4), levels=3, classes=2)
    model = create("pixelcnn++", spec, features=4, blocks=1, resolutions=2)
    x = torch.randint(3, (1, 1, 4, 4), generator=torch.Generator().manual_seed(0)).expand(
        2, -1, -1, -1
    )
    y = torch.tensor([0, 1])
    torch.testing.assert_close(*model.log_prob(x, y), rtol=0, atol=1e-6)
    biases = [m for m in model.modules() if isinstance(m, torch.nn.Embedding)]
    # At the finer level one block down and two up, at the coarser one each, in both streams.
    assert len(biases) == 2 * (1 + 2) + 2 * (1 + 1)
    with torch.no_grad():
        for bias in biases:
            torch.nn.init.normal_(bias.weight)
    first, second = model.log_prob(x, y)
    assert (first - second).abs() > 1e-3


def test_padding_is_told_from_the_middle_level() -> None:
    """The middle level is zero after scaling: without a map of ones it would look like padding."""
    model = loud(Spec(shape=(1, 3, 3), levels=3))
    marked = with_ones(torch.zeros(1, 1, 3, 3, dtype=torch.float64))
    above, left = model.above(marked), model.left(marked)
    assert not torch.allclose(above[:, :, 0, 1], above[:, :, 1, 1])
    assert not torch.allclose(left[:, :, 0, 0], left[:, :, 0, 1])


def test_a_low_temperature_draws_the_mode() -> None:
    model = loud(Spec(shape=(3, 2, 3), levels=17))
    cold = model.sample(2, temperature=1e-4, generator=torch.Generator().manual_seed(0))
    assert torch.equal(model.conditionals(cold).log_probs().argmax(-1), cold)


def test_it_trains_under_autocast() -> None:
    """Maps may be bfloat16; the law is never below float32, and every weight learns."""
    spec = Spec(shape=(3, 5, 4), levels=256, classes=2)
    model = create("pixelcnn++", spec, **get("pixelcnn++").tiny)
    x = torch.randint(256, (4, 3, 5, 4), generator=torch.Generator().manual_seed(0))
    with torch.autocast("cpu", dtype=torch.bfloat16):
        law = model.conditionals(x, torch.tensor([0, 1, 0, 1]))
        loss = -law.log_prob(x).mean()
    assert law.location.dtype == loss.dtype == torch.float32
    loss.backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


@pytest.mark.parametrize("name", ["cifar10", "cifar10-small", "mnist"])
def test_presets_are_configurations(name: str) -> None:
    cls = get("pixelcnn++")
    config = build_config(cls.Config, preset("pixelcnn++", name), "pixelcnn++")
    assert config.resolutions == 3


@pytest.mark.parametrize("options", [{"blocks": 0}, {"resolutions": 0}, {"mixtures": -1}])
def test_wrong_sizes_are_named(options: dict[str, int]) -> None:
    with pytest.raises(ValueError, match=f"{next(iter(options))}=.* must be above zero"):
        create("pixelcnn++", Spec(shape=(1, 4, 4), levels=3), **options)


def test_it_needs_images_with_levels() -> None:
    with pytest.raises(ValueError, match=r"needs images \(C, H, W\) with levels"):
        create("pixelcnn++", Spec(shape=(13,)))
