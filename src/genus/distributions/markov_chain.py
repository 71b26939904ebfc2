r"""A chain of hidden states that is seen through what each state emits.

Everything is in the log domain and in float64, over a batch at once; only time is a loop.
"""

# Shapes: B sequences, T steps, S states, D entries of a step.
from __future__ import annotations

import math

import torch
from torch import Tensor

from genus.random import Noise, categorical_icdf

DENSE = math.log(1e-12)
"""Where every step is likelier than this, sums over states are matrix products."""


class MarkovChain:
    r"""States :math:`s_1, s_2, \ldots` with :math:`p(s_1)` and :math:`p(s_{t+1} \mid s_t)`.

    What a sequence emits enters as ``log_emission``, ``(B, T, S)``: the log-probability of what is
    seen at each step under each state, 0 for all states of a step that is not seen.

    A sum over states is a matrix product of numbers relative to the largest. What underflows there
    has less than 1e-300 of the mass, unless some step between states is next to impossible; with
    such a step, as in a chain that only moves on, the sum is taken in the log domain instead. Both
    are exact to rounding.

    Args:
        log_start_S: log p(first state); may hold -inf.
        log_step_SS: log p(next state | state), a row for each state; may hold -inf.

    References:
        | A tutorial on hidden Markov models and selected applications in speech recognition
        | (Rabiner, 1989), https://doi.org/10.1109/5.18626

    Example:
        >>> chain = MarkovChain(torch.tensor([1.0, 1e-20]).log(), torch.full((2, 2), 0.5).log())
        >>> emission = torch.tensor([[[0.2, 0.9], [0.4, 0.6]]]).log()
        >>> chain.log_prob(emission).exp()  # 0.2 * (0.4 + 0.6) / 2
        tensor([0.1000], dtype=torch.float64)
    """

    def __init__(self, log_start_S: Tensor, log_step_SS: Tensor) -> None:
        self.log_start_S, self.log_step_SS = log_start_S.double(), log_step_SS.double()
        self.step_SS = self.log_step_SS.exp()
        self.dense = bool(self.log_step_SS.min() > DENSE)

    def _next(self, v_BS: Tensor, *, back: bool = False) -> Tensor:
        r"""Return :math:`\log \sum_s e^{v_s} p(s' \mid s)`, or back :math:`e^{v_{s'}}`."""
        if not self.dense:
            log_step = self.log_step_SS.T if back else self.log_step_SS
            return (v_BS.unsqueeze(2) + log_step).logsumexp(1)
        top_B1 = _top(v_BS)
        step = self.step_SS.T if back else self.step_SS
        return ((v_BS - top_B1).exp() @ step).log() + top_B1

    def forward(self, log_emission_BTS: Tensor) -> Tensor:
        r"""Return :math:`\log p(x_{\le t}, s_t)`, ``(B, T, S)``."""
        emission = log_emission_BTS.double()
        alpha = torch.empty_like(emission)
        alpha[:, 0] = self.log_start_S + emission[:, 0]
        for t in range(1, emission.shape[1]):
            alpha[:, t] = self._next(alpha[:, t - 1]) + emission[:, t]
        return alpha

    def backward(self, log_emission_BTS: Tensor) -> Tensor:
        r"""Return :math:`\log p(x_{> t} \mid s_t)`, ``(B, T, S)``."""
        emission = log_emission_BTS.double()
        beta = torch.zeros_like(emission)
        for t in range(emission.shape[1] - 2, -1, -1):
            beta[:, t] = self._next(beta[:, t + 1] + emission[:, t + 1], back=True)
        return beta

    def log_prob(self, log_emission_BTS: Tensor) -> Tensor:
        """Return the log-probability of what is seen, summed over all paths, ``(B,)``."""
        emission = log_emission_BTS.double()
        v_BS = self.log_start_S + emission[:, 0]
        for t in range(1, emission.shape[1]):
            v_BS = self._next(v_BS) + emission[:, t]
        return v_BS.logsumexp(1)

    def posterior(self, log_emission_BTS: Tensor) -> Tensor:
        """Return p(state at t | all that is seen), ``(B, T, S)``."""
        both = self.forward(log_emission_BTS) + self.backward(log_emission_BTS)
        return both.softmax(-1)

    def expected(self, log_emission_BTS: Tensor, length_B: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return what EM counts: the E-step.

        Args:
            log_emission_BTS: of the sequences.
            length_B: steps of each; what comes later is not counted.

        Returns:
            The log-probabilities ``(B,)``, the posterior of the states ``(B, T, S)`` and the
            expected number of steps from state to state over all sequences ``(S, S)``.
        """
        emission = log_emission_BTS.double()
        alpha, beta = self.forward(emission), self.backward(emission)
        log_prob_B = alpha[:, -1].logsumexp(1)
        later_BTS = (beta + emission)[:, 1:]
        inside_BT = torch.arange(1, emission.shape[1], device=emission.device) < length_B[:, None]
        count = self._count_dense if self.dense else self._count_sparse
        steps_SS = count(alpha[:, :-1], later_BTS, log_prob_B, inside_BT)
        return log_prob_B, (alpha + beta).softmax(-1), steps_SS

    def _count_dense(
        self, alpha_BTS: Tensor, later_BTS: Tensor, log_prob_B: Tensor, inside_BT: Tensor
    ) -> Tensor:
        """Return the expected steps by one matrix product over all sequences and times."""
        top_a, top_b = _top(alpha_BTS), _top(later_BTS)
        weight_BT1 = (top_a + top_b - log_prob_B.view(-1, 1, 1)).exp() * inside_BT.unsqueeze(2)
        from_NS = ((alpha_BTS - top_a).exp() * weight_BT1).flatten(0, 1)
        return self.step_SS * (from_NS.T @ (later_BTS - top_b).exp().flatten(0, 1))

    def _count_sparse(
        self, alpha_BTS: Tensor, later_BTS: Tensor, log_prob_B: Tensor, inside_BT: Tensor
    ) -> Tensor:
        """Return the expected steps in the log domain, time after time."""
        steps_SS = torch.zeros_like(self.log_step_SS)
        for t in range(alpha_BTS.shape[1]):
            pair_BSS = alpha_BTS[:, t].unsqueeze(2) + self.log_step_SS
            pair_BSS = pair_BSS + (later_BTS[:, t] - log_prob_B.unsqueeze(1)).unsqueeze(1)
            steps_SS += (pair_BSS.exp() * inside_BT[:, t].view(-1, 1, 1)).sum(0)
        return steps_SS

    def viterbi(self, log_emission_BTS: Tensor) -> tuple[Tensor, Tensor]:
        """Return the likeliest path ``(B, T)`` and its joint log-probability ``(B,)``.

        References:
            | Error bounds for convolutional codes and an asymptotically optimum decoding algorithm
            | (Viterbi, 1967)
        """
        emission = log_emission_BTS.double()
        best_BS, came_from = self.log_start_S + emission[:, 0], []
        for t in range(1, emission.shape[1]):
            best_BS, where_BS = (best_BS.unsqueeze(2) + self.log_step_SS).max(1)
            best_BS = best_BS + emission[:, t]
            came_from.append(where_BS)
        log_prob_B, state_B = best_BS.max(1)
        path = [state_B]
        for where_BS in reversed(came_from):
            path.append(where_BS.gather(1, path[-1].unsqueeze(1)).squeeze(1))
        return torch.stack(path[::-1], 1), log_prob_B

    def sample(self, u_BT: Tensor, temperature: float = 1.0) -> Tensor:
        """Return paths ``(B, T)`` made from uniform noise."""
        state_B = categorical_icdf(
            (self.log_start_S / temperature).expand(len(u_BT), -1), u_BT[:, 0]
        )
        path = [state_B]
        for u_B in u_BT[:, 1:].unbind(1):
            path.append(categorical_icdf(self.log_step_SS[path[-1]] / temperature, u_B))
        return torch.stack(path, 1)

    def sample_given(
        self, log_emission_BTS: Tensor, u_BT: Tensor, temperature: float = 1.0
    ) -> Tensor:
        r"""Return paths ``(B, T)`` from the posterior: filter forward, sample backward.

        .. math:: p(s_t \mid s_{t+1}, x) \propto p(x_{\le t}, s_t)\, p(s_{t+1} \mid s_t)
        """
        alpha = self.forward(log_emission_BTS)
        path = [categorical_icdf(alpha[:, -1] / temperature, u_BT[:, -1])]
        for t in range(alpha.shape[1] - 2, -1, -1):
            logits_BS = alpha[:, t] + self.log_step_SS.T[path[-1]]
            path.append(categorical_icdf(logits_BS / temperature, u_BT[:, t]))
        return torch.stack(path[::-1], 1)


class StepNoise:
    """The noise of B sequences as noise of B * T steps."""

    def __init__(self, noise: Noise, steps: int) -> None:
        self.noise, self.steps, self.n = noise, steps, noise.n * steps

    def uniform(self, *shape: int) -> Tensor:
        """Return ``(B * T, *shape)`` uniform on [0, 1)."""
        return self.noise.uniform(self.steps, *shape).flatten(0, 1)

    def normal(self, *shape: int) -> Tensor:
        """Return ``(B * T, *shape)`` standard normal."""
        return self.noise.normal(self.steps, *shape).flatten(0, 1)


def _top(v: Tensor) -> Tensor:
    """Return the largest of the last dimension, or 0 where all are impossible."""
    top = v.amax(-1, keepdim=True)
    return torch.where(top.isfinite(), top, 0.0)
