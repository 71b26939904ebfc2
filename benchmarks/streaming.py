"""Memory and speed of a folder of images against the naive way, all decoded into one array.

Run: python benchmarks/streaming.py [--files 1000 10000 100000] [--json PATH]

Each measurement runs in its own process, so that peaks do not add up. The growth is that of the
peak resident memory over what the process had after its imports. "index" is the pass over all
files that `load_data` makes; "batches" reads 20,000 images in random order.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SIDE = 32
CLASSES = 10
BATCH = 64
READ = 20_000


def make_files(root: Path, n: int) -> None:
    """Write ``n`` different small PNG files into class folders."""
    import numpy as np
    from PIL import Image

    base = np.random.default_rng(0).integers(0, 200, (SIDE, SIDE, 3), dtype=np.uint8)
    for i in range(n):
        folder = root / f"class{i % CLASSES}"
        if i < CLASSES:
            folder.mkdir()
        pixels = base.copy()
        pixels[0, 0] = i % 256, i // 256 % 256, i // 65536
        Image.fromarray(pixels).save(folder / f"{i:06d}.png", compress_level=1)


def peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(root: Path, way: str) -> dict[str, float]:
    """Index and read a folder in this process and return what it cost."""
    import numpy as np
    import torch

    import genus.data.folder  # noqa: F401  (what it imports is no part of the growth)
    from genus.data import load_data

    torch.arange(4).long()  # what torch allocates once is no part of the growth
    warm_up(root)
    before = peak_mib()
    start = time.perf_counter()
    if way == "genus":
        data = load_data(root)
        n, indexed = sum(len(s) for s in data.splits.values()), time.perf_counter()
        rows = torch.randint(len(data.train), (READ // BATCH, BATCH))
        for some in rows:
            data.train.batch(some)
        read = len(rows) * BATCH
    else:
        from PIL import Image

        paths = sorted(root.glob("*/*.png"))
        x = np.empty((len(paths), 3, SIDE, SIDE), np.uint8)  # as frugal as this way can be
        for i, path in enumerate(paths):
            x[i] = np.asarray(Image.open(path)).transpose(2, 0, 1)
        n, indexed = len(x), time.perf_counter()
        rows = torch.randint(n, (READ // BATCH, BATCH))
        for some in rows:
            torch.from_numpy(x[some.numpy()]).long()
        read = len(rows) * BATCH
    end = time.perf_counter()
    return {
        "files": n,
        "growth_mib": peak_mib() - before,
        "index_seconds": indexed - start,
        "index_per_second": n / (indexed - start),
        "batches_per_second": read / (end - indexed),
    }


def warm_up(root: Path) -> None:
    """Decode one image, so that the libraries are loaded before the measurement."""
    from genus.data.images import Rules, decode

    decode(next(root.glob("*/*.png")).read_bytes(), Rules(), 3)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--json", type=Path)
    parser.add_argument("--measure", nargs=2, metavar=("ROOT", "WAY"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(Path(options.measure[0]), options.measure[1])))
        return
    results = []
    print(f"{'files':>8} {'way':>6} {'growth MiB':>11} {'index s':>8} {'index/s':>8} {'read/s':>9}")
    for n in options.files:
        with tempfile.TemporaryDirectory() as folder:
            make_files(Path(folder), n)
            for way in ("genus", "naive"):
                command = [sys.executable, __file__, "--measure", folder, way]
                found = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
                results.append({"way": way, **found})
                print(
                    f"{n:8d} {way:>6} {found['growth_mib']:11.1f} {found['index_seconds']:8.1f} "
                    f"{found['index_per_second']:8.0f} {found['batches_per_second']:9.0f}"
                )
    if options.json:
        options.json.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    main()
