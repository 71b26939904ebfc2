"""What is special to FVSBN: the plain equation, tables of levels, and masked weights."""

import math
from functools import partial

import pytest
import torch
from autoregressive_checks import loud_model

from genus import Spec, create
from genus.random import BatchNoise
from genus.spec import Batch

loud = partial(loud_model, "fvsbn", amount=0.5)


@pytest.mark.parametrize("order", ["raster", "random"])
@pytest.mark.parametrize("levels", [2, 4])
def test_it_is_a_regression_on_the_entries_before(levels: int, order: str) -> None:
    """Each law written as a sum over earlier entries and over the levels that they reach."""
    spec = Spec(shape=(3, 1, 2), levels=levels, classes=2)
    model = loud(spec, order=order)
    x = torch.randint(levels, (4, *spec.shape), generator=torch.Generator().manual_seed(1))
    y = torch.tensor([0, 1, 1, 0])
    found = model.conditionals(x, y).logits.flatten(1, 3)
    weight, ranks = model.linear.weight, model.order().tolist()
    for b in range(4):
        entries = x[b].flatten().tolist()
        for rank, target in enumerate(ranks):
            logits = model.bias_YDP[y[b], target].clone()
            for source in ranks[:rank]:
                for reached in range(entries[source]):
                    logits += weight[target, :, source, reached]
            row = found[b, target]
            torch.testing.assert_close(row if levels > 2 else row.view(1), logits)


def test_colours_are_ordered_within_the_pixel() -> None:
    assert create("fvsbn", Spec(shape=(3, 1, 2), levels=2)).order().tolist() == [0, 2, 4, 1, 3, 5]


def test_any_table_of_two_entries_can_be_written_down() -> None:
    """With one number for each level reached, a law can depend on the other entry in any way."""
    levels = 4
    model = create("fvsbn", Spec(shape=(2,), levels=levels)).double()
    table = torch.rand(levels, levels, generator=torch.Generator().manual_seed(0)).double() + 0.1
    joint = table / table.sum()
    given = (joint / joint.sum(1, keepdim=True)).log()
    with torch.no_grad():
        model.bias_YDP[0, 0] = joint.sum(1).log()
        model.bias_YDP[0, 1] = given[0]
        model.linear.weight[1, :, 0] = given.diff(dim=0).T
    x = torch.cartesian_prod(torch.arange(levels), torch.arange(levels))
    torch.testing.assert_close(model.log_prob(x).exp(), joint.flatten())


def test_masked_weights_get_no_gradient_and_stay_zero() -> None:
    spec = Spec(shape=(1, 3, 3), levels=3)
    model = create("fvsbn", spec, order="random")
    (objective,) = model.objectives()
    optimizer = torch.optim.AdamW(objective.parameters, 0.1, weight_decay=0.1)
    x = torch.randint(3, (20, *spec.shape), generator=torch.Generator().manual_seed(0))
    hidden = ~model.linear.mask.expand_as(model.linear.weight)
    for step in range(3):
        optimizer.zero_grad()
        noise = BatchNoise(20, torch.Generator().manual_seed(step))
        objective.loss(Batch(x), noise)["loss"].backward()
        assert not model.linear.weight.grad[hidden].any()
        optimizer.step()
    saved = model.state_dict()["linear.weight"]
    assert not saved[hidden].any()
    assert (saved[~hidden] != 0).all()


def test_it_fits_two_binary_entries_exactly() -> None:
    """The loss is convex, and its minimum over two entries is the entropy of the data."""
    x = torch.tensor([[0, 0]] * 5 + [[0, 1]] * 2 + [[1, 0]] * 1 + [[1, 1]] * 8)
    model = create("fvsbn", Spec(shape=(2,), levels=2)).double()
    optimizer = torch.optim.LBFGS(model.parameters(), line_search_fn="strong_wolfe", max_iter=200)

    def loss() -> torch.Tensor:
        optimizer.zero_grad()
        value = -model.log_prob(x).mean()
        value.backward()
        return value

    optimizer.step(loss)
    entropy = -sum(n / 16 * math.log(n / 16) for n in (5, 2, 1, 8))
    assert loss().item() == pytest.approx(entropy, abs=1e-6)


def test_it_needs_levels() -> None:
    with pytest.raises(ValueError, match="needs data with levels"):
        create("fvsbn", Spec(shape=(13,)))
