"""Which models go with which kinds of data."""

import pytest

from genus.errors import SpecError
from genus.registry import list_models


def fitting(specs, keep=lambda cls: True):
    """Return a case for each model of the library and each of the Specs that it can work on."""
    cases = []
    for name, cls in sorted(list_models().items()):
        if not (cls.__module__.startswith("genus.models.") and keep(cls)):
            continue
        for word, spec in specs.items():
            try:
                cls.check_spec(spec)
            except SpecError:
                continue
            cases.append(pytest.param(name, spec, id=f"{name}-{word}"))
    return cases
