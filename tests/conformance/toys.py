"""Small correct models that only the tests of the conformance kit use."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from genus.capabilities import Completion, Elbo, Objective
from genus.distributions import Bernoulli, Categorical, DiagonalGaussian
from genus.families.base import DensityModel, Model
from genus.random import ExampleNoise
from genus.spec import Spec


def law_of(logits, levels):
    return Bernoulli(logits.squeeze(-1)) if levels == 2 else Categorical(logits)


def check_temperature(temperature):
    if not temperature > 0:
        raise ValueError(f"temperature={temperature} must be above zero")


class LinearChain(DensityModel):
    """Autoregressive: one masked linear layer over pixels and their colours, labels as a bias."""

    family = "autoregressive"
    name = "toy chain"

    @classmethod
    def check_spec(cls, spec):
        cls.require(spec.is_discrete, "levels", spec)

    def __init__(self, spec, config=None):
        super().__init__(spec, config)
        width = 1 if spec.levels == 2 else spec.levels
        d = spec.dims
        self.weight = nn.Parameter(torch.randn(d * width, d) / d**0.5)
        self.bias = nn.Parameter(torch.zeros(d * width))
        self.class_bias = nn.Embedding(spec.classes, d * width) if spec.classes else None
        self.register_buffer("mask", self.make_mask().repeat_interleave(width, 0))

    def make_mask(self):
        rank = torch.empty(self.spec.dims, dtype=torch.long)
        rank[self.order()] = torch.arange(self.spec.dims)
        return (rank[None, :] < rank[:, None]).float()

    def order(self):
        index = torch.arange(self.spec.dims).view(self.spec.shape)
        return index.permute(1, 2, 0).flatten() if self.spec.is_image else index

    def scaled(self, x):
        return 2 * x.to(self.dtype) / (self.spec.levels - 1) - 1

    def parameters_of(self, u, y):
        out = F.linear(u.flatten(1), self.weight * self.mask, self.bias)
        if self.class_bias is not None:
            out = out + self.class_bias(y)
        return out.view(len(u), *self.spec.shape, len(self.bias) // self.spec.dims)

    def conditionals(self, x, y=None):
        self.check_inputs(x, y)
        self.require(self.spec.classes is None or y is not None, "labels", self.spec)
        return law_of(self.parameters_of(self.scaled(x), y), self.spec.levels)

    def conditional_log_prob(self, x, y):
        return self.conditionals(x, y).log_prob(x.long()).flatten(1).sum(1)

    def feed_back(self, value):
        return value

    def stream(self, n, y=None):
        return ChainStream(self, n, y)

    @torch.no_grad()
    def sample(self, n, *, y=None, generator=None, temperature=1.0):
        check_temperature(temperature)
        noise = ExampleNoise(n, generator, dtype=self.dtype)
        labels = self.labels_for(n, y, noise.uniform())
        u = noise.uniform(self.spec.dims)
        x = torch.zeros(n, self.spec.dims, dtype=torch.long)
        stream = ChainStream(self, n, labels)
        for t, index in enumerate(self.order().tolist()):
            x[:, index] = stream.next().tempered(temperature).icdf(u[:, t])
            stream.push(self.feed_back(x[:, index]))
        return x.view(n, *self.spec.shape)

    def objectives(self):
        return (Objective("likelihood", tuple(self.parameters()), self.loss),)

    def loss(self, batch, noise):
        return {"loss": -self.log_prob(batch.x, batch.y).mean() / self.spec.dims}


class ChainStream:
    def __init__(self, model, n, y):
        self.model, self.y, self.t = model, y, 0
        self.order = model.order().tolist()
        self.x = torch.zeros(n, model.spec.dims, dtype=torch.long)

    def next(self):
        x = self.x.view(-1, *self.model.spec.shape)
        law = self.model.parameters_of(self.model.scaled(x), self.y).flatten(1, -2)
        return law_of(law[:, self.order[self.t]], self.model.spec.levels)

    def push(self, value):
        self.x[:, self.order[self.t]] = value
        self.t += 1


class MaskedConv(LinearChain):
    """Autoregressive: two masked convolutions with a mask over rows, columns and colours."""

    name = "toy masked convolution"

    @dataclass(frozen=True, kw_only=True)
    class Config:
        features: int = 6

    @classmethod
    def check_spec(cls, spec):
        cls.require(spec.is_discrete and spec.is_image, "images of levels", spec)

    def __init__(self, spec, config=None):
        DensityModel.__init__(self, spec, config)
        c, width = spec.shape[0], 1 if spec.levels == 2 else spec.levels
        f = self.config.features * c
        self.first = ColourConv(c, f, c, "A")
        self.last = ColourConv(f, c * width, c, "B")
        self.class_bias = nn.Embedding(spec.classes, f) if spec.classes else None

    def between(self, h):
        return F.elu(h)

    def parameters_of(self, u, y):
        h = self.first(u)
        if self.class_bias is not None:
            h = h + self.class_bias(y)[:, :, None, None]
        out = self.last(self.between(h))
        return out.unflatten(1, (self.spec.shape[0], -1)).movedim(2, -1)


class ColourConv(nn.Module):
    """A 3 x 3 convolution whose maps belong to colours in equal contiguous groups."""

    def __init__(self, c_in, c_out, colours, kind):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(c_out, c_in, 3, 3) / (9 * c_in) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(c_out))
        mask = torch.zeros(c_out, c_in, 3, 3)
        mask[:, :, 0], mask[:, :, 1, 0] = 1, 1
        group_in, group_out = (torch.arange(n) * colours // n for n in (c_in, c_out))
        same = group_in[None] < group_out[:, None]
        if kind == "B":
            same = group_in[None] <= group_out[:, None]
        mask[:, :, 1, 1] = same.float()
        self.register_buffer("mask", mask)

    def forward(self, x):
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=1)


class ToyVAE(Model):
    """A bound with a linear encoder and decoder over one or two latents."""

    family = "latent"
    name = "toy vae"

    @dataclass(frozen=True, kw_only=True)
    class Config:
        latents: int = 2

    @classmethod
    def check_spec(cls, spec):
        cls.require(spec.is_discrete, "levels", spec)

    def __init__(self, spec, config=None):
        super().__init__(spec, config)
        z, y = self.config.latents, spec.classes or 0
        self.width = 1 if spec.levels == 2 else spec.levels
        self.encoder = nn.Linear(spec.dims + y, 2 * z)
        self.decoder = nn.Linear(z + y, spec.dims * self.width)

    def with_label(self, h, y):
        if self.spec.classes is None:
            return h
        return torch.cat([h, F.one_hot(y, self.spec.classes).to(h)], 1)

    def encode(self, x, y=None):
        self.check_inputs(x, y)
        u = 2 * x.to(self.dtype).flatten(1) / (self.spec.levels - 1) - 1
        return DiagonalGaussian(*self.encoder(self.with_label(u, y)).chunk(2, 1))

    def decode(self, z, y=None):
        out = self.decoder(self.with_label(z, y))
        return self.law(out.view(len(z), *self.spec.shape, self.width))

    def law(self, parameters):
        return law_of(parameters, self.spec.levels)

    def prior(self):
        zero = torch.zeros(1, self.config.latents, dtype=self.dtype)
        return DiagonalGaussian(zero, zero)

    def over_classes(self, bound, n):
        labels = [torch.full((n,), label) for label in range(self.spec.classes)]
        return torch.stack([bound(y) for y in labels], 1) + self.log_prior_Y

    def elbo(self, x, y=None, *, generator=None):
        self.check_inputs(x, y)
        return self.bound(x, y, ExampleNoise(len(x), generator, dtype=self.dtype))

    def bound(self, x, y, noise):
        eps = noise.normal(self.config.latents)
        if y is not None or self.spec.classes is None:
            return self.bound_of_class(x, y, eps)
        parts = []

        def value(y):
            parts.append(self.bound_of_class(x, y, eps))
            return parts[-1].value

        log_q = self.over_classes(value, len(x)).log_softmax(1)
        mean = (
            torch.stack([p.reconstruction for p in parts], 1),
            torch.cat([p.kl for p in parts], 1),
        )
        kl = torch.stack([mean[1], log_q - self.log_prior_Y], 1)
        return Elbo((log_q.exp() * mean[0]).sum(1), (log_q.exp()[:, None] * kl).sum(2))

    def bound_of_class(self, x, y, eps):
        q = self.encode(x, y)
        z = q.mean + q.log_scale.exp() * eps
        reconstruction = self.decode(z, y).log_prob(x.long()).flatten(1).sum(1)
        return Elbo(reconstruction, self.divergence(q)[:, None])

    def divergence(self, q):
        return q.kl(self.prior())

    def log_weights(self, x, k, y, generator):
        self.check_inputs(x, y)
        q = self.encode(x, y)
        eps = ExampleNoise(len(x), generator, dtype=self.dtype).normal(k, q.mean.shape[1])
        columns = []
        for i in range(k):
            z = q.mean + q.log_scale.exp() * eps[:, i]
            given = self.decode(z, y).log_prob(x.long()).flatten(1).sum(1)
            columns.append(given + self.prior().log_prob(z) - q.log_prob(z))
        return torch.stack(columns, 1)

    def iwae(self, x, k, y=None, *, generator=None):
        self.check_inputs(x, y)
        if y is None and self.spec.classes is not None:
            state = torch.random.get_rng_state() if generator is None else generator.get_state()

            def value(y):
                again = torch.Generator()
                again.set_state(state)
                return self.iwae(x, k, y, generator=again)

            return self.over_classes(value, len(x)).logsumexp(1)
        return self.log_weights(x, k, y, generator).logsumexp(1) - math.log(k)

    @torch.no_grad()
    def sample(self, n, *, y=None, generator=None, temperature=1.0):
        check_temperature(temperature)
        noise = ExampleNoise(n, generator, dtype=self.dtype)
        labels = self.labels_for(n, y, noise.uniform())
        law = self.decode(noise.normal(self.config.latents), labels)
        return law.tempered(temperature).icdf(noise.uniform(*self.spec.shape))

    def objectives(self):
        return (Objective("bound", tuple(self.parameters()), self.loss),)

    def loss(self, batch, noise):
        bound = self.bound(batch.x, batch.y, noise)
        return {"loss": -bound.value.mean() / self.spec.dims}


class ToyGAN(Model):
    """Two linear players and the non-saturating loss."""

    family = "adversarial"
    name = "toy gan"

    @classmethod
    def check_spec(cls, spec):
        cls.require(spec.is_discrete, "levels", spec)

    def __init__(self, spec, config=None):
        super().__init__(spec, config)
        y = spec.classes or 0
        self.generator = nn.Linear(3 + y, spec.dims)
        self.critic = nn.Sequential(nn.Linear(spec.dims + y, 8), nn.ELU(), nn.Linear(8, 1))

    def with_label(self, h, y):
        if self.spec.classes is None:
            return h
        return torch.cat([h, F.one_hot(y, self.spec.classes).to(h)], 1)

    def draw(self, n, y, noise):
        return torch.tanh(2 * self.generator(self.with_label(noise.normal(3), y)))

    @torch.no_grad()
    def sample(self, n, *, y=None, generator=None, temperature=1.0):
        check_temperature(temperature)
        noise = ExampleNoise(n, generator, dtype=self.dtype)
        labels = self.labels_for(n, y, noise.uniform())
        u = self.draw(n, labels, noise)
        return ((u + 1) / 2 * (self.spec.levels - 1)).round().long().view(n, *self.spec.shape)

    def objectives(self):
        return (
            Objective("critic", tuple(self.critic.parameters()), self.critic_loss),
            Objective("generator", tuple(self.generator.parameters()), self.generator_loss),
        )

    def critic_loss(self, batch, noise):
        real = 2 * batch.x.to(self.dtype).flatten(1) / (self.spec.levels - 1) - 1
        fake = self.draw(len(batch), batch.y, noise).detach()
        scores = [self.critic(self.with_label(u, batch.y)).squeeze(1) for u in (real, fake)]
        return {"loss": F.softplus(-scores[0]).mean() + F.softplus(scores[1]).mean()}

    def generator_loss(self, batch, noise):
        self.critic.requires_grad_(False)
        fake = self.draw(len(batch), batch.y, noise)
        loss = F.softplus(-self.critic(self.with_label(fake, batch.y))).mean()
        self.critic.requires_grad_(True)
        return {"loss": loss}


class ClassTable(DensityModel):
    """Fitted by counting: independent entries given the class."""

    family = "closed form"
    name = "toy table"

    @classmethod
    def check_spec(cls, spec):
        cls.require(spec.is_discrete, "levels", spec)

    def __init__(self, spec, config=None):
        super().__init__(spec, config)
        shape = (spec.classes or 1, *spec.shape, spec.levels)
        self.keep("log_probs", torch.zeros(shape).log_softmax(-1))

    def keep(self, name, value):
        self.register_buffer(name, value)

    def fit(self, batches, context=None):
        counts = torch.ones_like(self.log_probs)
        for batch in batches():
            y = batch.y if self.spec.classes else torch.zeros(len(batch), dtype=torch.long)
            counts.index_add_(0, y, F.one_hot(batch.x, self.spec.levels).to(counts))
        self.log_probs.copy_((counts / counts.sum(-1, keepdim=True)).log())

    def law(self, n, y):
        y = torch.zeros(n, dtype=torch.long) if self.spec.classes is None else y
        return Categorical(self.log_probs[y])

    def conditional_log_prob(self, x, y):
        return self.law(len(x), y).log_prob(x.long()).flatten(1).sum(1)

    @torch.no_grad()
    def sample(self, n, *, y=None, generator=None, temperature=1.0):
        check_temperature(temperature)
        noise = ExampleNoise(n, generator, dtype=self.dtype)
        labels = self.labels_for(n, y, noise.uniform())
        return self.law(n, labels).tempered(temperature).icdf(noise.uniform(*self.spec.shape))


class Completing(LinearChain):
    """The chain that also fills in what is missing, in its order."""

    name = "toy completing chain"

    def says_exact(self, known):
        ordered = known.flatten(1)[:, self.order()]
        return not bool((ordered[:, 1:] & ~ordered[:, :-1]).any())

    def keep(self, known, old, new):
        return torch.where(known, old, new)

    def score_of(self, known, entries):
        return torch.where(known, torch.zeros_like(entries), entries)

    @torch.no_grad()
    def complete(self, x, known, *, y=None, generator=None, temperature=1.0):
        self.check_inputs(torch.where(known, x, torch.zeros_like(x)), y)
        noise = ExampleNoise(len(x), generator, dtype=self.dtype)
        exact = self.says_exact(known) and (y is not None or self.spec.classes is None)
        labels = self.labels_for(len(x), y, noise.uniform())
        u = noise.uniform(self.spec.dims)
        filled, known_D = x.flatten(1).clone(), known.flatten(1)
        log_prob = u.new_zeros(len(x))
        stream = ChainStream(self, len(x), labels)
        for t, index in enumerate(self.order().tolist()):
            law = stream.next().tempered(temperature)
            filled[:, index] = self.keep(known_D[:, index], filled[:, index], law.icdf(u[:, t]))
            log_prob += self.score_of(known_D[:, index], law.log_prob(filled[:, index]))
            stream.push(filled[:, index])
        return Completion(filled.view_as(x), exact, "in order", log_prob)


class Normal(DensityModel):
    """A Gaussian for each entry and class."""

    family = "closed form"
    name = "toy normal"

    @classmethod
    def check_spec(cls, spec):
        cls.require(not spec.is_discrete, "real numbers", spec)

    def __init__(self, spec, config=None):
        super().__init__(spec, config)
        self.mean = nn.Parameter(torch.randn(spec.classes or 1, *spec.shape))
        self.log_scale = nn.Parameter(torch.randn(spec.classes or 1, *spec.shape) / 2)

    def row(self, n, y):
        return torch.zeros(n, dtype=torch.long) if y is None else y

    def conditional_log_prob(self, x, y):
        row = self.row(len(x), y)
        law = DiagonalGaussian(self.mean[row].flatten(1), self.log_scale[row].flatten(1))
        return self.score_entries(law, x.flatten(1))

    def score_entries(self, law, x):
        return law.log_prob(x)

    def spread(self, log_scale, temperature):
        return log_scale.exp() * temperature

    @torch.no_grad()
    def sample(self, n, *, y=None, generator=None, temperature=1.0):
        check_temperature(temperature)
        noise = ExampleNoise(n, generator, dtype=self.dtype)
        row = self.row(n, self.labels_for(n, y, noise.uniform()))
        spread = self.spread(self.log_scale[row], temperature)
        return self.mean[row] + spread * noise.normal(*self.spec.shape)

    def objectives(self):
        return (Objective("likelihood", tuple(self.parameters()), self.loss),)

    def loss(self, batch, noise):
        return {"loss": -self.log_prob(batch.x, batch.y).mean() / self.spec.dims}


TOYS = (LinearChain, MaskedConv, ToyVAE, ToyGAN, ClassTable, Completing, Normal)
SMALL = (
    Spec(shape=(1, 2, 3), levels=2),
    Spec(shape=(3, 1, 2), levels=3, classes=2),
    Spec(shape=(3, 4, 3), levels=5),
    Spec(shape=(1,)),
    Spec(shape=(2,), classes=2),
)
