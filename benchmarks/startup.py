"""How long `genus --help` and `genus models` take, beside what importing torch alone takes.

    python benchmarks/startup.py [--runs 7] [--json]

Every command runs once to warm the file cache, then the commands take turns, so that a busy
moment hits all of them alike. The medians are held against the limits; exit code 1 if one is
missed. The seconds of processor time beside them tell a slow program from a busy machine.
"""

from __future__ import annotations

import argparse
import json
import os
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


def timed(command: list[str]) -> tuple[float, float]:
    """Return the wall-clock and the processor seconds of one run of a command."""
    started, before = time.perf_counter(), os.times()
    subprocess.run(command, check=True, capture_output=True)
    after = os.times()
    used = after.children_user + after.children_system
    return time.perf_counter() - started, used - before.children_user - before.children_system


def measure(runs: int) -> dict[str, list[tuple[float, float]]]:
    """Return both kinds of seconds of every run of every command."""
    for command, _ in COMMANDS.values():
        timed(command)
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in COMMANDS}
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
    for name, times in measure(options.runs).items():
        seconds, used = zip(*times, strict=True)
        median, limit = statistics.median(seconds), COMMANDS[name][1]
        report.append(
            {
                "command": name,
                "median": median,
                "least": min(seconds),
                "most": max(seconds),
                "processor": statistics.median(used),
                "limit": limit,
                "kept": limit is None or median <= limit,
            }
        )
    if options.json:
        print(json.dumps(report, indent=2))
    else:
        for r in report:
            limit = "" if r["limit"] is None else f"  limit {r['limit']} s"
            verdict = "" if r["kept"] else "  MISSED"
            spread = f"{r['least']:.2f} to {r['most']:.2f}"
            figures = f"{r['median']:6.2f} s  ({spread}, processor {r['processor']:.2f})"
            print(f"{r['command']:<26} {figures}{limit}{verdict}")
    return 0 if all(r["kept"] for r in report) else 1


if __name__ == "__main__":
    sys.exit(main())
