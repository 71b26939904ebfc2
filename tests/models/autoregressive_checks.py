"""What tests of autoregressive models share: loud weights, contexts, streams and both samplers."""

# Shapes: B batch, D dims.
from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor
from torch.autograd.functional import jacobian

from genus import Spec, create
from genus.capabilities import Distribution
from genus.families.autoregressive import Autoregressive


def loud_model(
    name: str, spec: Spec, /, *, amount: float = 0.3, by_inputs: bool = False, **config: Any
) -> Autoregressive:
    """Return a model in float64 whose weights are large enough for every dependence to show.

    Its weights depend on the arguments alone.

    Args:
        name: a registered name.
        spec: what the data are.
        amount: standard deviation of the noise that is added to every parameter.
        by_inputs: divide the noise by the square root of how many numbers a unit takes in, so
            that those with many inputs are not driven to where they are flat.
        config: options of the model.
    """
    torch.manual_seed(0)
    model = create(name, spec, **config).double()
    assert isinstance(model, Autoregressive)
    with torch.no_grad():
        for parameter in model.parameters():
            noise = amount * torch.randn_like(parameter)
            parameter.add_(noise / parameter[0].numel() ** 0.5 if by_inputs else noise)
    return model.eval()


def examples(spec: Spec, n: int = 3) -> tuple[Tensor, Tensor | None]:
    """Return levels ``(n, *shape)`` and labels: one row of each class, the rest of the last.

    Args:
        spec: data with levels; labels are None where it has no classes.
        n: how many.
    """
    generator = torch.Generator().manual_seed(0)
    x = torch.randint(spec.levels_or_raise, (n, *spec.shape), generator=generator)
    return x, None if spec.classes is None else torch.arange(n).clamp(max=spec.classes - 1)


def context(
    model: Autoregressive, *, outputs: Callable[[Tensor], Tensor] | None = None, images: int = 3
) -> Tensor:
    """Return ``(D, D)`` boolean: which entry (column) moves what is said of which entry (row).

    Rows and columns are in the model's order, so that a model that sees all that it may see has a
    lower triangle without its diagonal.

    Args:
        model: in float64, without classes.
        outputs: from an example ``(1, *shape)`` of real numbers to one number for each entry, of
            the same shape; the squared length of the parameters of its law when left out.
        images: at how many random examples derivatives are taken; what one hides behind a
            rectifier, another shows.
    """

    def lengths(u: Tensor) -> Tensor:
        return model.parameters_of(u, None).square().sum(-1)

    D, order = model.spec.dims, model.order()
    generator = torch.Generator().manual_seed(1)
    total = torch.zeros(D, D, dtype=torch.float64)
    for _ in range(images):
        u = torch.randn(1, *model.spec.shape, generator=generator, dtype=torch.float64)
        slopes = jacobian(outputs or lengths, u)  # type: ignore[no-untyped-call]
        total += slopes.reshape(D, D).abs()
    assert torch.isfinite(total).all()
    return (total > 0)[order][:, order]


def assert_streamed_laws_equal_the_full_pass(
    model: Autoregressive, x: Tensor, y: Tensor | None = None
) -> None:
    """Assert that a stream that is given examples answers with the laws of one pass over them.

    Args:
        model: in float64.
        x: ``(B, *shape)``.
        y: ``(B,)`` labels, or None.
    """
    assert_a_rearranged_stream_goes_on(model, x, y, {})


def assert_a_rearranged_stream_goes_on(
    model: Autoregressive,
    x: Tensor,
    y: Tensor | None,
    chosen: Mapping[int, Tensor],
    *,
    after_the_law: bool = False,
) -> None:
    """Assert that rows that are chosen on the way go on as if they had always been there.

    Laws before and after the changes are held against those of one pass over the examples.

    Args:
        model: in float64.
        x: ``(B, *shape)``.
        y: ``(B,)`` labels, or None.
        chosen: by position in the model's order, the rows that go on there, any number of them.
        after_the_law: rearrange when the law of that position has been asked for, and ask for it
            again; otherwise rearrange first.
    """
    full = _numbers(model.conditionals(x, y), x)
    full = {name: number.flatten(1, x.dim() - 1) for name, number in full.items()}
    stream, rows = model.stream(len(x), y), torch.arange(len(x))
    for position, index in enumerate(model.order().tolist()):
        if position in chosen:
            if after_the_law:
                stream.next()
            stream.select(chosen[position])
            rows = rows[chosen[position]]
        value = x.flatten(1)[rows, index]
        expected = {name: number[rows, index] for name, number in full.items()}
        found = _numbers(stream.next(), value)
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-9)
        stream.push(value)


def draw_both_ways(model: Autoregressive) -> tuple[Tensor, Tensor]:
    """Return what the streaming and the recomputing sampler make of the same noise.

    Equal to the last bit where entries have levels; in float32, as users have it, unless real
    numbers are drawn, which cannot be equal and are to be compared in float64.
    """
    streamed, recomputed = (
        model.sample(4, generator=torch.Generator().manual_seed(3), streaming=streaming)
        for streaming in (True, False)
    )
    return streamed, recomputed


def _numbers(law: Distribution, value: Tensor) -> dict[str, Tensor]:
    """Return all that is compared of two laws: their parameters, and what follows from them.

    Both, for a narrow law makes much of a small error in its parameters.
    """
    numbers = {name: part for name, part in vars(law).items() if isinstance(part, Tensor)}
    numbers["log_prob"] = law.log_prob(value)
    if hasattr(law, "log_probs"):
        numbers["log_probs"] = law.log_probs()
    return numbers
