"""Hidden Markov models: a chain of states, each of which emits one step of a sequence.

A subclass says what the states emit and which of them may follow which. The family counts, fits,
fills gaps and draws; `genus.families.hidden_states` sums over paths.
"""

# Shapes: B sequences, T steps, D entries of a step, N = B * T, Y classes (1 where unconditional),
# S states of a class, K components of a state, M = Y * S * K.
from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from genus.capabilities import Completion
from genus.distributions.components import Components
from genus.distributions.markov_chain import StepNoise
from genus.errors import DataError
from genus.families.base import check_temperature
from genus.families.first_states import (
    count_steps,
    jittered,
    split_states,
    states_by_cluster,
    states_by_symbol,
    states_by_time,
)
from genus.families.hidden_states import HiddenStates, evenly
from genus.random import ExampleNoise, categorical_icdf
from genus.spec import Batch, Spec


class HiddenMarkov(HiddenStates):
    """Hidden states that are fitted by Baum-Welch, and drawn.

    What is climbed is the likelihood, as if every component had been given ``pseudo`` examples
    that look like the whole data, and every state ``prior`` steps, spread evenly over the states
    that may follow. A state that is never left keeps these, or what it had where ``prior`` is 0.
    Each sequence begins anew: many sequences are not one long one.

    A fit takes sequences of unequal length, and with gaps: `Batch.known` is False at steps that
    are missing. Steps after the last one known are not counted.

    Attributes:
        pseudo: examples that look like the whole data, for each component.
        prior: steps spread evenly, for each state.

    References:
        | A maximization technique occurring in the statistical analysis of probabilistic functions
        | of Markov chains (Baum, Petrie, Soules and Weiss, 1970)
    """

    fits_missing = True
    pseudo: float = 0.0
    prior: float = 0.0

    def __init__(
        self, spec: Spec, config: Any, parts: Components, first_S: Tensor, allowed_SS: Tensor
    ) -> None:
        super().__init__(spec, config, parts, first_S, allowed_SS)
        self.seeds = max(10, min(1000, 100_000 // self.steps))

    def sample(
        self,
        n: int,
        *,
        y: Tensor | None = None,
        generator: torch.Generator | None = None,
        temperature: float = 1.0,
    ) -> Tensor:
        """Return ``(n, *shape)``: the class, then a path of states, then what they emit.

        Args:
            n: how many.
            y: ``(n,)`` labels; drawn from the class prior where left out.
            generator: source of the noise.
            temperature: divides the log-probability of each choice.

        Raises:
            SpecError: labels that do not fit the Spec.
            ConfigError: a temperature that is not above zero.
        """
        check_temperature(temperature)
        noise = self.noise(n, generator)
        y_B = self.labels_for(n, y, noise.uniform())
        y_B = torch.zeros(n, dtype=torch.long, device=self.device) if y_B is None else y_B
        u_BT = noise.uniform(self.steps)
        state_BT = torch.zeros(n, self.steps, dtype=torch.long, device=self.device)
        for label, rows in self._labels(y_B, n):
            state_BT[rows] = self.chain(label).sample(u_BT[rows], temperature)
        state_BT = state_BT + y_B.unsqueeze(1) * len(self.first_S)
        blank = torch.zeros(n, *self.spec.shape, device=self.device)
        blank = blank.long() if self.spec.is_discrete else blank.to(self.dtype)
        weight = self.log_weight_YSK.flatten(0, 1)[state_BT.flatten()]
        return self._emit(blank, None, state_BT, weight, noise, temperature)

    def _emit(
        self,
        x: Tensor,
        known: Tensor | None,
        state_BT: Tensor,
        weight_NK: Tensor,
        noise: ExampleNoise,
        temperature: float,
    ) -> Tensor:
        """Return what the states emit, given what is known: a component each, then its law."""
        u_N = noise.uniform(self.steps).flatten()
        part_N = categorical_icdf(weight_NK / temperature, u_N)
        index_N = state_BT.flatten() * weight_NK.shape[1] + part_N
        known_ND = None if known is None else self._split(known)
        steps = self.parts.draw(
            index_N, StepNoise(noise, self.steps), temperature, self._split(x), known_ND
        )
        return self._joined_steps(steps)

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

        The class is drawn from its posterior given the known entries, the path of states from its
        own by filtering forward and sampling backward, and the entries from the states.

        Args:
            x: ``(B, *shape)``; what stands at unknown entries is not looked at.
            known: boolean, of the same shape or one that broadcasts to it.
            y: ``(B,)`` labels.
            generator: source of the noise.
            temperature: divides the log-probability of each choice; other than 1 the draw is not
                exact.

        Raises:
            SpecError: the inputs do not fit the Spec.
            ConfigError: a temperature that is not above zero.
        """
        check_temperature(temperature)
        x, mask = self._checked(x, known, y)
        noise = self.noise(len(x), generator)
        components = self._components(x, mask)
        emission = self._emission(components)
        joint_BY = self._joint(emission, y)
        label_B = categorical_icdf(joint_BY / temperature, noise.uniform())
        u_BT = noise.uniform(self.steps)
        state_BT = torch.zeros_like(u_BT, dtype=torch.long)
        for label, rows in self._labels(label_B, len(x)):
            path = self.chain(label).sample_given(emission[rows, :, label], u_BT[rows], temperature)
            state_BT[rows] = path + label * len(self.first_S)
        rows_N = torch.arange(state_BT.numel(), device=self.device)
        weight_NK = components.flatten(1, 2)[rows_N, state_BT.flatten()]
        filled = self._emit(x, mask, state_BT, weight_NK, noise, temperature)
        whole_B = self._joint(self._emission(self._components(filled, None)), y).logsumexp(1)
        log_known = joint_BY.logsumexp(1).to(self.dtype)
        drawn = whole_B.to(self.dtype) - log_known
        return Completion(
            filled,
            temperature == 1,
            "posterior path",
            drawn,
            log_known=log_known,
            log_conditional=drawn,
            y=None if self.spec.classes is None else label_B,
        )

    def begin(self, seen: Batch, generator: torch.Generator | None) -> None:
        """Guess the states of some sequences, and fit chains and components to the guess."""
        labels_B = None if seen.y is None else seen.y.to(self.device)
        length_B, known_BT = (part.cpu() for part in self._lengths(seen.to(self.device)))
        steps_ND, known_N = self._split(seen.x), known_BT.flatten()
        self.parts.begin(steps_ND[known_N].to(self.device))
        share = torch.zeros(len(steps_ND), *self.log_weight_YSK.shape, dtype=torch.float64)
        start, step = torch.zeros(self.log_start_YS.shape), torch.zeros(self.log_step_YSS.shape)
        for label, rows in self._labels(labels_B, len(seen)):
            if len(rows):
                rows = rows.cpu()
                of_class = (rows.unsqueeze(1) * self.steps + torch.arange(self.steps)).flatten()
                guess = self._guess(steps_ND[of_class], length_B[rows], generator)
                share[of_class, label] = guess * known_N[of_class].view(-1, 1, 1)
                path_BT = guess.sum(2).argmax(1).view(len(rows), self.steps)
                start[label], step[label] = count_steps(path_BT, length_B[rows], len(self.first_S))
        start = (jittered(start, generator) * self.first_S).to(self.device)
        step = (jittered(step, generator) * self.allowed_SS).to(self.device)
        self._set_chains(start, step, 0.0)
        share_NM = share.flatten(1).to(self.device, self.dtype)
        total = self.parts.statistics(steps_ND.to(self.device), share_NM)
        self.parts.update(total, max(self.pseudo, 1e-2))
        _set(self.log_weight_YSK, share.sum(0).to(self.device) + max(self.pseudo, 1e-2))

    def _guess(
        self, steps_ND: Tensor, length_B: Tensor, generator: torch.Generator | None
    ) -> Tensor:
        """Return shares ``(N, S, K)`` of some steps, all of one class."""
        states, k = self.log_weight_YSK.shape[1:]
        points_ND = self.parts.coordinates(steps_ND.to(self.device)).cpu()
        if not bool(self.allowed_SS.tril(-1).any()):  # the chain only moves on
            state_NS = states_by_time(length_B, self.steps, states)
        elif self.spec.levels is not None and self.width_of_step == 1:
            state_NS = states_by_symbol(steps_ND[:, 0], self.spec.levels, states, generator)
        else:
            state_NS = states_by_cluster(points_ND, states, generator)
        return split_states(points_ND, state_NS, k, generator)

    def statistics(self, batch: Batch) -> dict[str, Tensor]:
        """Return the expected visits, steps and shares of components: Baum-Welch's E-step."""
        n, length_B, known_BT = len(batch.x), *self._lengths(batch)
        components = self._components(batch.x, batch.known)
        emission = self._emission(components)
        share = (components - emission.flatten(0, 1).unsqueeze(3)).exp()
        total = {
            "nats": torch.zeros((), dtype=torch.float64, device=self.device),
            "start": torch.zeros_like(self.log_start_YS, dtype=torch.float64),
            "step": torch.zeros_like(self.log_step_YSS, dtype=torch.float64),
        }
        visits = torch.zeros_like(emission)
        for label, rows in self._labels(batch.y if self.spec.classes else None, n):
            nats_B, states_BTS, total["step"][label] = self.chain(label).expected(
                emission[rows, :, label], length_B[rows]
            )
            total["nats"] += nats_B.sum()
            total["start"][label] = states_BTS[:, 0].sum(0)
            visits[rows, :, label] = states_BTS * known_BT[rows].unsqueeze(2)
        share_NM = (share * visits.flatten(0, 1).unsqueeze(3)).flatten(1)
        parts = self.parts.statistics(self._split(batch.x), share_NM.to(self.dtype))
        return {**total, "share_M": share_NM.sum(0), **parts}

    def _lengths(self, batch: Batch) -> tuple[Tensor, Tensor]:
        """Return the steps up to the last one known, ``(B,)``, and which are known, ``(B, T)``.

        Raises:
            DataError: a sequence of length 0, or a step that is known in part.
        """
        if batch.known is None:
            known_BT = torch.ones(len(batch), self.steps, dtype=torch.bool, device=self.device)
            return known_BT.sum(1), known_BT
        known_ND = self._split(batch.known)
        known_BT = known_ND.any(1).view(-1, self.steps)
        if bool((known_ND.any(1) != known_ND.all(1)).any()):
            raise DataError(
                f"{self.name} is fitted to steps that are known or missing as a whole; some steps "
                "are known in part: complete those first, or mark them as missing"
            )
        empty_B = ~known_BT.any(1)
        if bool(empty_B.any()):
            raise DataError(
                f"{int(empty_B.sum())} of {len(batch)} sequences have length 0: no step of theirs "
                "is known; leave them out"
            )
        place_T = torch.arange(1, self.steps + 1, device=self.device)
        return (known_BT * place_T).amax(1), known_BT

    def update(self, total: dict[str, Tensor]) -> dict[str, float]:
        """Set chains, weights and components: the M-step."""
        count = total["count"]
        objective = (total["nats"] + self._log_prior()) / count
        self.parts.update(total, self.pseudo)
        self._set_chains(total["start"], total["step"], self.prior)
        weights = total["share_M"].view_as(self.log_weight_YSK) + self.pseudo
        _set(self.log_weight_YSK, weights)
        return {"nats": float(total["nats"] / count), "objective": float(objective)}

    def _set_chains(self, start_YS: Tensor, step_YSS: Tensor, prior: float) -> None:
        first_S, next_SS = self._prior_laws()
        _set(self.log_start_YS, start_YS + prior * first_S)
        _set(self.log_step_YSS, step_YSS + prior * next_SS)

    def _prior_laws(self) -> tuple[Tensor, Tensor]:
        """Return the laws that are even over the states that may come first, and next."""
        laws = (
            evenly(allowed).double().to(self.device) for allowed in (self.first_S, self.allowed_SS)
        )
        first_S, next_SS = laws
        return first_S, next_SS

    def _log_prior(self) -> float:
        """Return what pseudo-examples and evenly spread steps add to the log-likelihood."""
        total = 0.0
        if self.pseudo:
            weights = self.log_weight_YSK.double().sum()
            total += self.pseudo * float(weights + self.parts.log_prior())
        if self.prior:
            first_S, next_SS = self._prior_laws()
            for log_law, law in ((self.log_start_YS, first_S), (self.log_step_YSS, next_SS)):
                total += self.prior * float(
                    (law * torch.where(law > 0, log_law.double(), 0.0)).sum()
                )
        return total


def _set(log_law: Tensor, counts: Tensor) -> None:
    """Set rows to the log of relative frequencies; a row without counts stays."""
    all_ = counts.double().sum(-1, keepdim=True)
    fresh = (counts / all_.clamp(min=1e-300)).log()
    log_law.copy_(torch.where(all_ > 0, fresh, log_law.double()))
