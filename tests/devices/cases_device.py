"""The pretended device refuses what a GPU refuses, and computes what the processor does."""

import copy

import pytest
import torch
from pretended import CROSSINGS, DEVICE, Pretended, lstm, lstm_cell, pretended
from torch import nn

SAME = "all tensors to be on the same device"


@pytest.fixture(autouse=True)
def device():
    with pretended() as place:
        CROSSINGS.clear()
        yield place


@pytest.mark.parametrize(
    "mix",
    [
        lambda here, there: here + there,
        lambda here, there: there @ here,
        lambda here, there: torch.cat([here, there]),
        lambda here, there: torch.where(here > 0, here, there),
        lambda here, there: there.add_(here),
        lambda here, there: nn.functional.linear(here, there),
        lambda here, there: here.index_select(0, there.long()[0]),
    ],
)
def test_two_places_do_not_mix(mix):
    here, there = torch.ones(3, 3, device=DEVICE), torch.ones(3, 3)
    with pytest.raises(RuntimeError, match=SAME):
        mix(here, there)


def test_numbers_and_indices_may_come_from_the_processor():
    here = torch.arange(6.0, device=DEVICE).view(2, 3)
    assert (here * torch.tensor(2.0)).sum().item() == 30
    assert here[torch.tensor([1, 0])].tolist() == [[3, 4, 5], [0, 1, 2]]
    assert (here + 1).device == DEVICE


def test_what_is_carried_is_noted():
    here = torch.zeros(3, device=DEVICE)
    here.add_(1).mul_(2)
    assert not CROSSINGS
    here.cpu(), here.copy_(torch.ones(3)), here.sum().item(), here.tolist()
    torch.tensor([1.0, 2.0], device=DEVICE), here[torch.tensor([0])]
    assert CROSSINGS == [
        "aten::_to_copy", "aten::copy_", "aten::_local_scalar_dense", "tolist",
        "aten::_to_copy", "aten::index",
    ]  # fmt: skip


def test_a_network_learns_the_same():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ELU(), nn.Flatten(), nn.Linear(12, 2)).double()
    twin, x = copy.deepcopy(net).to(DEVICE), torch.randn(5, 1, 4, 4, dtype=torch.float64)
    for module, batch in ((net, x), (twin, x.to(DEVICE))):
        optimizer = torch.optim.AdamW(module.parameters(), fused=True)
        for _ in range(3):
            optimizer.zero_grad()
            module(batch).square().sum().backward()
            optimizer.step()
    for a, b in zip(net.parameters(), twin.parameters(), strict=True):
        assert isinstance(b, Pretended)
        torch.testing.assert_close(a.detach(), b.detach().inner, rtol=1e-12, atol=1e-12)


def test_cells_that_are_fused_elsewhere_are_those_of_torch():
    cell, (x, h, c) = nn.LSTMCell(3, 4), torch.randn(3, 2, 4)
    weights = cell.weight_ih, cell.weight_hh, cell.bias_ih, cell.bias_hh
    rows = torch.randn(2, 5, 3)
    options = True, 1, 0.0, False, False, True
    with torch._C.DisableTorchFunction():  # torch's own
        wanted = torch.lstm_cell(x[:, :3], (h, c), *weights)
        along = torch.lstm(rows, (h[None], c[None]), weights, *options)
    torch.testing.assert_close(lstm_cell(x[:, :3], (h, c), *weights), wanted)
    torch.testing.assert_close(lstm(rows, (h[None], c[None]), weights)[0], along[0])
