"""What all tests share: fixtures for real data, and less work for the garbage collector."""

from __future__ import annotations

import gc
import os
from collections.abc import Callable
from pathlib import Path

import pytest


def pytest_collection_finish() -> None:
    """Spare the garbage collector thousands of tests that live to the end."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def shipped() -> dict[str, type]:
    """The models of the package by name, without those that other tests register."""
    from genus.registry import list_models

    return {
        name: cls
        for name, cls in list_models().items()
        if cls.__module__.startswith("genus.models.")
    }


@pytest.fixture
def data_root() -> Path:
    """The folder of published data sets; the test is skipped where there is none."""
    root = os.environ.get("GENUS_DATA")
    if not root:
        pytest.skip("GENUS_DATA is not set: it names the folder of published data sets")
    if not Path(root).is_dir():
        pytest.skip(f"GENUS_DATA={root} is not a folder")
    return Path(root)


@pytest.fixture
def published(data_root: Path) -> Callable[[str], Path]:
    """Return a function from a path under the data root to that path; skips where it is absent."""

    def find(name: str) -> Path:
        path = data_root / name
        if not path.exists():
            pytest.skip(f"{path} is not here")
        return path

    return find
