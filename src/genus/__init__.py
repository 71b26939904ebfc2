"""genus: one toolkit for every family of generative model.

Example:
    >>> import genus
    >>> spec = genus.Spec(shape=(1, 4, 4), levels=2)
    >>> model = genus.create("independent", spec)
    >>> model.log_prob(model.sample(3)).shape
    torch.Size([3])
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0.dev0"

# Names are resolved when first used, so that `genus --help` need not wait seconds for torch.
_EXPORTS = {
    "Spec": "genus.spec",
    "Batch": "genus.spec",
    "LogLikelihood": "genus.likelihood",
    "GenusError": "genus.errors",
    "supports": "genus.capabilities",
    "register": "genus.registry",
    "create": "genus.registry",
    "list_models": "genus.registry",
    "load_data": "genus.data",
    "train": "genus.training",
    "load": "genus.training",
    "verify": "genus.conformance",
    "evaluate": "genus.evaluation",
    "evaluate_samples": "genus.evaluation",
    "compare": "genus.evaluation",
    "classify": "genus.applications",
    "extract_features": "genus.applications",
    "linear_probe": "genus.applications",
    "train_classifier": "genus.applications",
}

__all__ = ["__version__", *sorted(_EXPORTS)]

if TYPE_CHECKING:
    from genus.applications import classify as classify
    from genus.applications import extract_features as extract_features
    from genus.applications import linear_probe as linear_probe
    from genus.applications import train_classifier as train_classifier
    from genus.capabilities import supports as supports
    from genus.conformance import verify as verify
    from genus.data import load_data as load_data
    from genus.errors import GenusError as GenusError
    from genus.evaluation import compare as compare
    from genus.evaluation import evaluate as evaluate
    from genus.evaluation import evaluate_samples as evaluate_samples
    from genus.likelihood import LogLikelihood as LogLikelihood
    from genus.registry import create as create
    from genus.registry import list_models as list_models
    from genus.registry import register as register
    from genus.spec import Batch as Batch
    from genus.spec import Spec as Spec
    from genus.training import load as load
    from genus.training import train as train


def __getattr__(name: str) -> Any:
    if name not in _EXPORTS:
        raise AttributeError(f"module 'genus' has no attribute {name!r}")
    value = getattr(importlib.import_module(_EXPORTS[name]), name)
    globals()[name] = value
    return value
