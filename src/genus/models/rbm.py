r"""The restricted Boltzmann machine: visible and hidden units, and weights between them only.

.. math:: p(v, h) = \frac{1}{Z} \exp(b^\top v + c^\top h + v^\top W h), \qquad
    F(v) = -b^\top v - \sum_j \log\big(1 + e^{c_j + (v^\top W)_j}\big)

References:
    | Information Processing in Dynamical Systems: Foundations of Harmony Theory (Smolensky, 1986)
    | Training Products of Experts by Minimizing Contrastive Divergence (Hinton, 2002)
    | Training Restricted Boltzmann Machines using Approximations to the Likelihood Gradient
    | (Tieleman, 2008)
    | On the Quantitative Analysis of Deep Belief Networks (Salakhutdinov and Murray, 2008)
    | Classification using Discriminative Restricted Boltzmann Machines
    | (Larochelle and Bengio, 2008)
"""

# Shapes: H hidden units.
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from genus.config import check_positive
from genus.families.boltzmann import Boltzmann
from genus.families.divergence import Bipartite
from genus.registry import register
from genus.spec import Spec


@register("rbm")
class RBM(Boltzmann):
    """One layer of hidden units over binary entries, or over entries of K levels (softmax units).

    With classes the label is one more softmax unit of the visible layer. Training follows chains
    of the model itself (persistent contrastive divergence) or short ones begun at the data.

    Samples are the ends of chains that begin where the training chains are. Each sample takes one
    of them by its own noise, so two of many samples may share their beginning, and have forgotten
    it as far as `Config.sample_sweeps` sweeps mix. With several processes each follows chains of
    its own, of which the first process's are kept.

    Args:
        spec: data with levels.
        config: see `RBM.Config`.

    Raises:
        SpecError: the data are real numbers.

    Example:
        >>> model = RBM(Spec(shape=(1, 4, 4), levels=2), RBM.Config(hidden=8))
        >>> x = model.sample(3)
        >>> log_z = model.log_partition()  # few hidden units: summed
        >>> bool((-model.free_energy(x) - log_z.estimate < 0).all()), log_z.exact
        (True, True)
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of the restricted Boltzmann machine."""

        hidden: int = 500
        """H, hidden units."""
        method: Literal["pcd", "cd"] = "pcd"
        """Training chains go on from update to update, or begin at the data each time."""
        sweeps: int = 10
        """Gibbs sweeps for each update, the k of CD-k."""
        chains: int = 100
        """Chains that persist."""
        centred: bool = True
        """Whether weights act on units less their mean."""
        spread: float = 0.01
        """Standard deviation of the first weights."""
        sample_sweeps: int = 200
        """Gibbs sweeps from a training chain to a sample."""

        def __post_init__(self) -> None:
            check_positive(self, "hidden", "sweeps", "chains", "sample_sweeps", "spread")

    config: Config
    representative = True
    learning_rate = 3e-3
    batch_size = 100
    tiny: ClassVar[dict[str, Any]] = {
        "hidden": 6,
        "chains": 8,
        "sweeps": 2,
        "spread": 0.3,
        "sample_sweeps": 20,
    }
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "cd1": {"method": "cd", "sweeps": 1, "centred": False},
        "cd25": {"method": "cd", "sweeps": 25, "centred": False},
    }

    def __init__(self, spec: Spec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        c = self.config
        groups = [(spec.dims, spec.levels_or_raise)]
        if spec.classes is not None:
            groups.append((1, spec.classes))
        self.units = Bipartite(groups, c.hidden, c.chains, centred=c.centred, spread=c.spread)
        self.method, self.sweeps, self.sample_sweeps = c.method, c.sweeps, c.sample_sweeps

    @classmethod
    def suited(cls, spec: Spec, examples: int) -> dict[str, Any]:
        """Return few units for small sets, which many learn by heart."""
        return {"hidden": 64} if examples < 10_000 else {}

    @classmethod
    def check_spec(cls, spec: Spec) -> None:
        """Raise `SpecError` unless the data are levels."""
        cls.require(spec.is_discrete, "data with levels", spec)
