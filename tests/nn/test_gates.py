"""Gates: the same in training and in use, with the slope of their equations."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from genus.nn.gates import glu, tanh_gate

Gate = Callable[[Tensor], Tensor]


def tanh_by_the_equation(x: Tensor) -> Tensor:
    value, share = x.chunk(2, 1)
    return value.tanh() / (1 + (-share).exp())


def glu_by_the_equation(x: Tensor) -> Tensor:
    value, share = x.chunk(2, 1)
    return value / (1 + (-share).exp())


BOTH = [(tanh_gate, tanh_by_the_equation), (glu, glu_by_the_equation)]
LAYOUTS = [torch.channels_last, torch.contiguous_format]


@pytest.mark.parametrize("layout", LAYOUTS, ids=["features last", "default layout"])
@pytest.mark.parametrize(("gate", "equation"), BOTH, ids=["tanh", "glu"])
def test_training_and_use_follow_the_equation(
    gate: Gate, equation: Gate, layout: torch.memory_format
) -> None:
    x = (4 * torch.randn(3, 10, 4, 5, dtype=torch.float64)).to(memory_format=layout)
    before = x.clone()
    for gradients in (True, False):
        with torch.set_grad_enabled(gradients):
            torch.testing.assert_close(gate(x), equation(x), rtol=0, atol=1e-14)
    assert torch.equal(x, before)


@pytest.mark.parametrize("layout", LAYOUTS, ids=["features last", "default layout"])
@pytest.mark.parametrize("gate", [tanh_gate, glu])
def test_the_slope_is_that_of_the_function(gate: Gate, layout: torch.memory_format) -> None:
    x = torch.randn(2, 6, 3, 2, dtype=torch.float64).to(memory_format=layout)
    assert torch.autograd.gradcheck(gate, x.requires_grad_())


@pytest.mark.parametrize("gate", [tanh_gate, glu])
def test_a_closed_gate_has_no_fault(gate: Gate) -> None:
    x = torch.tensor([1e4, -1e4]).view(1, 2, 1, 1).requires_grad_()
    out = gate(x)
    out.sum().backward()
    assert out.item() == 0
    assert x.grad is not None
    assert x.grad.flatten().tolist() == [0, 0]
