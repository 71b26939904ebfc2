"""Two players: a generator that maps noise to examples, and a critic that tells them from real.

There is no likelihood, so the family has no `log_prob`. What it has is a sampler of one pass, a
score, and features. Losses and penalties are in `genus.families.adversarial_loss`.
"""

# Shapes: B batch, Z latent size, F features, Y classes.
from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from genus.capabilities import Objective
from genus.distributions import DiagonalGaussian
from genus.distributions.units import scaled_levels, take_unit
from genus.families.adversarial_advice import remedies
from genus.families.adversarial_loss import (
    AdversarialLoss,
    NonSaturating,
    between,
    gradient_penalty,
    statistics,
    unit_slope_penalty,
)
from genus.families.base import Model, check_temperature, evaluating
from genus.nn.augment import augmented
from genus.random import Noise
from genus.spec import Batch, Spec

BLOCK = 64
"""Samples per pass of the generator. The block is fixed because a convolution's last bits depend
on the batch size, and a sample must not depend on how many are drawn with it."""


class _Inward(torch.autograd.Function):
    """The identity, whose gradient does not push what is beyond ``-limit .. limit`` further out.

    A squashing function in its place saturates where the generator has no normalisation: on images
    that are mostly background, all of its outputs went to the flat end within some tens of steps
    and never came back.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, limit: float) -> Tensor:
        ctx.save_for_backward(x)
        ctx.limit = limit
        return x.view_as(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None]:
        (x,) = ctx.saved_tensors
        outward = ((x < -ctx.limit) & (gradient > 0)) | ((x > ctx.limit) & (gradient < 0))
        return gradient.masked_fill(outward, 0), None


@contextlib.contextmanager
def frozen(module: nn.Module) -> Iterator[None]:
    """Keep what is computed inside from reaching the module's parameters by a gradient."""
    trained = [p for p in module.parameters() if p.requires_grad]
    for parameter in trained:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in trained:
            parameter.requires_grad_(True)


def _filled(rows: Tensor) -> Tensor:
    """Return rows followed by zeros up to a whole number of blocks."""
    return torch.cat([rows, rows.new_zeros(-len(rows) % BLOCK, *rows.shape[1:])])


@dataclass(frozen=True, eq=False)
class Point:
    """All mass on one example: what a deterministic decoder returns.

    Args:
        mean: ``(B, *shape)`` in the unit of the data, before rounding, and differentiable.
        levels: how many levels there are, or None for real numbers.
    """

    mean: Tensor
    levels: int | None

    def icdf(self, u: Tensor | None = None) -> Tensor:
        """Return the example, rounded to levels where the data are discrete."""
        if self.levels is None:
            return self.mean
        return self.mean.round().clamp(0, self.levels - 1).long()

    def tempered(self, temperature: float) -> Point:
        """Return the same point: temperature acts on the noise."""
        return self


