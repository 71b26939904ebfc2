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

from genus.errors import ConfigError
from genus.evaluation import cache
from genus.evaluation.nets import FEATURES, Scaler, make_head, make_trunk
from genus.evaluation.rows import choose, read
from genus.spec import Batch, Spec

if TYPE_CHECKING:
    from genus.data import DataSet, Split

MOST_SAMPLES = 2000
"""Samples that a comparison draws by default, where the held-out split is that large."""
BATCH = 256
"""Examples that go through a network at a time."""
_SCALE_ROWS = 5000
_HEAD = "head."
"""What the names of a head's weights begin with, among those of a network that is kept."""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How the feature networks are made; part of the cache key."""

    width: int = 32
    steps: int = 600
    batch_size: int = 64
    learning_rate: float = 2e-3
    noise: float = 0.3
    seed: int = 0
    version: int = 2


@dataclass(frozen=True, eq=False)
class FeatureNet:
    """Maps examples to features.

    Args:
        name: "trained", "random", "values" or "inception".
        description: what it is, for the reader of a report.
        fingerprint: hash of its weights; figures compare only where it is the same.
        net: from scaled examples to features.
        scaler: from examples to the input of the net.
        scale: what features are multiplied by.
        head: from the output of the net to logits of the classes, where it was trained to tell
            them.
        slow: whether its features take minutes, so that those of real examples are kept.
    """

    name: str
    description: str
    fingerprint: str
    net: nn.Module
    scaler: Scaler
    scale: float
    head: nn.Module | None = None
    slow: bool = False

    def __call__(self, x: Tensor) -> Tensor:
        """Return the features of examples ``(N, *shape)``: ``(N, D)`` in float64."""
        with torch.no_grad(), torch.autocast("cpu", enabled=False):
            parts = [self.net(self.scaler(part.cpu())).flatten(1) for part in torch.split(x, BATCH)]
        return torch.cat(parts).double() * self.scale

    def classify(self, x: Tensor) -> Tensor:
        """Return the most probable class of examples ``(N, *shape)``, ``(N,)``.

        Raises:
            ConfigError: the network was not trained to tell classes.
        """
        if self.head is None:
            raise ConfigError(f"the {self.name} network cannot classify: it has not learnt classes")
        return classify(nn.Sequential(self.net, self.head), self.scaler, x)


def classify(net: nn.Module, scaler: Scaler, x: Tensor) -> Tensor:
    """Return the class ``(N,)`` with the largest logit for examples ``(N, *shape)``."""
    with torch.no_grad(), torch.autocast("cpu", enabled=False):
        return torch.cat([net(scaler(part.cpu())).argmax(1) for part in torch.split(x, BATCH)])


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
    seen = read(data.train, _some(visible_rows(data), _SCALE_ROWS))
    sample, classes = seen.x, tells_classes(data, seen)
    scaler = Scaler.of(data.spec, sample)
    if not data.spec.is_discrete and not data.spec.is_image:
        return [_values(scaler)]
    nets = []
    for name in ("trained", "random"):
        identity = _identity(name, data, recipe)
        if name == "trained" and data.spec.classes is not None and not classes:
            identity["classes"] = "not told apart"
        key = cache.key_of(identity)
        found = cache.load("features", key)
        if found is None:
            if progress is not None:
                progress(f"making the {name} feature network of {data.name}")
            found = _make(name, data, recipe, scaler, sample, classes=classes)
            cache.store("features", key, *found)
        nets.append(_assemble(name, data.spec, recipe, scaler, *found))
    return nets


def random_net(spec: Spec, sample: Tensor, recipe: Recipe | None = None) -> FeatureNet:
    """Return a network of fixed random weights that is made at once, without a cache.

    Args:
        spec: of the data.
        sample: ``(N, *shape)`` training examples, which fix the unit of the features.
        recipe: how it is made.
    """
    recipe = recipe or Recipe()
    scaler = Scaler.of(spec, sample)
    trunk = make_trunk(spec, recipe.width, recipe.seed).eval()
    scale = _unit_scale(trunk, scaler, sample)
    return FeatureNet("random", "of fixed random weights", "", trunk, scaler, scale)


def _unit_scale(trunk: nn.Module, scaler: Scaler, sample: Tensor) -> float:
    """Return the factor that gives the features of a sample a total variance of 64."""
    variance = float(FeatureNet("", "", "", trunk, scaler, 1.0)(sample).var(0).sum())
    return (FEATURES / variance) ** 0.5 if variance > 0 else 1.0


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
    name: str, data: DataSet, recipe: Recipe, scaler: Scaler, sample: Tensor, *, classes: bool
) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the weights, with scale and head among them, and the notes of a network."""
    trunk = make_trunk(data.spec, recipe.width, recipe.seed)
    description = "a convolutional network" if data.spec.is_image else "a small network"
    notes: dict[str, Any] = {"description": f"{description} of fixed random weights"}
    head: nn.Module | None = None
    if name == "trained" and classes:
        head, said = _train_classifier(trunk, data, recipe, scaler)
        notes = {"description": f"{description} {said}"}
    elif name == "trained":
        said = _train_autoencoder(trunk, data, recipe, scaler)
        notes = {"description": f"{description} {said}"}
    scale = _unit_scale(trunk.eval(), scaler, sample)
    weights = dict(trunk.state_dict())
    if head is not None:
        weights |= {f"{_HEAD}{key}": value for key, value in head.state_dict().items()}
    tensors = {key: value.detach().clone() for key, value in weights.items()}
    return {**tensors, "scale": torch.tensor(scale, dtype=torch.float64)}, notes


