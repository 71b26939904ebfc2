import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def photo():
    """Return a function that makes a different RGB image for each number."""

    def make(number=0, side=8):
        return np.random.default_rng(number).integers(0, 256, (side, side, 3), dtype=np.uint8)

    return make


@pytest.fixture
def folder(tmp_path, photo):
    """Return a folder of six sound 8x8 RGB images."""
    root = tmp_path / "pictures"
    root.mkdir()
    for i in range(6):
        Image.fromarray(photo(i)).save(root / f"{i}.png")
    return root
