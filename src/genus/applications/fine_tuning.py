"""The network behind a classifier, and how it is trained: from any weights in the same way.

The linear layer begins as the linear probe of the features as they are, so that the first steps do
not spoil what the features know (Kumar et al., 2022, https://arxiv.org/abs/2202.10054).
"""

# Shapes: B batch, N examples, D features, Y classes.
from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from genus.applications.extract import extract_features
from genus.applications.linear import STRENGTHS, Scaler, fit_linear
from genus.errors import ConfigError, TrainingError
from genus.evaluation.likelihood import place, scoring_mode
from genus.evaluation.rows import blocks, choose
from genus.spec import Batch

if TYPE_CHECKING:
    from genus.data import DataSet, Split

Start = Literal["run", "random"]
INITIAL = 1_000
"""Examples by which a fresh network's scales are set, where it has such."""


@dataclass(frozen=True, kw_only=True)
class FineTuning:
    """How a classifier is trained.

    Args:
        steps: updates at most.
        batch_size: examples of an update.
        learning_rates: step sizes of AdamW that are tried; the best on valid is taken.
        evaluations: how often valid is looked at, evenly over the steps.
        patience: training ends after so many looks without gain.
        valid_limit: examples of valid that are looked at.
    """

    steps: int = 1_000
    batch_size: int = 64
    learning_rates: tuple[float, ...] = (1e-3, 3e-4)
    evaluations: int = 20
    patience: int = 5
    valid_limit: int = 2_000

    def __post_init__(self) -> None:
        names = ("steps", "batch_size", "evaluations", "patience", "valid_limit")
        counts = {name: getattr(self, name) for name in names}
        wrong = [f"{name}={n} must be at least 1" for name, n in counts.items() if n < 1]
        rates = self.learning_rates
        wrong += [f"learning rate {rate:g} must be above zero" for rate in rates if not rate > 0]
        wrong += [] if rates else ["there must be a learning rate"]
        if wrong:
            raise ConfigError("; ".join(wrong))


class Classifier(nn.Module):
    """A model's features, standardised, and a linear layer that begins as their linear probe.

    Args:
        model: with differentiable features; training changes it, so a copy is trained.
        data: with labels.
        rows: the labelled examples of train.
        looked_at: rows of valid, by which the probe's strength is chosen.
    """

    shift_D: Tensor
    scale_D: Tensor

    def __init__(self, model: Any, data: DataSet, rows: Tensor, looked_at: Tensor) -> None:
        super().__init__()
        assert data.spec.classes is not None
        self.model = model
        train = extract_features(model, data.train, rows=rows)
        valid = extract_features(model, data.valid, rows=looked_at)
        found = fit_linear(train.x, train.y, valid.x, valid.y, STRENGTHS, [Scaler])
        scaler = found.scaler
        weight_YD, bias_Y = map(torch.from_numpy, found.layer(data.spec.classes))
        self.register_buffer("shift_D", torch.from_numpy(scaler.mean).float())
        # A column that says nothing yet, which the scaler drops, may come to say something.
        scale_D = np.where(np.isinf(scaler.deviation), 1.0, scaler.deviation)
        self.register_buffer("scale_D", torch.from_numpy(scale_D).float())
        self.head = nn.Linear(weight_YD.shape[1], data.spec.classes)
        with torch.no_grad():
            self.head.weight.copy_(weight_YD)
            self.head.bias.copy_(bias_Y)
        self.to(getattr(model, "device", "cpu"))

    def forward(self, x: Tensor) -> Tensor:
        """Return logits ``(B, Y)``."""
        features_BD = self.model.features(place(self.model, x)).float().flatten(1)
        logits_BY: Tensor = self.head((features_BD - self.shift_D) / self.scale_D)
        return logits_BY


def check_trainable(model: Any, data: DataSet) -> None:
    """Raise `ConfigError` unless the model's features are differentiable in its weights."""
    x = data.train.batch(torch.arange(min(2, len(data.train)))).x
    with torch.enable_grad():
        features = model.features(place(model, x))
    if not features.requires_grad:
        raise ConfigError(
            f"the features of {model.name} are not differentiable in weights, so no classifier "
            "can be trained from them; probe them as they are (genus features RUN --probe)"
        )


def start_network(model: Any, start: Start, data: DataSet, seed: int) -> Any:
    """Return the model itself, or one of the same class and options with random weights."""
    if start == "run":
        return model
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        fresh = type(model)(model.spec, model.config).to(model.device)
        if hasattr(type(fresh), "initialise"):
            batch = data.train.batch(choose(len(data.train), INITIAL, seed=0))
            y = batch.y if model.spec.classes is not None else None
            fresh.initialise(Batch(batch.x, y).to(model.device))
    return fresh


def descend(
    network: Classifier,
    data: DataSet,
    rows: Tensor,
    looked_at: Tensor,
    rate: float,
    seed: int,
    settings: FineTuning,
) -> tuple[tuple[float, float], int]:
    """Train, and leave the weights that were best on valid.

    Returns:
        Accuracy and mean log p(y | x) on valid of those weights, and after which step they were;
        0 is the linear probe.
    """
    optimizer = torch.optim.AdamW(network.parameters(), lr=rate)
    generator = torch.Generator().manual_seed(seed)
    every = max(1, settings.steps // settings.evaluations)
    best, best_step = summary(network, data.valid, looked_at), 0
    weights = copy.deepcopy(network.state_dict())
    with torch.random.fork_rng(devices=[]):  # dropout draws from the global generator
        torch.manual_seed(seed)
        for step in range(1, settings.steps + 1):
            picked = rows[torch.randint(len(rows), (settings.batch_size,), generator=generator)]
            update(network, optimizer, data.train, picked, generator)
            if step % every and step < settings.steps:
                continue
            reached = summary(network, data.valid, looked_at)
            if reached > best:
                best, best_step = reached, step
                weights = copy.deepcopy(network.state_dict())
            elif step - best_step >= settings.patience * every:
                break
    network.load_state_dict(weights)
    return best, best_step


def update(
    network: Classifier,
    optimizer: torch.optim.Optimizer,
    split: Split,
    rows: Tensor,
    generator: torch.Generator,
) -> None:
    """Descend the cross-entropy of some labelled examples.

    Raises:
        TrainingError: the loss is not finite.
    """
    batch = split.batch(rows, generator=generator)
    assert batch.y is not None
    network.train()
    logits_BY = network(batch.x)
    loss = F.cross_entropy(logits_BY, batch.y.to(logits_BY.device))
    if not bool(torch.isfinite(loss)):
        raise TrainingError("the classifier's loss is not finite; take a smaller learning rate")
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    optimizer.step()


def summary(network: Classifier, split: Split, rows: Tensor) -> tuple[float, float]:
    """Return accuracy and mean log p(y | x) on some rows of a split."""
    right_N, nats_N = judged(network, split, rows)
    return float(right_N.double().mean()), float(nats_N.double().mean())


def judged(network: Classifier, split: Split, rows: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return which examples are classified rightly, and log p(y | x) of each, both ``(N,)``."""
    right, nats = [], []
    with scoring_mode(network) as ready:
        for batch in blocks(split, rows=rows):
            assert batch.y is not None
            logits_BY = ready(batch.x).cpu()
            right.append(logits_BY.argmax(1) == batch.y)
            nats.append(-F.cross_entropy(logits_BY, batch.y, reduction="none"))
    return torch.cat(right), torch.cat(nats)
