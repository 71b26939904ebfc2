"""What FVSBN, NADE and MADE share: context, streams, orders, units and inputs."""

import json
import math

import pytest
import torch
from autoregressive_checks import (
    assert_streamed_laws_equal_the_full_pass,
    context,
    draw_both_ways,
    loud_model,
)

from genus import Spec, create
from genus.config import to_json
from genus.errors import ConfigError, SpecError
from genus.families.flat import FEW_LEVELS, FlatAutoregressive
from genus.random import BatchNoise
from genus.spec import Batch

CASES = {
    "fvsbn": {},
    "nade": {"hidden": 7},
    "made": {"hidden": 16},
    "made, shallow": {"hidden": 40, "layers": 1, "direct": False},
    "made, connectivity": {"hidden": 16, "agnostic": "connectivity"},
    "made, order": {"hidden": 16, "agnostic": "order"},
}
REAL = [case for case in CASES if not case.startswith("fvsbn")]
SHAPES = [(1, 5, 4), (3, 2, 3), (1, 1, 6), (1, 6, 1), (3, 1, 1), (7,), (1,)]


def loud(case: str, spec: Spec, **config: object) -> FlatAutoregressive:
    """A loud model; real numbers have units and offsets, a different one for each column."""
    name = case.split(",")[0]
    model = loud_model(name, spec, amount=0.5, **{**CASES[case], **config})
    assert isinstance(model, FlatAutoregressive)
    if not spec.is_discrete:
        with torch.no_grad():
            model.shift_D.copy_(torch.linspace(-40, 40, spec.dims))
            model.scale_D.copy_(torch.logspace(-3, 3, spec.dims))
    return model


