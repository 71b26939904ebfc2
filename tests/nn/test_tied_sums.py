"""The chunked hidden layers of NADE against the sums written out, and their way back."""

import pytest
import torch

from genus.nn import tied_sums
from genus.nn.tied_sums import tied_layers

Inputs = tuple[torch.Tensor, ...]


def inputs(B: int, D: int, E: int, H: int, P: int, scaled: bool) -> Inputs:
    generator = torch.Generator().manual_seed(0)
    shapes = [(B, D, E), (D, E, H), (D, P, H), (B, H), *([(D,)] if scaled else [])]
    return tuple(
        torch.randn(shape, generator=generator, dtype=torch.float64).requires_grad_()
        for shape in shapes
    )


def written_out(parts: Inputs, relu: bool) -> torch.Tensor:
    """The same, one position after another."""
    e, weight, out, a, *scale = parts
    rows = []
    for t in range(e.shape[1]):
        before = a + sum(e[:, s] @ weight[s] for s in range(t))
        if scale:
            before = before * scale[0][t]
        h = before.clamp(min=0) if relu else 1 / (1 + (-before).exp())
        rows.append(h @ out[t].T)
    return torch.stack(rows)


@pytest.mark.parametrize("chunk", [1, 4, 100])
@pytest.mark.parametrize("relu", [False, True])
@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize(
    "size", [(3, 11, 1, 4, 1), (2, 7, 3, 5, 2), (1, 1, 1, 1, 1), (0, 4, 2, 3, 2)]
)
def test_outputs_and_gradients_are_those_of_the_sums(
    monkeypatch: pytest.MonkeyPatch,
    size: tuple[int, ...],
    scaled: bool,
    relu: bool,
    chunk: int,
) -> None:
    monkeypatch.setattr(tied_sums, "CHUNK", chunk)
    parts = inputs(*size, scaled)
    ours, theirs = tied_layers(*parts, relu=relu), written_out(parts, relu)
    torch.testing.assert_close(ours, theirs, rtol=0, atol=1e-12)
    toward = torch.randn(ours.shape, generator=torch.Generator().manual_seed(1)).double()
    for a, b in zip(
        torch.autograd.grad((ours * toward).sum(), parts),
        torch.autograd.grad((theirs * toward).sum(), parts, materialize_grads=True),
        strict=True,
    ):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-11)


def test_the_way_back_keeps_no_hidden_units() -> None:
    """It keeps the sums at the start of each chunk: a sixteenth of all hidden units."""
    B, D, H = 5, 160, 7
    parts = inputs(B, D, 1, H, 1, scaled=False)
    kept: list[int] = []
    with torch.autograd.graph.saved_tensors_hooks(
        lambda t: kept.append(t.numel()) or t, lambda t: t
    ):
        tied_layers(*parts)
    weights = sum(p.numel() for p in parts[:3])
    assert sum(kept) - weights == B * H * D // tied_sums.CHUNK


def test_it_cannot_be_differentiated_twice_unnoticed() -> None:
    parts = inputs(2, 3, 1, 2, 1, scaled=False)
    loss = tied_layers(*parts).square().sum()
    (first,) = torch.autograd.grad(loss, parts[0], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        first.sum().backward()


def test_autocast_leaves_it_exact() -> None:
    parts = tuple(p.detach().float() for p in inputs(2, 40, 1, 8, 1, scaled=False))
    plain = tied_layers(*parts)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(tied_layers(*parts), plain)
