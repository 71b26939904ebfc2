"""`genus verify`: does a model keep its promises?"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from genus.cli import output
from genus.cli.errors import FAILED, OK
from genus.cli.options import Flag, check_seed
from genus.cli.runs import run_folder


def verify(target: str, /, *, quick: Flag = False, seed: int = 0, json: output.Json = False) -> int:
    """Run the conformance kit on a model, a run or a class of yours.

    Args:
        target: A model's name, a run folder, or module:Class (also file.py:Class).
        quick: Fewer shapes and draws, in a fraction of the time.
        seed: Seed of the checks.
        json: Print JSON to stdout.

    Returns:
        1 if a check failed, else 0.
    """
    check_seed(seed)
    model = _find(target)
    from genus.conformance import verify as check

    output.note(f"verifying {target}" + ("" if quick else "; --quick takes less time"))
    report = check(model, seed=seed, quick=quick)
    if json:
        output.print_json(report.to_json())
    else:
        output.say(str(report))
    again = f"mend what failed, then genus verify {target}"
    output.next_step("genus models" if report.passed else again)
    return OK if report.passed else FAILED


def _find(target: str) -> Any:
    """Return what `genus.conformance.verify` takes: a class, a trained model or module:Class."""
    if ":" in target and not Path(target).exists():
        return target
    if Path(target).exists() or "/" in target:
        from genus.training import load

        return load(run_folder(Path(target)))
    from genus.registry import get

    return get(target)
