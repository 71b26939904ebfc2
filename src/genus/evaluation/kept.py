"""Features of real examples, kept between sessions where they take minutes."""

# Shapes: N examples, D features.
from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from genus.evaluation import cache
from genus.evaluation.features import FeatureNet
from genus.evaluation.fingerprint import rows_digest


def kept_features(
    net: FeatureNet, x: Tensor, *, progress: Callable[[str], None] | None = None
) -> Tensor:
    """Return the features ``(N, D)`` of examples ``(N, *shape)``, computed once if they are slow.

    They are found again by the fingerprint of the network and the hash of the examples.

    Args:
        net: any feature network.
        x: real examples; samples, which come once, are not worth the room.
        progress: told what takes long.
    """
    if not net.slow:
        return net(x)
    key = cache.key_of({"net": net.fingerprint, "rows": rows_digest(x)})
    found = cache.load("real-features", key)
    if found is not None:
        return found[0]["features"].double()
    if progress is not None:
        progress(f"taking the {net.name} features of {len(x)} real examples")
    features = net(x).float()  # what the network gives: half the room, and nothing lost
    cache.store("real-features", key, {"features": features}, {"net": net.description})
    return features.double()
