"""Models with one planted mistake each, and the checks that must find it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
import torch.nn.functional as F
from tests.conformance.toys import (
    ClassTable,
    ColourConv,
    Completing,
    LinearChain,
    MaskedConv,
    Normal,
    ToyGAN,
    ToyVAE,
)
from torch import nn

from genus.capabilities import Elbo, Objective
from genus.distributions import DiagonalGaussian, DiscretizedLogistic
from genus.random import ExampleNoise
from genus.spec import Spec

IMAGE = Spec(shape=(1, 2, 3), levels=2)
COLOUR = Spec(shape=(3, 2, 3), levels=3)
CLASSES = Spec(shape=(1, 2, 3), levels=2, classes=3)
PLANE = Spec(shape=(2,), classes=2)
BUGS = {}


def bug(*caught_by, spec):
    """Enter a model in the list of bugs with the checks that must fail, all of them."""

    def decorate(cls):
        BUGS[cls.__name__] = (cls, caught_by, spec)
        return cls

    return decorate


@bug("causality.perturbation", "causality.jacobian", "normalisation.total", spec=IMAGE)
class MaskOffByOne(LinearChain):
    """An entry sees itself."""

    def make_mask(self):
        return super().make_mask() + torch.eye(self.spec.dims)


@bug("causality.perturbation", "causality.jacobian", spec=COLOUR)
class ColourLeak(MaskedConv):
    """Green sees blue: maps are laid out in turn, and the mask believes they are in blocks."""

    def between(self, h):
        return F.elu(h.unflatten(1, (3, -1)).transpose(1, 2).flatten(1, 2))


@bug("causality.perturbation-train", "causality.jacobian-train", "inputs.rows-train", spec=IMAGE)
class BatchStatistics(MaskedConv):
    """Batch normalisation: harmless when evaluating, a leak in training."""

    def __init__(self, spec, config=None):
        super().__init__(spec, config)
        self.norm = nn.BatchNorm2d(self.first.bias.numel())

    def between(self, h):
        return F.elu(self.norm(h))


@bug("causality.perturbation", spec=IMAGE)
class SpatialStatistics(MaskedConv):
    """Normalisation over positions, which tells the past about the future."""

    def between(self, h):
        return F.elu(F.instance_norm(h))


@bug("causality.perturbation", "sampling.stream", spec=Spec(shape=(1, 3, 4), levels=2))
class Transposed(LinearChain):
    """Columns before rows in the mask, rows before columns everywhere else."""

    def make_mask(self):
        c, h, w = self.spec.shape
        index = torch.arange(self.spec.dims).view(c, h, w).permute(2, 1, 0).flatten()
        rank = torch.empty_like(index)
        rank[index] = torch.arange(self.spec.dims)
        return (rank[None, :] < rank[:, None]).float()


@bug("normalisation.total", "training.likelihood", "conditionals.product", spec=IMAGE)
class MeanNotSum(LinearChain):
    """The likelihood is averaged over entries."""

    def conditional_log_prob(self, x, y):
        return super().conditional_log_prob(x, y) / self.spec.dims

    def loss(self, batch, noise):
        return {"loss": -self.log_prob(batch.x, batch.y).mean() / self.spec.dims**2}


@bug("sampling.density", spec=IMAGE)
class ShiftedFeedback(LinearChain):
    """The sampler goes on from another value than the one it has drawn."""

    def feed_back(self, value):
        return (value + 1) % self.spec.levels


@bug("sampling.count", spec=IMAGE)
class CountedSampler(LinearChain):
    """One stream of noise for all samples, so that each depends on the number drawn."""

    @torch.no_grad()
    def sample(self, n, *, y=None, generator=None, temperature=1.0):
        count = torch.Generator().manual_seed(n)
        return super().sample(n, y=y, generator=count, temperature=temperature)


@bug("sampling.generator", "sampling.pure", "persistence.reload", spec=IMAGE)
class GlobalNoise(LinearChain):
    """The generator is taken and not used."""

    @torch.no_grad()
    def sample(self, n, *, y=None, generator=None, temperature=1.0):
        return super().sample(n, y=y, temperature=temperature)


@bug("sampling.stream", spec=IMAGE)
class LateStream(LinearChain):
    """The stream takes in each value one position too late."""

    def stream(self, n, y=None):
        stream = super().stream(n, y)
        push, held = stream.push, [torch.zeros(n, dtype=torch.long)]

        def late(value):
            held.append(value)
            push(held.pop(0))

        stream.push = late
        return stream


@bug("persistence.loss", "persistence.pure", "training.derivative", spec=IMAGE)
class InPlaceMask(MaskedConv):
    """Masked weights are zeroed in the forward pass and get gradients all the same."""

    def __init__(self, spec, config=None):
        super().__init__(spec, config)
        for conv in (self.first, self.last):
            conv.__class__ = InPlaceConv


class InPlaceConv(ColourConv):
    def forward(self, x):
        self.weight.data *= self.mask
        return F.conv2d(x, self.weight, self.bias, padding=1)


@bug("persistence.masked", spec=IMAGE)
class MaskedWeightDecay(MaskedConv):
    """A penalty on all weights, masked ones too, is part of the loss."""

    def loss(self, batch, noise):
        penalty = self.first.weight.square().sum()
        return {"loss": super().loss(batch, noise)["loss"] + penalty}


@bug("persistence.pure", spec=IMAGE)
class CountingModel(LinearChain):
    """Asking for a likelihood changes a buffer."""

    def __init__(self, spec, config=None):
        super().__init__(spec, config)
        self.register_buffer("asked", torch.zeros(()))

    def conditional_log_prob(self, x, y):
        self.asked += 1
        return super().conditional_log_prob(x, y)


@bug("inputs.rows", spec=IMAGE)
class CentredBatch(LinearChain):
    """Scores are centred over the batch."""

    def conditional_log_prob(self, x, y):
        nats = super().conditional_log_prob(x, y)
        return nats - nats.mean()


@bug("inputs.refused", spec=IMAGE)
class Trusting(LinearChain):
    """Levels out of range are scored."""

    def check_inputs(self, x, y):
        return None


@bug("inputs.refused", spec=IMAGE)
class Asserting(LinearChain):
    """The user's mistake ends in an AssertionError."""

    def check_inputs(self, x, y):
        try:
            super().check_inputs(x, y)
        except ValueError as error:
            raise AssertionError(str(error)) from error


