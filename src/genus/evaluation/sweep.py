"""Samples at several temperatures: how a model trades variety for likeness.

Below 1 a model draws what it finds typical: of a GAN that is called truncation. Precision rises
and recall falls, so a figure at another temperature than 1 says nothing without the others. Here
all that were asked for are measured against the same reference and told together.

References:
    | Large Scale GAN Training for High Fidelity Natural Image Synthesis (Brock et al., 2019)
    | https://arxiv.org/abs/1809.11096 (section 3.1, truncation)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from genus.capabilities import Samples, supports
from genus.errors import ConfigError, SpecError, raise_all
from genus.evaluation.block import SampleBlock
from genus.evaluation.drawing import chosen_count, draw, goes_by_images
from genus.evaluation.inception import check_has
from genus.evaluation.provenance import DataReference, describe
from genus.evaluation.samples import Reference
from genus.evaluation.scoring import check_match, plain

if TYPE_CHECKING:
    from genus.data import DataSet

MOST = 32
"""The most temperatures of one sweep."""


@dataclass(frozen=True)
class Sweep:
    """The sample block at each temperature, against one reference.

    Args:
        model: its registered name.
        data: what it was measured on.
        blocks: by temperature, in the order asked for.
        seed: of the samples, which share their noise, and of the reference.
        notes: what a reader must know, such as a reduced number of samples.
    """

    model: str
    data: DataReference
    blocks: dict[float, SampleBlock]
    seed: int
    notes: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Return the sweep as a dictionary of plain values."""
        points = [{"temperature": t, "samples": b.to_json()} for t, b in self.blocks.items()]
        content: dict[str, Any] = plain(
            {
                "model": self.model,
                "data": vars(self.data),
                "seed": self.seed,
                "sweep": points,
                "notes": list(self.notes),
            }
        )
        return content


def sweep(
    model: Any,
    data: DataSet,
    temperatures: Sequence[float],
    *,
    split: str = "test",
    samples: int | None = None,
    seed: int = 0,
    sample_budget: float = 60.0,
    reference: Reference | None = None,
    inception: bool = False,
    progress: Callable[[str], None] | None = None,
) -> Sweep:
    """Measure a model's samples at several temperatures.

    Args:
        model: any that samples.
        data: what samples are compared with.
        temperatures: above zero, each once.
        split: the held-out split.
        samples: how many at each; by default as `evaluate` has it.
        seed: of samples and reference.
        sample_budget: seconds that drawing at one temperature may take by default.
        reference: shared by several models; it fixes the number of samples and the feature
            networks.
        inception: whether to add Inception features, where the user has installed torch-fidelity;
            see `genus.evaluation.inception`.
        progress: told what takes long.

    Raises:
        ConfigError: no temperatures, too many, or one out of range or twice; too few samples.
        SpecError: the model does not sample, is for other data, or these are not images that
            Inception features are made for.
        DataError: the Inception weights cannot be had.

    Example:
        >>> import genus
        >>> data = genus.load_data("wine")
        >>> model = genus.create("independent", data.spec.unconditional())
        >>> list(sweep(model, data, [0.5, 1.0], samples=30).blocks)
        [0.5, 1.0]
    """
    _check(temperatures)
    check_match(model, data)
    if not supports(model, Samples):
        raise SpecError(f"{getattr(model, 'name', type(model).__name__)} does not sample")
    say, notes = progress or (lambda message: None), []
    if reference is None:
        n, note = chosen_count(model, data, split, samples, sample_budget)
        notes += [note] if note else []
        reference = Reference(
            data, split=split, n=n, seed=seed, inception=inception, progress=progress
        )
    check_has(reference.nets, inception)
    blocks = {}
    for temperature in temperatures:
        say(f"drawing {reference.n} samples at temperature {temperature:g}")
        y = reference.images if goes_by_images(model) else None
        x = draw(model, reference.n, y=y, seed=seed, temperature=temperature)[0]
        blocks[float(temperature)] = reference.measure(x)
    name = getattr(model, "name", type(model).__name__)
    return Sweep(name, describe(data, split), blocks, seed, (*notes, *reference.notes))


def _check(temperatures: Sequence[float]) -> None:
    problems = [
        f"temperature {t:g} must be above zero and finite"
        for t in temperatures
        if not (t > 0 and math.isfinite(t))
    ]
    if not 1 <= len(temperatures) <= MOST:
        problems.append(f"there are {len(temperatures)} temperatures; give 1 to {MOST}")
    problems += [
        f"temperature {t:g} is there twice"
        for t in dict.fromkeys(temperatures)
        if list(temperatures).count(t) > 1
    ]
    raise_all(ConfigError, "cannot sweep:", problems)
