"""Puts the toy models where worker processes can import them by name."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

# Imported by name only: collected as well, each toy would be registered twice.
collect_ignore = ["training_toys.py", "training_forker.py"]
