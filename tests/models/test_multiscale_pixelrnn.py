"""What is special to multi-scale PixelRNN: two networks make one exact density."""

import itertools

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
from genus.conformance import verify
from genus.errors import ConfigError, SpecError
from genus.models.multiscale_pixelrnn import MultiscalePixelRNN

TINY = MultiscalePixelRNN.tiny
SHAPES = [(1, 4, 5), (1, 5, 3), (1, 1, 5), (1, 5, 1), (1, 1, 1), (3, 3, 2), (2, 2, 3)]
NETWORKS = [
    "row-lstm", "diagonal-bilstm", "pixelcnn", "gated-pixelcnn", "pixelcnn++", "pixelsnail"
]  # fmt: skip
OTHERS = [("pixelcnn", "row-lstm"), ("made", "gated-pixelcnn"), ("pixel-transformer", "pixelcnn++")]


def loud(spec: Spec, **config: object) -> MultiscalePixelRNN:
    model = loud_model("multiscale-pixelrnn", spec, **{**TINY, **config})
    assert isinstance(model, MultiscalePixelRNN)
    return model


def small_entries(spec: Spec, scale: int) -> Tensor:
    """Flat indices of the entries of the small image."""
    return torch.arange(spec.dims).view(spec.shape)[:, ::scale, ::scale].flatten()