@bug("classes.used", spec=CLASSES)
class IgnoresLabels(LinearChain):
    """Labels are taken, and nothing comes of them."""

    def parameters_of(self, u, y):
        return super().parameters_of(u, None if y is None else torch.zeros_like(y))


@bug("classes.refused", spec=IMAGE)
class TakesAnyLabel(LinearChain):
    """An unconditional model takes labels."""

    def check_inputs(self, x, y):
        self.spec.check(x)

    def labels_for(self, n, y, u_B):
        return None


@bug("classes.mixture", "sampling.density", spec=CLASSES)
class UniformMixture(LinearChain):
    """The mixture over classes is uniform where the prior is not."""

    def joint_log_prob(self, x):
        prior = self.log_prior_Y - math.log(self.spec.classes)
        return super().joint_log_prob(x) - self.log_prior_Y + prior.logsumexp(0)


@bug("classes.bayes", spec=CLASSES)
class ForgetsPrior(LinearChain):
    """The posterior of the class leaves out the prior."""

    def class_log_prob(self, x):
        return (self.joint_log_prob(x) - self.log_prior_Y).log_softmax(1)


@bug("classes.range", spec=CLASSES)
class ClampsLabels(LinearChain):
    """Labels out of range are silently moved into it."""

    def check_inputs(self, x, y):
        self.spec.check(x)

    def conditionals(self, x, y=None):
        return super().conditionals(x, None if y is None else y.clamp(0, 2).long())


