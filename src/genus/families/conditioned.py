r"""Pixel networks given a map: images drawn pixel after pixel from what something else knows.

.. math:: p(x \mid m) = \prod_i p(x_i \mid x_{<i}, m)

With the map of a decoder it is PixelVAE: latents say what the image is about, and pixels settle
among themselves what the latents leave open.

References:
    | PixelVAE: A Latent Variable Model for Natural Images (Gulrajani et al., 2016)
    | https://arxiv.org/abs/1611.05013
"""

# Shapes: N rows, C H W an image, G features of the map.
from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor, nn

from genus import registry
from genus.config import check_positive
from genus.distributions.likelihoods import Law, Likelihood
from genus.distributions.ordered import ExampleLaw, OrderedLaw
from genus.distributions.pixel_law import pixel_law
from genus.distributions.pixel_mixture import PixelMixture
from genus.errors import ConfigError, SpecError
from genus.families.base import Model
from genus.families.pixel import PixelNetwork, PixelStream
from genus.families.whole_pixel import WholePixelNetwork
from genus.spec import Batch, Spec

DecoderLikelihood = Literal["auto", "bernoulli", "categorical", "logistic", "mixture", "gaussian"]
DecoderName = Literal[
    "independent",
    "pixelcnn",
    "gated-pixelcnn",
    "pixelcnn++",
    "pixelsnail",
    "row-lstm",
    "diagonal-bilstm",
]
NetworkLaw = Literal["auto", "mixture"]
BLOCK = 256
"""Rows that are scored at a time where no gradient is wanted, a bound on memory."""


def some_network(
    option: str, name: str, spec: Spec, *, law: NetworkLaw = "auto", **options: Any
) -> Model:
    """Return a model with those of the options that it has.

    Args:
        option: the user's name for this choice.
        name: of the model.
        spec: what the data are.
        law: a free probability for each level, or a mixture over the colours of a pixel.
        options: of the model; those that it does not have are left out. ``layers`` are blocks
            where a network has nothing else.

    Raises:
        ConfigError: no such model, or it has no such law.
    """
    cls = registry.get(name)
    known = cls.Config.__dataclass_fields__
    if "layers" in options and "layers" not in known:
        options["blocks"] = options["layers"]
    chosen = {key: value for key, value in options.items() if key in known}
    if issubclass(cls, WholePixelNetwork):
        chosen["likelihood"] = cls.free_law if law == "auto" else law
    elif law == "mixture":
        raise ConfigError(
            f"{option}={name!r} has no mixture over the colours of a pixel; choose from: "
            f"{_names_of(WholePixelNetwork)}, or leave the likelihood at 'auto'"
        )
    return registry.create(name, spec, **chosen)


def _names_of(kind: type[Model]) -> str:
    """Return the names of all registered models of a kind."""
    return ", ".join(n for n, cls in registry.list_models().items() if issubclass(cls, kind))


def network_given_map(
    option: str, name: str, spec: Spec, conditioning: int, **options: Any
) -> PixelNetwork:
    """Return a pixel network that is conditioned on a map.

    Args:
        option: the user's name for this choice.
        name: of the network.
        spec: images with levels.
        conditioning: features of the map.
        options: of the network and its law, as for `some_network`.

    Raises:
        ConfigError: no such model, or it cannot be conditioned on a map, or has no such law.
    """
    cls = registry.get(name)
    if not issubclass(cls, PixelNetwork):
        raise ConfigError(
            f"{option}={name!r} cannot be conditioned on an image; choose from: "
            f"{_names_of(PixelNetwork)}"
        )
    network = some_network(option, name, spec, **options)
    assert isinstance(network, PixelNetwork)
    network.condition_on(conditioning)
    return network


def begin(network: Model, batch: Batch, *given: Tensor) -> None:
    """Let a network take from a first batch what it wants of it.

    Args:
        network: any model.
        batch: examples.
        given: the map that it is conditioned on, if it is.
    """
    take = getattr(type(network), "initialise", None)
    if take is not None:
        take(network, batch, *given)


