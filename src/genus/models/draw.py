r"""DRAW: an image is painted on a canvas, a stroke at a time, and read again between the strokes.

.. math:: \hat x_t = x - \sigma(c_{t-1}), \quad r_t = \mathrm{read}(x, \hat x_t, h^d_{t-1}), \quad
    h^e_t = \mathrm{LSTM}([r_t, h^d_{t-1}])

.. math:: z_t \sim N(\mu(h^e_t), \sigma^2(h^e_t)), \quad h^d_t = \mathrm{LSTM}(z_t), \quad
    c_t = c_{t-1} + \mathrm{write}(h^d_t), \quad x \sim p(x \mid c_T)

With attention, reading and writing go through a grid of Gaussian filters that the decoder places
(Gregor et al. 2015, equations 22 to 27); without it they see the whole image.

References:
    | DRAW: A Recurrent Neural Network For Image Generation (Gregor et al., 2015)
    | https://arxiv.org/abs/1502.04623
"""

# Shapes: N rows, C H W an image, M points of the grid in each direction, U hidden units, Z latents,
# P parameters of one entry, T strokes.
from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from genus.config import check_positive
from genus.distributions import DiagonalGaussian, Likelihood, LikelihoodName
from genus.distributions.likelihoods import Law
from genus.errors import ConfigError
from genus.families.bound_loss import BoundOptions
from genus.families.sequential_latent import Choose, Observed, SequentialLatent
from genus.nn.glimpse import Glimpse
from genus.nn.standardised import Standardised
from genus.registry import register
from genus.spec import Spec


