"""A mixture of free categoricals; of binary data, the mixture of Bernoullis.

References:
    | Multivariate Bernoulli mixtures (Duda and Hart, 1973)
    | Pattern Recognition and Machine Learning (Bishop, 2006), section 9.3.3
    | Deep Boltzmann Machines (Salakhutdinov and Hinton, AISTATS 2009), for its figures on MNIST
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from genus.config import check_positive
from genus.distributions.level_components import CategoricalComponents
from genus.errors import ConfigError
from genus.families.mixture import Mixture
from genus.registry import register
from genus.spec import Spec


@dataclass(frozen=True, kw_only=True)
class BernoulliMixtureConfig:
    """Options of `BernoulliMixture`.

    Args:
        components: how many, of each class where there are classes.
        pseudo: how many examples that look like the whole data each component is given on top;
            it keeps components with few examples from becoming too sure. 0 is maximum likelihood.
        iterations: passes of EM at most.
        tolerance: nats per example; EM ends when a pass gains less.
        restarts: how often EM begins anew; the best is kept.
    """

    components: int = 100
    pseudo: float = 2.0
    iterations: int = 100
    tolerance: float = 1e-2
    restarts: int = 1

    def __post_init__(self) -> None:
        check_positive(self, "components", "iterations", "restarts")
        if not self.pseudo >= 0:
            raise ConfigError(f"pseudo={self.pseudo} must not be below zero")


@register("bernoulli-mixture")
class BernoulliMixture(Mixture):
    r"""A weighted sum of products of free categoricals, fitted by EM.

    .. math:: p(x) = \sum_k \pi_k \prod_d p_{kd}(x_d)

    With two levels each factor is a Bernoulli; any number of levels will do, and what is known of
    their order is then not used (``gaussian-mixture`` uses it). With classes there is one such
    sum for each. Both steps of EM are matrix products.

    Args:
        spec: any data with levels.
        config: a `BernoulliMixtureConfig`.

    Raises:
        SpecError: the data are real numbers.

    Example:
        >>> import torch
        >>> from genus.capabilities import FitContext
        >>> from genus.spec import Batch
        >>> x = torch.tensor([[0, 0, 0, 0], [1, 1, 1, 1]]).repeat(50, 1)
        >>> config = BernoulliMixtureConfig(components=2, pseudo=0.01)
        >>> model = BernoulliMixture(Spec(shape=(4,), levels=2), config)
        >>> model.fit(lambda: [Batch(x)], FitContext(torch.Generator().manual_seed(0)))
        >>> bool((model.log_prob(x[:2]).exp() > 0.49).all())  # half each
        True
    """

    Config = BernoulliMixtureConfig
    tiny: ClassVar[dict[str, Any]] = {"components": 3, "iterations": 5}

    def __init__(self, spec: Spec, config: Any = None) -> None:
        config = BernoulliMixtureConfig() if config is None else config
        self.check_spec(spec)
        count = config.components * (spec.classes or 1)
        parts = CategoricalComponents(count, spec.dims, spec.levels_or_raise)
        super().__init__(spec, config, parts)
        self.iterations, self.restarts = config.iterations, config.restarts
        self.tolerance, self.pseudo = config.tolerance, config.pseudo

    @classmethod
    def suited(cls, spec: Spec, examples: int) -> dict[str, Any]:
        """Return fewer components for small sets, so that each has about 50 examples."""
        each = max(1, examples // (50 * (spec.classes or 1)))
        return {"components": each} if each < cls.Config().components else {}

    @classmethod
    def check_spec(cls, spec: Spec) -> None:
        """Raise `SpecError` unless the data are levels."""
        cls.require(spec.is_discrete, "data with levels (binary images, symbols)", spec)
