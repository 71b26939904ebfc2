"""What is special to MADE: masks from degrees, many orders, ensembles, and completion by order."""

import math
from functools import partial

import numpy as np
import pytest
import scipy.stats
import torch
from autoregressive_checks import loud_model

from genus import Spec, create
from genus.conformance.tools import all_examples, index_of
from genus.errors import ConfigError
from genus.models.made import MADE
from genus.nn.masked import LayerSteps
from genus.nn.masked_perceptron import degrees
from genus.random import BatchNoise
from genus.spec import Batch

AGNOSTIC = ["nothing", "connectivity", "order"]


loud = partial(loud_model, "made", amount=0.4, hidden=9, components=2)


@pytest.mark.parametrize("agnostic", AGNOSTIC)
@pytest.mark.parametrize("layers", [1, 3])
def test_it_is_the_network_of_the_paper(layers: int, agnostic: str) -> None:
    """Every unit as a sum over what its degree lets it see."""
    spec = Spec(shape=(5,), levels=2)
    model = loud(spec, layers=layers, hidden=6, order="random", agnostic=agnostic)
    x = torch.randint(2, (3, 5), generator=torch.Generator().manual_seed(1))
    position = model.order().argsort().tolist()
    degree = [[k * 4 // 6 for k in range(6)]] * layers
    found = model.conditionals(x).logits
    net = model.net
    for row in range(3):
        # A model of any order is also told which entries are there.
        seen = torch.stack([x[row].double(), torch.ones(5).double()], 1)
        seen = seen if agnostic == "order" else seen[:, :1]
        below = torch.stack(
            [
                sum(
                    (net.layers[0].weight[k, 0, s] * seen[s]).sum()
                    for s in range(5)
                    if position[s] <= degree[0][k]
                )
                + net.bias_LYH[0, 0, k]
                for k in range(6)
            ]
        ).clamp(min=0)
        for level in range(1, layers):
            below = torch.stack(
                [
                    sum(
                        net.layers[level].weight[k, 0, j, 0] * below[j]
                        for j in range(6)
                        if degree[level - 1][j] <= degree[level][k]
                    )
                    + net.bias_LYH[level, 0, k]
                    for k in range(6)
                ]
            ).clamp(min=0)
        for t in range(5):
            logit = model.bias_YDP[0, t, 0].clone()
            for j in range(6):
                if degree[-1][j] < position[t]:
                    logit += net.last.weight[t, 0, j, 0] * below[j]
            for s in range(5):
                if position[s] < position[t]:
                    logit += (net.direct.weight[t, 0, s] * seen[s]).sum()
            torch.testing.assert_close(found[row, t], logit)


def test_degrees_are_even_and_leave_no_unit_without_use() -> None:
    assert degrees(5, 8, 1)[0].tolist() == [0, 0, 1, 1, 2, 2, 3, 3]
    assert degrees(9, 4, 1)[0].tolist() == [0, 2, 4, 6]
    assert degrees(1, 3, 2).tolist() == [[0, 0, 0]] * 2
    mixed = degrees(6, 20, 3, torch.Generator().manual_seed(0))
    assert torch.equal(mixed.sort(1).values, degrees(6, 20, 3))
    assert not torch.equal(mixed[0], mixed[1])


@pytest.mark.parametrize("direct", [True, False])
def test_masked_weights_get_no_gradient_and_stay_zero(direct: bool) -> None:
    spec = Spec(shape=(1, 3, 3), levels=3)
    model = create("made", spec, hidden=20, direct=direct, order="random")
    (objective,) = model.objectives()
    optimizer = torch.optim.AdamW(objective.parameters, 0.1, weight_decay=0.1)
    x = torch.randint(3, (20, *spec.shape), generator=torch.Generator().manual_seed(0))
    layers = [*model.net.layers, model.net.last, *([model.net.direct] if direct else [])]
    for step in range(3):
        optimizer.zero_grad()
        noise = BatchNoise(20, torch.Generator().manual_seed(step))
        objective.loss(Batch(x), noise)["loss"].backward()
        for layer in layers:
            assert not layer.weight.grad[~layer.mask.expand_as(layer.weight)].any()
        optimizer.step()
    for layer in layers:
        assert not layer.weight[~layer.mask.expand_as(layer.weight)].any()
        assert layer.weight.any()


def test_a_stream_uses_every_weight_that_is_not_masked_once() -> None:
    """So all its steps together cost what one pass without the masked weights would."""
    model = loud(Spec(shape=(1, 4, 3), levels=3), hidden=30, order="random", agnostic="order")
    for layer in [*model.member(5).net.layers, model.net.last, model.net.direct]:
        steps = LayerSteps(layer, 12)
        used = sum(block.numel() for _, _, block in steps._blocks)
        assert used == int(layer.mask.expand_as(layer.weight).sum())


@pytest.mark.parametrize("agnostic", ["connectivity", "order"])
def test_members_differ_and_share_their_weights(agnostic: str) -> None:
    model = loud(Spec(shape=(1, 2, 3), levels=3), agnostic=agnostic, masks=3)
    x = torch.randint(3, (4, 1, 2, 3), generator=torch.Generator().manual_seed(0))
    first, second, third = (model.member(i) for i in range(3))
    assert torch.equal(first.log_prob(x), model.log_prob(x))
    assert not torch.equal(second.log_prob(x), third.log_prob(x))
    assert (second.order().tolist() == model.order().tolist()) == (agnostic == "connectivity")
    assert sorted(third.order().tolist()) == list(range(6))
    with torch.no_grad():
        model.net.last.weight.mul_(2)
    assert torch.equal(second.net.last.weight, model.net.last.weight)
    assert torch.equal(model.member(1).log_prob(x), second.log_prob(x))


@pytest.mark.parametrize("agnostic", ["connectivity", "order"])
def test_members_and_ensembles_sum_to_one(agnostic: str) -> None:
    spec = Spec(shape=(3, 1, 2), levels=3, classes=2)
    model = loud(spec, agnostic=agnostic, masks=4)
    x = all_examples(spec)
    y = torch.ones(len(x), dtype=torch.long)
    members = torch.stack([model.member(i).log_prob(x, y) for i in range(4)])
    torch.testing.assert_close(members.exp().sum(1), torch.ones(4).double())
    together = model.ensemble_log_prob(x, y, orders=4)
    torch.testing.assert_close(together.exp(), members.exp().mean(0))
    assert together.exp().sum().item() == pytest.approx(1)
    mixture = model.ensemble_log_prob(x, orders=3).exp().sum().item()
    assert mixture == pytest.approx(1)


def test_the_mean_probability_is_never_worse_than_the_mean_log_probability() -> None:
    model = loud(Spec(shape=(6,)), agnostic="order")
    x = torch.randn(20, 6, generator=torch.Generator().manual_seed(0)).double()
    members = torch.stack([model.member(i).log_prob(x) for i in range(8)])
    assert (model.ensemble_log_prob(x) > members.mean(0)).all()


def test_sets_that_are_not_trained_are_refused() -> None:
    model = loud(Spec(shape=(4,), levels=2), agnostic="order", masks=3)
    x = torch.zeros(1, 4, dtype=torch.long)
    with pytest.raises(
        ConfigError, match="3 sets of connections are trained, so there is no set 3"
    ):
        model.ensemble_log_prob(x, orders=4)
    with pytest.raises(ConfigError, match="orders=0 must be above zero"):
        model.ensemble_log_prob(x, orders=0)
    with pytest.raises(ConfigError, match="1 sets of connections"):
        loud(Spec(shape=(4,), levels=2)).member(1)


def losses(model: MADE, x: torch.Tensor, n: int = 12) -> list[float]:
    (objective,) = model.objectives()
    noises = [BatchNoise(len(x), torch.Generator().manual_seed(i)) for i in range(n)]
    return [objective.loss(Batch(x), noise)["nats"].item() for noise in noises]


@pytest.mark.parametrize("masks", [0, 2])
@pytest.mark.parametrize("agnostic", ["connectivity", "order"])
def test_agnostic_training_draws_the_sets_and_evaluation_does_not(
    agnostic: str, masks: int
) -> None:
    model = loud(Spec(shape=(1, 3, 3), levels=2), agnostic=agnostic, masks=masks)
    x = torch.randint(2, (5, 1, 3, 3), generator=torch.Generator().manual_seed(0))
    model.train()
    found = {round(loss, 9) for loss in losses(model, x)}
    assert losses(model, x) == losses(model, x)
    if masks:
        means = {round(-model.member(i).log_prob(x).mean().item(), 9) for i in range(masks)}
        assert found == means
    else:
        assert len(found) == 12
    assert torch.equal(model.log_prob(x), model.eval().log_prob(x))
    assert len(set(losses(model, x))) == 1


def test_training_in_every_order_makes_the_orders_agree() -> None:
    """On data that one order explains as well as another, their likelihoods come together."""
    torch.manual_seed(0)
    spec = Spec(shape=(4,), levels=2)
    x = torch.randint(2, (400, 1), generator=torch.Generator().manual_seed(0)).expand(-1, 4)
    model = create("made", spec, hidden=128, agnostic="order").train()
    (objective,) = model.objectives()
    optimizer = torch.optim.Adam(objective.parameters, 1e-2)
    for step in range(600):
        optimizer.zero_grad()
        noise = BatchNoise(400, torch.Generator().manual_seed(step))
        objective.loss(Batch(x), noise)["loss"].backward()
        optimizer.step()
    nats = [-model.member(i).log_prob(x).mean().item() for i in range(1000, 1010)]
    assert max(nats) < math.log(2) + 0.15


def test_any_mask_is_completed_in_an_order_that_begins_with_what_is_known() -> None:
    spec, n = Spec(shape=(1, 2, 2), levels=3), 6000
    model = loud(spec, agnostic="order", hidden=16)
    x = torch.tensor([[[[2, 0], [1, 2]]]]).expand(n, 1, 2, 2)
    known = torch.tensor([[[[False, True], [False, True]]]]).expand_as(x)
    done = model.complete(x, known, generator=torch.Generator().manual_seed(0))
    assert torch.equal(done.x[known], x[known])
    assert "order that begins with the known" in done.method
    other = model.with_known_first(known[0])
    assert other.order().tolist() == [1, 3, 0, 2]
    everything = all_examples(spec)
    agrees = ((everything == x[0]) | ~known[0]).flatten(1).all(1)
    law = other.log_prob(everything).exp()
    given = law[agrees] / law[agrees].sum()
    counts = torch.bincount(index_of(done.x, spec), minlength=81)
    assert counts.sum() == counts[agrees].sum()
    assert scipy.stats.chisquare(counts[agrees], (given * n).detach()).pvalue > 1e-3
    # The figures that come with it are those of that order.
    torch.testing.assert_close(
        done.log_conditional.exp(),
        given[torch.searchsorted(agrees.nonzero()[:, 0], index_of(done.x, spec))],
    )


def test_rows_with_different_masks_have_orders_of_their_own() -> None:
    spec = Spec(shape=(6,), levels=4, classes=2)
    model = loud(spec, agnostic="order", hidden=20)
    generator = torch.Generator().manual_seed(0)
    x, known = torch.randint(4, (8, 6), generator=generator), torch.rand(8, 6) < 0.5
    together = model.complete(x, known, generator=torch.Generator().manual_seed(1))
    assert torch.equal(together.x[known], x[known])
    first = model.complete(x[:3], known[:3], generator=torch.Generator().manual_seed(1))
    assert torch.equal(first.x, together.x[:3])
    assert model.with_known_first(known[0]).order().unique().tolist() == list(range(6))


def test_other_models_have_one_order() -> None:
    model = loud(Spec(shape=(4,), levels=2), agnostic="connectivity")
    assert model.with_known_first(torch.tensor([True, False, True, False])) is None


def test_features_are_the_last_hidden_layer() -> None:
    model = loud(Spec(shape=(5,), levels=2, classes=2))
    x = torch.randint(2, (3, 5), generator=torch.Generator().manual_seed(0))
    features = model.features(x)
    assert features.shape == (3, 9)
    # A unit of degree m depends on entries up to m alone.
    changed = x.clone()
    changed[:, 2] = 1 - changed[:, 2]
    moved = (model.features(changed) != features).any(0)
    assert not moved[degrees(5, 9, 1)[0] < 2].any()
    assert moved.any()


def test_correlated_numbers_are_learned() -> None:
    """Two columns on a curve with noise, in awkward units: close to the entropy of the noise."""
    generator = np.random.default_rng(0)
    a = generator.normal(size=2000)
    b = np.sin(2 * a) + 0.1 * generator.normal(size=2000)
    x = torch.tensor(np.stack([1e4 + 300 * a, 1e-3 * b], 1)).float()
    torch.manual_seed(0)
    model = create("made", Spec(shape=(2,)), hidden=64, components=5)
    model.initialise(Batch(x))
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(400):
        optimizer.zero_grad()
        loss = -model.log_prob(x).mean()
        loss.backward()
        optimizer.step()
    gaussian = 0.5 * math.log(2 * math.pi * math.e)
    entropy = 2 * gaussian + math.log(300) + math.log(1e-3 * 0.1)
    assert loss.item() == pytest.approx(entropy, abs=0.1)
