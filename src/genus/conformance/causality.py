"""Each conditional depends on what comes before it in the model's order, and on nothing else.

Two proofs in float64, both of every output entry against every input entry: changing one input
entry at a time, and differentiating where the model lets its inputs be real numbers. In training
mode too, because statistics over the batch or over positions leak only there.
"""

# Shapes: B batch, D dims, V values at which a law is asked.
from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from genus.capabilities import Conditionals
from genus.conformance.checks import Context, NotRun, Result, at_most, check, inform, problems
from genus.conformance.subject import global_seed
from genus.conformance.tools import chunk_rows, fingerprint, largest, probe_values
from genus.spec import Spec

LEAK = "a conditional sees what it is to predict; likelihoods are too good to be true"
MOST_ENTRIES = 256
"""Of larger examples only so many randomly chosen input entries are changed."""
EFFECT = 1e-12


@check("causality.order", Conditionals, meaning="entries would be drawn twice or never")
def order(model: Any, context: Context) -> Result:
    """Check that the order holds every entry once."""
    held = sorted(model.order().tolist())
    return problems([] if held == list(range(context.spec.dims)) else ["not a permutation"])


@check("causality.perturbation", Conditionals, meaning=LEAK)
def perturbation(model: Any, context: Context) -> Result:
    """Change one input entry at a time, evaluating."""
    found = context.once("effects", lambda: effects(model.eval(), context))
    return _leak(found, model, context.spec)


def leak(conditionals: Any, context: Context) -> Result:
    """Change one input entry at a time of anything that has conditionals and an order."""
    return _leak(effects(conditionals, context), conditionals, context.spec)


@check("causality.perturbation-train", Conditionals, meaning=LEAK + ", in training")
def perturbation_train(model: Any, context: Context) -> Result:
    """Change one input entry at a time, in training mode."""
    return leak(model.train(), context)


@check("causality.jacobian", Conditionals, meaning=LEAK)
def jacobian(model: Any, context: Context) -> Result:
    """Differentiate each conditional's parameters with respect to every input entry."""
    return _leak(derivatives(model.eval(), context), model, context.spec)


@check("causality.jacobian-train", Conditionals, meaning=LEAK + ", in training", slow=True)
def jacobian_train(model: Any, context: Context) -> Result:
    """Differentiate in training mode."""
    return _leak(derivatives(model.train(), context), model, context.spec)


@check("causality.context", Conditionals, meaning="informs of which past the model can see")
def visible(model: Any, context: Context) -> Result:
    """Report the share of legal pairs of entries that have an effect, and the blind ones."""
    if context.spec.dims > MOST_ENTRIES:
        raise NotRun(f"more than {MOST_ENTRIES} entries")
    effect_DD, _ = context.once("effects", lambda: effects(model.eval(), context))
    blind_DD = legal(model) & (effect_DD <= EFFECT)
    pairs = int(legal(model).sum())
    share = 1 - int(blind_DD.sum()) / max(pairs, 1)
    return inform(share, f"sees {share:.1%} of its legal context{_blind(blind_DD, context.spec)}")


def legal(model: Any) -> Tensor:
    """Return ``(D, D)``: whether an output entry (row) may depend on an input entry (column)."""
    order_D = model.order()
    rank_D = torch.empty_like(order_D)
    rank_D[order_D] = torch.arange(len(order_D))
    return rank_D[None, :] < rank_D[:, None]


def _leak(found: tuple[Tensor, Tensor], model: Any, spec: Spec) -> Result:
    effect_DJ, inputs_J = found
    illegal_DJ = torch.where(legal(model)[:, inputs_J], 0.0, effect_DJ)
    worst = int(illegal_DJ.argmax())
    output, column = divmod(worst, len(inputs_J))
    where = f"{name(output, spec)} depends on {name(int(inputs_J[column]), spec)}"
    figure = largest(illegal_DJ)
    leaks = int((illegal_DJ > EFFECT).sum())
    return at_most(figure, EFFECT, f"{leaks} illegal pairs; {where}" if leaks else "")


