"""`evaluate_samples`: the sample block of samples whose model is not at hand."""

# Shapes: N samples; *shape is that of the data.
from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from genus.errors import ConfigError, SpecError, raise_all
from genus.evaluation.drawing import default_count
from genus.evaluation.inception import check_has
from genus.evaluation.provenance import describe
from genus.evaluation.rows import choose
from genus.evaluation.samples import NEIGHBOURS, Reference
from genus.evaluation.scoring import Cost, Evaluation
from genus.likelihood import LogLikelihood
from genus.spec import Spec

if TYPE_CHECKING:
    from genus.data import DataSet

FAMILY = "samples"
"""Stands for the family of an evaluation that has no model."""
_CHOICE = 1009
"""Added to the seed for the choice of samples. The reference chooses rows by the seeds next to it:
of examples in the order of train, it would be the same ones that no feature network has seen."""


def evaluate_samples(
    x: Any,
    data: DataSet,
    *,
    split: str = "test",
    samples: int | None = None,
    seed: int = 0,
    name: str = "samples",
    notes: Sequence[str] = (),
    reference: Reference | None = None,
    inception: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Evaluation:
    """Evaluate samples of anyone's model against held-out data, as those of our models are.

    There is no likelihood without the model, and no cost.

    Args:
        x: ``(N, *shape)`` tensor or array: levels, or floating-point numbers on the scale of the
            levels, which are rounded; real numbers for continuous data.
        data: what they are compared with; its train split makes the feature networks.
        split: the held-out split.
        samples: how many to judge; by default as many as `evaluate` draws of a model. Of more, so
            many are chosen by ``seed``.
        seed: of that choice and of the reference.
        name: what to call them.
        notes: what a reader must know of them.
        reference: shared by several; it fixes the number of samples and the feature networks.
        inception: whether to add Inception features, where the user has installed torch-fidelity;
            see `genus.evaluation.inception`.
        progress: told what takes long.

    Raises:
        SpecError: shape, type or range are not those of the data, a value is NaN, or examples have
            missing entries, so that nothing whole is there to compare with; or they are not images
            that Inception features are made for.
        ConfigError: fewer than 6 samples, or fewer than ``samples``, or torch-fidelity is missing.
        DataError: the Inception weights cannot be had.

    Example:
        >>> import genus
        >>> wine = genus.load_data("wine")
        >>> found = evaluate_samples(wine.train.batch(torch.arange(36)).x, wine)
        >>> found.likelihood.kind, found.samples.n
        ('n/a', 36)
    """
    checked = _checked(x, data)
    usual = default_count(data, split)
    n = samples if samples is not None else min(usual, len(checked))
    n = n if reference is None else reference.n
    if len(checked) < max(n, NEIGHBOURS + 1):
        raise ConfigError(
            f"{name}: there are {len(checked)} samples, but {max(n, NEIGHBOURS + 1)} are needed; "
            f"draw more (6 at least; {usual:,} are usual for {data.name})"
        )
    said = list(notes)
    if n < len(checked):
        said.append(f"{n:,} of {len(checked):,} samples were judged, chosen by seed {seed}")
    if n != usual:
        said.append(
            f"figures depend on the number of samples: compare them with models that drew {n:,} "
            f"(--samples {n}); {usual:,} are usual"
        )
    picked = checked[choose(len(checked), n, seed + _CHOICE)]
    if reference is None:
        reference = Reference(
            data, split=split, n=n, seed=seed, inception=inception, progress=progress
        )
    check_has(reference.nets, inception)
    said += reference.notes
    if progress is not None:
        progress(f"measuring {n} samples")
    picked = picked if picked.is_floating_point() else picked.long()
    block = reference.measure(picked)
    said += block.notes
    return Evaluation(
        name,
        FAMILY,
        describe(data, split),
        LogLikelihood.not_available(),
        None,
        block,
        Cost(None),
        seed,
        tuple(said),
        picked,
    )


def _checked(x: Any, data: DataSet) -> Tensor:
    """Return samples as a tensor, once it is sure that they are what the data are."""
    if (missing := data.missing) is not None:
        raise SpecError(
            f"{data.name}: {missing}; samples cannot be compared with parts of examples"
        )
    spec, tensor = data.spec, torch.as_tensor(x).detach().cpu()
    problems = []
    if tuple(tensor.shape[1:]) != spec.shape or tensor.dim() != len(spec.shape) + 1:
        expected = ", ".join(map(str, spec.shape))
        problems.append(f"they have shape {tuple(tensor.shape)}, expected (N, {expected})")
    problems += _bad_values(tensor, spec)
    raise_all(SpecError, f"the samples do not fit {data.name}:", problems)
    if spec.levels is None:
        return tensor.float()
    return tensor.long() if tensor.dtype == torch.bool else tensor


def _bad_values(x: Tensor, spec: Spec) -> list[str]:
    if x.is_complex():
        return ["they are complex numbers"]
    if x.is_floating_point() and not bool(torch.isfinite(x).all()):
        return [f"{int((~torch.isfinite(x)).sum())} values are NaN or infinite"]
    if spec.levels is None:
        return [] if x.is_floating_point() else [f"they are {x.dtype}, expected floating point"]
    low, high = (float(x.min()), float(x.max())) if x.numel() else (0.0, 0.0)
    # What rounds to a level is one.
    if low < -0.5 or high > spec.levels - 0.5:
        return [f"they run from {low:g} to {high:g}, outside the levels 0..{spec.levels - 1}"]
    return []
