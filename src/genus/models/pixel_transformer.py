r"""Pixel transformer: a causal transformer over the sub-pixels of an image, or any sequence.

.. math:: p(x) = \prod_t p(x_t \mid x_{<t}), \qquad
    p(x_t \mid x_{<t}) = \mathrm{law}\big(W\, \mathrm{norm}(h_t)\big)

where :math:`h` is the output of a transformer whose input at position t is the value before it.

References:
    | Generative Pretraining from Pixels (Chen et al., ICML 2020)
    | Image Transformer (Parmar et al., 2018), https://arxiv.org/abs/1802.05751
    | Generating Long Sequences with Sparse Transformers (Child et al., 2019)
    | https://arxiv.org/abs/1904.10509
"""

# Shapes: B batch, n samples, T positions in order, F features, P parameters of one entry.
from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from genus.capabilities import Stream
from genus.config import check_positive, check_share
from genus.distributions.likelihoods import Law, Likelihood
from genus.errors import ConfigError
from genus.families.autoregressive import Autoregressive
from genus.families.pixel import SMALL
from genus.nn.cursor import Cursor
from genus.nn.embedding import LevelEmbedding, NumberEmbedding, standard_mixture
from genus.nn.transformer import Decoder
from genus.registry import register
from genus.spec import Batch, Spec