@torch.no_grad()
def effects(model: Any, context: Context) -> tuple[Tensor, Tensor]:
    """Return ``(D, J)``, by how much each output's law moves, and the J input entries changed."""
    dims = context.spec.dims
    inputs_J = torch.arange(dims)
    if dims > MOST_ENTRIES:
        inputs_J = torch.randperm(dims, generator=context.generator(5))[:64]
    effect_DJ = torch.zeros(dims, len(inputs_J), dtype=torch.float64)
    rows = max(2, min(256, chunk_rows(context.spec) // 8))
    for salt in range(1 if context.quick or dims > MOST_ENTRIES else 2):
        for x_D, changed_D in _alternatives(context, salt):
            for start in range(0, len(inputs_J), rows):
                part_J = inputs_J[start : start + rows]
                moved = _moved(model, context, x_D, changed_D, part_J)
                effect_DJ[:, start : start + rows].clamp_(min=moved.T)
    return effect_DJ, inputs_J


def _alternatives(context: Context, salt: int) -> list[tuple[Tensor, Tensor]]:
    """Return pairs of an example and another that differs from it in every entry."""
    x_D = context.examples(1, 10 + salt).flatten()
    levels = context.spec.levels
    if levels is None:
        return [(x_D, x_D + 1.5)]
    shifts = range(1, levels) if levels <= 3 else (1, levels // 2)
    return [(x_D, (x_D + shift) % levels) for shift in shifts]


def _moved(model: Any, context: Context, x_D: Tensor, changed_D: Tensor, part_J: Tensor) -> Tensor:
    """Return ``(J, D)``: the largest move of each output's law when one input entry is changed."""
    plain_JD = x_D.repeat(len(part_J), 1)
    changed_JD = plain_JD.clone()
    rows_J = torch.arange(len(part_J))
    changed_JD[rows_J, part_J] = changed_D[part_J]
    before, after = _laws(model, context, plain_JD), _laws(model, context, changed_JD)
    # Laws may hold -inf on both sides, which is no move.
    moved = torch.where(before == after, torch.zeros_like(before), after - before)
    return moved.abs().amax(-1)


def _laws(model: Any, context: Context, x_JD: Tensor) -> Tensor:
    """Return the laws ``(J, D, V)`` of all entries, with the same dropout at every call."""
    x = x_JD.view(-1, *context.spec.shape)
    with global_seed(context.seed):
        law = model.conditionals(x, context.conditions(len(x)))
        values = probe_values(context.spec)
        return fingerprint(law, x, values).flatten(1, -2).double()


def derivatives(model: Any, context: Context) -> tuple[Tensor, Tensor]:
    """Return ``(D, D)``, the derivative of each output with respect to each input, in size.

    Row ``i`` of one batch asks only for output ``i``, so that one backward pass gives all.
    """
    if not hasattr(model, "parameters_of") or not hasattr(model, "scaled"):
        raise NotRun("the model has no parameters_of(u, y) with real-valued inputs")
    dims = context.spec.dims
    if dims > MOST_ENTRIES:
        raise NotRun(f"more than {MOST_ENTRIES} entries")
    x = context.examples(1, 20).expand(dims, *context.spec.shape)
    jacobian_DD = torch.zeros(dims, dims, dtype=torch.float64)
    for salt in range(1 if context.quick else 2):
        u = model.scaled(x).detach().clone().requires_grad_()
        with global_seed(context.seed):
            out_DDP = model.parameters_of(u, context.conditions(dims)).flatten(1, -2)
        own_DP = out_DDP[torch.arange(dims), torch.arange(dims)]
        weights = torch.randn(own_DP.shape, generator=context.generator(salt), dtype=torch.float64)
        if own_DP.requires_grad:
            (gradient,) = torch.autograd.grad((own_DP * weights).sum(), u, allow_unused=True)
            if gradient is not None:
                jacobian_DD.clamp_(min=gradient.flatten(1).abs())
    return jacobian_DD, torch.arange(dims)


def name(index: int, spec: Spec) -> str:
    """Return an entry in words.

    Example:
        >>> name(7, Spec(shape=(2, 2, 3), levels=2))
        'channel 1 row 0 column 1'
    """
    if not spec.is_image:
        return f"entry {index}"
    channel, rest = divmod(index, spec.shape[1] * spec.shape[2])
    row, column = divmod(rest, spec.shape[2])
    return f"channel {channel} row {row} column {column}"


def _blind(blind_DD: Tensor, spec: Spec) -> str:
    """Return the end of a sentence that names a few pairs without effect."""
    pairs = blind_DD.nonzero().tolist()
    if not pairs:
        return ""
    output, source = pairs[0]
    example = f"{name(output, spec)} does not see {name(source, spec)}"
    return f"; {len(pairs)} blind pairs, for example {example}"
