"""Puts the pretended device where its cases can import it, in a process of their own."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "training"))

# Imported, it changes what torch says about the machine to all tests of the process.
collect_ignore_glob = [] if os.environ.get("GENUS_PRETENDED") else ["cases_*.py", "pretended.py"]
