"""Features to judge samples by, made from the training split and nothing else.

No weights are downloaded. Images and symbols get two networks that see different things: one
*trained* on the training split (to tell its classes, or, where there are none, to restore noisy
examples from 64 numbers) and one of fixed *random* weights, which has no bias towards labels.
Real vectors are judged by their standardised *values*. Networks are scaled so that the features of
the training split have a total variance of 64, which fixes the unit of the Frechet distance.

A network is kept under the content hash of the data and the recipe; see `genus.evaluation.cache`.
"""

# Shapes: B batch, N examples, D features.
from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genus.evaluation import cache
from genus.evaluation.nets import FEATURES, Scaler, make_head, make_trunk
from genus.evaluation.rows import choose, read
from genus.spec import Spec

if TYPE_CHECKING:
    from genus.data import DataSet

MOST_SAMPLES = 2000
"""Samples that a comparison draws by default, where the held-out split is that large."""
_SCALE_ROWS = 5000


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How the feature networks are made; part of the cache key."""

    width: int = 32
    steps: int = 600
    batch_size: int = 64
    learning_rate: float = 2e-3
    noise: float = 0.3
    seed: int = 0
    version: int = 1


@dataclass(frozen=True, eq=False)
class FeatureNet:
    """Maps examples to features.

    Args:
        name: "trained", "random" or "values".
        description: what it is, for the reader of a report.
        fingerprint: hash of its weights; figures compare only where it is the same.
        net: from scaled examples to features.
        scaler: from examples to the input of the net.
        scale: what features are multiplied by.
    """

    name: str
    description: str
    fingerprint: str
    net: nn.Module
    scaler: Scaler
    scale: float

    def __call__(self, x: Tensor) -> Tensor:
        """Return the features of examples ``(N, *shape)``: ``(N, D)`` in float64."""
        with torch.no_grad(), torch.autocast("cpu", enabled=False):
            parts = [self.net(self.scaler(part.cpu())).flatten(1) for part in torch.split(x, 256)]
        return torch.cat(parts).double() * self.scale


def reserved_rows(data: DataSet) -> Tensor:
    """Return the rows of train that no feature network sees.

    A noise floor needs as many real examples as there are samples, and they must be as new to the
    network as samples are. The valid split gives them; where it is too small, a part of train does.
    """
    wanted = min(len(data.test), MOST_SAMPLES) - len(data.valid)
    return choose(len(data.train), max(0, min(wanted, len(data.train) // 4)), seed=0)


def visible_rows(data: DataSet) -> Tensor:
    """Return the rows of train that feature networks are made from: all but the reserved ones."""
    mask = torch.ones(len(data.train), dtype=torch.bool)
    reserved = reserved_rows(data)
    # A split so large that nothing need be reserved leaves an empty index.
    mask[reserved] = False
    return mask.nonzero().flatten()


def feature_nets(
    data: DataSet, recipe: Recipe | None = None, *, progress: Callable[[str], None] | None = None
) -> list[FeatureNet]:
    """Return the networks to judge samples of this data by, from the cache where they are there.

    Args:
        data: only its train split is read, and valid for the accuracy that is reported.
        recipe: how they are made.
        progress: told what is being done, for long waits.
    """
    recipe = recipe or Recipe()
    sample = read(data.train, _some(visible_rows(data), _SCALE_ROWS)).x
    scaler = Scaler.of(data.spec, sample)
    if not data.spec.is_discrete and not data.spec.is_image:
        return [_values(scaler)]
    nets = []
    for name in ("trained", "random"):
        identity = _identity(name, data, recipe)
        key = cache.key_of(identity)
        found = cache.load("features", key)
        if found is None:
            if progress is not None:
                progress(f"making the {name} feature network of {data.name}")
            found = _make(name, data, recipe, scaler, sample)
            cache.store("features", key, *found)
        nets.append(_assemble(name, data.spec, recipe, scaler, *found))
    return nets


def _identity(name: str, data: DataSet, recipe: Recipe) -> dict[str, Any]:
    sizes = {part: len(data.split(part)) for part in ("train", "valid", "test")}
    return {
        "net": name,
        "digest": data.digest,
        "spec": data.spec.to_json(),
        "sizes": sizes,
        "recipe": asdict(recipe),
    }


def _some(rows: Tensor, n: int) -> Tensor:
    picked: Tensor = rows[choose(len(rows), n, seed=1)]
    return picked


def _values(scaler: Scaler) -> FeatureNet:
    assert scaler.mean is not None
    assert scaler.deviation is not None
    content = torch.stack([scaler.mean, scaler.deviation]).numpy().tobytes()
    return FeatureNet(
        "values",
        "the columns themselves, standardised by the training data",
        hashlib.sha256(content).hexdigest()[:12],
        nn.Identity(),
        scaler,
        1.0,
    )


def _make(
    name: str, data: DataSet, recipe: Recipe, scaler: Scaler, sample: Tensor
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the weights, with the scale among them, and the notes of a network."""
    trunk = make_trunk(data.spec, recipe.width, recipe.seed)
    description = "a convolutional network" if data.spec.is_image else "a small network"
    notes: dict[str, Any] = {"description": f"{description} of fixed random weights"}
    if name == "trained":
        labelled = data.spec.classes is not None and data.labelled is None
        labelled = labelled and data.train.batch(torch.arange(1)).y is not None
        train = _train_classifier if labelled else _train_autoencoder
        notes = {"description": f"{description} {train(trunk, data, recipe, scaler)}"}
    raw = FeatureNet(name, "", "", trunk.eval(), scaler, 1.0)(sample)
    variance = float(raw.var(0).sum())
    scale = (FEATURES / variance) ** 0.5 if variance > 0 else 1.0
    tensors = {key: value.detach().clone() for key, value in trunk.state_dict().items()}
    return {**tensors, "scale": torch.tensor(scale, dtype=torch.float64)}, notes