@bug("bounds.iwae", "bounds.iwae-redrawn", spec=IMAGE)
class MissingLogK(ToyVAE):
    """The importance weights are summed and not averaged."""

    def iwae(self, x, k, y=None, *, generator=None):
        return super().iwae(x, k, y, generator=generator) + math.log(k)


@bug("bounds.iwae-grows", "bounds.iwae", spec=IMAGE)
class TwiceLogK(ToyVAE):
    """The number of samples is divided by twice."""

    def iwae(self, x, k, y=None, *, generator=None):
        return super().iwae(x, k, y, generator=generator) - math.log(k)


@bug("bounds.iwae-redrawn", "bounds.iwae", spec=IMAGE)
class MeanOfLogs(ToyVAE):
    """The logs of the weights are averaged, which is an ELBO at any k."""

    def iwae(self, x, k, y=None, *, generator=None):
        return self.log_weights(x, k, y, generator).mean(1)


@bug("bounds.elbo", "bounds.divergence", "bounds.parts", spec=IMAGE)
class WrongSign(ToyVAE):
    """The divergence is added."""

    def divergence(self, q):
        return -super().divergence(q)


@bug("bounds.parts", spec=IMAGE)
class SwappedDivergence(ToyVAE):
    """The divergence of the prior from the posterior."""

    def divergence(self, q):
        return self.prior().kl(q)


@bug("training.bound", spec=IMAGE)
class WeighsDivergence(ToyVAE):
    """The loss counts half of the divergence, and is reported as the bound."""

    def loss(self, batch, noise):
        elbo = self.bound(batch.x, batch.y, noise)
        value = elbo.reconstruction - 0.5 * elbo.kl.sum(1)
        return {"loss": -value.mean() / self.spec.dims}


@bug("bounds.samples", spec=IMAGE)
class ModeSampler(ToyVAE):
    """Samples are the most likely example of each latent."""

    @torch.no_grad()
    def sample(self, n, *, y=None, generator=None, temperature=1.0):
        noise = ExampleNoise(n, generator, dtype=self.dtype)
        self.labels_for(n, y, noise.uniform())
        return self.decode(noise.normal(self.config.latents), y).mean.round().long()


@bug("bounds.mixture", spec=CLASSES)
class UniformBound(ToyVAE):
    """The bound without a label takes all classes for equally likely."""

    def over_classes(self, bound, n):
        joint = super().over_classes(bound, n)
        return joint - self.log_prior_Y - math.log(self.spec.classes)


class NarrowTail(DiscretizedLogistic):
    """The last level gets no tail."""

    def log_prob(self, x):
        return DiscretizedLogistic(self.location, self.log_scale, self.levels + 1).log_prob(x)


@bug("normalisation.decoder", "bounds.samples", spec=Spec(shape=(1, 1, 2), levels=5))
class WrongTail(ToyVAE):
    """The last level of a discretized logistic law is scored as if it had another above it."""

    def __init__(self, spec, config=None):
        super().__init__(spec, config)
        self.width = 2
        self.decoder = nn.Linear(self.config.latents, spec.dims * 2)

    def law(self, parameters):
        location, log_scale = parameters.unbind(-1)
        half = (self.spec.levels - 1) / 2
        return NarrowTail(half * (1 + location), log_scale, self.spec.levels)


@bug("training.own-gradients", spec=IMAGE)
class GradientBleed(ToyGAN):
    """The generator's loss leaves gradients in the critic."""

    def generator_loss(self, batch, noise):
        fake = self.draw(len(batch), batch.y, noise)
        return {"loss": F.softplus(-self.critic(self.with_label(fake, batch.y))).mean()}


@bug("training.own-gradients", spec=IMAGE)
class Undetached(ToyGAN):
    """The critic's loss reaches back into the generator."""

    def critic_loss(self, batch, noise):
        fake = self.draw(len(batch), batch.y, noise)
        return {"loss": F.softplus(self.critic(self.with_label(fake, batch.y))).mean()}