def tells_classes(data: DataSet, seen: Batch) -> bool:
    """Return whether every training example has a label, and they are of two classes or more.

    Args:
        data: the data.
        seen: a few thousand training examples, by which it is judged.
    """
    if data.spec.classes is None or data.labelled is not None or seen.y is None:
        return False
    return bool((seen.y != seen.y[:1]).any())


def _assemble(
    name: str,
    spec: Spec,
    recipe: Recipe,
    scaler: Scaler,
    tensors: dict[str, Tensor],
    notes: dict[str, Any],
) -> FeatureNet:
    weights = {key: value for key, value in tensors.items() if not key.startswith(_HEAD)}
    scale = float(weights.pop("scale"))
    trunk = make_trunk(spec, recipe.width, recipe.seed)
    trunk.load_state_dict(weights)
    digest = hashlib.sha256(b"".join(weights[key].numpy().tobytes() for key in sorted(weights)))
    fingerprint = digest.hexdigest()[:12]
    head = None
    if any(key.startswith(_HEAD) for key in tensors):
        assert spec.classes is not None
        head = make_head(spec.classes, 0, 0).eval()
        head.load_state_dict(
            {key.removeprefix(_HEAD): value for key, value in tensors.items() if _HEAD in key}
        )
    return FeatureNet(name, notes["description"], fingerprint, trunk.eval(), scaler, scale, head)


def _train_classifier(
    trunk: nn.Module, data: DataSet, recipe: Recipe, scaler: Scaler
) -> tuple[nn.Module, str]:
    """Train the trunk to tell the classes; return its head and what to say of it."""
    assert data.spec.classes is not None
    head = make_head(data.spec.classes, 0, recipe.seed + 1)
    descend_labels(trunk, head, data.train, visible_rows(data), recipe, scaler)
    if not len(data.valid):
        return head, "trained to tell the classes"
    valid = read(data.valid, choose(len(data.valid), 2000, seed=0))
    assert valid.y is not None
    found = classify(nn.Sequential(trunk, head), scaler, valid.x)
    accuracy = float((found == valid.y).double().mean())
    return head, f"trained to tell the classes ({accuracy:.1%} right on valid)"


def descend_labels(
    trunk: nn.Module,
    head: nn.Module,
    train: Split,
    rows: Tensor,
    recipe: Recipe,
    scaler: Scaler,
) -> None:
    """Train a trunk and the head on it to tell the classes of some rows of a split."""

    def loss(x: Tensor, y: Tensor | None, generator: torch.Generator) -> Tensor:
        assert y is not None
        noise = torch.randn(x.shape, generator=generator)
        return F.cross_entropy(head(trunk(x + 0.1 * noise)), y, label_smoothing=0.05)

    _descend([*trunk.parameters(), *head.parameters()], loss, train, rows, recipe, scaler)


def _train_autoencoder(trunk: nn.Module, data: DataSet, recipe: Recipe, scaler: Scaler) -> str:
    """Train the trunk to restore noisy examples from its features; return what to say of it."""
    head = make_head(data.spec.dims, 4 * recipe.width, recipe.seed + 1)

    def loss(x: Tensor, y: Tensor | None, generator: torch.Generator) -> Tensor:
        noisy = x + recipe.noise * torch.randn(x.shape, generator=generator)
        return F.mse_loss(head(trunk(noisy)), x.flatten(1))

    parameters = [*trunk.parameters(), *head.parameters()]
    _descend(parameters, loss, data.train, visible_rows(data), recipe, scaler)
    return f"trained to restore noisy examples from {FEATURES} numbers"


def _descend(
    parameters: list[nn.Parameter],
    loss: Callable[[Tensor, Tensor | None, torch.Generator], Tensor],
    train: Split,
    rows: Tensor,
    recipe: Recipe,
    scaler: Scaler,
) -> None:
    generator = torch.Generator().manual_seed(recipe.seed)
    optimizer = torch.optim.AdamW(parameters, lr=recipe.learning_rate, weight_decay=1e-3)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, recipe.steps)
    for _ in range(recipe.steps):
        picked = rows[torch.randint(len(rows), (recipe.batch_size,), generator=generator)]
        batch = train.batch(picked, generator=generator)
        optimizer.zero_grad()
        loss(scaler(batch.x), batch.y, generator).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
