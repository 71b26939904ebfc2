"""Mixtures: an example comes from one of several components, and EM says from which."""

# Shapes: B batch, Y classes (1 where unconditional), K components of a class, M = Y * K, D entries.
from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from genus.capabilities import Completion
from genus.distributions.components import Components
from genus.families.base import check_temperature
from genus.families.closed_form import ClosedForm
from genus.families.completion import fitting_mask
from genus.random import categorical_icdf
from genus.spec import Batch, Spec


class Mixture(ClosedForm):
    r"""A mixture of components, one for each class where there are classes.

    .. math:: p(x \mid y) = \sum_k \pi_{yk}\, p_{yk}(x)

    What is climbed is the penalised likelihood, as if every component had been given
    :math:`\epsilon` examples that look like the whole data:

    .. math:: \sum_n \log p(x_n \mid y_n)
        + \epsilon \sum_{yk} \big(\log \pi_{yk} + E_{\bar x}[\log p_{yk}(\bar x)]\big)

    With :math:`\epsilon = 0` it is maximum likelihood. A component that no example belongs to any
    more keeps its law and has weight zero; with pseudo-examples it becomes one like the whole data.

    Entries may be missing (`Batch.known`): then :math:`x_n` is what is known of an example, and
    what is climbed its marginal likelihood. That is right where it does not depend on the missing
    value whether it is missing ("missing at random").

    References:
        | Maximum Likelihood from Incomplete Data via the EM Algorithm (Dempster et al., 1977)
        | k-means++: The Advantages of Careful Seeding (Arthur and Vassilvitskii, 2007)
        | Inference and missing data (Rubin, 1976)

    Args:
        spec: what the data are.
        config: whatever the subclass has.
        parts: all M components, those of the first class first.

    Attributes:
        pseudo: :math:`\epsilon`.
        completion: how completions are made, in words.
    """

    fits_missing = True
    seeds = 5_000
    pseudo: float = 0.0
    completion: str = "posterior component"
    log_weight_YK: Tensor

    def __init__(self, spec: Spec, config: Any, parts: Components) -> None:
        super().__init__(spec, config)
        groups = spec.classes or 1
        shape = (groups, parts.count // groups)
        self.register_buffer("log_weight_YK", torch.full(shape, -math.log(shape[1])))
        self.parts = parts

    @property
    def width(self) -> int:
        """Entries of an example, or shares in components, whichever are more."""
        return max(self.spec.dims, self.parts.count)

    def begin(self, seen: Batch, generator: torch.Generator | None) -> None:
        """Cluster some of the data, class by class, and fit each component to its cluster."""
        (seen_x, known_BD), (groups, k) = self._flat(seen), self.log_weight_YK.shape
        known_BD = None if known_BD is None or bool(known_BD.all()) else known_BD
        self.parts.begin(seen_x, known_BD)
        points = self.parts.coordinates(seen_x).cpu()
        y_B = torch.zeros(len(points), dtype=torch.long) if seen.y is None else seen.y
        member_BM = torch.zeros(len(points), groups * k, dtype=points.dtype)
        for label in range(groups):
            rows = (y_B == label).nonzero().squeeze(1)
            if len(rows):
                known = None if known_BD is None else known_BD.cpu()[rows]
                member_BM[rows, label * k + kmeans(points[rows], k, generator, known=known)] = 1
        member_BM = member_BM.to(self.device)
        member_BM = member_BM.to(self.dtype)
        # What is expected of missing entries follows first from no cluster, then from its own.
        for _ in range(1 if known_BD is None else 3):
            total = self.parts.statistics(seen_x, member_BM, known_BD)
            self.parts.update(total, max(self.pseudo, 1e-2))
        self._set_weights(member_BM.double().sum(0))

    def _flat(self, batch: Batch) -> tuple[Tensor, Tensor | None]:
        """Return examples as vectors, and which entries are known, where the model is."""
        known = None if batch.known is None else batch.known.flatten(1).to(self.device)
        return batch.x.flatten(1).to(self.device), known

    def _set_weights(self, count_M: Tensor) -> None:
        """Set the shares of the components; those of a class without examples stay."""
        count_YK = count_M.view_as(self.log_weight_YK) + self.pseudo
        all_Y1 = count_YK.sum(1, keepdim=True)
        log_share_YK = (count_YK / all_Y1.clamp(min=1e-300)).clamp(min=1e-30).log()
        self.log_weight_YK.copy_(torch.where(all_Y1 > 0, log_share_YK, self.log_weight_YK.double()))

    def _log_weight(self, y: Tensor | None, *, joint: bool = False) -> Tensor:
        """Return ``(B or 1, M)``: given labels, of the only class, or jointly with the class."""
        if joint and self.spec.classes is not None:
            return (self.log_weight_YK + self.log_prior_Y.unsqueeze(1)).view(1, -1)
        if y is None:
            return self.log_weight_YK
        masked = self.log_weight_YK.new_full((len(y), *self.log_weight_YK.shape), -math.inf)
        masked[torch.arange(len(y), device=y.device), y] = self.log_weight_YK[y]
        return masked.flatten(1)

    def statistics(self, batch: Batch) -> dict[str, Tensor]:
        """Return the log-likelihood, and each component's share of the examples: the E-step."""
        x_BD, known_BD = self._flat(batch)
        joint_BM = self._log_weight(batch.y) + self.parts.log_prob(x_BD, known_BD)
        share_BM, nats_B = _shares(joint_BM)
        parts = self.parts.statistics(x_BD, share_BM, known_BD)
        return {"nats": nats_B.double().sum(), "share_M": share_BM.sum(0), **parts}

    def update(self, total: dict[str, Tensor]) -> dict[str, float]:
        """Set weights and components: the M-step."""
        pseudo, count = self.pseudo, total["count"]
        prior = self.log_weight_YK.double().sum() + self.parts.log_prior() if pseudo else 0.0
        objective = (total["nats"] + pseudo * prior) / count
        self.parts.update(total, pseudo)
        self._set_weights(total["share_M"])
        return {"nats": float(total["nats"] / count), "objective": float(objective)}

    def joint_log_prob(self, x: Tensor, known: Tensor | None = None) -> Tensor:
        """Return ``(B, Y)``, log p(x, y) of every class, of what is known of x."""
        self.require(self.spec.classes is not None, "classes", self.spec)
        x, known = self.known_part(x, known)
        joint_BM = self._joint(x, None, None if known is None else known.flatten(1))
        return joint_BM.view(len(x), *self.log_weight_YK.shape).logsumexp(2)

    def _joint(self, x: Tensor, y: Tensor | None, known_BD: Tensor | None = None) -> Tensor:
        """Return ``(B, M)``, log p(known entries, component), and of the class where y is None."""
        weight = self._log_weight(y, joint=y is None)
        return weight + self.parts.log_prob(x.flatten(1), known_BD)

    def marginal_log_prob(self, x: Tensor, known: Tensor, y: Tensor | None = None) -> Tensor:
        r"""Return the exact log-likelihood of the known entries in nats, ``(B,)``.

        Args:
            x: ``(B, *shape)``; what stands at unknown entries is not looked at and may be NaN.
            known: boolean, of the same shape or one that broadcasts to it.
            y: ``(B,)`` labels. Left out for a class-conditional model it means
                :math:`\log \sum_y p(y)\, p(x_\text{known} \mid y)`.

        Raises:
            SpecError: the inputs do not fit the Spec.
        """
        x, mask = self.known_part(x, known)
        assert mask is not None
        self.check_inputs(x, y)
        return self._joint(x, y, mask.flatten(1)).logsumexp(1)

    def conditional_log_prob(self, x: Tensor, y: Tensor | None) -> Tensor:
        """Return ``(B,)``, log p(x | y)."""
        return (self._log_weight(y) + self.parts.log_prob(x.flatten(1))).logsumexp(1)

    def features(self, x: Tensor, known: Tensor | None = None) -> Tensor:
        """Return the posterior over all components, ``(B, M)``, given what is known of x.

        Args:
            x: ``(B, *shape)``.
            known: boolean mask of the entries that are not missing; all where left out.

        Raises:
            SpecError: the input does not fit the Spec.
        """
        x, known = self.known_part(x, known)
        self.check_inputs(x, None)
        return self._joint(x, None, None if known is None else known.flatten(1)).softmax(1)

    def sample(
        self,
        n: int,
        *,
        y: Tensor | None = None,
        generator: torch.Generator | None = None,
        temperature: float = 1.0,
    ) -> Tensor:
        """Return ``(n, *shape)``: the class, then a component of it, then an example.

        Args:
            n: how many.
            y: ``(n,)`` labels; drawn from the class prior where left out.
            generator: source of the noise.
            temperature: divides the log-weights and the log-densities of the components.

        Raises:
            SpecError: labels that do not fit the Spec.
            ConfigError: a temperature that is not above zero.
        """
        check_temperature(temperature)
        noise = self.noise(n, generator)
        y_B = self.labels_for(n, y, noise.uniform())
        weight = self._log_weight(y_B).expand(n, -1)
        index_B = categorical_icdf(weight / temperature, noise.uniform())
        blank = torch.zeros(n, self.spec.dims, device=self.device)
        blank = blank.long() if self.spec.is_discrete else blank.to(self.dtype)
        return self.parts.draw(index_B, noise, temperature, blank).view(n, *self.spec.shape)

    def complete(
        self,
        x: Tensor,
        known: Tensor,
        *,
        y: Tensor | None = None,
        generator: torch.Generator | None = None,
        temperature: float = 1.0,
    ) -> Completion:
        """Draw the entries where ``known`` is False from their exact conditional.

        A component is drawn from its posterior given the known entries, and the others from the
        component given them.

        Args:
            x: ``(B, *shape)``; what stands at unknown entries is not looked at.
            known: boolean, of the same shape or one that broadcasts to it.
            y: ``(B,)`` labels.
            generator: source of the noise.
            temperature: divides log-densities; other than 1 the draw is not exact.

        Raises:
            SpecError: the inputs do not fit the Spec.
            ConfigError: a temperature that is not above zero.
        """
        check_temperature(temperature)
        known = fitting_mask(known, x)
        x = x.masked_fill(~known, 0)
        self.check_inputs(x, y)
        flat, known_BD = x.flatten(1), known.flatten(1)
        noise = self.noise(len(x), generator)
        evidence_BM = self._joint(x, y, known_BD)
        index_B = categorical_icdf(evidence_BM / temperature, noise.uniform())
        filled = self.parts.draw(index_B, noise, temperature, flat, known_BD)
        log_known = evidence_BM.logsumexp(1)
        log_drawn = self._joint(filled, y).logsumexp(1) - log_known
        return Completion(
            filled.view_as(x),
            temperature == 1,
            self.completion,
            log_drawn,
            log_known=log_known,
            log_conditional=log_drawn,
            y=index_B // self.log_weight_YK.shape[1] if self.spec.classes else None,
        )

    def free_parameters(self) -> int:
        """Return the numbers of all components, and all weights and classes but one of each."""
        groups, k = self.log_weight_YK.shape
        return self.parts.free_parameters() + groups * (k - 1) + groups - 1


def kmeans(
    points_ND: Tensor,
    k: int,
    generator: torch.Generator | None,
    iterations: int = 10,
    *,
    known: Tensor | None = None,
) -> Tensor:
    """Return the cluster of each point, ``(N,)``, by Lloyd's iterations from k-means++ seeds.

    Where entries are missing, the squared distance to a centre is the mean over those known, times
    D, and a centre has the means of those known (Hathaway and Bezdek 2001, partial distances).

    Args:
        points_ND: ``(N, D)``.
        k: clusters; those beyond the number of different points stay empty.
        generator: source of the seeds.
        iterations: Lloyd's.
        known: ``(N, D)`` boolean, or None where all is known.
    """
    mask_ND = torch.ones_like(points_ND) if known is None else known.to(points_ND.dtype)
    points_ND = points_ND if known is None else points_ND.masked_fill(~known, 0)
    size_N1 = points_ND.square().sum(1, keepdim=True)
    scale_N1 = points_ND.shape[1] / mask_ND.sum(1, keepdim=True).clamp(min=1)

    def distances(centres_KD: Tensor) -> Tensor:
        """Return ``(N, K)``, squared; what rounding leaves between equal points is zero."""
        squares_KD = centres_KD.square()
        sizes_NK = size_N1 + (squares_KD.sum(1) if known is None else mask_ND @ squares_KD.T)
        distance_NK = torch.addmm(sizes_NK, points_ND, centres_KD.T, alpha=-2)
        rounding = 8 * torch.finfo(points_ND.dtype).eps
        return distance_NK.masked_fill(distance_NK <= rounding * sizes_NK, 0) * scale_N1

    usual_D = points_ND.sum(0) / mask_ND.sum(0).clamp(min=1)
    seeds_ND = torch.where(mask_ND > 0, points_ND, usual_D)
    centres = seeds_ND[torch.randint(len(points_ND), (1,), generator=generator)]
    nearest_N = distances(centres).squeeze(1)
    while len(centres) < k and bool(nearest_N.max() > 0):
        chosen = seeds_ND[torch.multinomial(nearest_N, 1, generator=generator)]
        centres = torch.cat([centres, chosen])
        nearest_N = torch.minimum(nearest_N, distances(chosen).squeeze(1))
    label_N = distances(centres).argmin(1)
    for _ in range(iterations):
        count_KD = torch.zeros_like(centres).index_add_(0, label_N, mask_ND)
        sums_KD = torch.zeros_like(centres).index_add_(0, label_N, points_ND)
        centres = torch.where(count_KD > 0, sums_KD / count_KD.clamp(min=1), centres)
        label_N = distances(centres).argmin(1)
    return label_N


def _shares(joint_BM: Tensor) -> tuple[Tensor, Tensor]:
    """Return ``softmax(1)`` and ``logsumexp(1)`` for the exponentials of one of them."""
    most_B1 = joint_BM.amax(1, keepdim=True)
    share_BM = (joint_BM - most_B1).exp_()
    sum_B1 = share_BM.sum(1, keepdim=True)
    return share_BM.div_(sum_B1), (most_B1 + sum_B1.log()).squeeze(1)
