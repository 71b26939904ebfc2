"""Puts the toys where the tests can import them by name."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
collect_ignore = ["application_toys.py", "picture_toys.py"]
