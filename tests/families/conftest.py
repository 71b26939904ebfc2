"""Puts the checks that autoregressive models share where tests of a family can import them."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "models"))
