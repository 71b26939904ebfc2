"""What the audit of samples sees: planted failures, and false alarms on real examples.

All examples of a data set are divided anew by each seed into train, held-out, real examples for the
calibration and fresh ones, which stand for the samples of a perfect model. Then failures are
planted into the fresh ones. The table says how often each verdict is given.

    python benchmarks/audit.py [--data digits fashion-mnist mnist] [--samples 2000]
        [--references 5000] [--seeds 20] [--only real "copies 30 %" ...]
"""

from __future__ import annotations

import argparse
import collections
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from genus.data import DataSet, load_data
from genus.evaluation.audit import Audit, Auditor
from genus.evaluation.nets import Scaler
from genus.evaluation.rows import as_values, read

MOST_TRAIN = 50_000


@dataclass
class World:
    """One division of the examples.

    Args:
        data: the data set.
        auditor: with references of the division.
        train: ``(T, *shape)``.
        fresh: ``(N, *shape)`` what a perfect model draws.
        y: ``(N,)`` their labels, or None.
        generator: of the failures.
    """

    data: DataSet
    auditor: Auditor
    train: Tensor
    fresh: Tensor
    y: Tensor | None
    generator: torch.Generator


def divide(data: DataSet, samples: int, seed: int, references: int | None = None) -> World:
    """Divide all examples of a data set: at most a sixth for each part that is not train."""
    parts = [read(data.split(name)) for name in ("train", "valid", "test")]
    x = torch.cat([part.x for part in parts])
    labels = None if parts[0].y is None else torch.cat([p.y for p in parts if p.y is not None])
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(x), generator=generator)
    n, size = min(samples, len(x) // 6), min(references or samples, len(x) // 6)
    fresh, real, held_out, train = order.split([n, n, size, len(x) - 2 * n - size])
    train = train[:MOST_TRAIN]
    scaler = None if data.spec.is_discrete else Scaler.of(data.spec, x[train])
    auditor = Auditor(
        data.spec,
        x[train[:size]],
        x[held_out],
        x[real],
        train_size=len(train),
        values=lambda x: as_values(x if scaler is None else scaler(x), data.spec),
        labels=None if labels is None else labels[train[:size]],
        names=data.labels,
        seed=seed,
    )
    y = None if labels is None else labels[fresh]
    return World(data, auditor, x[train], x[fresh], y, generator)


def _rounded(world: World, x: Tensor) -> Tensor:
    levels = world.data.spec.levels
    return x if levels is None else x.round().clamp(0, levels - 1).long()


def copies(world: World, share: float) -> Tensor:
    """Put copies of training examples in the place of a share of the samples."""
    x, n = world.fresh.clone(), round(share * len(world.fresh))
    # Drawn with replacement, as a model would.
    x[:n] = world.train[torch.randint(len(world.train), (n,), generator=world.generator)]
    return x


def blurred(world: World, strength: float) -> Tensor:
    """Mix each pixel with its neighbours, or each vector with the 5 that are nearest to it."""
    x = world.fresh.float()
    if x.dim() == 2:
        scaled = world.auditor.values(x)
        near = torch.cdist(scaled, scaled).topk(6, largest=False).indices[:, 1:]
        return _rounded(world, x + 5 * strength * (x[near].mean(1) - x))
    kernel = torch.tensor([strength, 1 - 2 * strength, strength])
    kernel = (kernel[:, None] * kernel).expand(x.shape[1], 1, 3, 3)
    padded = F.pad(x, (1, 1, 1, 1), mode="replicate")
    return _rounded(world, F.conv2d(padded, kernel, groups=x.shape[1]))


def noisy(world: World, strength: float) -> Tensor:
    """Add normal noise, in units of the range of levels or of each column's deviation."""
    x, levels = world.fresh.float(), world.data.spec.levels
    unit = x.std(0) if levels is None else torch.tensor(levels - 1.0)
    return _rounded(world, x + strength * unit * torch.randn(x.shape, generator=world.generator))


def without(world: World, label: int) -> Tensor:
    """Leave out the samples of one class."""
    assert world.y is not None
    return world.fresh[world.y != label]


def collapsed(world: World) -> Tensor:
    """Repeat a tenth of the samples ten times."""
    few = world.fresh[: max(1, len(world.fresh) // 10)]
    return few.repeat(10, *[1] * (few.dim() - 1))[: len(world.fresh)]


PLANTS: dict[str, Callable[[World], Tensor]] = {
    "real": lambda world: world.fresh,
    "copies 10 %": lambda world: copies(world, 0.1),
    "copies 30 %": lambda world: copies(world, 0.3),
    "copies 100 %": lambda world: copies(world, 1.0),
    "blur 0.05": lambda world: blurred(world, 0.05),
    "blur 0.1": lambda world: blurred(world, 0.1),
    "noise 0.1": lambda world: noisy(world, 0.1),
    "noise 0.2": lambda world: noisy(world, 0.2),
    "class 0 missing": lambda world: without(world, 0),
    "class 1 missing": lambda world: without(world, 1),
    "blurred copies": lambda world: _blurred_copies(world),
    "repeats": collapsed,
}
"""Each failure by its name."""


def _blurred_copies(world: World) -> Tensor:
    both = World(
        world.data, world.auditor, world.train, copies(world, 1.0), world.y, world.generator
    )
    return blurred(both, 0.1)


def main() -> None:
    """Count the verdicts and print them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", nargs="*", default=["digits"])
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--references", type=int, help="M; as many as samples when left out")
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--only", nargs="*", choices=list(PLANTS), default=list(PLANTS))
    given = parser.parse_args()
    for name in given.data:
        data = load_data(name)
        found: dict[str, list[Audit]] = collections.defaultdict(list)
        for seed in range(given.seeds):
            world = divide(data, given.samples, seed, given.references)
            for plant in given.only:
                if world.y is None and "missing" in plant:
                    continue
                found[plant].append(world.auditor(PLANTS[plant](world)))
        size, train = len(world.auditor.train), len(world.train)
        print(f"{name}: {len(world.fresh)} samples, M={size}, {train} train, {given.seeds} seeds")
        for plant, audits in found.items():
            _print(plant, audits)


def _print(plant: str, audits: list[Audit]) -> None:
    verdicts = collections.Counter(", ".join(audit.verdict) for audit in audits)
    copied = sum(audit.copied for audit in audits) / len(audits)
    z = {
        f"{f.kind[:6]}/{f.statistic[:9]}": sum(a.findings[i].z for a in audits) / len(audits)
        for i, f in enumerate(audits[0].findings)
    }
    words = "; ".join(f"{count}x {verdict}" for verdict, count in verdicts.most_common())
    print(f"  {plant:16} copied {copied:4.0%}  {words}")
    print(f"  {'':16} z: " + ", ".join(f"{k} {v:.1f}" for k, v in z.items()), flush=True)


if __name__ == "__main__":
    main()