@register("draw")
class DRAW(SequentialLatent):
    """A recurrent encoder and a recurrent decoder that meet at every stroke.

    Args:
        spec: images of levels.
        config: see `DRAW.Config`.

    Raises:
        SpecError: the data are no images, or real numbers.

    Example:
        >>> spec = Spec(shape=(1, 8, 8), levels=2)
        >>> model = DRAW(spec, DRAW.Config(strokes=3, hidden=16, latents=2))
        >>> model.elbo(model.sample(2)).kl.shape, model.latent_size
        (torch.Size([2, 3]), 6)
    """

    @dataclass(frozen=True, kw_only=True)
    class Config(BoundOptions):
        """Options of DRAW; the paper's model of MNIST has 64 strokes, 256 units, 100 latents."""

        strokes: int = 16
        """T, strokes."""
        hidden: int = 256
        """U, units of both LSTMs."""
        latents: int = 16
        """Z, latents of a stroke."""
        attention: bool = True
        """Whether to read and write through a grid of filters, or the whole image."""
        read: int = 5
        """M, points of the grid of reading in each direction."""
        write: int = 5
        """M, points of the grid of writing in each direction."""
        likelihood: LikelihoodName = "auto"
        """Law of an entry: bernoulli, categorical or logistic (discretized)."""

        def __post_init__(self) -> None:
            super().__post_init__()
            check_positive(self, "strokes", "hidden", "latents", "read", "write")
            if self.objective == "dreg":
                raise ConfigError(
                    "objective='dreg' is for one group of latents; take 'elbo' or 'iwae'"
                )

    config: Config
    batch_size = 32
    learning_rate = 3e-3
    tiny: ClassVar[dict[str, Any]] = {
        "strokes": 2, "hidden": 6, "latents": 1, "read": 2, "write": 2,
    }  # fmt: skip
    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "mnist": {"strokes": 64, "hidden": 256, "latents": 100, "read": 2, "write": 5}
    }

    def __init__(self, spec: Spec, config: Config | None = None) -> None:
        super().__init__(spec, config)
        c = self.config
        self.likelihood = Likelihood(c.likelihood, spec)
        self.standardised = Standardised(spec)
        self.splits = [c.latents] * c.strokes
        C, P, U = spec.shape[0], self.likelihood.width, c.hidden
        size = (spec.shape[1], spec.shape[2])
        self.reader = Glimpse(U, size, c.read if c.attention else None)
        self.writer = Glimpse(U, size, c.write if c.attention else None)
        labels = spec.classes or 0
        self.encoder = nn.LSTMCell(2 * C * self.reader.points + U + labels, U)
        self.decoder = nn.LSTMCell(c.latents, U)
        self.posterior = nn.Linear(U, 2 * c.latents)
        self.stroke = nn.Linear(U, C * P * self.writer.points)
        self.start_1U = nn.Parameter(torch.zeros(1, U))
        self.canvas = nn.Parameter(torch.zeros(1, C * P, *size))
        self.label = nn.Embedding(labels, C * P * size[0] * size[1]) if labels else None

    @classmethod
    def check_spec(cls, spec: Spec) -> None:
        """Raise `SpecError` unless the data are images of levels."""
        cls.require(spec.is_image and spec.is_discrete, "images of levels", spec)

    def law(self, canvas: Tensor) -> Law:
        """Return the law of the entries that a canvas ``(N, C * P, H, W)`` stands for."""
        C, H, W = self.spec.shape
        parameters = canvas.view(len(canvas), C, self.likelihood.width, H, W).movedim(2, -1)
        return self.likelihood(parameters)

    def walk(self, rows: int, y: Tensor | None, choose: Choose) -> Law:
        """Return the law of the entries, with the latents of each stroke chosen on the way."""
        h_NU = self.start_1U.expand(rows, -1)
        c_NU = torch.zeros_like(h_NU)
        canvas = self.canvas.expand(rows, -1, -1, -1)
        zero_NZ = h_NU.new_zeros(rows, self.config.latents)
        prior = DiagonalGaussian(zero_NZ, zero_NZ)
        for stroke in range(self.config.strokes):
            z_NZ = choose(stroke, (h_NU, canvas), prior)
            h_NU, c_NU = self.decoder(z_NZ, (h_NU, c_NU))
            patch = self.stroke(h_NU).view(rows, canvas.shape[1], self.writer.points)
            canvas = canvas + self.writer.paint(patch, h_NU)
        if self.label is not None:
            self.require(y is not None, "labels y here", self.spec)
            canvas = canvas + self.label(y).view_as(canvas)
        return self.law(canvas.to(self.dtype))

    def observe(self, x: Tensor, y: Tensor | None) -> Callable[[int], Observed]:
        """Return what gives a way the examples, to be read before each stroke."""
        u_BCHW = self.standardised(x)
        label_BY = None
        if self.spec.classes is not None:
            self.require(y is not None, "labels y here", self.spec)
            assert y is not None
            label_BY = nn.functional.one_hot(y, self.spec.classes).to(self.dtype)

        def observed(k: int) -> Observed:
            each = (None if t is None else t.repeat_interleave(k, 0) for t in (u_BCHW, label_BY))
            return _Reading(self, *each)  # type: ignore[arg-type]

        return observed


class _Reading:
    """Examples that are read stroke by stroke, with the encoder's memory of it."""

    def __init__(self, model: DRAW, u_NCHW: Tensor, label_NY: Tensor | None) -> None:
        self.model, self.u_NCHW, self.label_NY = model, u_NCHW, label_NY
        zero_NU = u_NCHW.new_zeros(len(u_NCHW), model.config.hidden)
        self.memory = (zero_NU, zero_NU)

    def posterior(
        self, group: int, state: tuple[Tensor, Tensor], prior: DiagonalGaussian
    ) -> DiagonalGaussian:
        """Read the example and what the canvas lacks of it, and return the posterior."""
        h_NU, canvas = state
        model = self.model
        lacking = self.u_NCHW - model.standardised(model.law(canvas.to(model.dtype)).mean)
        both = torch.cat([self.u_NCHW, lacking], 1)
        seen = [model.reader.look(both, h_NU).flatten(1), h_NU]
        if self.label_NY is not None:
            seen.append(self.label_NY)
        self.memory = model.encoder(
            torch.cat([part.to(model.dtype) for part in seen], 1), self.memory
        )
        mean_NZ, log_scale_NZ = model.posterior(self.memory[0]).to(model.dtype).chunk(2, 1)
        return DiagonalGaussian(mean_NZ, log_scale_NZ.clamp(-7, 7))