@bug("training.players", spec=IMAGE)
class SharedPlayers(ToyGAN):
    """Both players own everything."""

    def objectives(self):
        return tuple(replace(o, parameters=tuple(self.parameters())) for o in super().objectives())


@bug("training.players", "training.gradients", spec=IMAGE)
class Orphan(LinearChain):
    """A weight that no player owns, and another that the loss does not use."""

    def __init__(self, spec, config=None):
        super().__init__(spec, config)
        self.orphan = nn.Parameter(torch.zeros(2))
        self.idle = nn.Parameter(torch.zeros(2))

    def objectives(self):
        own = tuple(p for p in self.parameters() if p is not self.orphan)
        return (Objective("likelihood", own, self.loss),)


@bug("training.duplicated", spec=IMAGE)
class SummedLoss(ToyGAN):
    """A loss that is summed over the batch."""

    def generator_loss(self, batch, noise):
        return {"loss": super().generator_loss(batch, noise)["loss"] * len(batch)}


@bug("persistence.reload", spec=IMAGE)
class LostBuffer(ClassTable):
    """What is fitted is not in the state dict."""

    def keep(self, name, value):
        self.register_buffer(name, value, persistent=False)


@bug("persistence.reload", spec=IMAGE)
class LostOption(LinearChain):
    """An option changes the model and is not in its configuration."""

    @dataclass(frozen=True, kw_only=True)
    class Config:
        gain: float = 1.0

    def __init__(self, spec, config=None):
        super().__init__(spec, replace(config, gain=1.0) if config else None)
        self.gain = 1.0 if config is None else config.gain

    tiny: ClassVar = {"gain": 3.0}

    def scaled(self, x):
        return self.gain * super().scaled(x)


@bug("bounds.repeatable", spec=IMAGE)
class GlobalElbo(ToyVAE):
    """The bound takes a generator and does not use it."""

    def elbo(self, x, y=None, *, generator=None):
        self.check_inputs(x, y)
        q = self.encode(x, y)
        z = q.mean + q.log_scale.exp() * torch.randn_like(q.mean)
        nats = self.decode(z, y).log_prob(x).flatten(1).sum(1)
        return Elbo(nats, q.kl(self.prior())[:, None])


@bug("normalisation.classes", "sampling.density", spec=CLASSES)
class LouderClass(LinearChain):
    """One class has twice the probability that it should have."""

    def conditional_log_prob(self, x, y):
        return super().conditional_log_prob(x, y) + math.log(2) * (y == 0)


@bug("normalisation.quadrature", spec=PLANE)
class MissingScale(Normal):
    """The density leaves out the width of the law."""

    def score_entries(self, law, x):
        return law.log_prob(x) + law.log_scale.sum(1)


@bug("sampling.density-real", spec=PLANE)
class VarianceForDeviation(Normal):
    """Samples are spread by the variance."""

    def spread(self, log_scale, temperature):
        return (2 * log_scale).exp() * temperature


class Unnormalised(DiagonalGaussian):
    """A Gaussian without its constant."""

    def log_prob(self, z):
        return super().log_prob(z) + 0.5 * math.log(2 * math.pi) * z.shape[-1]


@bug("bounds.prior", spec=IMAGE)
class UnnormalisedPrior(ToyVAE):
    """The prior's density leaves out its constant, here and in the divergence."""

    def prior(self):
        plain = super().prior()
        return Unnormalised(plain.mean, plain.log_scale)

    def divergence(self, q):
        constant = 0.5 * math.log(2 * math.pi) * self.config.latents
        return super().divergence(q) - constant


@bug("bounds.iwae-one", "bounds.iwae-redrawn", spec=IMAGE)
class ForgetsProposal(ToyVAE):
    """The importance weights are not divided by the proposal."""

    def log_weights(self, x, k, y, generator):
        q = self.encode(x, y)
        return super().log_weights(x, k, y, generator) + q.log_prob(q.mean)[:, None]


