"""Finding runs, and what is needed to use one again."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genus.cli.errors import UsageError, hinted
from genus.errors import near

if TYPE_CHECKING:
    from genus.training import RunConfig

RUNS = Path("runs")
"""Where runs go by default."""
FIRST_RUN = "genus train pixelcnn --data digits --time-budget 60s"


def run_folder(path: Path) -> Path:
    """Return a run's folder once it is sure that there is one.

    Raises:
        UsageError: there is none; the message names the runs that are near.
    """
    if (path / "config.json").is_file():
        return path
    what = "is not a run (it has no config.json)" if path.exists() else "does not exist"
    known = {str(run) for run in (*runs_in(path.parent), *runs_in(RUNS))}
    remedy = near(str(path), known) if known else "train one first"
    raise hinted(UsageError(f"run {str(path)!r} {what}; {remedy}"), FIRST_RUN)


def runs_in(folder: Path) -> list[Path]:
    """Return the runs directly inside a folder, by name."""
    return sorted(config.parent for config in folder.glob("*/config.json"))


def check_no_images(model: Any, what: str, run: Path) -> None:
    """Raise `UsageError` for a model that makes images from images, where none are given.

    Args:
        model: of any kind.
        what: cannot be had of it.
        run: its folder.
    """
    if model.spec.condition is not None:
        problem = f"{what} cannot be had of {model.name}, which makes images from images (--given)"
        raise hinted(UsageError(problem), f"genus sample {run} -n 16 -o pairs.png")


def latest_run() -> Path:
    """Return the run in `RUNS` that was written to last.

    Raises:
        UsageError: there is none.
    """
    found = runs_in(RUNS)
    if not found:
        raise hinted(UsageError(f"there is no run in {RUNS}/ to resume; give --out DIR"), FIRST_RUN)
    return max(found, key=lambda run: max(file.stat().st_mtime for file in run.iterdir()))


def default_name(model: str, data: str) -> Path:
    """Return where a run goes when nothing is said: runs/<model>-<data>.

    Example:
        >>> default_name("vae", "my/photos").as_posix()
        'runs/vae-photos'
        >>> default_name("pix2pix", "mnist:downsample:2").as_posix()
        'runs/pix2pix-mnist-downsample-2'
    """
    name, _, given = Path(data).name.partition(":")
    parts = [model, name.partition(".")[0] or "data", *(given.split(":") if given else [])]
    return RUNS / "-".join(parts)


def to_resume(path: Path, finished: Callable[[Path], bool]) -> Path:
    """Return which of ``path``, ``path-2`` and so on is to be gone on with.

    Args:
        path: the name without a number.
        finished: whether one is.

    Returns:
        The newest that is not finished; if all are, the newest; if there is none, ``path``.
    """
    found, number = [path], 2
    while (following := path.with_name(f"{path.name}-{number}")).exists():
        found.append(following)
        number += 1
    return next((one for one in reversed(found) if not finished(one)), found[-1])


def read(path: Path) -> RunConfig:
    """Return what the config.json of a run says.

    Raises:
        UsageError: there is no such run.
        VersionError: a newer genus wrote it.
        CheckpointError: it is damaged.
    """
    folder = run_folder(path)
    from genus.training import RunFolder

    return RunFolder(folder).read_config()
