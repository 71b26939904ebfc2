"""A model that is saved, loaded, copied or asked is the same model afterwards."""

# Shapes: B batch.
from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from typing import Any

import safetensors.torch
import torch
from torch import Tensor, nn

from genus.capabilities import (
    Samples,
    Trains,
)
from genus.config import to_json
from genus.conformance.checks import Context, NotRun, Result, at_most, check, problems
from genus.conformance.subject import build, changed, randomise
from genus.conformance.tools import gap
from genus.conformance.training import EXAMPLES, gradients, loss_of, noise_for
from genus.conformance.verbs import answers, asked
from genus.spec import Spec


def _differences(before: dict[str, Tensor], after: dict[str, Tensor]) -> list[str]:
    return [
        f"{name} differs by {gap(before[name], after[name]):.3g}"
        for name in before
        if gap(before[name], after[name]) != 0
    ]


@check(
    "persistence.reload",
    Samples,
    meaning="a saved model that is loaded again is another model",
)
def reload(model: Any, context: Context) -> Result:
    """Save weights as safetensors and the options as JSON, rebuild, and compare all answers."""
    if not isinstance(model, nn.Module):
        raise NotRun("the model is not a torch module")
    twin = reloaded(model, context.seed + 99)
    return problems(_differences(asked(model, context).answers, answers(twin, context)))


def reloaded(model: Any, seed: int) -> Any:
    """Return a model made from what a run folder would hold of another."""
    text = json.dumps({"spec": model.spec.to_json(), "config": _options(model)})
    weights = {name: t.contiguous().clone() for name, t in model.state_dict().items()}
    data = safetensors.torch.save(weights)
    saved = json.loads(text)
    twin = build(type(model), Spec.from_json(saved["spec"]), saved["config"], seed).double().eval()
    # Whatever the file lacks shows, because the twin starts from other weights.
    randomise(twin, torch.Generator().manual_seed(seed))
    twin.load_state_dict(safetensors.torch.load(data), strict=True)
    return twin


def _options(model: Any) -> dict[str, Any]:
    config = getattr(model, "config", None)
    return {} if config is None else to_json(config)


@check("persistence.copy", Samples, meaning="a copy of the model differs, or shares its weights")
def duplicate(model: Any, context: Context) -> Result:
    """Copy the model, compare, then disturb the copy and look at the tensors of the original."""
    twin = copy.deepcopy(model)
    wrong = _differences(asked(model, context).answers, answers(twin, context))
    if not isinstance(twin, nn.Module):
        return problems(wrong)
    before = {name: tensor.detach().clone() for name, tensor in _tensors(model)}
    with torch.no_grad():
        for _, tensor in _tensors(twin):
            tensor.zero_()
    shared = changed(before, {name: tensor.detach() for name, tensor in _tensors(model)})
    return problems(wrong + [f"shared: {name}" for name in shared])


def _tensors(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    yield from (*model.named_parameters(), *model.named_buffers())


@check(
    "persistence.pure",
    Samples,
    meaning="asking the model changes it, so figures depend on what was asked before",
)
def pure(model: Any, context: Context) -> Result:
    """Ask every verb and compare weights, buffers and mode before and after."""
    return problems(asked(model, context).effects)


@check(
    "persistence.loss",
    Trains,
    meaning="computing a loss changes weights, past the optimiser",
)
def loss_keeps(model: Any, context: Context) -> Result:
    """Compute every loss in training mode and compare the parameters."""
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    for objective in model.train().objectives():
        noise = noise_for(EXAMPLES, context.generator())
        loss_of(objective, context.batch(EXAMPLES), noise, context)
    after = {n: p.detach() for n, p in model.named_parameters()}
    return problems(f"changed {name}" for name in changed(before, after))


@check(
    "persistence.masked",
    Trains,
    meaning="masked weights get gradients, which disturb clipping, Adam's moments and averages",
)
def masked(model: Any, context: Context) -> Result:
    """Look at the gradient of each weight where a buffer called mask, of its shape, is zero."""
    masks = _masks(model)
    if not masks:
        raise NotRun("no layer has a weight and a buffer called mask of the same shape")
    worst = 0.0
    for objective in model.objectives():
        found = gradients(model, objective, context)
        for name, mask in masks.items():
            gradient = found[name]
            if gradient is not None:
                worst = max(worst, float((gradient * (mask == 0)).abs().max()))
    return at_most(worst, 0.0, "largest gradient of a masked weight")


def _masks(model: Any) -> dict[str, Tensor]:
    """Return masks by the name of the weight that they belong to."""
    found = {}
    for name, module in model.named_modules():
        weight, mask = getattr(module, "weight", None), getattr(module, "mask", None)
        if isinstance(weight, Tensor) and isinstance(mask, Tensor):
            try:
                shaped = mask.expand_as(weight)
            except RuntimeError:
                continue
            found[f"{name}.weight" if name else "weight"] = shaped
    return found


@check("persistence.precision", Samples, meaning="the model cannot be moved to another precision")
def precision(model: Any, context: Context) -> Result:
    """Move the model to float32 and ask it again; answers must be finite."""
    if not isinstance(model, nn.Module):
        raise NotRun("the model is not a torch module")
    found = answers(model.float(), context, torch.float32)
    return problems(
        f"{name} is not finite"
        for name, value in found.items()
        if bool(torch.isnan(value.double()).any())
    )
