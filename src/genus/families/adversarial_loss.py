"""What the players of an adversarial game minimise, and what is added for the critic's slope.

A loss is a pair of functions of scores, a penalty a function of the critic's gradient in its input;
both are choices of a model's configuration and not code of the model.
"""

# Shapes: B batch.
from __future__ import annotations

from typing import Protocol

import torch
import torch.nn.functional as F
from torch import Tensor


class AdversarialLoss(Protocol):
    """What each player minimises, from scores of real and of generated examples."""

    needs_real: bool
    """Whether the generator's loss looks at the scores of real examples."""

    def critic(self, real_B: Tensor, fake_B: Tensor) -> Tensor:
        """Return the critic's loss, a scalar."""
        ...

    def generator(self, real_B: Tensor, fake_B: Tensor) -> Tensor:
        """Return the generator's loss, a scalar; ``real_B`` is empty unless `needs_real`."""
        ...


class NonSaturating:
    r"""The logistic loss whose generator keeps its gradient when the critic wins.

    .. math:: L_D = E[\log(1 + e^{-s(x)})] + E[\log(1 + e^{s(G(z))})], \qquad
        L_G = E[\log(1 + e^{-s(G(z))})]

    References:
        | Generative Adversarial Networks (Goodfellow et al., 2014), section 3
        | https://arxiv.org/abs/1406.2661
    """

    needs_real = False

    def critic(self, real_B: Tensor, fake_B: Tensor) -> Tensor:
        """Return the negative log-likelihood of telling real from generated."""
        return F.softplus(-real_B).mean() + F.softplus(fake_B).mean()

    def generator(self, real_B: Tensor, fake_B: Tensor) -> Tensor:
        """Return the negative log-probability that generated examples pass for real."""
        return F.softplus(-fake_B).mean()


class Minimax(NonSaturating):
    r"""The same game as one value that one player raises and the other lowers.

    .. math:: L_G = E[\log(1 - \sigma(s(G(z))))] = -E[\log(1 + e^{s(G(z))})]

    Its generator learns little while the critic wins, which is why the paper replaces it.

    References:
        | Generative Adversarial Networks (Goodfellow et al., 2014), equation 1
        | https://arxiv.org/abs/1406.2661
    """

    def generator(self, real_B: Tensor, fake_B: Tensor) -> Tensor:
        """Return the log-probability that generated examples are found out."""
        return -F.softplus(fake_B).mean()


class LeastSquares:
    r"""Scores are drawn to 1 for real and to 0 for generated examples.

    .. math:: L_D = \tfrac12 E[(s(x) - 1)^2] + \tfrac12 E[s(G(z))^2], \qquad
        L_G = \tfrac12 E[(s(G(z)) - 1)^2]

    References:
        | Least Squares Generative Adversarial Networks (Mao et al., 2017), equation 9
        | https://arxiv.org/abs/1611.04076
    """

    needs_real = False

    def critic(self, real_B: Tensor, fake_B: Tensor) -> Tensor:
        """Return half the squared distance from the targets."""
        return 0.5 * (real_B - 1).square().mean() + 0.5 * fake_B.square().mean()

    def generator(self, real_B: Tensor, fake_B: Tensor) -> Tensor:
        """Return half the squared distance from the target of real examples."""
        return 0.5 * (fake_B - 1).square().mean()


class Wasserstein:
    r"""The difference of mean scores, whose best value is a distance if slopes are at most 1.

    .. math:: L_D = E[s(G(z))] - E[s(x)], \qquad L_G = -E[s(G(z))]

    References:
        | Wasserstein GAN (Arjovsky et al., 2017), https://arxiv.org/abs/1701.07875
    """

    needs_real = False

    def critic(self, real_B: Tensor, fake_B: Tensor) -> Tensor:
        """Return minus the estimate of the distance."""
        return fake_B.mean() - real_B.mean()

    def generator(self, real_B: Tensor, fake_B: Tensor) -> Tensor:
        """Return minus the mean score of generated examples."""
        return -fake_B.mean()


class Hinge(Wasserstein):
    r"""The critic is content with scores beyond 1 and -1.

    .. math:: L_D = E[\max(0, 1 - s(x))] + E[\max(0, 1 + s(G(z)))], \qquad L_G = -E[s(G(z))]

    References:
        | Geometric GAN (Lim and Ye, 2017), https://arxiv.org/abs/1705.02894
        | Spectral Normalization for Generative Adversarial Networks (Miyato et al., 2018)
        | https://arxiv.org/abs/1802.05957
    """

    def critic(self, real_B: Tensor, fake_B: Tensor) -> Tensor:
        """Return how far scores are from the margins, on average."""
        return F.relu(1 - real_B).mean() + F.relu(1 + fake_B).mean()


