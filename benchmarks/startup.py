"""How long `genus --help` and `genus models` take, beside what importing torch alone takes.

    python benchmarks/startup.py [--runs 7] [--json]

Every command runs once to warm the file cache, then the commands take turns, so that a busy
moment hits all of them alike. The medians are held against the limits; exit code 1 if one is
missed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time

PYTHON = [sys.executable, "-c"]
GENUS = [sys.executable, "-m", "genus"]
COMMANDS: dict[str, tuple[list[str], float | None]] = {
    "python -c pass": ([*PYTHON, "pass"], None),
    "python -c 'import torch'": ([*PYTHON, "import torch"], None),
    "genus --help": ([*GENUS, "--help"], 0.4),
    "genus train --help": ([*GENUS, "train", "--help"], 0.4),
    "genus models": ([*GENUS, "models"], 4.0),
}
"""Each command with its limit in seconds."""


def timed(command: list[str]) -> float:
    """Return the wall-clock seconds of one run of a command."""
    started = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - started


def measure(runs: int) -> dict[str, list[float]]:
    """Return the seconds of every run of every command."""
    for command, _ in COMMANDS.values():
        timed(command)
    found: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(runs):
        for name, (command, _) in COMMANDS.items():
            found[name].append(timed(command))
    return found


def main() -> int:
    """Measure, print and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--runs", type=int, default=7, help="runs of each command")
    parser.add_argument("--json", action="store_true", help="print JSON")
    options = parser.parse_args()
    report = []
    for name, seconds in measure(options.runs).items():
        median, limit = statistics.median(seconds), COMMANDS[name][1]
        kept = limit is None or median <= limit
        report.append(
            {"command": name, "median": median, "least": min(seconds), "most": max(seconds),
             "limit": limit, "kept": kept}
        )  # fmt: skip
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        for r in report:
            limit = "" if r["limit"] is None else f"  limit {r['limit']} s"
            verdict = "" if r["kept"] else "  MISSED"
            spread = f"{r['least']:.2f} to {r['most']:.2f}"
            print(f"{r['command']:<26} {r['median']:6.2f} s  ({spread}){limit}{verdict}")
    return 0 if all(r["kept"] for r in report) else 1


if __name__ == "__main__":
    sys.exit(main())
