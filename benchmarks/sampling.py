"""Drawing images by a stream, against one full forward pass for every position, in one run.

For each model: the time of one full pass of the network without gradients (evaluation, float32, in
the faster of both memory layouts), the naive time, the time in which ``sample`` draws the same
number of images by a stream, and the memory that the stream holds at the end.

The naive time is not run in full, which would take hours: it is the time of one pass times the
number of positions, for the naive sampler does exactly that. A check at the start draws a whole
small image naively and says how far its time is from that product.

"bound" is the number of positions: no exact sampler whose steps add up to one pass gains more.
"of a pass" says how near the stream is: 100% would be all positions in the time of one pass.

With ``--device cuda`` a last column has the time of the same draws by a recorded walk, which is
launched as one graph (`Autoregressive.recorded`); recording it comes before.

    python benchmarks/sampling.py [--threads 2] [--models gated-pixelcnn row-lstm] [--batch 1 16 64]
        [--repeats 3] [--device cuda] [--json] [--profile]
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

import torch

import genus
from genus.capabilities import Conditionals, supports
from genus.families.stream_memory import held_bytes
from genus.registry import list_models
from genus.spec import Spec

GOAL = 500
HEADLINE = {"features": 128, "layers": 10, "hidden": 128}
SPEC = Spec(shape=(1, 28, 28), levels=2)


@dataclass(frozen=True)
class Row:
    """What was measured of one model at one batch size; times in seconds, medians."""

    model: str
    options: dict[str, int]
    batch: int
    forward: float
    streamed: float
    streamed_spread: tuple[float, float]
    positions: int
    cache_bytes: int
    recorded: float | None = None

    @property
    def naive(self) -> float:
        return self.forward * self.positions

    @property
    def ratio(self) -> float:
        return self.naive / self.streamed


def times(run: Callable[[], object], repeats: int, budget: float) -> list[float]:
    """Return the seconds of a few runs: ``repeats``, or fewer if ``budget`` seconds are spent."""
    taken: list[float] = []
    while len(taken) < repeats and sum(taken) < budget:
        start = time.perf_counter()
        run()
        if torch.cuda.is_available():
            torch.cuda.synchronize()  # it returns before the work is done
        taken.append(time.perf_counter() - start)
    return taken


def a_pass(model: Any, batch: int) -> Callable[[], object]:
    """Return one full pass over ``batch`` images, in the faster memory layout, warmed up."""
    x = torch.randint(model.spec.levels, (batch, *model.spec.shape), device=model.device)

    def run() -> None:
        with torch.no_grad():
            model.parameters_of(model.scaled(x), None)

    taken = {}
    for layout in (torch.contiguous_format, torch.channels_last):
        model.to(memory_format=layout)
        run()
        taken[layout] = statistics.median(times(run, 5, 10))
    model.to(memory_format=min(taken, key=lambda layout: taken[layout]))
    run()
    return run


def cache_bytes(model: Any, batch: int) -> int:
    """Return what a stream holds after the last position."""
    stream = model.stream(batch)
    for _ in range(model.spec.dims):
        stream.next()
        stream.push(torch.zeros(batch, dtype=torch.long, device=model.device))
    return held_bytes(stream)


def recorded(model: Any, batch: int, repeats: int) -> float | None:
    """Return the seconds of a draw by a recorded walk, or None on a processor."""
    if model.device.type != "cuda":
        return None
    sampler = model.recorded(batch)

    def draw() -> None:
        sampler.sample(generator=torch.Generator().manual_seed(0))

    draw()  # records
    return statistics.median(times(draw, repeats, 120))


def measure(name: str, options: dict[str, int], batch: int, repeats: int, device: str) -> Row:
    """Return the times of one model."""
    torch.manual_seed(0)
    model = genus.create(name, SPEC, **options).eval().to(device)
    run = a_pass(model, batch)
    memory = cache_bytes(model, batch)  # warms up as well

    def draw() -> None:
        model.sample(batch, generator=torch.Generator().manual_seed(0))

    passes: list[float] = []
    draws: list[float] = []
    for _ in range(repeats):  # in turns, so that a slow moment of the machine meets both
        passes += times(run, 5, 10)
        draws += times(draw, 1, 120)
    forward, drawn = statistics.median(passes), statistics.median(draws)
    spread, graph = (min(draws), max(draws)), recorded(model, batch, repeats)
    return Row(name, options, batch, forward, drawn, spread, SPEC.dims, memory, graph)


def check_extrapolation(repeats: int) -> tuple[float, float]:
    """Return the seconds that drawing small images naively takes, and pass times positions."""
    torch.manual_seed(0)
    spec = Spec(shape=(1, 16, 16), levels=2)
    model = genus.create("gated-pixelcnn", spec, features=32, layers=4).eval()
    run = a_pass(model, 16)

    def draw() -> None:
        model.sample(16, generator=torch.Generator().manual_seed(0), streaming=False)

    draw()
    passes: list[float] = []
    draws: list[float] = []
    for _ in range(repeats):
        passes += times(run, 20, 10)
        draws += times(draw, 1, 60)
    return statistics.median(draws), statistics.median(passes) * spec.dims


def streaming_models() -> Iterator[str]:
    """Yield the registered models that have conditionals and take 28x28 images of two levels."""
    for name, cls in sorted(list_models().items()):
        if not supports(cls, Conditionals):
            continue
        try:
            cls.check_spec(SPEC)
        except ValueError as reason:
            print(f"{name}: left out, {reason}", file=sys.stderr)
        else:
            yield name


def show(row: Row) -> None:
    """Print one line."""
    low, high = row.streamed_spread
    memory = f"{row.cache_bytes / 2**20:.1f}"
    graph = "" if row.recorded is None else f" {row.recorded:9.3f}"
    print(
        f"{row.model:22} {row.batch:5} {row.forward * 1e3:9.1f} {row.naive:9.1f} "
        f"{row.streamed:8.3f} {f'{low:.3f}-{high:.3f}':>14} {row.ratio:6.0f} {row.positions:6} "
        f"{row.forward / row.streamed:9.0%} {memory:>9}{graph}",
        flush=True,
    )


def profile(options: dict[str, int], batch: int) -> None:
    """Print where the time of a stream goes."""
    model = genus.create("gated-pixelcnn", SPEC, **options).eval()
    model.sample(batch)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as found:
        model.sample(batch)
    events = sorted(found.key_averages(), key=lambda e: -e.self_cpu_time_total)
    total = sum(event.self_cpu_time_total for event in events)
    print("of the time inside operations (calls between them are not counted):")
    for event in events[:12]:
        share, each = event.self_cpu_time_total / total, event.self_cpu_time_total / event.count
        print(f"  {share:5.1%} {event.count:7} calls {each:7.1f} us  {event.key}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--models", nargs="*", help="by name; all where left out")
    parser.add_argument("--batch", nargs="*", type=int, default=[1, 16, 64])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--device", default="cpu", help="cpu, or a GPU: cuda")
    parser.add_argument("--json", action="store_true", help="one object for each row")
    parser.add_argument("--profile", action="store_true", help="say where the time of one goes")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    say = sys.stderr if given.json else sys.stdout
    real, product = check_extrapolation(given.repeats)
    place = torch.cuda.get_device_name(given.device) if given.device != "cpu" else "processor"
    print(f"{place}, {given.threads} threads, torch {torch.__version__}, 28x28, 2 levels", file=say)
    print(
        f"naive drawing of small images: {real:.2f} s, pass times positions: {product:.2f} s "
        f"({product / real - 1:+.1%})",
        file=say,
    )
    jobs = [("gated-pixelcnn", HEADLINE, 16)]
    names = given.models or list(streaming_models())
    jobs += [(name, {}, batch) for name in names for batch in given.batch]
    print(
        f"{'':22} {'batch':>5} {'pass, ms':>9} {'naive, s':>9} {'stream,s':>8} {'least-most':>14} "
        f"{'ratio':>6} {'bound':>6} {'of a pass':>9} {'cache,MiB':>9}"
        + (f" {'graph, s':>9}" if given.device != "cpu" else ""),
        file=say,
    )
    for number, job in enumerate(jobs):
        row = measure(*job, given.repeats, given.device)
        if given.json:
            extra = {"naive": row.naive, "ratio": row.ratio}
            print(json.dumps({**asdict(row), **extra}), flush=True)
        else:
            show(row)
        if number == 0:
            verdict = "reached" if row.ratio >= GOAL else "missed"
            print(f"  10 layers of 128: {GOAL}x is {verdict}", file=say)
            if given.profile:
                profile(HEADLINE, 16)


if __name__ == "__main__":
    main()