class Relativistic:
    r"""Each generated example is told from a real one that it is paired with.

    .. math:: L_D = E[\log(1 + e^{-(s(x) - s(G(z)))})], \qquad
        L_G = E[\log(1 + e^{-(s(G(z)) - s(x))})]

    A generator that leaves modes out is beaten at the real examples there, so the landscape has no
    minima where it collapses (Sun et al., 2020).

    References:
        | The Relativistic Discriminator (Jolicoeur-Martineau, 2019), section 4.1
        | https://arxiv.org/abs/1807.00734
        | Towards a Better Global Loss Landscape of GANs (Sun et al., 2020)
        | https://arxiv.org/abs/2011.04926
    """

    needs_real = True

    def critic(self, real_B: Tensor, fake_B: Tensor) -> Tensor:
        """Return the negative log-probability that the real one of a pair scores higher."""
        return F.softplus(fake_B - real_B).mean()

    def generator(self, real_B: Tensor, fake_B: Tensor) -> Tensor:
        """Return the negative log-probability that the generated one of a pair scores higher."""
        return F.softplus(real_B - fake_B).mean()


LOSSES: dict[str, AdversarialLoss] = {
    "non-saturating": NonSaturating(),
    "minimax": Minimax(),
    "least-squares": LeastSquares(),
    "wasserstein": Wasserstein(),
    "hinge": Hinge(),
    "relativistic": Relativistic(),
}
"""Losses by the name that a configuration calls them."""


def statistics(real_B: Tensor, fake_B: Tensor) -> dict[str, Tensor]:
    """Return what a log should say of a game: means and deviations of scores, and who wins.

    ``accuracy`` is the share of pairs of a real and a generated example where the real one scores
    higher, ties counted half: 1/2 is chance, whatever the loss calls undecided.

    Example:
        >>> statistics(torch.tensor([1.0, 3.0]), torch.tensor([0.0, 2.0]))["accuracy"]
        tensor(0.7500)
    """
    ahead_BB = (real_B[:, None] - fake_B).sign()
    return {
        "real": real_B.mean(),
        "fake": fake_B.mean(),
        "real_std": real_B.std(correction=0),
        "fake_std": fake_B.std(correction=0),
        "accuracy": 0.5 + 0.5 * ahead_BB.mean(),
    }


def gradient_penalty(score_B: Tensor, x: Tensor) -> Tensor:
    r"""Return :math:`\|\nabla_x s(x)\|^2` of each example, ``(B,)``, summed over its entries.

    References:
        | Which Training Methods for GANs do actually Converge? (Mescheder et al., 2018): R1, R2
        | https://arxiv.org/abs/1801.04406

    Args:
        score_B: scores of ``x``, each of its own example alone.
        x: ``(B, ...)`` what was scored, with ``requires_grad``.
    """
    (gradient,) = torch.autograd.grad(score_B.sum(), x, create_graph=True)
    return gradient.flatten(1).square().sum(1)


def unit_slope_penalty(score_B: Tensor, x: Tensor) -> Tensor:
    r"""Return :math:`(\|\nabla_x s(x)\| - 1)^2` of each example, ``(B,)``.

    References:
        | Improved Training of Wasserstein GANs (Gulrajani et al., 2017), equation 3
        | https://arxiv.org/abs/1704.00028

    Args:
        score_B: scores of ``x``, each of its own example alone.
        x: ``(B, ...)`` what was scored, with ``requires_grad``.
    """
    # At a slope of exactly zero the square root has no gradient.
    return ((gradient_penalty(score_B, x) + 1e-12).sqrt() - 1).square()


def between(real: Tensor, fake: Tensor, u_B: Tensor) -> Tensor:
    """Return a point of the line between each real example and its generated one.

    Args:
        real: ``(B, ...)``.
        fake: ``(B, ...)``.
        u_B: uniform noise, a number for each pair.

    Example:
        >>> between(torch.zeros(2, 1), torch.ones(2, 1), torch.tensor([0.25, 1.0]))
        tensor([[0.2500],
                [1.0000]])
    """
    # In reduced precision the generator's output is shorter than the data.
    return torch.lerp(real, fake.to(real), u_B.view(-1, *[1] * (real.dim() - 1)).to(real))
