"""Sequences seen through hidden states: sums over all paths, and the best one."""

# Shapes: B sequences, T steps, D entries of a step, N = B * T, Y classes (1 where unconditional),
# S states of a class, K components of a state, M = Y * S * K.
from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from genus.distributions.components import Components
from genus.distributions.markov_chain import MarkovChain
from genus.errors import ConfigError
from genus.families.closed_form import ClosedForm
from genus.spec import Spec


class HiddenStates(ClosedForm):
    r"""A chain of states for each class, with a mixture of components in every state.

    .. math:: p(x) = \sum_{s_1 \ldots s_T} p(s_1) \prod_{t > 1} p(s_t \mid s_{t-1})
        \prod_t \sum_k \pi_{s_t k}\, p_{s_t k}(x_t)

    A vector ``(T,)`` is a sequence of T steps with one entry each, an image ``(C, H, W)`` one of H
    steps, its rows, with ``C * W`` entries each; so a series of T steps with D columns is
    ``(1, T, D)``. A sequence that is shorter than T has steps at its end that are not known.

    Args:
        spec: what the data are.
        config: whatever the subclass has.
        parts: all M components, those of the first state of the first class first.
        allowed_SS: which state may follow which.
        first_S: which state may come first.

    References:
        | A maximization technique occurring in the statistical analysis of probabilistic functions
        | of Markov chains (Baum, Petrie, Soules and Weiss, 1970)
        | A tutorial on hidden Markov models and selected applications in speech recognition
        | (Rabiner, 1989), https://doi.org/10.1109/5.18626
    """

    log_start_YS: Tensor
    log_step_YSS: Tensor
    log_weight_YSK: Tensor

    def __init__(
        self, spec: Spec, config: Any, parts: Components, first_S: Tensor, allowed_SS: Tensor
    ) -> None:
        super().__init__(spec, config)
        groups, states = spec.classes or 1, len(first_S)
        self.steps, self.width_of_step = steps_of(spec)
        if parts.count % (groups * states) or parts.dims != self.width_of_step:
            raise ConfigError(
                f"the emission has {parts.count} components of {parts.dims} entries; {self.name} "
                f"needs a multiple of {groups * states} (states times classes) of "
                f"{self.width_of_step} (entries of a step)"
            )
        components = parts.count // (groups * states)
        weight = torch.full((groups, states, components), -math.log(components))
        self.register_buffer("log_start_YS", evenly(first_S).log().repeat(groups, 1))
        self.register_buffer("log_step_YSS", evenly(allowed_SS).log().repeat(groups, 1, 1))
        self.register_buffer("log_weight_YSK", weight)
        self.first_S, self.allowed_SS = first_S, allowed_SS
        self.parts = parts

    @property
    def width(self) -> int:
        """Entries, shares in components, or pairs of states, whichever are more."""
        states = len(self.first_S)
        return max(self.steps * max(self.width_of_step, self.parts.count), states**2)

    def chain(self, label: int = 0) -> MarkovChain:
        """Return the chain of a class."""
        return MarkovChain(self.log_start_YS[label], self.log_step_YSS[label])

    def _split(self, x: Tensor) -> Tensor:
        """Return the steps of sequences as examples of their own, ``(N, D)``."""
        rows = x.transpose(1, 2) if self.spec.is_image else x
        return rows.reshape(len(x) * self.steps, self.width_of_step)

    def _joined_steps(self, steps_ND: Tensor) -> Tensor:
        """Return sequences made of their steps, ``(B, *shape)``."""
        if not self.spec.is_image:
            return steps_ND.view(-1, *self.spec.shape)
        channels, height, width = self.spec.shape
        return steps_ND.view(-1, height, channels, width).transpose(1, 2).contiguous()

    def _components(self, x: Tensor, known: Tensor | None) -> Tensor:
        """Return ``(N, Y, S, K)``, log p(step, component | state), in float64."""
        steps_ND = self._split(x)
        if known is None:
            log_prob_NM = self.parts.log_prob(steps_ND)
        else:
            known_ND = self._split(known)
            some_N = known_ND.any(1)
            log_prob_NM = self.log_weight_YSK.new_zeros(len(steps_ND), self.parts.count)
            mask = None if bool((known_ND.all(1) == some_N).all()) else known_ND[some_N]
            log_prob_NM[some_N] = self.parts.log_prob(steps_ND[some_N], mask)
        weight = self.log_weight_YSK.double()
        return log_prob_NM.double().view(-1, *weight.shape) + weight

    def _emission(self, components_NYSK: Tensor) -> Tensor:
        """Return ``(B, T, Y, S)``, log p(step | state)."""
        log_prob = components_NYSK.logsumexp(3)
        return log_prob.view(-1, self.steps, *log_prob.shape[1:])

    def _labels(self, y: Tensor | None, n: int) -> Iterator[tuple[int, Tensor]]:
        """Yield every class with the rows that may be of it."""
        for label in range(self.spec.classes or 1):
            all_ = torch.arange(n, device=self.device)
            yield label, all_ if y is None else all_[y == label]

    def _joint(self, emission_BTYS: Tensor, y: Tensor | None) -> Tensor:
        """Return ``(B, Y)``, log p(x, y); given labels, log p(x | y) and -inf for the others."""
        n, groups = len(emission_BTYS), emission_BTYS.shape[2]
        joint_BY = emission_BTYS.new_full((n, groups), -math.inf)
        for label, rows in self._labels(y, n):
            joint_BY[rows, label] = self.chain(label).log_prob(emission_BTYS[rows, :, label])
        if y is None and self.spec.classes is not None:
            joint_BY = joint_BY + self.log_prior_Y.double()
        return joint_BY

    def joint_log_prob(self, x: Tensor, known: Tensor | None = None) -> Tensor:
        """Return ``(B, Y)``, log p(x, y) of every class, of what is known of x."""
        self.require(self.spec.classes is not None, "classes", self.spec)
        x, known = self.known_part(x, known)
        return self._joint(self._emission(self._components(x, known)), None).to(self.dtype)

    def conditional_log_prob(self, x: Tensor, y: Tensor | None) -> Tensor:
        """Return ``(B,)``, log p(x | y), summed over all paths."""
        emission = self._emission(self._components(x, None))
        return self._joint(emission, y).logsumexp(1).to(self.dtype)

    def marginal_log_prob(self, x: Tensor, known: Tensor, y: Tensor | None = None) -> Tensor:
        r"""Return the exact log-likelihood of the known entries in nats, ``(B,)``.

        Args:
            x: ``(B, *shape)``; what stands at unknown entries is not looked at and may be NaN.
            known: boolean, of the same shape or one that broadcasts to it.
            y: ``(B,)`` labels; without them the mixture over classes is meant.

        Raises:
            SpecError: the inputs do not fit the Spec.
        """
        emission = self._emission(self._components(*self._checked(x, known, y)))
        return self._joint(emission, y).logsumexp(1).to(self.dtype)

    def _checked(
        self, x: Tensor, known: Tensor | None, y: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """Return examples with zeros where they are not known, and the whole mask."""
        x, known = self.known_part(x, known)
        self.check_inputs(x, y)
        return x, known

    def posterior(self, x: Tensor, y: Tensor | None = None, known: Tensor | None = None) -> Tensor:
        """Return the probability of every state at every step given the whole sequence.

        Args:
            x: ``(B, *shape)``.
            y: ``(B,)`` labels.
            known: mask of known entries; all where left out.

        Returns:
            ``(B, T, Y * S)``; state s of class y is number ``y * S + s``.
        """
        emission = self._emission(self._components(*self._checked(x, known, y)))
        share_BY = self._joint(emission, y).softmax(1)
        posterior = torch.zeros_like(emission)
        for label, rows in self._labels(y, len(x)):
            states = self.chain(label).posterior(emission[rows, :, label])
            posterior[rows, :, label] = states * share_BY[rows, label].view(-1, 1, 1)
        return posterior.flatten(2).to(self.dtype)

    def viterbi(
        self, x: Tensor, y: Tensor | None = None, known: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the likeliest path of states, ``(B, T)``, and log p(x, path), ``(B,)``.

        The arguments and the numbers of the states are those of `posterior`. Without labels the
        likeliest class and path are found together.
        """
        emission = self._emission(self._components(*self._checked(x, known, y)))
        best_B = emission.new_full((len(x),), -math.inf)
        path_BT = torch.zeros(emission.shape[:2], dtype=torch.long, device=emission.device)
        for label, rows in self._labels(y, len(x)):
            path, log_prob = self.chain(label).viterbi(emission[rows, :, label])
            if y is None and self.spec.classes is not None:
                log_prob = log_prob + self.log_prior_Y[label]
            better = log_prob > best_B[rows]
            best_B[rows[better]] = log_prob[better]
            path_BT[rows[better]] = path[better] + label * emission.shape[3]
        return path_BT, best_B.to(self.dtype)

    def features(self, x: Tensor, known: Tensor | None = None) -> Tensor:
        """Return how long a sequence is expected to stay in every state, ``(B, Y * S)``.

        Args:
            x: ``(B, *shape)``.
            known: boolean mask of the entries that are not missing; all where left out.

        Raises:
            SpecError: the input does not fit the Spec.
        """
        return self.posterior(x, known=known).mean(1)

    def free_parameters(self) -> int:
        """Return those of all components, and all choices but one of each."""
        groups, states, k = self.log_weight_YSK.shape
        start = int(self.first_S.sum()) - 1
        steps = int((self.allowed_SS.sum(1) - 1).clamp(min=0).sum())
        own = groups * (start + steps + states * (k - 1)) + groups - 1
        return self.parts.free_parameters() + own


def steps_of(spec: Spec) -> tuple[int, int]:
    """Return the number of steps of a sequence, and of entries of each step.

    Example:
        >>> steps_of(Spec(shape=(3, 8, 6), levels=2)), steps_of(Spec(shape=(8,)))
        ((8, 18), (8, 1))
    """
    if spec.is_image:
        return spec.shape[1], spec.shape[0] * spec.shape[2]
    return spec.shape[0], 1


def evenly(allowed: Tensor) -> Tensor:
    """Return the law that is even over what is allowed in each row."""
    return allowed.to(torch.get_default_dtype()) / allowed.sum(-1, keepdim=True)