class Inflated:
    """A law whose last level has twice its mass."""

    def __init__(self, law, last):
        self.law, self.last, self.mean = law, last, law.mean

    def log_prob(self, x):
        return self.law.log_prob(x) + math.log(2) * (x == self.last)


@bug("normalisation.conditionals", "normalisation.total", spec=IMAGE)
class InflatedLevel(LinearChain):
    """Each conditional counts its last level twice."""

    def conditionals(self, x, y=None):
        return Inflated(super().conditionals(x, y), self.spec.levels - 1)


@bug("causality.order", spec=IMAGE)
class RepeatedEntry(LinearChain):
    """The order names the first entry twice and the last never."""

    def make_mask(self):
        return torch.zeros(self.spec.dims, self.spec.dims)

    def order(self):
        return super().order().clamp(max=self.spec.dims - 2)


@bug("sampling.fits", spec=IMAGE)
class ShortIntegers(LinearChain):
    """Samples are of another integer type than the data."""

    @torch.no_grad()
    def sample(self, n, *, y=None, generator=None, temperature=1.0):
        return super().sample(n, y=y, generator=generator, temperature=temperature).int()


@bug("sampling.temperature", spec=IMAGE)
class AnyTemperature(LinearChain):
    """Temperatures without meaning are taken."""

    @torch.no_grad()
    def sample(self, n, *, y=None, generator=None, temperature=1.0):
        temperature = max(temperature, 1e-3)
        return super().sample(n, y=y, generator=generator, temperature=temperature)


@bug("classes.posterior", "classes.bayes", spec=CLASSES)
class SoftmaxOverExamples(LinearChain):
    """The posterior is normalised over the batch and not over classes."""

    def class_log_prob(self, x):
        self.check_inputs(x, None)
        return self.joint_log_prob(x).log_softmax(0)


@bug("classes.prior", "normalisation.total", spec=CLASSES)
class CountsForPrior(LinearChain):
    """The prior over classes is a count."""

    def set_class_prior(self, counts_Y):
        self.log_prior_Y.copy_(counts_Y.log())


@bug("completion.known", spec=IMAGE)
class Overwrites(Completing):
    """Known entries are drawn anew."""

    def keep(self, known, old, new):
        return new


@bug("completion.generator", spec=IMAGE)
class GlobalCompletion(Completing):
    """The generator is taken and not used."""

    def complete(self, x, known, *, y=None, generator=None, temperature=1.0):
        return super().complete(x, known, y=y, temperature=temperature)


@bug("completion.exact", spec=IMAGE)
class AlwaysExact(Completing):
    """A completion that is blind to later entries is called exact."""

    def says_exact(self, known):
        return True


@bug("completion.log-prob", spec=IMAGE)
class ScoresKnown(Completing):
    """The log-probability counts known entries too."""

    def score_of(self, known, entries):
        return entries


@bug("inputs.sizes", spec=IMAGE)
class Squeezes(LinearChain):
    """One example gives a number and not a row."""

    def conditional_log_prob(self, x, y):
        return super().conditional_log_prob(x, y).squeeze()


@bug("inputs.dtypes", spec=IMAGE)
class OnlyLong(LinearChain):
    """Levels of another integer type stop the program."""

    def conditional_log_prob(self, x, y):
        law = F.one_hot(x, self.spec.levels) * self.conditionals(x, y).log_probs()
        return law.flatten(1).sum(1)


@bug("persistence.copy", spec=IMAGE)
class SharedCopy(LinearChain):
    """A copy has the same weights as the original, not equal ones."""

    def __deepcopy__(self, memo):
        twin = type(self)(self.spec).to(self.dtype).train(self.training)
        twin.weight, twin.bias, twin.mask = self.weight, self.bias, self.mask
        return twin


@bug("persistence.precision", spec=IMAGE)
class OnlyDouble(LinearChain):
    """Inputs become float64, whatever the weights are."""

    def scaled(self, x):
        return super().scaled(x).double()