class Adversarial(Model):
    r"""A game of two networks.

    .. math:: \min_G \max_D\; E_{x \sim p}[\log \sigma(D(x))] + E_{z}[\log(1 - \sigma(D(G(z))))]

    A subclass makes two modules whose parameters are disjoint. ``generator(z_BZ, y)`` returns
    examples on the networks' own scale (see `to_real`), and ``critic(x, y)`` a pair of scores
    ``(B,)`` and features ``(B, F)``. Both take ``y=None`` where the Spec is not conditional, and
    images to go by on the networks' scale. No layer may let examples of a batch see each other.

    References:
        | Generative Adversarial Networks (Goodfellow et al., 2014) https://arxiv.org/abs/1406.2661
    """

    family = "adversarial"
    generator: nn.Module
    critic: nn.Module
    shift: Tensor
    scale: Tensor
    latents: int
    loss: AdversarialLoss = NonSaturating()
    penalties: tuple[float, float] = (0.0, 0.0)
    """Weights of R1, on real examples, and of R2, on generated ones."""
    unit_slope: float = 0.0
    """Weight of the penalty on slopes other than 1 between real and generated examples."""
    l1: float = 0.0
    """Weight of the mean distance of an entry, on the networks' scale, from that of the example
    whose condition a generated one was given."""
    critic_steps: int = 1
    """Updates of the critic for each of the generator."""
    augment: float = 0.0
    """Probability of each change of the images that the critic sees in training."""
    learning_rates: tuple[float, float] = (1e-3, 1e-3)
    """Of the critic and of the generator."""
    betas: tuple[float, float] = (0.0, 0.99)
    batch_size: int = 64

    def __init__(self, spec: Spec, config: Any = None) -> None:
        super().__init__(spec, config)
        if not spec.is_discrete:
            self.register_buffer("shift", torch.zeros(spec.shape))
            self.register_buffer("scale", torch.ones(spec.shape))

    def initialise(self, batch: Batch) -> None:
        """Take the location and scale of real data from a first batch; levels need neither."""
        if not self.spec.is_discrete:
            take_unit(self.shift, self.scale, batch.x)

    def to_real(self, x: Tensor) -> Tensor:
        """Return data on the networks' scale: levels on [-1, 1], real data standardised."""
        if self.spec.levels is None:
            return (x.to(self.dtype) - self.shift) / self.scale
        return scaled_levels(x, self.spec.levels, self.dtype)

    def to_data(self, x: Tensor) -> Tensor:
        """Return the networks' output in the unit of the data, not yet rounded."""
        if self.spec.levels is None:
            return x * self.scale + self.shift
        return (x + 1) * ((self.spec.levels - 1) / 2)

    def spread(self, real: Tensor, noise: Noise) -> Tensor:
        """Return levels on the networks' scale, moved evenly at random within their cells.

        In training the critic sees real and generated examples alike in this way: the generator's
        are rounded first, with the gradient passed straight through. Bare levels would be told
        from the generator's real numbers by the gaps alone. On 8x8 digits this did better than
        rounding without noise, noise on real examples without rounding, and neither; with two
        levels the latter two were far behind.
        """
        if self.spec.levels is None:
            return real
        width = 2 / (self.spec.levels - 1)
        return real + (noise.uniform(*self.spec.shape).to(real) - 0.5) * width

    def rounded(self, real: Tensor) -> Tensor:
        """Return the networks' output at the nearest level, with the gradient of ``real``.

        Beyond the range of levels the gradient passes only where it leads back.
        """
        if self.spec.levels is None:
            return real
        limit = self.spec.levels / (self.spec.levels - 1)  # the outer edge of the last cell
        inward: Tensor = _Inward.apply(real, limit)  # type: ignore[no-untyped-call]
        nearest = self.to_real(self.to_data(inward).round().clamp(0, self.spec.levels - 1))
        return inward + (nearest - inward).detach()

    def prior(self) -> DiagonalGaussian:
        """Return the law of the latents, standard normal, ``(1, Z)``."""
        zeros = torch.zeros(1, self.latents, device=self.device, dtype=self.dtype)
        return DiagonalGaussian(zeros, zeros)

    def decode(self, z: Tensor, y: Tensor | None = None) -> Point:
        """Return the example of each latent ``(B, Z)``, differentiably.

        Raises:
            SpecError: labels are missing, or given to an unconditional model, or out of range; or
                the same of images to go by.
        """
        if y is not None:
            self.spec.check_condition(y, len(z))
        what = "images y to go by, to decode" if self.spec.condition else "labels y to decode"
        self.require(y is not None or not self.spec.is_conditional, what, self.spec)
        return Point(self.to_data(self._generator(z, y)), self.spec.levels)

    @torch.no_grad()
    def sample(
        self,
        n: int,
        *,
        y: Tensor | None = None,
        generator: torch.Generator | None = None,
        temperature: float = 1.0,
    ) -> Tensor:
        """Return ``(n, *shape)`` by one pass of the generator.

        Args:
            n: how many.
            y: ``(n,)`` labels; drawn from the class prior where left out. Or ``(n, *condition)``
                images to go by, which cannot be left out.
            generator: source of the noise.
            temperature: factor on the latents; below 1 gives more typical examples.

        Raises:
            SpecError: labels or images that do not fit the Spec.
            ConfigError: a temperature that is not above zero.
        """
        check_temperature(temperature)
        noise = self.noise(n, generator)
        y_B = self.labels_for(n, y, noise.uniform())
        z_BZ = temperature * self.prior().draw(noise)
        z_BZ = _filled(z_BZ)
        y_B = None if y_B is None else _filled(y_B)
        with evaluating(self):  # what normalises over a batch must not see the other samples
            blocks = [
                self.decode(z_BZ[i : i + BLOCK], None if y_B is None else y_B[i : i + BLOCK]).icdf()
                for i in range(0, len(z_BZ), BLOCK)
            ]
            return torch.cat(blocks)[:n] if blocks else self.decode(z_BZ, y_B).icdf()

    def score(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the critic's score, ``(B,)``; higher is more real, zero is undecided.

        Without ``y`` a class-conditional model returns the mean over classes under their prior.

        Raises:
            SpecError: the inputs do not fit the Spec.
        """
        self.check_inputs(x, y)
        real = self.to_real(x)
        self.require(y is not None or self.spec.condition is None, "images y to go by", self.spec)
        if y is not None or not self.spec.classes:
            return self._critic(real, y)[0]
        labels = torch.arange(self.spec.classes, device=x.device)
        columns = [self._critic(real, label.expand(len(x)))[0] for label in labels]
        return torch.stack(columns, 1) @ self.log_prior_Y.exp()

    def features(self, x: Tensor) -> Tensor:
        """Return the critic's last hidden layer, ``(B, F)``; the class plays no part in it.

        Raises:
            SpecError: the inputs do not fit the Spec.
        """
        self.check_inputs(x, None)
        y = torch.zeros(len(x), dtype=torch.long, device=x.device) if self.spec.classes else None
        return self._critic(self.to_real(x), y)[1]

    def _as_given(self, y: Tensor | None) -> Tensor | None:
        """Return conditions as the networks take them: levels of images on their scale."""
        images = self.spec.condition is not None and self.spec.is_discrete
        return self.to_real(y) if images and y is not None else y

    def _generator(self, z: Tensor, y: Tensor | None) -> Tensor:
        real: Tensor = self.generator(z, self._as_given(y))
        return real

    def _critic(self, x: Tensor, y: Tensor | None) -> tuple[Tensor, Tensor]:
        scores_B, features_BF = self.critic(x, self._as_given(y))
        return scores_B, features_BF

    def remedies(self, trouble: str) -> tuple[str, ...]:
        """Return what to change when the game goes wrong, most promising first.

        Args:
            trouble: a word of `genus.training.game`.
        """
        return remedies(self, trouble)

    def objectives(self) -> tuple[Objective, ...]:
        """Return the critic's and the generator's objective, in this order."""
        Player = tuple[str, nn.Module, Callable[[Batch, Noise], dict[str, Tensor]], int]
        players: tuple[Player, ...] = (
            ("critic", self.critic, self.critic_loss, self.critic_steps),
            ("generator", self.generator, self.generator_loss, 1),
        )
        return tuple(
            Objective(
                name,
                list(net.parameters()),
                loss,
                repeats=repeats,
                learning_rate=rate,
                betas=self.betas,
                batch_size=self.batch_size,
            )
            for (name, net, loss, repeats), rate in zip(players, self.learning_rates, strict=True)
        )

    def _labels(self, batch: Batch) -> Tensor | None:
        """Return the conditions of real examples, which the generated ones of the batch share.

        So the critic cannot tell them apart by how often each class occurs.
        """
        return batch.y if self.spec.is_conditional else None

    def _generate(self, batch: Batch, noise: Noise) -> Tensor:
        """Return what the generator makes for the conditions of a batch, not yet rounded."""
        return self._generator(self.prior().draw(noise), self._labels(batch))

    def _as_seen(self, x: Tensor, noise: Noise) -> Tensor:
        """Return examples on the networks' scale as the critic sees them in training."""
        x = self.spread(x, noise)
        return augmented(x, noise, self.augment) if self.augment else x

    def critic_loss(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """Return the critic's loss; no gradient reaches the generator."""
        self.check_inputs(batch.x, self._labels(batch))
        r1, r2 = self.penalties
        y = self._labels(batch)
        with torch.no_grad():
            fake = self._as_seen(self.rounded(self._generate(batch, noise)), noise)
        real = self._as_seen(self.to_real(batch.x), noise).requires_grad_(r1 > 0)
        fake.requires_grad_(r2 > 0)
        real_B, _ = self._critic(real, y)
        fake_B, _ = self._critic(fake, y)
        parts = statistics(real_B.detach(), fake_B.detach())
        loss = self.loss.critic(real_B, fake_B)
        for name, weight, score_B, x in (("r1", r1, real_B, real), ("r2", r2, fake_B, fake)):
            if weight > 0:
                slope = gradient_penalty(score_B, x).mean()
                loss = loss + 0.5 * weight * slope
                parts[name] = slope.detach()
        if self.unit_slope > 0:
            middle = between(real.detach(), fake.detach(), noise.uniform()).requires_grad_()
            penalty = unit_slope_penalty(self._critic(middle, y)[0], middle).mean()
            loss = loss + self.unit_slope * penalty
            parts["unit_slope"] = penalty.detach()
        return {"loss": loss, **parts}

    def generator_loss(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        """Return the generator's loss; no gradient reaches the critic."""
        y, fake, parts = self._labels(batch), self._generate(batch, noise), {}
        with frozen(self.critic):
            fake_B, _ = self._critic(self._as_seen(self.rounded(fake), noise), y)
            real_B = fake_B.new_empty(0)
            if self.loss.needs_real:
                with torch.no_grad():
                    real_B, _ = self._critic(self._as_seen(self.to_real(batch.x), noise), y)
        loss = self.loss.generator(real_B, fake_B)
        if self.l1 > 0:
            distance = (fake - self.to_real(batch.x)).abs().mean()
            loss = loss + self.l1 * distance
            parts["l1"] = distance.detach()
        return {"loss": loss, **parts}
