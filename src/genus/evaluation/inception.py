r"""Inception features: those of the Frechet Inception distance, where the user has the network.

They are a third set of features beside those of the house, and never take their place. The network
is ``inception-v3-compat`` of torch-fidelity, which repeats TensorFlow's of 2015 with its resizing,
and its 2,048 features are left in their own unit. torch-fidelity is no dependency of genus: it is
used if it can be imported.

References:
    | Szegedy et al. (2015), Rethinking the Inception architecture, arXiv 1512.00567
    | Heusel et al. (2017), GANs trained by a two time-scale update rule, arXiv 1706.08500
    | Obukhov et al. (2020), torch-fidelity, doi 10.5281/zenodo.4957738
"""

# Shapes: B batch, C channels, H height, W width, F features.
from __future__ import annotations

import hashlib
import importlib
import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from genus.errors import ConfigError, DataError, SpecError
from genus.evaluation.features import FeatureNet, feature_nets
from genus.evaluation.inception_weights import digest_of, read_weights, weights_path
from genus.evaluation.nets import Scaler
from genus.spec import Spec

if TYPE_CHECKING:
    from genus.data import DataSet

NAME = "inception"
"""What the features are called in tables and files."""
LAYER = "2048"
CHUNK = 32
"""Images that go through at a time: they are resized to 299x299, which takes memory."""
VERSION = 1
"""Of what is done to images before the network; part of the fingerprint."""


def nets_for(
    data: DataSet, *, inception: bool = False, progress: Callable[[str], None] | None = None
) -> list[FeatureNet]:
    """Return the networks to judge samples by: those of the house, and Inception if asked for.

    Args:
        data: only its train split is read, and valid for an accuracy that is reported.
        inception: whether to add the Inception network; what it lacks is said before any work.
        progress: told what is being done, for long waits.

    Raises:
        ConfigError: torch-fidelity cannot be imported.
        DataError: the weights cannot be had.
        SpecError: the data are not images that the Inception network takes.
    """
    extra = [inception_net(data.spec, progress=progress)] if inception else []
    return [*feature_nets(data, progress=progress), *extra]


def check_has(nets: Sequence[FeatureNet], inception: bool) -> None:
    """Raise `ConfigError` if Inception features are asked for of networks that have none.

    Args:
        nets: the networks of a reference that is there already.
        inception: whether they are asked for.
    """
    if inception and all(net.name != NAME for net in nets):
        raise ConfigError(
            "inception=True, but the reference that is given has no Inception network; make it "
            "with inception=True"
        )


def inception_net(spec: Spec, *, progress: Callable[[str], None] | None = None) -> FeatureNet:
    """Return the Inception network as torch-fidelity has it, for images of a kind.

    Args:
        spec: of the images: 1 or 3 colours, with levels.
        progress: told before weights are fetched.

    Raises:
        ConfigError: torch-fidelity is not installed, or cannot be imported.
        DataError: the weights cannot be had, or are not those of this network.
        SpecError: the data are not such images.
    """
    check_images(spec)
    library = _library()
    path = weights_path(progress)
    weights, published = read_weights(path)
    net = _InceptionNet(_extractor(library, weights, str(path)))
    size = sum(p.numel() for p in net.parameters()) / 1e6
    whose = (
        "trained on photographs (ImageNet)"
        if published
        else f"from {path.name}, not the published ones: no figure of a paper compares with it"
    )
    description = (
        f"torch-fidelity's inception-v3-compat, {LAYER} features in their own unit, {size:.1f} "
        f"million weights {whose}; figures depend on the number of images"
    )
    fingerprint = _fingerprint(library, weights)
    return FeatureNet(NAME, description, fingerprint, net.eval(), Pixels(spec), 1.0, slow=True)


def check_images(spec: Spec) -> None:
    """Raise `SpecError` unless the data are images with levels and 1 or 3 colours.

    Example:
        >>> check_images(Spec(shape=(1, 8, 8), levels=17))
        >>> check_images(Spec(shape=(13,)))
        Traceback (most recent call last):
        ...
        genus.errors.SpecError: Inception features are of images with levels and 1 or 3 colours, \
but the data have shape=(13,) levels=None; leave them out
    """
    if spec.is_image and spec.is_discrete and spec.shape[0] in (1, 3):
        return
    raise SpecError(
        "Inception features are of images with levels and 1 or 3 colours, but the data have "
        f"shape={spec.shape} levels={spec.levels}; leave them out"
    )


class Pixels(Scaler):
    r"""From levels to what the network takes: bytes, in three colours.

    .. math:: \operatorname{round}(255\, x / (K - 1))

    Example:
        >>> x = torch.tensor([0, 1, 15, 16]).view(1, 1, 2, 2)
        >>> Pixels(Spec(shape=(1, 2, 2), levels=17))(x)[0].flatten(1).tolist()
        [[0, 16, 239, 255], [0, 16, 239, 255], [0, 16, 239, 255]]
    """

    def __call__(self, x: Tensor) -> Tensor:
        """Return ``(B, 3, H, W)`` in uint8; grey is repeated."""
        bytes_BCHW = (x.double() * 255 / (self.spec.levels_or_raise - 1)).round()
        return bytes_BCHW.to(torch.uint8).expand(-1, 3, -1, -1)


class _InceptionNet(nn.Module):
    """The extractor, a few images at a time."""

    def __init__(self, extractor: nn.Module) -> None:
        super().__init__()
        self.extractor = extractor

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Return features ``(B, F)`` of bytes ``(B, 3, H, W)``."""
        parts = [self.extractor(part)[0] for part in torch.split(x_BCHW.contiguous(), CHUNK)]
        return torch.cat(parts)


def _library() -> Any:
    """Return torch-fidelity, which only the user can have installed."""
    try:
        return importlib.import_module("torch_fidelity")
    except ModuleNotFoundError as error:
        if error.name == "torch_fidelity":
            raise ConfigError(
                "Inception features take torch-fidelity, which genus does not install because it "
                "brings torchvision; pip install torch-fidelity, with the torchvision that is "
                f"made for torch {torch.__version__}, or leave the Inception features out"
            ) from error
        reason: Exception = error
    except Exception as error:  # a torchvision of another build raises what it likes
        reason = error
    raise ConfigError(
        f"torch-fidelity is installed but cannot be imported ({type(reason).__name__}: {reason}); "
        f"most often torchvision is not the build that is made for torch {torch.__version__}: "
        "install that one, or leave the Inception features out"
    ) from reason


def _extractor(library: Any, weights: dict[str, Tensor], source: str) -> nn.Module:
    """Return the network with these weights.

    torch-fidelity would load any pickle and so run what is in it. It is given one that was written
    here, from tensors alone.
    """
    safe = io.BytesIO()
    torch.save(weights, safe)
    safe.seek(0)
    try:
        with torch.random.fork_rng(devices=[]):  # modules draw weights before ours replace them
            net: nn.Module = library.FeatureExtractorInceptionV3(
                "inception-v3-compat", [LAYER], feature_extractor_weights_path=safe
            )
    except (RuntimeError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(
            f"{source} does not hold the weights of torch-fidelity's Inception network ({reason})"
        ) from error
    return net


def _fingerprint(library: Any, weights: dict[str, Tensor]) -> str:
    """Return a hash of the weights and of what is done to images before and in the network."""
    version = getattr(library, "__version__", "unknown")
    recipe = f"{VERSION} torch-fidelity {version} layer {LAYER} {digest_of(weights)}"
    return hashlib.sha256(recipe.encode()).hexdigest()[:12]