def _assemble(
    name: str,
    spec: Spec,
    recipe: Recipe,
    scaler: Scaler,
    tensors: dict[str, Tensor],
    notes: dict[str, Any],
) -> FeatureNet:
    weights = dict(tensors)
    scale = float(weights.pop("scale"))
    trunk = make_trunk(spec, recipe.width, recipe.seed)
    trunk.load_state_dict(weights)
    digest = hashlib.sha256(b"".join(weights[key].numpy().tobytes() for key in sorted(weights)))
    fingerprint = digest.hexdigest()[:12]
    return FeatureNet(name, notes["description"], fingerprint, trunk.eval(), scaler, scale)


def _train_classifier(trunk: nn.Module, data: DataSet, recipe: Recipe, scaler: Scaler) -> str:
    """Train the trunk to tell the classes; return what to say of it."""
    assert data.spec.classes is not None
    head = make_head(data.spec.classes, 0, recipe.seed + 1)

    def loss(x: Tensor, y: Tensor | None, generator: torch.Generator) -> Tensor:
        assert y is not None
        noise = torch.randn(x.shape, generator=generator)
        return F.cross_entropy(head(trunk(x + 0.1 * noise)), y, label_smoothing=0.05)

    _descend(trunk, head, loss, data, recipe, scaler)
    if not len(data.valid):
        return "trained to tell the classes"
    valid = read(data.valid, choose(len(data.valid), 2000, seed=0))
    with torch.no_grad():
        logits = torch.cat([head(trunk(scaler(part))) for part in torch.split(valid.x, 256)])
    assert valid.y is not None
    accuracy = float((logits.argmax(1) == valid.y).double().mean())
    return f"trained to tell the classes ({accuracy:.1%} right on valid)"


def _train_autoencoder(trunk: nn.Module, data: DataSet, recipe: Recipe, scaler: Scaler) -> str:
    """Train the trunk to restore noisy examples from its features; return what to say of it."""
    head = make_head(data.spec.dims, 4 * recipe.width, recipe.seed + 1)

    def loss(x: Tensor, y: Tensor | None, generator: torch.Generator) -> Tensor:
        noisy = x + recipe.noise * torch.randn(x.shape, generator=generator)
        return F.mse_loss(head(trunk(noisy)), x.flatten(1))

    _descend(trunk, head, loss, data, recipe, scaler)
    return f"trained to restore noisy examples from {FEATURES} numbers"


def _descend(
    trunk: nn.Module,
    head: nn.Module,
    loss: Callable[[Tensor, Tensor | None, torch.Generator], Tensor],
    data: DataSet,
    recipe: Recipe,
    scaler: Scaler,
) -> None:
    generator = torch.Generator().manual_seed(recipe.seed)
    rows = visible_rows(data)
    parameters = [*trunk.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=recipe.learning_rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, recipe.steps)
    for _ in range(recipe.steps):
        picked = rows[torch.randint(len(rows), (recipe.batch_size,), generator=generator)]
        batch = data.train.batch(picked, generator=generator)
        optimizer.zero_grad()
        loss(scaler(batch.x), batch.y, generator).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