@pytest.mark.parametrize("scale", [2, 3])
@pytest.mark.parametrize("shape", SHAPES)
def test_the_small_image_comes_first_in_the_order(shape: tuple[int, int, int], scale: int) -> None:
    spec = Spec(shape=shape, levels=2)
    order = loud(spec, scale=scale).order()
    small = small_entries(spec, scale)
    assert sorted(order.tolist()) == list(range(spec.dims))
    assert set(order[: len(small)].tolist()) == set(small.tolist())
    C, H, W = shape
    for part in (order[: len(small)], order[len(small) :]):  # each row by row, colours together
        pixels = [(index % (H * W), index // (H * W)) for index in part.tolist()]
        assert pixels == sorted(pixels)
    assert len(small) == C * -(-H // scale) * -(-W // scale)


@pytest.mark.parametrize("classes", [None, 2])
@pytest.mark.parametrize(
    ("shape", "levels"), [((1, 3, 3), 2), ((1, 2, 3), 3), ((2, 1, 3), 3), ((1, 5, 1), 4)]
)
def test_probabilities_sum_to_one(
    shape: tuple[int, int, int], levels: int, classes: int | None
) -> None:
    spec = Spec(shape=shape, levels=levels, classes=classes)
    model = loud(spec)
    every = torch.tensor(list(itertools.product(range(levels), repeat=spec.dims)))
    x = every.view(-1, *shape)
    with torch.no_grad():
        for label in range(classes or 1):
            y = None if classes is None else torch.full((len(x),), label)
            assert float(model.log_prob(x, y).exp().sum()) == pytest.approx(1, abs=1e-9)


@pytest.mark.parametrize("network", ["gated-pixelcnn", "pixelsnail"])
def test_with_any_network_inside_it_conforms(network: str) -> None:
    inside = {**TINY, "small": network, "large": network}
    model = type("Inside", (MultiscalePixelRNN,), {"tiny": inside})
    report = verify(model, specs=[Spec(shape=(1, 2, 3), levels=3, classes=2)], quick=True)
    assert report.passed, str(report)


@pytest.mark.parametrize("networks", [("pixelsnail", "pixelcnn++")])
def test_with_a_mixture_over_colours_it_conforms(networks: tuple[str, str]) -> None:
    small, large = networks
    mixed = {**TINY, "small": small, "large": large, "likelihood": "mixture"}
    model = type("Mixed", (MultiscalePixelRNN,), {"tiny": mixed})
    report = verify(model, specs=[Spec(shape=(2, 1, 3), levels=3)], quick=True)
    assert report.passed, str(report)


@pytest.mark.parametrize("network", ["row-lstm", "gated-pixelcnn", "pixelcnn++"])
def test_it_is_the_product_of_its_two_networks(network: str) -> None:
    """Small pixels are scored by the small network alone, the others by the large one."""
    spec = Spec(shape=(1, 5, 4), levels=3)
    model = loud(spec, large=network)
    x = torch.randint(3, (2, 1, 5, 4), generator=torch.Generator().manual_seed(0))
    u = model.scaled(x)
    given = model.upsampling(u[:, :, ::2, ::2], 5, 4)
    large = model.likelihood(model.large.parameters_of(u, None, None, given))
    rest = large.log_prob(x)
    rest[:, :, ::2, ::2] = 0
    expected = model.small.log_prob(x[:, :, ::2, ::2]) + rest.flatten(1).sum(1)
    torch.testing.assert_close(model.log_prob(x), expected)


@pytest.mark.parametrize("shape", [(1, 5, 6), (3, 4, 3), (1, 7, 1), (1, 2, 30)])
@pytest.mark.parametrize("scale", [2, 3])
@pytest.mark.parametrize("large", ["diagonal-bilstm", *NETWORKS[3:]])
def test_every_other_pixel_sees_the_whole_small_image(
    shape: tuple[int, int, int], scale: int, large: str
) -> None:
    spec = Spec(shape=shape, levels=3)
    model = loud(spec, scale=scale, large=large, small="diagonal-bilstm")
    seen, small = context(model), len(small_entries(spec, scale))
    assert not seen.triu().any()
    assert seen[small:, :small].all()


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("networks", [(n, n) for n in NETWORKS] + OTHERS)
def test_streamed_laws_equal_the_full_pass(
    shape: tuple[int, int, int], networks: tuple[str, str]
) -> None:
    spec = Spec(shape=shape, levels=5, classes=2)
    model = loud(spec, small=networks[0], large=networks[1])
    assert_streamed_laws_equal_the_full_pass(model, *examples(spec))


@pytest.mark.parametrize("large", NETWORKS[1:])
def test_a_stream_can_be_rearranged_anywhere(large: str) -> None:
    spec = Spec(shape=(3, 3, 3), levels=4, classes=2)
    model, rows = loud(spec, large=large), torch.tensor([1, 1, 0])
    for position in range(spec.dims):
        assert_a_rearranged_stream_goes_on(model, *examples(spec, 2), {position: rows})


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("network", ["row-lstm", *NETWORKS[3:]])
def test_both_samplers_draw_the_same_image_from_the_same_noise(
    shape: tuple[int, int, int], network: str
) -> None:
    model = loud(Spec(shape=shape, levels=17), small=network, large=network)
    assert torch.equal(*draw_both_ways(model.float()))


def test_three_scales() -> None:
    spec = Spec(shape=(1, 6, 5), levels=2)
    model = loud(spec, small="multiscale-pixelrnn")
    assert model.order()[:4].tolist() == [0, 4, 20, 24]
    assert_streamed_laws_equal_the_full_pass(model, *examples(spec, 2))


def test_completing_the_lower_part_of_the_order_is_exact() -> None:
    model = loud(Spec(shape=(1, 4, 4), levels=3))
    x = torch.randint(3, (2, 1, 4, 4), generator=torch.Generator().manual_seed(0))
    known = torch.zeros_like(x, dtype=torch.bool)
    known[:, :, ::2, ::2] = True
    done = model.complete(x, known, generator=torch.Generator().manual_seed(0))
    assert done.exact
    assert torch.equal(done.x[known], x[known])


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"scale": 1}, "scale=1 must be at least 2"),
        ({"large": "multiscale-pixelrnn"}, "cannot be conditioned on an image; choose from: diag"),
        ({"large": "nade"}, "large='nade' cannot be conditioned on an image; choose from: diag"),
        ({"likelihood": "mixture"}, "small='row-lstm' has no mixture .* choose from: pixelcnn"),
        ({"likelihood": "mixture", "small": "pixelsnail"}, "large='row-lstm' has no mixture"),
        ({"likelihood": "logistic"}, "likelihood='logistic'"),
        ({"mixtures": 0}, "mixtures=0 must be above zero"),
        ({"small": "gan"}, "small='gan' has no categorical law for each entry"),
        ({"small": "row-lst"}, "did you mean row-lstm"),
        ({"kernel": 4}, "kernel=4 must be odd"),
    ],
)
def test_networks_that_do_not_fit_are_refused(options: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        create("multiscale-pixelrnn", Spec(shape=(1, 4, 4), levels=3), **options)


def test_it_needs_images_with_levels() -> None:
    with pytest.raises(SpecError, match=r"multiscale-pixelrnn needs images \(C, H, W\)"):
        create("multiscale-pixelrnn", Spec(shape=(13,)))
