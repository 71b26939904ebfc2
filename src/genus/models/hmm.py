"""A hidden Markov model: sequences, and images read row by row.

References:
    | A tutorial on hidden Markov models and selected applications in speech recognition
    | (Rabiner, 1989), https://doi.org/10.1109/5.18626
    | Pattern Recognition and Machine Learning (Bishop, 2006), section 13.2
"""

# Shapes: S states of a class.
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from genus.config import check_positive
from genus.distributions.components import Components
from genus.distributions.gaussian_components import gaussian_components
from genus.distributions.level_components import CategoricalComponents, DiscretizedComponents
from genus.errors import ConfigError, raise_all
from genus.families.hidden_markov import HiddenMarkov
from genus.families.hidden_states import steps_of
from genus.registry import register
from genus.spec import Spec

Emission = Literal["auto", "categorical", "discretized", "full", "diag", "tied"]


@dataclass(frozen=True, kw_only=True)
class HMMConfig:
    """Options of `HMM`.

    Args:
        states: of the chain, of each class where there are classes.
        emission: what a state emits at a step: of levels "categorical" (a free table for each
            entry) or "discretized" (rounded Gaussians, which know that levels have an order); of
            real numbers Gaussians with a "full" or "diag" covariance, or one for all states
            ("tied"). "auto" is "full" for real data, "discretized" for images of more than two
            levels and "categorical" for all others.
        components: of the mixture that each state emits.
        topology: "ergodic", any state may follow any other; or "left-to-right", the chain begins
            in the first state and stays or moves to the next.
        pseudo: how many steps that look like the whole data each component is given on top.
            0 is maximum likelihood.
        prior: how many steps, spread evenly over the states that may follow, each state is given
            on top.
        min_scale: least standard deviation: of levels, in levels; of real data, as a fraction of
            the column's own.
        iterations: passes of Baum-Welch at most.
        tolerance: nats per example; the fit ends when a pass gains less.
        restarts: how often the fit begins anew; the best is kept.
    """

    states: int = 20
    emission: Emission = "auto"
    components: int = 1
    topology: Literal["ergodic", "left-to-right"] = "ergodic"
    pseudo: float = 1.0
    prior: float = 1.0
    min_scale: float = 0.01
    iterations: int = 100
    tolerance: float = 1e-4
    restarts: int = 1

    def __post_init__(self) -> None:
        check_positive(self, "states", "components", "min_scale", "iterations", "restarts")
        wrong = [name for name in ("pseudo", "prior") if not getattr(self, name) >= 0]
        problems = [f"{name}={getattr(self, name)} must not be below zero" for name in wrong]
        raise_all(ConfigError, "hmm cannot be configured:", problems)


@register("hmm")
class HMM(HiddenMarkov):
    r"""A chain of hidden states, each of which emits one step of a sequence.

    .. math:: p(x) = \sum_{s_1 \ldots s_T} p(s_1) \prod_{t > 1} p(s_t \mid s_{t-1})
        \prod_t p(x_t \mid s_t)

    A vector ``(T,)`` is a sequence of T steps; an image ``(C, H, W)`` is read row by row, H steps
    of ``C * W`` entries, so that a series of T steps with D columns is ``(1, T, D)``. With classes
    there is a chain of states for each.

    Beside ``log_prob`` there are ``posterior`` (smoothing), ``viterbi`` (the best path),
    ``marginal_log_prob`` and ``complete`` for steps or entries that are missing, all of them
    exact. Sequences of unequal length, and steps that are missing, are marked in ``Batch.known``
    when fitting.

    Args:
        spec: any data.
        config: an `HMMConfig`.
        emission: laws of a step of your own: states * classes of them, or that many times
            ``components``, those of one state next to each other. It overrides the options.

    Raises:
        ConfigError: an emission that does not fit the data or the states.

    Example:
        >>> from genus.capabilities import FitContext
        >>> from genus.spec import Batch
        >>> x = torch.tensor([[0, 0, 0, 1, 1, 1], [1, 1, 1, 0, 0, 0]]).repeat(20, 1)
        >>> model = HMM(Spec(shape=(6,), levels=2), HMMConfig(states=2, pseudo=0, prior=0))
        >>> model.fit(lambda: [Batch(x)], FitContext(torch.Generator().manual_seed(0)))
        >>> path, _ = model.viterbi(x[:2])
        >>> bool((path[0] == 1 - path[1]).all()), len(path[0].unique())
        (True, 2)
    """

    Config = HMMConfig
    tiny: ClassVar[dict[str, Any]] = {"states": 3, "iterations": 5}

    def __init__(
        self, spec: Spec, config: Any = None, *, emission: Components | None = None
    ) -> None:
        config = HMMConfig() if config is None else config
        parts = self._parts(spec, config) if emission is None else emission
        super().__init__(spec, config, parts, *_topology(config.states, config.topology))
        self.iterations, self.restarts = config.iterations, config.restarts
        self.tolerance = config.tolerance
        self.pseudo, self.prior = config.pseudo, config.prior

    @staticmethod
    def _parts(spec: Spec, config: HMMConfig) -> Components:
        count = config.states * config.components * (spec.classes or 1)
        width, kind = steps_of(spec)[1], config.emission
        if spec.levels is None:
            if kind == "auto":
                kind = "full"
            if kind == "categorical" or kind == "discretized":
                raise ConfigError(f"emission={kind!r} needs levels, but the data are {spec}")
            return gaussian_components(count, width, kind, config.min_scale)
        if kind == "auto":
            kind = "discretized" if spec.is_image and spec.levels > 2 else "categorical"
        if kind == "categorical":
            return CategoricalComponents(count, width, spec.levels)
        if kind == "discretized":
            return DiscretizedComponents(count, width, spec.levels, min_scale=config.min_scale)
        raise ConfigError(
            f"emission={kind!r} needs real data, but the data are {spec}; levels take "
            "'categorical' or 'discretized'"
        )


def _topology(states: int, topology: str) -> tuple[Tensor, Tensor]:
    """Return which states may come first ``(S,)``, and which may follow each ``(S, S)``."""
    if topology == "ergodic":
        return torch.ones(states, dtype=torch.bool), torch.ones(states, states, dtype=torch.bool)
    stay = torch.eye(states, dtype=torch.bool)
    return stay[0], stay | stay.roll(1, 1).triu()
