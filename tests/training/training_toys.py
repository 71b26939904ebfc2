"""Small models and data that train in a moment, one of each kind of learning."""

from __future__ import annotations

import hashlib
import signal
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from genus import Spec
from genus.capabilities import Elbo, Objective
from genus.data.base import ArraySplit, DataSet
from genus.families.base import DensityModel, Model
from genus.registry import register
from genus.training import Hook

SPEC = Spec(shape=(1, 4, 4), levels=3)


def toy_data(n=200, *, seed=0, spec=SPEC, name="toy"):
    """Levels with structure: entries repeat the one before them more often than not."""
    rng = np.random.default_rng(seed)
    x = rng.integers(0, spec.levels, (n, spec.dims))
    for i in range(1, spec.dims):
        x[:, i] = np.where(rng.random(n) < 0.6, x[:, i - 1], x[:, i])
    y = rng.integers(0, spec.classes, n) if spec.classes else None
    x = x.reshape(n, *spec.shape)
    parts = {
        "train": slice(0, n // 2),
        "valid": slice(n // 2, n * 3 // 4),
        "test": slice(n * 3 // 4, n),
    }
    splits = {k: ArraySplit(x[part], None if y is None else y[part]) for k, part in parts.items()}
    return DataSet(name, spec, splits, f"sha256:{hashlib.sha256(x.tobytes()).hexdigest()}")


MODES = Spec(shape=(4,))


def toy_modes(n=1200):
    """Three narrow clouds of real vectors, which a small game learns in a second."""
    rng = np.random.default_rng(0)
    centres = 2 * rng.normal(size=(3, 4))
    x = centres[rng.integers(0, 3, n)] + 0.3 * rng.normal(size=(n, 4))
    x = x.astype(np.float32)
    splits = {"train": ArraySplit(x[: n * 2 // 3]), "valid": ArraySplit(x[n * 2 // 3 :])}
    return DataSet("modes", MODES, splits, f"sha256:{hashlib.sha256(x.tobytes()).hexdigest()}")


@register("toy-chain")
class Chain(DensityModel):
    """p(x_i | x_<i) by a masked linear map; dropout draws from the global generator."""

    family = "toy"

    @dataclass(frozen=True, kw_only=True)
    class Config:
        dropout: float = 0.1
        double: bool = False
        memory: bool = False

    def __init__(self, spec, config=None):
        super().__init__(spec, config)
        D, K = spec.dims, spec.levels
        self.net = nn.Linear(D * K, D * K)
        self.drop = nn.Dropout(self.config.dropout)
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("memory", torch.zeros(3))
        mask = torch.ones(D, D).tril(-1).repeat_interleave(K, 0).repeat_interleave(K, 1)
        self.register_buffer("mask", mask, persistent=False)
        if self.config.double:
            self.double()

    def conditional_log_prob(self, x, y):
        onehot = nn.functional.one_hot(x.flatten(1), self.spec.levels).to(self.dtype).flatten(1)
        logits = nn.functional.linear(self.drop(onehot), self.net.weight * self.mask, self.net.bias)
        logits = logits.unflatten(1, (self.spec.dims, self.spec.levels)).log_softmax(2)
        return logits.gather(2, x.flatten(1).unsqueeze(2)).squeeze(2).sum(1)

    def sample(self, n, *, y=None, generator=None, temperature=1.0):
        return torch.randint(self.spec.levels, (n, *self.spec.shape), generator=generator)

    def objectives(self):
        return (Objective("likelihood", tuple(self.parameters()), self._loss),)

    def _loss(self, batch, noise):
        self.seen += 1
        nats = -self.log_prob(batch.x, batch.y).mean()
        if self.config.memory:  # as chains of samples are, each process's own
            self.memory.copy_(self.memory / 2 + torch.rand(3))
        return {"loss": nats * (1 + self.memory.sum()) / self.spec.dims, "nats": nats.detach()}


@register("toy-conv")
class Conv(Model):
    """A bound with a convolution, so that layouts matter, and noise from the loop."""

    family = "toy"

    @dataclass(frozen=True, kw_only=True)
    class Config:
        width: int = 8

    def __init__(self, spec, config=None):
        super().__init__(spec, config)
        self.encoder = nn.Conv2d(1, self.config.width, 3, padding=1)
        self.decoder = nn.Conv2d(self.config.width, spec.levels, 3, padding=1)

    def _parts(self, x, eps):
        h = self.encoder(x.to(self.dtype))
        mean, scale = h.tanh(), 0.5
        kl = 0.5 * (mean.square() + scale**2 - 1 - 2 * np.log(scale)).flatten(1).sum(
            1, keepdim=True
        )
        logits = self.decoder(mean + scale * eps.view_as(mean)).log_softmax(1)
        return Elbo(logits.gather(1, x).flatten(1).sum(1), kl)

    def elbo(self, x, y=None, *, generator=None):
        shape = (len(x), self.config.width * x[0].numel())
        return self._parts(x, torch.randn(shape, generator=generator))

    def iwae(self, x, k, y=None, *, generator=None):
        return self.elbo(x, y, generator=generator).value

    def sample(self, n, *, y=None, generator=None, temperature=1.0):
        return torch.randint(self.spec.levels, (n, *self.spec.shape), generator=generator)

    def objectives(self):
        return (Objective("bound", tuple(self.parameters()), self._loss),)

    def _loss(self, batch, noise):
        eps = noise.normal(self.config.width * batch.x[0].numel())
        elbo = self._parts(batch.x, eps)
        return {"loss": -elbo.value.mean() / self.spec.dims, "kl": elbo.kl.mean()}


@register("toy-players")
class Players(Model):
    """Two players; the critic moves twice as often, and records what it was shown."""

    family = "toy"

    def __init__(self, spec, config=None):
        super().__init__(spec, config)
        self.generator = nn.Linear(4, spec.dims)
        self.critic = nn.Linear(spec.dims, 1)
        self.shown = []

    def sample(self, n, *, y=None, generator=None, temperature=1.0):
        fake = self.generator(torch.randn(n, 4, generator=generator))
        level = (fake.sigmoid() * self.spec.levels).long().clamp(max=self.spec.levels - 1)
        return level.view(n, *self.spec.shape)

    def objectives(self):
        critic = Objective(
            "critic", tuple(self.critic.parameters()), self._critic, repeats=2, betas=(0.0, 0.9)
        )
        return critic, Objective("generator", tuple(self.generator.parameters()), self._generator)

    def _critic(self, batch, noise):
        self.shown.append(("critic", batch.x, self._frozen()))
        real = batch.x.flatten(1).float()
        loss = self.critic(self.generator(noise.normal(4))).mean() - self.critic(real).mean()
        return {"loss": loss + self.critic.weight.square().sum()}

    def _generator(self, batch, noise):
        self.shown.append(("generator", batch.x, self._frozen()))
        return {"loss": -self.critic(self.generator(noise.normal(4))).mean()}

    def _frozen(self):
        parts = {"generator": self.generator, "critic": self.critic}
        return {name for name, part in parts.items() if not part.weight.requires_grad}


@register("toy-counts")
class Counts(DensityModel):
    """Fitted: the share of each level at each place."""

    family = "toy"

    def __init__(self, spec, config=None):
        super().__init__(spec, config)
        self.register_buffer("counts", torch.ones(spec.dims, spec.levels))

    def fit(self, batches, context=None):
        for iteration in range(1000):
            if context.stop():
                return
            total = torch.zeros_like(self.counts)
            for batch in batches():
                total += nn.functional.one_hot(batch.x.flatten(1), self.spec.levels).sum(0)
            self.counts.copy_(context.reduce(total) + 1)
            context.log({"iteration": float(iteration)})

    def conditional_log_prob(self, x, y):
        log_p = (self.counts / self.counts.sum(1, keepdim=True)).log()
        return log_p.gather(1, x.flatten(1).T).sum(0)

    def sample(self, n, *, y=None, generator=None, temperature=1.0):
        return torch.randint(self.spec.levels, (n, *self.spec.shape), generator=generator)


def make(name, *, seed=0, spec=SPEC, **options):
    """A model whose fresh weights depend on the seed alone."""
    from genus.registry import create

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return create(name, spec, **options)


def final_tensors(run):
    """Everything that must agree between two runs: kept weights, and the last state in full."""
    from genus.training.checkpoint import newest_valid
    from genus.training.tensors import from_file

    tensors = {f"kept/{k}": v for k, v in from_file(run / "model.safetensors", None).items()}
    return tensors | newest_valid(run / "state").tensors


def differences(a, b):
    """The names of the tensors that are not equal to the bit."""
    assert a.keys() == b.keys(), a.keys() ^ b.keys()
    return [k for k in a if a[k].dtype != b[k].dtype or not same_bits(a[k], b[k])]


def same_bits(a, b):
    return a.shape == b.shape and a.numpy().tobytes() == b.numpy().tobytes()


class Sabotage(Hook):
    """Spoils a `gan` in some of the steps, whatever training does about it.

    Args:
        what: "collapse", "explode", "drift" or "nan".
        steps: in which steps.
    """

    def __init__(self, what, steps):
        self.what, self.steps = what, steps

    def on_step(self, session):
        if session.step in self.steps:
            generator, critic = session.model.generator.body[-1], session.model.critic.score
            with torch.no_grad():
                if self.what == "collapse":  # all noise leads to one picture
                    generator.weight.zero_()
                if self.what == "drift":  # slowly out of the range of the data
                    generator.bias += 0.5
                if self.what == "explode":
                    critic.weight *= 30

    def on_start(self, session):
        def poisoned(gradient):
            return gradient * torch.nan if session.step in self.steps else gradient

        if self.what == "nan":
            session.model.generator.body[-1].bias.register_hook(poisoned)


class Signal(Hook):
    """Stops the run before a step, as Ctrl-C does."""

    def __init__(self, at):
        self.at = at

    def before_step(self, session):
        if session.step == self.at:
            signal.raise_signal(signal.SIGINT)