@register("pixel-transformer")
class PixelTransformer(Autoregressive):
    """Self-attention over all earlier sub-pixels, row by row and colour by colour.

    Each entry is a position, so it sees every entry before it from the first layer on. A pass
    takes time that grows with the square of ``dims``: it is meant for some thousand entries.

    A stream keeps keys and values of all positions, ``2 * layers * features * dims`` numbers for
    each example, made at the start: 1.6 MB for a 28x28 image with the default options.

    Args:
        spec: any data.
        config: see `PixelTransformer.Config`.

    Example:
        >>> from genus import Spec
        >>> config = PixelTransformer.Config(features=16, layers=1)
        >>> model = PixelTransformer(Spec(shape=(3, 4, 5), levels=4), config)
        >>> model.log_prob(model.sample(2)).shape
        torch.Size([2])
    """

    @dataclass(frozen=True, kw_only=True)
    class Config:
        """Options of the pixel transformer; its presets are the sizes of published models."""

        features: int = 64
        """Features of a position, a multiple of the heads."""
        layers: int = 4
        """Layers of attention and perceptron."""
        heads: int = 2
        """Heads of attention in each layer; on a processor, few large ones are faster."""
        expansion: int = 4
        """Hidden units of the perceptrons, in multiples of the features."""
        positions: Literal["learned", "rotary"] = "learned"
        """A learned vector for each row, column and colour, or queries and keys that are turned
        by row and column, so that attention depends on distances, and a vector for each colour."""
        components: int = 5
        """Gaussians in the law of a real number."""
        dropout: float = 0.0
        """Share of the inputs, and of each layer's outputs, dropped in training."""

        def __post_init__(self) -> None:
            check_positive(self, "features", "layers", "heads", "expansion", "components")
            check_share(self, "dropout")
            # Rotary keys hold pairs of features for each of two coordinates.
            unit = self.heads * (4 if self.positions == "rotary" else 1)
            if self.features % unit:
                raise ConfigError(
                    f"features={self.features} must be a multiple of {unit} with "
                    f"heads={self.heads} and positions={self.positions!r}"
                )

    config: Config
    learning_rate = 2e-3
    batch_size = 16
    tiny: ClassVar[dict[str, Any]] = {"features": 8, "layers": 2, "heads": 2, "expansion": 2}
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "cifar10": {"features": 256, "layers": 128, "expansion": 2, "dropout": 0.25},
        "imagenet64": {"features": 512, "layers": 48, "heads": 16, "dropout": 0.01},
        "igpt-s": {"features": 512, "layers": 24, "heads": 8},
        "igpt-m": {"features": 1024, "layers": 36, "heads": 8},
        "igpt-l": {"features": 1536, "layers": 48, "heads": 16},
    }
    """Of Child et al. (data sets; sparse attention there), Chen et al. (a symbol for a pixel)."""
    index_T: Tensor

    def __init__(self, spec: Spec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        options, D, F = self.config, spec.dims, self.config.features
        grid, C = (spec.shape[1:], spec.shape[0]) if spec.is_image else (spec.shape, 1)
        self.values: LevelEmbedding | NumberEmbedding = (
            LevelEmbedding(spec.levels, C, F) if spec.levels else NumberEmbedding(D, F)
        )
        self.decoder = Decoder(
            grid,
            C,
            spec.classes,
            features=F,
            layers=options.layers,
            heads=options.heads,
            expansion=options.expansion,
            rotary=options.positions == "rotary",
            dropout=options.dropout,
        )
        if not spec.is_discrete:
            self.likelihood = Likelihood("gaussian-mixture", spec, options.components)
        self.head = nn.Linear(F, self.likelihood.width)
        self.head.weight.data.zero_()  # as in the first paper: begin with no opinion
        begin = 0.0 if spec.is_discrete else standard_mixture(options.components)
        self.head.bias.data.zero_().add_(begin)
        self.register_buffer("index_T", torch.arange(D), persistent=False)

    @classmethod
    def suited(cls, spec: Spec, examples: int) -> dict[str, Any]:
        """Return dropout for small sets, which the model learns by heart otherwise."""
        return {"dropout": 0.2} if examples < SMALL else {}

    def initialise(self, batch: Batch) -> None:
        """Take the location and scale of real data from a first batch; levels need neither."""
        if isinstance(self.values, NumberEmbedding):
            self.values.standardise(batch.x.flatten(1))

    def parameters_of(self, u: Tensor, y: Tensor | None) -> Tensor:
        """Return the parameters of every conditional, ``(B, *shape, P)``."""
        out_BTP = self.law_parameters(self.hidden(u, y), self.index_T)
        if not self.spec.is_image:
            return out_BTP
        C, H, W = self.spec.shape
        return out_BTP.view(len(u), H, W, C, out_BTP.shape[2]).permute(0, 3, 1, 2, 4)

    def hidden(self, u: Tensor, y: Tensor | None) -> Tensor:
        """Return ``(B, T, F)``, the decoder's output at every position in order."""
        u_BT = (u.permute(0, 2, 3, 1) if self.spec.is_image else u).flatten(1)
        before_BTF = pad(self.values(u_BT[:, :-1], self.index_T[:-1]), (0, 0, 1, 0))
        out_BTF: Tensor = self.decoder(before_BTF, y)
        return out_BTF

    def law_parameters(self, x_BTF: Tensor, index_T: Tensor) -> Tensor:
        """Return the parameters ``(B, T, P)`` of the entries at positions ``index_T``."""
        return self.values.in_data_units(self.head(x_BTF), index_T)

    def stream(self, n: int, y: Tensor | None = None) -> Stream:
        """Return the conditionals one at a time, with keys and values of earlier ones kept."""
        return TokenStream(self, n, y)

    def features(self, x: Tensor) -> Tensor:
        """Return ``(B, F)``, the last layer's output averaged over positions, without a class."""
        self.check_inputs(x, None)
        return self.hidden(self.scaled(x), None).mean(1)


class TokenStream:
    """Conditionals of a transformer that runs at one position, with cached keys and values.

    Args:
        model: the transformer.
        n: number of examples.
        y: ``(n,)`` labels, or None.
    """

    def __init__(self, model: PixelTransformer, n: int, y: Tensor | None) -> None:
        self.model, self.y, self.cursor = model, y, Cursor(1, model.spec.dims)
        self.before_B1F = model.head.weight.new_zeros(n, 1, model.config.features)

    def next(self) -> Law:
        """Return the law ``(n,)`` of the next entry."""
        x_B1F = self.model.decoder(self.before_B1F, self.y, self.cursor)
        return self.model.likelihood(self.model.law_parameters(x_B1F, self._here())[:, 0])

    def push(self, value: Tensor) -> None:
        """Fix the entry and advance."""
        self.before_B1F = self.model.values(self.model.scaled(value)[:, None], self._here())
        self.cursor.advance()

    def select(self, index_B: Tensor) -> None:
        """Rearrange the batch: row i goes on from what row ``index_B[i]`` has been given so far."""
        self.before_B1F = self.before_B1F[index_B]
        self.y = None if self.y is None else self.y[index_B]
        self.cursor.select(index_B)

    def _here(self) -> Tensor:
        return self.model.index_T[self.cursor.column, None]
