"""Causal attention: against a plain loop, over the whole and by position, strict and not."""

import math

import pytest
import torch
from torch import Tensor

from genus.families.stream_memory import held_bytes
from genus.nn.attention import CausalAttention
from genus.nn.cursor import Cursor

SIZES = [(1, 4, 4), (2, 3, 5), (3, 5, 2)]


def looped(q: Tensor, kv: Tensor, key: int, strict: bool) -> Tensor:
    """The equation, one position, head and example at a time."""
    B, T, N, _ = q.shape
    value = kv.shape[-1] - key
    out = torch.zeros(B, T, N, value, dtype=q.dtype)
    for b in range(B):
        for n in range(N):
            for i in range(T):
                seen = range(i if strict else i + 1)
                scores = [float(q[b, i, n] @ kv[b, j, n, :key]) / math.sqrt(key) for j in seen]
                total = sum(math.exp(s) for s in scores)
                for j, s in zip(seen, scores, strict=True):
                    out[b, i, n] += math.exp(s) / total * kv[b, j, n, key:]
    return out.flatten(2)


def inputs(sizes: tuple[int, int, int], positions: int) -> tuple[Tensor, Tensor]:
    heads, key, value = sizes
    generator = torch.Generator().manual_seed(positions)
    q = torch.randn(2, positions, heads, key, generator=generator, dtype=torch.float64)
    kv = torch.randn(2, positions, heads, key + value, generator=generator, dtype=torch.float64)
    return q, kv


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("positions", [1, 2, 7])
def test_it_is_the_equation(sizes: tuple[int, int, int], positions: int, strict: bool) -> None:
    q, kv = inputs(sizes, positions)
    out = CausalAttention(*sizes, strict=strict)(q, kv)
    torch.testing.assert_close(out, looped(q, kv, sizes[1], strict), rtol=0, atol=1e-12)


@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("shape", [(2, 3), (1, 5), (5, 1), (1, 1)])
def test_one_position_at_a_time_equals_the_whole(
    sizes: tuple[int, int, int], shape: tuple[int, int], strict: bool
) -> None:
    attention = CausalAttention(*sizes, strict=strict)
    q, kv = inputs(sizes, shape[0] * shape[1])
    whole, cursor = attention(q, kv), Cursor(*shape)
    for t in range(q.shape[1]):
        step = attention(q[:, t : t + 1], kv[:, t : t + 1], cursor)
        torch.testing.assert_close(step[:, 0], whole[:, t], rtol=0, atol=1e-12)
        cursor.advance()


@pytest.mark.parametrize("strict", [False, True])
def test_what_comes_later_has_no_effect_and_no_gradient(strict: bool) -> None:
    q, kv = inputs((2, 3, 3), 5)
    kv.requires_grad_()
    out = CausalAttention(2, 3, 3, strict=strict)(q, kv)
    for i in range(5):
        (gradient,) = torch.autograd.grad(out[:, i].square().sum(), kv, retain_graph=True)
        seen = gradient.abs().amax((0, 2, 3)) > 0
        assert seen.tolist() == [j < i or (j == i and not strict) for j in range(5)]


@pytest.mark.parametrize("positions", [1, 4])
def test_the_first_position_of_the_strict_form_is_zero_and_differentiable(positions: int) -> None:
    q, kv = (t.requires_grad_() for t in inputs((2, 3, 4), positions))
    out = CausalAttention(2, 3, 4, strict=True)(q, kv)
    assert out[:, 0].abs().max() == 0
    out.square().sum().backward()
    assert q.grad is not None
    assert kv.grad is not None
    assert q.grad.isfinite().all()
    assert kv.grad.isfinite().all()
    assert q.grad[:, 0].abs().max() == 0


def test_strict_attention_can_look_before_it_remembers() -> None:
    """As PixelSNAIL does, whose keys need a pixel that is drawn from what the query found."""
    sizes = (2, 3, 4)
    attention, (q, kv) = CausalAttention(*sizes, strict=True), inputs(sizes, 6)
    whole, cursor = attention(q, kv), Cursor(2, 3)
    for t in range(6):
        for _ in range(2):  # looking has no effect
            step = attention.look(q[:, t : t + 1], cursor)
            torch.testing.assert_close(step[:, 0], whole[:, t], rtol=0, atol=1e-12)
        attention.remember(kv[:, t : t + 1], cursor)
        cursor.advance()


def test_the_cache_is_as_large_as_it_says_and_never_grows() -> None:
    attention, cursor, found = CausalAttention(2, 3, 4), Cursor(2, 3), set()
    q, kv = inputs((2, 3, 4), 6)
    for t in range(6):
        attention(q[:, t : t + 1], kv[:, t : t + 1], cursor)
        found.add(held_bytes(cursor))
        cursor.advance()
    assert found == {2 * 6 * 2 * (3 + 4) * 8}


def test_a_rearranged_stream_goes_on_from_the_chosen_rows() -> None:
    attention, (q, kv) = CausalAttention(2, 3, 4), inputs((2, 3, 4), 4)
    index = torch.tensor([1, 1, 0])
    whole, cursor = attention(q[index], kv[index]), Cursor(1, 4)
    for t in range(2):
        attention(q[:, t : t + 1], kv[:, t : t + 1], cursor)
        cursor.advance()
    cursor.select(index)
    for t in range(2, 4):
        step = attention(q[index, t : t + 1], kv[index, t : t + 1], cursor)
        torch.testing.assert_close(step[:, 0], whole[:, t], rtol=0, atol=1e-12)
        cursor.advance()


def test_reduced_precision_is_close() -> None:
    sizes = (2, 16, 8)
    q, kv = (t.float() for t in inputs(sizes, 9))
    with torch.autocast("cpu", torch.bfloat16):
        rough = CausalAttention(*sizes, strict=True)(q, kv)
    torch.testing.assert_close(
        rough.float(), CausalAttention(*sizes, strict=True)(q, kv), rtol=0, atol=0.05
    )
