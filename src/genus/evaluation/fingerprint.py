"""The fingerprint of a sample block: figures compare only where it is the same."""

# Shapes: N examples.
from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence

import numpy as np
from torch import Tensor

from genus.errors import ConfigError

VERSION = 2
"""Of the figures: to be raised with every change that moves one of them."""


def fingerprint(
    *, nets: Sequence[str], n: int, digest: str, split: str, seed: int, rows: Sequence[Tensor]
) -> str:
    """Return a hash of all that a figure depends on besides the samples.

    Args:
        nets: fingerprints of the feature networks.
        n: how many samples are judged.
        digest: of the data.
        split: the held-out split.
        seed: picks rows, directions and bins.
        rows: the real examples ``(N, *shape)`` that samples are held against.

    Example:
        >>> import torch
        >>> given = dict(nets=["a"], n=5, digest="sha256:0", split="test", seed=0)
        >>> first, second = torch.zeros(2), torch.ones(2)
        >>> fingerprint(**given, rows=[first]) == fingerprint(**given, rows=[second])
        False
    """
    recipe = {
        "version": VERSION,
        "nets": list(nets),
        "n": n,
        "data": digest,
        "split": split,
        "seed": seed,
        "rows": [rows_digest(part) for part in rows],
    }
    return hashlib.sha256(json.dumps(recipe, sort_keys=True).encode()).hexdigest()[:16]


def check_same(found: Mapping[str, str | None]) -> None:
    """Raise unless all figures were measured alike.

    Args:
        found: fingerprints by the name of the model; None of a record from before there were any.

    Raises:
        ConfigError: there is more than one.

    Example:
        >>> check_same({"vae": "ab12", "gan": "ab12"})
        >>> check_same({"vae": "ab12", "gan": None})
        Traceback (most recent call last):
        ...
        genus.errors.ConfigError: sample figures compare only where networks, sample count, \
reference, split and version are the same; their fingerprints are vae: ab12, gan: none. Evaluate \
them again, all in one way
    """
    if len(set(found.values())) <= 1:
        return
    listed = ", ".join(f"{name}: {value or 'none'}" for name, value in found.items())
    raise ConfigError(
        "sample figures compare only where networks, sample count, reference, split and version "
        f"are the same; their fingerprints are {listed}. Evaluate them again, all in one way"
    )


def rows_digest(rows: Tensor) -> str:
    """Return a hash of examples ``(N, *shape)``."""
    # Levels hash alike whatever integer type holds them.
    content = rows.double().cpu() if rows.is_floating_point() else rows.long().cpu()
    values = np.ascontiguousarray(content.numpy())
    return hashlib.sha256(str(values.shape).encode() + values.tobytes()).hexdigest()
