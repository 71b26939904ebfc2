"""metrics.jsonl: one line for each moment that is worth a line."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from genus.training.atomic import explained, plain


class MetricsFile:
    """A file of JSON lines that can be cut back to where a checkpoint was taken.

    Args:
        path: the file; it is made if it is not there.
        size: bytes to keep, as a checkpoint recorded them; what lies behind is written again.
    """

    def __init__(self, path: Path, size: int = 0) -> None:
        self.path = path
        with explained(path):
            self._file = path.open("ab")
            self._file.truncate(_whole_lines(path, size))
            self._file.seek(0, os.SEEK_END)

    def write(self, values: dict[str, Any]) -> None:
        """Append a line; NaN and infinity become their names."""
        with explained(self.path):
            self._file.write(json.dumps(plain(values), allow_nan=False).encode() + b"\n")
            self._file.flush()

    def sync(self) -> int:
        """Force the lines to disk and return the size in bytes."""
        with explained(self.path):
            self._file.flush()
            os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def _whole_lines(path: Path, size: int) -> int:
    """Return ``size``, or less where a crash of the machine lost or tore lines before it."""
    kept = path.read_bytes()[:size]
    return len(kept) if len(kept) == size else kept.rfind(b"\n") + 1


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Return the lines of a metrics file; a last line that was torn by a crash is left out."""
    if not path.is_file():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1]]
