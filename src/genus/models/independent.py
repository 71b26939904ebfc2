"""Every entry on its own: the baseline that any model of structure must beat.

References:
    | Idiot's Bayes: Not So Stupid After All? (Hand and Yu, 2001)
    | https://doi.org/10.1111/j.1751-5823.2001.tb00465.x
"""

from __future__ import annotations

from genus.families.factorised import Factorised, FactorisedConfig
from genus.registry import register


@register("independent")
class Independent(Factorised):
    r"""A free categorical for every position, or a Gaussian for every column.

    .. math:: p(x) = \prod_d p_d(x_d), \qquad p_d(l) = \frac{n_{dl} + \alpha}{n + \alpha L}

    With classes each has entries of its own, :math:`p(x \mid y)`, and it is the same law as
    ``naive-bayes``, which insists on them. It is fitted in one pass.

    Args:
        spec: any data.
        config: a `FactorisedConfig`.

    Example:
        >>> import torch
        >>> from genus.spec import Batch, Spec
        >>> model = Independent(Spec(shape=(2,), levels=3))
        >>> model.fit(lambda: [Batch(torch.tensor([[0, 2], [0, 1]]))])
        >>> model.log_prob(torch.tensor([[0, 2], [2, 0]])).exp()
        tensor([0.4367, 0.0019])
    """

    Config = FactorisedConfig
    representative = True
