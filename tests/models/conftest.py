"""Puts the checks that autoregressive models share where their tests can import them by name."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

# Imported by name only: it holds no tests and no examples of its own.
collect_ignore = ["autoregressive_checks.py"]