@dataclass(frozen=True, kw_only=True)
class DecoderOptions:
    """What gives the entries their laws: options of a latent-variable model."""

    likelihood: DecoderLikelihood = "auto"
    """Law of an entry: bernoulli, categorical, logistic (discretized) or gaussian; or mixture, of
    discretized logistics over the colours of a pixel together."""
    mixtures: int = 10
    """Components of likelihood='mixture'."""
    decoder: DecoderName = "independent"
    """Independent laws given the latents, or a pixel network that sees earlier pixels as well."""
    decoder_features: int = 64
    """Features of a map of that pixel network."""
    decoder_layers: int = 2
    """Layers of that pixel network; the fewer, the more is left to the latents."""
    conditioning: int = 32
    """Features of the map that tells that pixel network of the latents."""

    @property
    def decoded_numbers(self) -> int:
        """Numbers of one entry that a decoding holds."""
        if self.decoder != "independent":
            return self.conditioning
        return 3 * self.mixtures if self.likelihood == "mixture" else 1

    def check_decoder(self) -> None:
        """Raise `ConfigError` unless the numbers are positive."""
        check_positive(self, "decoder_features", "decoder_layers", "conditioning", "mixtures")

    def likelihood_of(self, spec: Spec) -> Likelihood:
        """Return the likelihood that was chosen.

        Args:
            spec: what the data are.

        Raises:
            SpecError: it does not fit them.
        """
        if self.likelihood != "mixture":
            return Likelihood(self.likelihood, spec)
        if not (spec.is_image and spec.is_discrete):
            raise SpecError(
                f"likelihood='mixture' is one law for the colours of a pixel and needs images "
                f"(C, H, W) with levels, but the data are {spec}; leave the likelihood at 'auto'"
            )
        return PixelMixture("logistic", spec, self.mixtures)

    def pixel_decoder(
        self, likelihood: Likelihood, dropout: float
    ) -> PixelDecoder | MixtureDecoder | None:
        """Return what makes a law of a decoder's map, where that is not done entry by entry.

        Args:
            likelihood: of the model, on its data.
            dropout: share of the network's features dropped in training.

        Raises:
            ConfigError: the network has another likelihood, or too few features for its colours.
            SpecError: the data are not images with levels.
        """
        if self.decoder == "independent":
            return MixtureDecoder(likelihood) if isinstance(likelihood, PixelMixture) else None
        spec, sizes = likelihood.spec, {"layers": self.decoder_layers, "dropout": dropout}
        if not (spec.is_image and spec.is_discrete):
            raise SpecError(
                f"decoder={self.decoder!r} needs images (C, H, W) with levels, but the data are "
                f"{spec}; leave the decoder at 'independent'"
            )
        options = {"features": self.decoder_features, **sizes, "mixtures": self.mixtures}
        law = "mixture" if self.likelihood == "mixture" else "auto"
        decoder = PixelDecoder(spec, self.decoder, self.conditioning, law=law, **options)
        if decoder.network.likelihood.name != likelihood.name:
            raise ConfigError(
                f"likelihood={self.likelihood!r} is for decoder='independent'; the pixel network "
                f"has {decoder.network.likelihood.name!r} here, leave the likelihood at 'auto'"
            )
        return decoder


class MixtureDecoder(nn.Module):
    """The end of a decoder whose map says the mixture over the colours of each pixel.

    Args:
        mixture: the law; `given`, the features of the map, are its outputs.

    Example:
        >>> decoder = MixtureDecoder(PixelMixture("logistic", Spec(shape=(3, 4, 5), levels=8), 2))
        >>> law = decoder(torch.zeros(2, decoder.given, 4, 5))
        >>> law.log_prob(law.icdf(torch.rand(2, 3, 4, 5))).shape
        torch.Size([2, 3, 4, 5])
    """

    def __init__(self, mixture: PixelMixture) -> None:
        super().__init__()
        self.mixture, self.given = mixture, mixture.outputs

    def forward(self, given_NGHW: Tensor) -> ExampleLaw:
        """Return the law of images ``(N, C, H, W)`` given a map for each."""
        return pixel_law(self.mixture, given_NGHW)


class PixelDecoder(nn.Module):
    """A pixel network at the end of a decoder.

    It takes no labels: what the class says must be in the map.

    Args:
        spec: images ``(C, H, W)`` with levels.
        name: of the network.
        conditioning: G, features of the map.
        options: of the network; those that it does not have are left out.

    Raises:
        ConfigError: no such network, or it cannot be conditioned on a map.
        SpecError: the data are not images with levels.

    Example:
        >>> decoder = PixelDecoder(Spec(shape=(1, 4, 5), levels=2), "pixelcnn", 3, layers=1)
        >>> law = decoder(torch.zeros(2, 3, 4, 5))
        >>> law.log_prob(law.icdf(torch.rand(2, 1, 4, 5))).shape
        torch.Size([2, 1, 4, 5])
    """

    def __init__(self, spec: Spec, name: str, conditioning: int, **options: Any) -> None:
        super().__init__()
        features = options.get("features")
        if spec.is_image and features is not None and features < 2 * spec.shape[0]:
            raise ConfigError(
                f"decoder_features={features} must be at least {2 * spec.shape[0]}, twice the "
                "colours of an image"
            )
        self.given = conditioning
        self.network = network_given_map(
            "decoder", name, replace(spec, classes=None), conditioning, **options
        )

    def forward(self, given_NGHW: Tensor) -> OrderedLaw:
        """Return the law of images ``(N, C, H, W)`` given a map for each."""
        return OrderedLaw(
            conditionals=lambda x: self._conditionals(x, given_NGHW),
            stream=lambda: self._stream(given_NGHW),
            order=self.network.indices(),
            shape=(len(given_NGHW), *self.network.spec.shape),
            device=given_NGHW.device,
        )

    def initialise(self, batch: Batch) -> None:
        """Let the network take from a first batch what it wants of it, by a map of nothing."""
        x = batch.x
        nothing = x.new_zeros(len(x), self.given, *x.shape[2:], dtype=self.network.dtype)
        begin(self.network, Batch(x), nothing)

    def _conditionals(self, x: Tensor, given_NGHW: Tensor) -> Law:
        rows = len(x) if torch.is_grad_enabled() else BLOCK
        pairs = zip(torch.split(x, rows), torch.split(given_NGHW, rows), strict=True)
        network = self.network
        parts = [
            network.parameters_of(network.scaled(some), None, None, given) for some, given in pairs
        ]
        return network.likelihood(torch.cat(parts))

    def _stream(self, given_NGHW: Tensor) -> PixelStream:
        stream = self.network.stream(len(given_NGHW))
        self.network.condition(stream.cursor, given_NGHW)
        return stream
