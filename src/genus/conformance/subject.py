"""Make the models that are verified: small, in float64, with weights that hide nothing.

A fresh network often starts with zeros in its last layer and says the same whatever it is shown,
so that every causality check would pass. Parameters are therefore moved by fixed noise, masked
entries of weights too; models that are fitted are fitted to a few hundred random examples.
"""

# Shapes: B batch, D dims, K levels, Y classes.
from __future__ import annotations

import copy
import dataclasses
import random
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, get_args, get_origin, get_type_hints

import numpy as np
import torch
from torch import Tensor, nn

from genus.capabilities import FitContext, Fits, Trains, supports
from genus.config import build_config
from genus.random import BatchNoise
from genus.spec import Batch, Spec

FIT_EXAMPLES = 300


@contextmanager
def global_seed(seed: int) -> Iterator[None]:
    """Run with the global generators of torch, NumPy and Python at a seed, then restore them."""
    states = torch.get_rng_state(), np.random.get_state(), random.getstate()
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        np.random.set_state(states[1])
        random.setstate(states[2])


def in_float64(model: Any) -> Any:
    """Return a copy of a model in float64 on the CPU and in evaluation mode."""
    twin = copy.deepcopy(model)
    return twin.cpu().double().eval() if isinstance(twin, nn.Module) else twin


def build(cls: type[Any], spec: Spec, options: dict[str, Any], seed: int) -> Any:
    """Return a fresh model; it raises what the class raises if it refuses the Spec."""
    with global_seed(seed):
        if not hasattr(cls, "Config"):
            return cls(spec)
        name = getattr(cls, "name", cls.__name__)
        return cls(spec, build_config(cls.Config, options, name))


def settle(model: Any, spec: Spec, seed: int, size: float = 0.5) -> Any:
    """Return the model in float64, away from its initial values: see the top of this file.

    Args:
        model: a fresh model; it is not changed.
        spec: its data.
        seed: of the noise.
        size: how far parameters are moved, in the unit of usual initial weights.
    """
    model = in_float64(model)
    generator = torch.Generator().manual_seed(seed + 1)
    batch = structured_batch(spec, generator)
    if spec.classes is not None and hasattr(model, "set_class_prior"):
        model.set_class_prior(torch.arange(1, spec.classes + 1) * 10)
    with global_seed(seed):
        if hasattr(model, "initialise"):
            model.initialise(batch)
        if supports(model, Fits):
            model.fit(lambda: [batch], FitContext(generator=generator))
        if supports(model, Trains):
            randomise(model, generator, size)
            run_losses(model, batch[slice(0, 16)], generator)
            # Once more, for masks that the losses may have applied to the weights in place.
            randomise(model, generator, size / 5)
    return in_float64(model)


@torch.no_grad()
def randomise(model: nn.Module, generator: torch.Generator, size: float = 0.5) -> None:
    """Add noise of the size of usual initial weights to every parameter."""
    for parameter in model.parameters():
        width = parameter[0].numel() if parameter.dim() > 1 else 10
        noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float64)
        parameter.add_((size * noise / width**0.5).to(parameter))


def run_losses(model: Any, batch: Batch, generator: torch.Generator) -> None:
    """Run every loss once in training mode, which moves running statistics as training would."""
    model.train()
    for objective in model.objectives():
        objective.loss(batch, BatchNoise(len(batch), generator, dtype=torch.float64))
    model.eval()


def structured_batch(spec: Spec, generator: torch.Generator) -> Batch:
    """Return random examples whose entries are neither uniform nor independent of the condition."""
    kinds = 2 if spec.classes is None else spec.classes
    kind_B = torch.arange(FIT_EXAMPLES) % kinds
    x = _of_kinds(spec, kind_B, kinds, generator)
    if spec.condition is not None:
        return Batch(x, _of_kinds(spec.of_conditions, kind_B, kinds, generator))
    return Batch(x, None if spec.classes is None else kind_B)


def _of_kinds(spec: Spec, kind_B: Tensor, kinds: int, generator: torch.Generator) -> Tensor:
    """Return ``(B, *shape)`` random examples whose law depends on their kind."""
    n = len(kind_B)
    if spec.levels is None:
        centre = torch.randn(kinds, *spec.shape, generator=generator, dtype=torch.float64)
        noise = torch.randn(n, *spec.shape, generator=generator, dtype=torch.float64)
        return centre[kind_B] + 0.7 * noise
    logits = torch.randn(kinds, spec.dims, spec.levels, generator=generator, dtype=torch.float64)
    law_BDK = logits[kind_B].softmax(-1)
    x_BD = torch.multinomial(law_BDK.flatten(0, 1), 1, generator=generator)
    return x_BD.view(n, *spec.shape)


def choices(cls: type[Any]) -> dict[str, tuple[Any, ...]]:
    """Return the options of a class that are a choice of a few values, with those values."""
    config = getattr(cls, "Config", None)
    if config is None:
        return {}
    hints = get_type_hints(config)
    found: dict[str, tuple[Any, ...]] = {}
    for field in dataclasses.fields(config):
        hint = hints[field.name]
        if get_origin(hint) is Literal:
            found[field.name] = get_args(hint)
        elif hint is bool:
            found[field.name] = (False, True)
    return found


def variants(cls: type[Any], options: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the options with one choice changed at a time, in every way."""
    base = build_config(cls.Config, options, cls.__name__) if choices(cls) else None
    return [
        {**options, name: value}
        for name, values in choices(cls).items()
        for value in values
        if value != getattr(base, name)
    ]


def state_of(model: Any) -> dict[str, Tensor]:
    """Return a copy of the state dict; empty for a model without one."""
    if not isinstance(model, nn.Module):
        return {}
    return {name: value.detach().clone() for name, value in model.state_dict().items()}


def changed(before: dict[str, Tensor], after: dict[str, Tensor]) -> list[str]:
    """Return the names of tensors that differ in any bit."""
    names = sorted(before.keys() | after.keys())
    return [
        name
        for name in names
        if name not in before or name not in after or not torch.equal(before[name], after[name])
    ]
