"""`genus doctor`: what is installed, what this machine offers, and what to mend."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from genus.cli import output
from genus.cli.errors import FAILED, OK

Status = Literal["ok", "warning", "failed"]

LEAST_DISK = 2 * 2**30
"""Free bytes below which a download or a long run may not fit."""


@dataclass(frozen=True)
class Check:
    """One finding.

    Args:
        name: what was looked at.
        status: "ok", "warning" (works, but worse than it could) or "failed".
        detail: what was found.
        remedy: what to do about it; empty when all is well.
    """

    name: str
    status: Status
    detail: str
    remedy: str = ""


def doctor(*, json: output.Json = False) -> int:
    """Check this installation: versions, processor, GPU, folders, disk, packages that break.

    Returns:
        1 if something must be mended, else 0.
    """
    checks = [check for probe in PROBES for check in probe()]
    failed = [check for check in checks if check.status == "failed"]
    if json:
        output.print_json({"ok": not failed, "checks": [asdict(check) for check in checks]})
    else:
        output.table(("check", "status", "found"), [(c.name, c.status, c.detail) for c in checks])
    for check in checks:
        if check.remedy:
            output.note(f"{check.name}: {check.remedy}")
    output.next_step(
        "mend what failed, then genus doctor" if failed else "genus compare --data digits"
    )
    return FAILED if failed else OK


def python_version() -> Iterator[Check]:
    """Say which Python runs, and where."""
    found = f"{platform.python_version()} on {platform.system()} {platform.machine()}"
    fits = (3, 11) <= sys.version_info[:2] < (3, 14)
    remedy = "" if fits else "genus is tested with Python 3.11 to 3.13; make such an environment"
    yield Check("python", "ok" if fits else "warning", found, remedy)


def packages() -> Iterator[Check]:
    """Compare every package that genus needs with the version that is installed."""
    from packaging.requirements import Requirement

    for line in importlib.metadata.requires("genus") or ():
        requirement = Requirement(line)
        if requirement.marker is None:
            yield _package(requirement.name, requirement.specifier.contains, line)


def _package(name: str, fits: Callable[[str], bool], line: str) -> Check:
    remedy = f"pip install '{line}'"
    try:
        version = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return Check(name, "failed", "not installed", remedy)
    if not fits(version.partition("+")[0]):
        return Check(name, "failed", f"{version}, but genus needs {line}", remedy)
    return Check(name, "ok", version)


def conflicts() -> Iterator[Check]:
    """Try torchvision and torchaudio where present: a wheel for another torch breaks imports."""
    for name in ("torchvision", "torchaudio"):
        if importlib.util.find_spec(name) is None:
            continue
        try:
            importlib.import_module(name)
        except Exception as error:  # whatever it is, it is the finding
            text = f"installed, but fails to import: {str(error).partition(chr(10))[0]}"
            remedy = f"pip uninstall {name}; genus does not need it, and it breaks other packages"
            yield Check(name, "failed", text, remedy)
        else:
            yield Check(name, "ok", "imports; genus does not need it")


def processor() -> Iterator[Check]:
    """Say how many threads there are and whether bf16 is fast."""
    import torch

    cores = os.cpu_count() or 1
    threads = torch.get_num_threads()
    limit = os.environ.get("OMP_NUM_THREADS")
    found = f"{threads} of {cores} cores" + (f" (OMP_NUM_THREADS={limit})" if limit else "")
    yield Check("threads", "ok", found)
    fast = bf16_on_processor()
    found = "fast" if fast else "slow; --precision auto trains in float32 on this processor"
    yield Check("bf16", "ok", found)


def bf16_on_processor() -> bool:
    """Return whether the processor multiplies bf16 natively."""
    import torch

    probe = getattr(torch.cpu, "_is_avx512_bf16_supported", None)
    return bool(probe and probe())


def gpu() -> Iterator[Check]:
    """Name the GPUs that torch can use."""
    import torch

    if not torch.cuda.is_available():
        build = torch.version.cuda
        found = (
            f"none (torch is built for CUDA {build})" if build else "none (torch is a CPU build)"
        )
        yield Check("gpu", "ok", found)
        return
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        found = f"{properties.name}, {output.size(properties.total_memory)}"
        yield Check(f"gpu {index}", "ok", found)


def folders() -> Iterator[Check]:
    """Say whether data can be read and written, and how much room is left."""
    root = os.environ.get("GENUS_DATA")
    if root:
        yield _data_root(Path(root))
    yield _writable("data cache", cache_folder(), "set GENUS_CACHE to a folder that you may write")
    yield _writable("current folder", Path.cwd(), "go to a folder that you may write")
    free = shutil.disk_usage(Path.cwd()).free
    enough = free >= LEAST_DISK
    remedy = "" if enough else f"free at least {output.size(LEAST_DISK)}"
    yield Check("disk", "ok" if enough else "warning", f"{output.size(free)} free here", remedy)


def cache_folder() -> Path:
    """Return where downloads go."""
    return Path(os.environ.get("GENUS_CACHE", Path.home() / ".cache" / "genus"))


def _data_root(root: Path) -> Check:
    if not root.is_dir():
        remedy = "set GENUS_DATA to the folder of published data sets, or unset it"
        return Check("data root", "failed", f"GENUS_DATA={root} is no folder", remedy)
    count = sum(1 for entry in root.iterdir() if entry.is_dir())
    return Check("data root", "ok", f"GENUS_DATA={root}, {count} folders")


def _writable(name: str, folder: Path, remedy: str) -> Check:
    """Try to write a file into a folder, or into the nearest one above it that exists."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=existing):
            pass
    except OSError as error:
        return Check(name, "failed", f"{folder}: {error.strerror}", remedy)
    return Check(name, "ok", f"{folder} is writable")


PROBES: tuple[Callable[[], Iterator[Check]], ...] = (
    python_version,
    packages,
    conflicts,
    processor,
    gpu,
    folders,
)
