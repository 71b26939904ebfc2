"""Naive Bayes: classes, and entries that do not depend on each other once the class is known.

References:
    | Pattern Classification and Scene Analysis (Duda and Hart, 1973)
    | On Discriminative vs. Generative Classifiers (Ng and Jordan, NIPS 2001)
"""

from __future__ import annotations

from genus.families.factorised import Factorised, FactorisedConfig
from genus.registry import register
from genus.spec import Spec


@register("naive-bayes")
class NaiveBayes(Factorised):
    r"""Class frequencies, and for each class the relative frequencies of levels at each entry.

    .. math:: p(x, y) = p(y) \prod_d p_d(x_d \mid y), \qquad
        p(y \mid x) = \frac{p(x, y)}{\sum_{y'} p(x, y')}

    Levels are Bernoulli or categorical columns, smoothed by :math:`\alpha`; real columns are
    Gaussian. It is a density and not only a classifier: it gives ``log_prob(x)`` (the mixture over
    classes), ``log_prob(x, y)``, ``class_log_prob``, samples, completions and, with entries that
    are missing, ``marginal_log_prob``. ``features`` is the posterior of the class.

    Args:
        spec: any data with classes.
        config: a `FactorisedConfig`.

    Raises:
        SpecError: the data have no classes.

    Example:
        >>> import torch
        >>> from genus.spec import Batch
        >>> model = NaiveBayes(Spec(shape=(2,), levels=2, classes=2), FactorisedConfig(alpha=1))
        >>> x, y = torch.tensor([[0, 0], [0, 1], [1, 1], [1, 1]]), torch.tensor([0, 0, 1, 1])
        >>> model.fit(lambda: [Batch(x, y)])
        >>> model.class_log_prob(x[:1]).exp()  # 3/4 * 1/2 against 1/4 * 1/4
        tensor([[0.8571, 0.1429]])
    """

    Config = FactorisedConfig

    @classmethod
    def check_spec(cls, spec: Spec) -> None:
        """Raise `SpecError` unless there are classes."""
        cls.require(spec.classes is not None, "data with classes (labels to learn)", spec)
