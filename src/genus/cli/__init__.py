"""The command line: a thin layer in which every command is a function of the library.

Nothing here imports torch before a command runs, so that ``genus --help`` answers at once.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; the console script ``genus`` calls this.

    Args:
        argv: the words after ``genus``; those of the process when left out.

    Example:
        >>> main(["--version"])
        0.1.0.dev0
        0
    """
    from genus.cli.app import run

    return run(list(sys.argv[1:] if argv is None else argv))
