r"""How many of a thousand kinds a model makes, told by a classifier of the parts.

Of data whose channels are images of their own, as the digits of ``stacked-mnist`` are, a kind is
what the channels spell. A model that collapses makes few of them:

.. math:: \#\{k : n_k > 0\}, \qquad \mathrm{KL} = \sum_k \frac{n_k}{n} \log \frac{n_k / n}{q_k}

with the counts :math:`n_k` of the samples and the shares :math:`q_k` of the training data.

References:
    | Unrolled Generative Adversarial Networks (Metz et al., 2017), https://arxiv.org/abs/1611.02163
    | VEEGAN: Reducing Mode Collapse in GANs (Srivastava et al., 2017), arXiv 1705.07761
    | PacGAN: The power of two samples (Lin et al., 2018), arXiv 1712.04086
"""

# Shapes: N examples, C channels, K kinds.
from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from genus.data import ArraySplit
from genus.errors import SpecError
from genus.evaluation.features import Recipe, classify, descend_labels
from genus.evaluation.nets import Scaler, make_head, make_trunk
from genus.evaluation.rows import choose, read
from genus.spec import Spec

if TYPE_CHECKING:
    from genus.data import DataSet

RECIPE = Recipe(width=32, steps=2000)
"""How the classifier of a channel is trained: about a minute."""
ROWS = 20_000
"""Training examples whose channels it learns from."""


@dataclass(frozen=True)
class Modes:
    """The kinds among some samples.

    Args:
        n: samples.
        found: kinds of which there is one at least.
        of: kinds that there are.
        divergence: KL of the samples' kinds from the training data's, in nats.
    """

    n: int
    found: int
    of: int
    divergence: float


class ModeCounter:
    """Counts kinds by a classifier that it trains on the channels of the training split.

    Args:
        data: labelled by what the channels spell, the first channel being the first digit.
        recipe: of the classifier.

    Attributes:
        accuracy: of the classifier, on single channels of the valid split.

    Raises:
        SpecError: the labels are not what C channels spell in some base.
    """

    def __init__(self, data: DataSet, recipe: Recipe = RECIPE) -> None:
        self.data, self.spec = data, data.spec
        self.channels, self.base = self.spec.shape[0], _base(self.spec)
        single = Spec((1, *self.spec.shape[1:]), self.spec.levels, self.base)
        self.scaler = Scaler(single)
        trunk = make_trunk(single, recipe.width, recipe.seed)
        head = make_head(self.base, 0, recipe.seed + 1)
        x, y = self._split("train", ROWS)
        descend_labels(trunk, head, ArraySplit(x, y), torch.arange(len(x)), recipe, self.scaler)
        self.net = nn.Sequential(trunk, head).eval()
        x, y = self._split("valid", ROWS)
        self.accuracy = float((classify(self.net, self.scaler, x) == y).double().mean())
        counts = torch.from_numpy(data.class_counts("train")).double()
        self.share_K = counts / counts.sum()

    def _split(self, name: str, most: int) -> tuple[Tensor, Tensor]:
        """Return the channels of some examples as images of their own, and their digits."""
        split = self.data.split(name)
        batch = read(split, choose(len(split), most, seed=0))
        assert batch.y is not None
        powers = self.base ** torch.arange(self.channels - 1, -1, -1)
        digits_NC = batch.y[:, None] // powers % self.base
        return batch.x.flatten(0, 1)[:, None], digits_NC.flatten()

    def kinds(self, x: Tensor) -> Tensor:
        """Return the kind of each example ``(N, C, H, W)``, from 0.

        Raises:
            SpecError: the examples do not fit the data.
        """
        self.spec.check(x)
        digits_NC = classify(self.net, self.scaler, x.flatten(0, 1)[:, None]).view(len(x), -1)
        powers = self.base ** torch.arange(self.channels - 1, -1, -1)
        return (digits_NC * powers).sum(1)

    def __call__(self, x: Tensor) -> Modes:
        """Return how many kinds there are among examples ``(N, C, H, W)``.

        Raises:
            SpecError: the examples do not fit the data, or there are none.
        """
        if not len(x):
            raise SpecError("there are no samples to count the kinds of")
        counts_K = torch.bincount(self.kinds(x), minlength=self.base**self.channels).double()
        p_K = counts_K / len(x)
        # A kind that the training data lack altogether counts as one example of them.
        q_K = self.share_K.clamp(min=1 / len(self.data.train))
        divergence = float((torch.xlogy(p_K, p_K) - torch.xlogy(p_K, q_K)).sum())
        return Modes(len(x), int((counts_K > 0).sum()), len(p_K), divergence)


def _base(spec: Spec) -> int:
    """Return how many kinds a channel has.

    Raises:
        SpecError: there is no such number.
    """
    channels = spec.shape[0] if spec.is_image and spec.is_discrete else 0
    base: int = round((spec.classes or 0) ** (1 / max(1, channels)))
    if channels < 2 or base < 2 or base**channels != spec.classes:
        raise SpecError(
            "modes are counted on images of levels whose labels are spelled by their channels, as "
            f"those of stacked-mnist are; the data are {spec}"
        )
    return base
