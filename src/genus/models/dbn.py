r"""The deep belief network: a restricted Boltzmann machine with directed layers below it.

.. math:: p(x, h^1, \dots, h^L) = p(x \mid h^1) \cdots p(h^{L-2} \mid h^{L-1})\, p(h^{L-1}, h^L)

References:
    | A Fast Learning Algorithm for Deep Belief Nets (Hinton, Osindero and Teh, 2006)
    | On the Quantitative Analysis of Deep Belief Networks (Salakhutdinov and Murray, 2008)
    | Evaluating Probabilities under High-Dimensional Latent Variable Models
    | (Murray and Salakhutdinov, 2009)
    | Reweighted Wake-Sleep (Bornschein and Bengio, 2015) https://arxiv.org/abs/1406.2751
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import nn

from genus.capabilities import Objective
from genus.config import check_positive, check_share
from genus.errors import ConfigError
from genus.families.deep_belief import DeepBelief
from genus.families.divergence import Bipartite, Turned
from genus.families.wake_sleep import Untied
from genus.registry import register
from genus.spec import Batch, Spec


@register("dbn")
class DBN(DeepBelief):
    r"""A stack of restricted Boltzmann machines, read downwards as a directed model.

    Each machine learns what the hidden units of the one below do when they look at data; all but
    the top one then give only the law of their visible units given the hidden ones, and the top
    one replaces the law that their hidden units had. The machines are trained at the same time,
    each by its own objective, on hidden states drawn afresh from those below, into which no
    gradient goes; all come to rest together as the step size falls. A machine with as many hidden
    units as the one below has visible ones, where those have two values, begins as that one turned
    over, so that what it learns is gained; of L machines the i-th of that kind learns after the
    share (i - 1) / L of the training. Another one learns from the start, while the lower one moves.

    The likelihood has a bound but for one constant, log Z of the top machine. With
    :math:`q(h \mid x)` the machines' own upward laws,

    .. math:: \log p(x) \ge E_q \log \frac1k \sum_{i=1}^k
        \frac{p(x, h_i)\, Z}{q(h_i \mid x)} - \log Z

    With classes the label is a visible softmax unit of the top machine.

    The ways up and down are the machines' own. With `Config.wake_sleep` the last part of the
    training unties them; each learns from what the other makes, and the top machine goes on. With
    `Config.wake_samples` above one all machines then learn together, from states that are weighted
    as the bound weights them.

    Samples begin where the top machine's training chains are, each at one that its own noise
    chooses, and go down through the layers after `Config.sample_sweeps` sweeps.

    Args:
        spec: data with levels.
        config: see `DBN.Config`.

    Raises:
        SpecError: the data are real numbers.

    Example:
        >>> model = DBN(Spec(shape=(1, 4, 4), levels=2), DBN.Config(hidden=8, top=8))
        >>> x = model.sample(3)
        >>> bound = -model.free_energy_bound(x, k=16) - model.log_partition().estimate
        >>> bound.shape
        torch.Size([3])
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of the deep belief network."""

        hidden: int = 500
        """Units of each hidden layer but the top one."""
        top: int = 1000
        """Units of the top layer; with as many as an example has entries it begins turned over."""
        depth: int = 2
        """Hidden layers."""
        sweeps: int = 10
        """Gibbs sweeps of the training chains for each update."""
        chains: int = 100
        """Training chains of each machine, which persist."""
        centred: bool = True
        """Whether weights act on units less their mean."""
        spread: float = 0.01
        """Standard deviation of the first weights."""
        sample_sweeps: int = 200
        """Gibbs sweeps of the top machine from a training chain to a sample."""
        wake_sleep: float = 0.0
        """Share of the training, its last part, in which wake-sleep fine-tunes the lower layers."""
        wake_samples: int = 1
        """Hidden states drawn for each example in that part; more than one are weighted."""

        def __post_init__(self) -> None:
            names = ("hidden", "top", "sweeps", "chains", "sample_sweeps", "spread")
            check_positive(self, *names, "wake_samples")
            check_share(self, "wake_sleep")
            if self.depth < 2:
                raise ConfigError(
                    f"depth={self.depth} must be at least 2; one hidden layer is the model rbm"
                )
            if self.wake_samples > 1 and not self.wake_sleep:
                raise ConfigError(
                    f"wake_samples={self.wake_samples} are drawn in fine-tuning, and wake_sleep=0 "
                    "leaves no part of the training to it; set wake_sleep=0.5"
                )

    config: Config
    learning_rate: float = 3e-3
    batch_size: int = 100
    tiny: ClassVar[dict[str, Any]] = {
        "hidden": 6,
        "top": 8,
        "chains": 8,
        "sweeps": 2,
        "spread": 0.3,
        "sample_sweeps": 20,
    }
    presets: ClassVar[dict[str, dict[str, Any]]] = {"mnist": {"hidden": 500, "top": 2000}}

    def __init__(self, spec: Spec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        c = self.config
        self.sweeps, self.sample_sweeps = c.sweeps, c.sample_sweeps
        self.fine_tuning, self.wake_samples = c.wake_sleep, c.wake_samples
        units = [*[c.hidden] * (c.depth - 1), c.top]
        visible = [(spec.dims, spec.levels_or_raise)]
        layers = [Bipartite(visible, units[0], c.chains, centred=c.centred, spread=c.spread)]
        for above in units[1:]:
            classes = spec.classes if len(layers) == c.depth - 1 else None
            layers.append(self._machine_on(layers[-1], above, classes))
        self.layers = nn.ModuleList(layers)
        self.untied = nn.ModuleList()
        if c.wake_sleep:
            self.untied.extend(Untied(len(m.biases[0]), len(m.bias_H)) for m in layers[:-1])

    def _machine_on(self, lower: Bipartite, above: int, classes: int | None) -> Bipartite:
        """Return the next machine of the stack: the lower one turned over, where that fits."""
        c = self.config
        groups = [(len(lower.bias_H), 2)] + ([] if classes is None else [(1, classes)])
        if lower.machine().can_be_turned and len(lower.biases[0]) <= above:
            return Turned(lower, groups, above, c.chains, centred=c.centred, spread=c.spread)
        return Bipartite(groups, above, c.chains, centred=c.centred, spread=c.spread)

    @classmethod
    def suited(cls, spec: Spec, examples: int) -> dict[str, Any]:
        """Return few units for small sets, which many learn by heart."""
        return {"hidden": 64, "top": 64} if examples < 10_000 else {}

    @classmethod
    def check_spec(cls, spec: Spec) -> None:
        """Raise `SpecError` unless the data are levels."""
        cls.require(spec.is_discrete, "data with levels", spec)

    @torch.no_grad()
    def initialise(self, batch: Batch) -> None:
        """Take the lowest biases from a first batch, and begin the lowest training chains at it."""
        self._layer(0).initialise((batch.x.flatten(1),))

    def objectives(self) -> tuple[Objective, ...]:
        """Return one objective for each machine, lowest first."""
        return tuple(
            Objective(
                f"layer-{index + 1}",
                self._parameters_of(index),
                functools.partial(self.loss, index),
                learning_rate=self.learning_rate,
                batch_size=self.batch_size,
            )
            for index in range(len(self.layers))
        )

    def _parameters_of(self, index: int) -> tuple[nn.Parameter, ...]:
        """Return the weights of a machine, and what the ways through it add to them."""
        ways = list(self.untied)[index : index + 1]
        return tuple(p for part in (self.layers[index], *ways) for p in part.parameters())
