"""What is special to NADE: the equations of both papers, written as loops."""

import math
from functools import partial

import pytest
import torch
from autoregressive_checks import loud_model

from genus import Spec, create, load_data

loud = partial(loud_model, "nade", amount=0.5, hidden=5)


def sigmoid(a: float) -> float:
    return 1 / (1 + math.exp(-a))


@pytest.mark.parametrize("order", ["raster", "random"])
def test_binary_conditionals_are_those_of_the_paper(order: str) -> None:
    """p(v_i = 1) = sigm(b_i + V_i h_i), h_i = sigm(c + sum of W_j v_j over j before i)."""
    model = loud(Spec(shape=(3, 1, 2), levels=2, classes=2), order=order)
    x = torch.randint(2, (3, 3, 1, 2), generator=torch.Generator().manual_seed(1))
    y = torch.tensor([1, 0, 1])
    found = model.conditionals(x, y).mean.flatten(1)
    for row in range(3):
        sums = model.hidden_bias_YH[y[row]].tolist()
        for rank, index in enumerate(model.order().tolist()):
            logit = model.bias_YDP[y[row], index, 0].item()
            for unit, a in enumerate(sums):
                logit += model.out_DPH[rank, 0, unit].item() * sigmoid(a)
            assert found[row, index].item() == pytest.approx(sigmoid(logit), abs=1e-12)
            value = x[row].flatten()[index].item()
            weights = model.weight_DEH[rank, 0].tolist()
            sums = [a + value * w for a, w in zip(sums, weights, strict=True)]


def test_levels_add_one_weight_for_each_that_they_reach() -> None:
    model = loud(Spec(shape=(4,), levels=5))
    x = torch.randint(5, (3, 4), generator=torch.Generator().manual_seed(1))
    found = model.conditionals(x).log_probs()
    for row in range(3):
        sums = model.hidden_bias_YH[0].clone()
        for rank in range(4):
            logits = model.bias_YDP[0, rank] + model.out_DPH[rank] @ sums.sigmoid()
            torch.testing.assert_close(found[row, rank], logits.log_softmax(0))
            sums += model.weight_DEH[rank, : x[row, rank]].sum(0)


def test_many_levels_enter_as_one_number() -> None:
    model = loud(Spec(shape=(3,), levels=256), likelihood="logistic")
    x = torch.tensor([[0, 255, 51]])
    u = torch.tensor([-1.0, 1.0, -0.6]).double()
    sums = model.hidden_bias_YH[0] + u[0] * model.weight_DEH[0, 0] + u[1] * model.weight_DEH[1, 0]
    raw = model.bias_YDP[0, 2] + model.out_DPH[2] @ sums.sigmoid()
    law = model.conditionals(x)
    assert law.location[0, 2].item() == pytest.approx(127.5 * (1 + raw[0].item()))


@pytest.mark.parametrize("activation", ["auto", "sigmoid"])
def test_real_conditionals_are_those_of_rnade(activation: str) -> None:
    """Softmax weights, means and exponentials of V_d h_d, with h_d = g(rho_d a_d)."""
    M, floor = 2, 0.01
    model = loud(Spec(shape=(4,)), components=M, activation=activation, min_scale=floor)
    with torch.no_grad():
        model.shift_D.copy_(torch.tensor([0.0, 5.0, -3.0, 100.0]))
        model.scale_D.copy_(torch.tensor([1.0, 2.0, 0.1, 30.0]))
    x = torch.tensor([[0.3, 4.0, -3.1, 90.0], [-1.0, 9.0, -2.8, 150.0]]).double()
    found = model.conditionals(x).log_prob(x)
    for row in range(2):
        sums = model.hidden_bias_YH[0].clone()
        for d in range(4):
            shift, scale = model.shift_D[d].item(), model.scale_D[d].item()
            h = model.factor_D[d] * sums
            h = h.clamp(min=0) if activation == "auto" else h.sigmoid()
            raw = model.bias_YDP[0, d] + model.out_DPH[d] @ h
            weight = raw[:M].exp() / raw[:M].exp().sum()
            mean = shift + scale * raw[M : 2 * M]
            deviation = scale * (floor + raw[2 * M :].exp())
            z = (x[row, d] - mean) / deviation
            density = (weight * (-0.5 * z**2).exp() / (deviation * math.sqrt(2 * math.pi))).sum()
            assert found[row, d].item() == pytest.approx(density.log().item(), abs=1e-9)
            sums = sums + (x[row, d] - shift) / scale * model.weight_DEH[d, 0]


def test_features_are_the_units_after_the_last_entry() -> None:
    model = loud(Spec(shape=(5,), levels=2))
    x = torch.tensor([[0, 1, 1, 0, 1]])
    sums = model.hidden_bias_YH[0] + model.weight_DEH[[1, 2, 4], 0].sum(0)
    torch.testing.assert_close(model.features(x)[0], sums.sigmoid())


def test_raw_wine_is_learned_as_it_is() -> None:
    """Columns from 0.1 to 1,700 need no scaling by the user; draws are in the unit of the data."""
    data = load_data("wine")
    batch = data.train.batch(torch.arange(len(data.train)))
    torch.manual_seed(0)
    model = create("nade", data.spec.unconditional(), hidden=32)
    model.initialise(batch)
    independent = torch.distributions.Normal(batch.x.mean(0), batch.x.std(0))
    start = independent.log_prob(batch.x).sum(1).mean().item()
    assert model.log_prob(batch.x).mean().item() == pytest.approx(start, abs=3)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(60):
        optimizer.zero_grad()
        loss = -model.log_prob(batch.x).mean()
        loss.backward()
        optimizer.step()
    assert -loss.item() > start + 3
    drawn = model.sample(200, generator=torch.Generator().manual_seed(0))
    close = (drawn.mean(0) - batch.x.mean(0)).abs() / batch.x.std(0)
    assert (close < 0.5).all()
