"""What is special to the pixel transformer: embeddings with a slope, places, caches."""

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
from genus.nn.embedding import LevelEmbedding, NumberEmbedding, Rotation
from genus.spec import Batch

SMALL = {"features": 16, "layers": 2, "heads": 2, "expansion": 2}
POSITIONS = ["learned", "rotary"]
SHAPES = [(1, 5, 4), (3, 3, 2), (1, 1, 6), (1, 6, 1), (3, 1, 1), (7,), (1,)]

loud = partial(loud_model, "pixel-transformer", **SMALL)


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("levels", [2, 5, None])
@pytest.mark.parametrize("shape", SHAPES)
def test_it_sees_everything_before_and_nothing_else(
    shape: tuple[int, ...], levels: int | None, positions: str
) -> None:
    model = loud(Spec(shape=shape, levels=levels), positions=positions, layers=1)
    seen = context(model, images=1)
    assert torch.equal(seen, torch.ones_like(seen).tril(-1))


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("shape", SHAPES)
def test_streamed_laws_equal_the_full_pass(shape: tuple[int, ...], positions: str) -> None:
    spec = Spec(shape=shape, levels=5, classes=2)
    assert_streamed_laws_equal_the_full_pass(loud(spec, positions=positions), *examples(spec))


def test_streamed_laws_of_real_numbers_equal_the_full_pass() -> None:
    model = loud(Spec(shape=(4,), classes=2))
    generator = torch.Generator().manual_seed(0)
    x, y = 50 + 9 * torch.randn(64, 4, generator=generator).double(), torch.arange(64) % 2
    model.initialise(Batch(x, y))
    assert_streamed_laws_equal_the_full_pass(model, x, y)


@pytest.mark.parametrize("positions", POSITIONS)
def test_a_rearranged_stream_goes_on_from_the_chosen_rows(positions: str) -> None:
    spec = Spec(shape=(3, 2, 3), levels=5, classes=2)
    model, rows = loud(spec, positions=positions), torch.tensor([2, 0, 0, 1])
    assert_a_rearranged_stream_goes_on(model, *examples(spec), {7: rows})


@pytest.mark.parametrize("positions", POSITIONS)
@pytest.mark.parametrize("shape", [(1, 4, 5), (3, 4, 3), (9,)])
def test_both_samplers_draw_the_same_from_the_same_noise(
    shape: tuple[int, ...], positions: str
) -> None:
    model = loud(Spec(shape=shape, levels=17), positions=positions).float()
    assert torch.equal(*draw_both_ways(model))


@pytest.mark.parametrize("levels", [2, 3, 256])
def test_at_the_levels_the_embedding_is_a_table(levels: int) -> None:
    embed = LevelEmbedding(levels, 2, 5)
    torch.nn.init.normal_(embed.table.weight)
    for kind in range(2):
        u = (torch.arange(levels) * (2 / (levels - 1)) - 1)[None]
        vectors = embed(u, torch.full((levels,), kind + 4))[0]
        table = embed.table.weight.view(2, levels, 5)[kind]
        torch.testing.assert_close(vectors, table, rtol=0, atol=1e-4)


def test_between_two_levels_the_embedding_is_a_line() -> None:
    embed = LevelEmbedding(3, 1, 4).double()
    u = torch.tensor([[-0.75]], dtype=torch.float64, requires_grad=True)
    (vector,) = embed(u, torch.tensor([0]))[0]
    low, high = embed.table.weight[:2]
    torch.testing.assert_close(vector, 0.75 * low + 0.25 * high)
    (slope,) = torch.autograd.grad(vector.sum(), u)
    torch.testing.assert_close(slope[0, 0], (high - low).sum())


def test_products_of_rotated_vectors_depend_on_the_distance_alone() -> None:
    H, W, C, E = 4, 5, 2, 8
    rotation = Rotation((H, W), E, repeats=C).double()
    torch.manual_seed(0)
    q, k = torch.randn(2, E, dtype=torch.float64)
    turned = rotation(torch.stack([q, k]).expand(1, H * W * C, 1, 2, E))[0, :, 0].view(
        H, W, C, 2, E
    )
    products = {}
    for r in range(H - 1):
        for c in range(W - 2):
            product = turned[r + 1, c + 2, 0, 0] @ turned[r, c, 1, 1]
            products[r, c] = float(product)
    assert max(products.values()) - min(products.values()) < 1e-6
    assert abs(products[0, 0] - float(q @ k)) > 1e-2
    lengths = turned.square().sum(-1)
    torch.testing.assert_close(lengths, lengths[:1, :1, :1].expand_as(lengths), rtol=1e-6, atol=0)


def test_real_data_are_standardised_so_that_units_do_not_matter() -> None:
    """In other units the density changes by the constant factor of the units alone."""
    model = loud(Spec(shape=(3,)))
    x = torch.randn(100, 3, generator=torch.Generator().manual_seed(0)).double()
    unit, offset = torch.tensor([1e-3, 1.0, 500.0]).double(), torch.tensor([0.0, -7.0, 1e4])
    model.initialise(Batch(x))
    plain = model.log_prob(x)
    model.initialise(Batch(x * unit + offset))
    torch.testing.assert_close(model.log_prob(x * unit + offset), plain - unit.log().sum())


def test_numbers_know_their_entry() -> None:
    embed = NumberEmbedding(2, 4).double()
    embed.standardise(torch.tensor([[0.0, 100.0], [2.0, 300.0]], dtype=torch.float64))
    same = embed(torch.tensor([[1.5, 250.0]], dtype=torch.float64), torch.tensor([0, 1]))
    torch.testing.assert_close(same[0, 0], same[0, 1])


def test_a_fresh_model_has_no_opinion() -> None:
    model = create("pixel-transformer", Spec(shape=(1, 3, 3), levels=4), **SMALL)
    expected = -9 * torch.tensor(4.0).log()
    torch.testing.assert_close(model.log_prob(torch.zeros(1, 1, 3, 3).long())[0], expected)


def test_the_cache_is_as_large_as_the_docstring_says() -> None:
    spec = Spec(shape=(1, 4, 4), levels=2)
    model = create("pixel-transformer", spec, **SMALL)
    stream = model.stream(3)
    stream.next()
    caches = stream.cursor._memory.values()
    assert sum(cache.numel() for cache in caches) == 3 * 2 * 2 * 16 * spec.dims


def test_every_parameter_is_trained() -> None:
    for positions in POSITIONS:
        spec = Spec(shape=(3, 2, 2), levels=4, classes=3)
        model = loud(spec, positions=positions).train()
        x = torch.randint(4, (6, 3, 2, 2), generator=torch.Generator().manual_seed(0))
        model.log_prob(x, torch.arange(6) % 3).sum().backward()
        for name, parameter in model.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"features": 10, "heads": 4}, "features=10 must be a multiple of 4"),
        ({"features": 12, "heads": 2, "positions": "rotary"}, "must be a multiple of 8"),
        ({"layers": 0}, "layers=0 must be above zero"),
        ({"dropout": 1.0}, "dropout=1.0 must be at least 0 and below 1"),
    ],
)
def test_bad_options_are_refused(options: dict, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        create("pixel-transformer", Spec(shape=(4,), levels=2), **options)
