"""What a figure was measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import torch

import genus


def environment() -> dict[str, str | int]:
    """Return versions and hardware, as they stand in a report."""
    found: dict[str, str | int] = {
        "genus": genus.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "system": f"{platform.system()} {platform.machine()}",
        "processor": _processor(),
        "cores": os.cpu_count() or 1,
        "threads": torch.get_num_threads(),
    }
    if torch.cuda.is_available():
        found["gpu"] = torch.cuda.get_device_name()
    return found


def _processor() -> str:
    """Return the processor's name; Linux keeps it in a file, others in `platform`."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or "unknown"