def data(spec: Spec, n: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    if spec.levels is not None:
        return torch.randint(spec.levels, (n, *spec.shape), generator=generator)
    x = torch.randn(n, spec.dims, generator=generator, dtype=torch.float64)
    x = x * torch.logspace(-3, 3, spec.dims) + torch.linspace(-40, 40, spec.dims)
    return x.view(n, *spec.shape)


@pytest.mark.parametrize("order", ["raster", "random", "5,0,11,2,3,4,1,6,7,8,10,9"])
@pytest.mark.parametrize("case", CASES)
def test_every_entry_sees_all_before_it_and_nothing_else(case: str, order: str) -> None:
    model = loud(case, Spec(shape=(3, 2, 2), levels=3), order=order)
    seen = context(model, images=12)
    assert torch.equal(seen, torch.ones(12, 12, dtype=torch.bool).tril(-1))


@pytest.mark.parametrize("order", ["raster", "random"])
@pytest.mark.parametrize("levels", [2, 5, 100, None])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("case", CASES)
def test_streamed_laws_equal_the_full_pass(
    case: str, shape: tuple[int, ...], levels: int | None, order: str
) -> None:
    if levels is None and case not in REAL:
        return
    spec = Spec(shape=shape, levels=levels, classes=2)
    model = loud(case, spec, order=order)
    assert_streamed_laws_equal_the_full_pass(model, data(spec, 3), torch.tensor([0, 1, 1]))


@pytest.mark.parametrize("levels", [2, 17, None])
@pytest.mark.parametrize("case", CASES)
def test_a_stream_can_be_rearranged(case: str, levels: int | None) -> None:
    if levels is None and case not in REAL:
        return
    spec = Spec(shape=(1, 3, 4), levels=levels, classes=3)
    model, x, y = loud(case, spec), data(spec, 3).flatten(1), torch.tensor([2, 0, 1])
    pick = torch.tensor([2, 2, 0, 1, 0])
    stream, other = model.stream(3, y), model.stream(5, y[pick])
    for t in range(12):
        if t == 5:
            stream.select(pick)
        rows = x if t < 5 else x[pick]
        ours, theirs = stream.next().log_prob(rows[:, t]), other.next().log_prob(x[pick][:, t])
        torch.testing.assert_close(ours[pick] if t < 5 else ours, theirs, rtol=0, atol=1e-12)
        stream.push(rows[:, t])
        other.push(x[pick][:, t])


@pytest.mark.parametrize("case", CASES)
def test_both_samplers_draw_the_same_from_the_same_noise(case: str) -> None:
    model = loud(case, Spec(shape=(3, 4, 3), levels=17), order="random").float()
    assert torch.equal(*draw_both_ways(model))


@pytest.mark.parametrize("case", REAL)
def test_both_samplers_draw_the_same_numbers(case: str) -> None:
    draws = draw_both_ways(loud(case, Spec(shape=(6,))))
    torch.testing.assert_close(*draws, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("case", CASES)
def test_a_stream_keeps_no_graph(case: str) -> None:
    model = loud(case, Spec(shape=(4,), levels=3))
    stream = model.stream(2)
    for _ in range(3):
        stream.push(torch.tensor([1, 2]))
    kept = [t for t in vars(stream.steps).values() if isinstance(t, torch.Tensor)]
    kept += [t for ts in vars(stream.steps).values() if isinstance(ts, list) for t in ts]
    assert not any(t.requires_grad for t in kept if isinstance(t, torch.Tensor))


@pytest.mark.parametrize("case", CASES)
def test_completing_the_end_of_the_order_is_exact(case: str) -> None:
    spec = Spec(shape=(1, 3, 3), levels=3)
    model, x = loud(case, spec, order="random"), data(spec, 2)
    known = torch.zeros(9, dtype=torch.bool)
    known[model.order()[:4]] = True
    known = known.view(1, 1, 3, 3).expand_as(x)
    done = model.complete(x, known, generator=torch.Generator().manual_seed(0))
    assert done.exact
    assert torch.equal(done.x[known], x[known])
    entries = model.conditionals(done.x).log_prob(done.x)
    torch.testing.assert_close(done.log_prob, (entries * ~known).flatten(1).sum(1))


@pytest.mark.parametrize("case", CASES)
def test_any_order_can_be_chosen(case: str) -> None:
    """As text from a command line, as numbers, and as what a saved configuration holds."""
    spec = Spec(shape=(1, 2, 3), levels=3)
    wanted = [5, 3, 1, 0, 2, 4]
    for order in (wanted, tuple(wanted), "5,3,1,0,2,4", " 5, 3,1,0,2,4"):
        model = loud(case, spec, order=order)
        assert model.order().tolist() == wanted
    again = json.loads(json.dumps(to_json(model.config)))
    assert create(case.split(",")[0], spec, **again).order().tolist() == wanted
    x = data(spec, 2)
    assert_streamed_laws_equal_the_full_pass(model, x, None)
    known = torch.zeros_like(x, dtype=torch.bool).flatten(1)
    known[:, wanted[:2]] = True
    assert model.complete(x, known.view_as(x)).exact


@pytest.mark.parametrize(
    ("order", "words"),
    [
        ("rastr", r"order='rastr' must be 'raster', 'random', or the number of every entry"),
        ("0,1,-2", "order='0,1,-2' must be"),
        ([0, 1], r"the 3 entries, 0 to 2, once: it lacks \[2\]$"),
        ([2, 2, 4], r"it lacks \[0, 1\]; it repeats \[2\]; it has the unknown \[4\]"),
        ("", "order='' must be"),
    ],
)
def test_an_order_that_is_none_is_refused(order: object, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        create("nade", Spec(shape=(3,), levels=2), order=order)


def test_the_random_order_is_kept_in_the_checkpoint() -> None:
    spec = Spec(shape=(1, 4, 4), levels=2)
    first, other = (create("nade", spec, order="random", order_seed=seed) for seed in (1, 2))
    assert not torch.equal(first.order(), other.order())
    assert torch.equal(first.order(), create("nade", spec, order="random", order_seed=1).order())
    other.load_state_dict(first.state_dict())
    assert torch.equal(first.order(), other.order())
    assert create("nade", spec).order().tolist() == list(range(16))


@pytest.mark.parametrize("case", REAL)
def test_densities_follow_the_unit_of_the_data(case: str) -> None:
    """Data in other units have the same density but for the change of volume."""
    spec, unit = Spec(shape=(5,)), torch.tensor([1.0, 1e3, 1e-4, 7.0, 0.2]).double()
    model, x = loud(case, spec), torch.randn(40, 5, generator=torch.Generator().manual_seed(2))
    x = x.double()
    model.initialise(Batch(x))
    plain = model.log_prob(x)
    model.initialise(Batch(x * unit + 3 * unit))
    torch.testing.assert_close(model.log_prob(x * unit + 3 * unit), plain - unit.log().sum())


@pytest.mark.parametrize("case", REAL)
def test_constant_columns_do_no_harm(case: str) -> None:
    spec = Spec(shape=(3,))
    model = create(case.split(",")[0], spec, **CASES[case])
    x = torch.randn(20, 3)
    x[:, 1] = 4.0
    model.initialise(Batch(x))
    assert torch.isfinite(model.log_prob(x)).all()
    assert torch.isfinite(model.sample(3)).all()


@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("levels", [2, 5])
def test_a_fresh_model_knows_how_frequent_levels_are(case: str, levels: int) -> None:
    spec = Spec(shape=(6,), levels=levels)
    model = create(
        case.split(",")[0], spec, **{**CASES[case], "hidden": 400} if case != "fvsbn" else {}
    )
    generator = torch.Generator().manual_seed(0)
    law = torch.rand(6, levels, generator=generator) ** 3 + 0.01
    x = torch.multinomial(law, 2000, replacement=True, generator=generator).T
    uniform = 6 * math.log(levels)
    model.initialise(Batch(x))
    share = law / law.sum(1, keepdim=True)
    entropy = -share.xlogy(share).sum()
    nats = -model.log_prob(x).mean().item()
    assert nats == pytest.approx(entropy.item(), abs=0.15)
    assert nats < uniform - 0.3


@pytest.mark.parametrize("case", CASES)
def test_levels_enter_one_by_one_up_to_a_limit(case: str) -> None:
    few = create(case.split(",")[0], Spec(shape=(2,), levels=FEW_LEVELS), **CASES[case])
    seen = few.entries(few.scaled(torch.tensor([[0, 3], [31, 1]])))[..., : FEW_LEVELS - 1]
    assert seen.sum(-1).tolist() == [[0, 3], [31, 1]]
    assert seen[0, 1].tolist() == [1.0] * 3 + [0.0] * 28
    many = create(case.split(",")[0], Spec(shape=(2,), levels=FEW_LEVELS + 1), **CASES[case])
    assert many.entry_size == 1 + (CASES[case].get("agnostic") == "order")


@pytest.mark.parametrize("case", CASES)
def test_training_mode_drops_and_evaluation_does_not(case: str) -> None:
    spec = Spec(shape=(1, 4, 4), levels=2)
    model, x = loud(case, spec, dropout=0.5), data(spec, 3)
    assert torch.equal(model.log_prob(x), model.log_prob(x))
    model.train()
    assert not torch.equal(model.log_prob(x), model.log_prob(x))
    assert type(model).suited(spec, 1000) == ({"dropout": 0.5} if "made" in case else {})
    assert type(model).suited(spec, 50_000) == {}
    wide = {"dropout": 0.5, "components": 2, "min_scale": 0.1}
    assert type(model).suited(Spec(shape=(3,)), 1000) == wide


@pytest.mark.parametrize("case", CASES)
def test_a_few_steps_of_training_lower_the_loss(case: str) -> None:
    spec = Spec(shape=(1, 4, 4), levels=3, classes=2)
    torch.manual_seed(0)
    model = create(
        case.split(",")[0], spec, **{**CASES[case], "hidden": 32} if case != "fvsbn" else {}
    )
    y = torch.arange(200) % 2
    x = ((torch.arange(16) + y[:, None] * 3 + torch.randint(2, (200, 1))) % 3).view(200, 1, 4, 4)
    batch = Batch(x, y)
    model.initialise(batch)
    (objective,) = model.objectives()
    optimizer = torch.optim.AdamW(objective.parameters, 1e-2)
    losses = []
    for step in range(60):
        noise = BatchNoise(200, torch.Generator().manual_seed(step))
        loss = objective.loss(batch, noise)["loss"]
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    # One bit for each example that nothing tells before the first entry.
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"order_seed": -1}, "order_seed=-1 must be at least 0"),
        ({"dropout": 1.0}, "dropout=1.0 must be at least 0 and below 1"),
        ({"components": 0}, "components=0 must be above zero"),
        ({"min_scale": 0.0}, "min_scale=0.0 must be above zero"),
        ({"masks": -3}, "masks=-3 must be at least 0"),
        ({"hidden": 0}, "hidden=0 must be above zero"),
    ],
)
def test_options_out_of_range_are_refused(config: dict, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        create("made", Spec(shape=(3,), levels=2), **config)


@pytest.mark.parametrize("case", REAL)
def test_a_law_of_levels_needs_levels(case: str) -> None:
    with pytest.raises(SpecError, match="likelihood='logistic' does not fit"):
        loud(case, Spec(shape=(3,)), likelihood="logistic")
