"""A mixture of Gaussians: densities of real vectors, or masses of levels.

References:
    | Maximum Likelihood from Incomplete Data via the EM Algorithm (Dempster et al., 1977)
    | Pattern Recognition and Machine Learning (Bishop, 2006), section 9.2
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from genus.config import check_positive
from genus.distributions.components import Components
from genus.distributions.gaussian_components import Covariance, gaussian_components
from genus.distributions.level_components import DiscretizedComponents
from genus.errors import ConfigError
from genus.families.mixture import Mixture
from genus.registry import register
from genus.spec import Spec


@dataclass(frozen=True, kw_only=True)
class GaussianMixtureConfig:
    """Options of `GaussianMixture`.

    Args:
        components: how many, of each class where there are classes.
        covariance: "full", "diag" or "tied" (one full matrix for all components); "auto" is
            "full" for real data and "diag" for levels, which allow no other.
        pseudo: how many examples that look like the whole data each component is given on top;
            it keeps components with few examples from becoming too sure. 0 is maximum likelihood.
        min_scale: least standard deviation in any direction: of levels, in levels; of real data,
            as a fraction of the column's own. It is the floor of a singular covariance, and of a
            column that never varies, which counts as having deviation 1.
        iterations: passes of EM at most.
        tolerance: nats per example; EM ends when a pass gains less.
        restarts: how often EM begins anew; the best is kept.
    """

    components: int = 50
    covariance: Covariance | Literal["auto"] = "auto"
    pseudo: float = 2.0
    min_scale: float = 0.01
    iterations: int = 100
    tolerance: float = 1e-3
    restarts: int = 1

    def __post_init__(self) -> None:
        check_positive(self, "components", "min_scale", "iterations", "restarts")
        if not self.pseudo >= 0:
            raise ConfigError(f"pseudo={self.pseudo} must not be below zero")


@register("gaussian-mixture")
class GaussianMixture(Mixture):
    r"""A weighted sum of Gaussians, one such sum for each class where there are classes.

    .. math:: p(x) = \sum_k \pi_k\, N(x; \mu_k, \Sigma_k)

    of real vectors, and of levels

    .. math:: P(x) = \sum_k \pi_k \prod_d
        \int_{x_d - 1/2}^{x_d + 1/2} N(v; \mu_{kd}, \sigma_{kd}^2)\, dv

    with the tails folded into the first and the last level, so that it is a mass and comparable
    with other models of levels.

    Fitting. On real data each pass is exact EM. On levels the E-step is exact, and the M-step,
    which has no closed form, takes two EM steps of its own with the unrounded numbers as latents:
    a generalised EM. Neither ever lowers what is climbed, the likelihood of the data and of the
    pseudo-examples, so the last parameters are the best.

    Args:
        spec: any data. A full covariance has D x D numbers, so wide real data want "diag".
        config: a `GaussianMixtureConfig`.

    Raises:
        ConfigError: a covariance between entries is asked for on levels.

    Example:
        >>> import torch
        >>> from genus.spec import Batch
        >>> x = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
        >>> model = GaussianMixture(Spec(shape=(2,)), GaussianMixtureConfig(components=1, pseudo=0))
        >>> model.fit(lambda: [Batch(x)])
        >>> bool((model.log_prob(x).mean() + 2.8).abs() < 0.1)  # the entropy is 2.84 nats
        True
    """

    Config = GaussianMixtureConfig
    representative = True
    tiny: ClassVar[dict[str, Any]] = {"components": 3, "iterations": 5}

    def __init__(self, spec: Spec, config: Any = None) -> None:
        config = GaussianMixtureConfig() if config is None else config
        super().__init__(spec, config, self._parts(spec, config))
        self.iterations, self.restarts = config.iterations, config.restarts
        self.tolerance, self.pseudo = config.tolerance, config.pseudo

    @staticmethod
    def _parts(spec: Spec, config: GaussianMixtureConfig) -> Components:
        count = config.components * (spec.classes or 1)
        if spec.levels is None:
            kind = "full" if config.covariance == "auto" else config.covariance
            return gaussian_components(count, spec.dims, kind, config.min_scale)
        if config.covariance not in ("auto", "diag"):
            raise ConfigError(
                f"covariance={config.covariance!r} needs real data, but the data are {spec}; "
                "levels take 'diag'"
            )
        return DiscretizedComponents(count, spec.dims, spec.levels, min_scale=config.min_scale)
