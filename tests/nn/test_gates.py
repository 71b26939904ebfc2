"""Gates and other units of two halves: in training and in use, the slope of their equations."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from genus.nn.concat_elu import concat_elu
from genus.nn.gates import glu, tanh_gate

Gate = Callable[[Tensor], Tensor]


def tanh_by_the_equation(x: Tensor) -> Tensor:
    value, share = x.chunk(2, 1)
    return value.tanh() / (1 + (-share).exp())


def glu_by_the_equation(x: Tensor) -> Tensor:
    value, share = x.chunk(2, 1)
    return value / (1 + (-share).exp())


def elu_by_the_equation(x: Tensor) -> Tensor:
    both = torch.cat([x, -x], 1)
    return torch.where(both > 0, both, both.exp() - 1)


EQUATIONS = [
    (tanh_gate, tanh_by_the_equation),
    (glu, glu_by_the_equation),
    (concat_elu, elu_by_the_equation),
]
LAYOUTS = [torch.channels_last, torch.contiguous_format]


@pytest.mark.parametrize("layout", LAYOUTS, ids=["features last", "default layout"])
@pytest.mark.parametrize(("gate", "equation"), EQUATIONS, ids=["tanh", "glu", "elu"])
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
@pytest.mark.parametrize("gate", [tanh_gate, glu, concat_elu])
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


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float32])
def test_units_next_to_zero_and_far_from_it(dtype: torch.dtype) -> None:
    x = torch.tensor([0.0, 1e-3, -1e-3, 80.0, -80.0], dtype=dtype).view(1, 5, 1, 1)
    expected = elu_by_the_equation(x.double()).flatten()
    out = concat_elu(x.requires_grad_())
    out.sum().backward()
    assert x.grad is not None
    torch.testing.assert_close(out.double().flatten(), expected, rtol=1e-2, atol=0)
    slopes = x.grad.flatten().tolist()
    assert slopes[0] == 0, "up in one half, down in the other"
    assert slopes[3:] == [1, -1]
