"""Images a second of training, against the same networks written the plain way, in one run.

`plain.py` says what the plain way is: whole kernels times masks in float32 and the default layout,
recurrent models pixel by pixel. Both compute the same likelihoods from the same weights, which is
checked before anything is timed, and both have the same loss and optimiser. The ratio says what
cropped kernels, features-last layout, recurrences by row or diagonal, and bfloat16 are worth
together; the middle column is ours in float32, so that bfloat16's part shows.

Each model is what `genus train MODEL` makes of 28x28 images of two levels: its own options and
batch size. Two of the rows are 8x8 images of 17 levels.

    python benchmarks/training.py [--threads 2] [--models row-lstm made] [--seconds 20] [--profile]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator

import torch
from plain import check, default_layout, plain

import genus
from genus.capabilities import Conditionals, supports
from genus.families.autoregressive import Autoregressive
from genus.random import BatchNoise
from genus.registry import list_models
from genus.spec import Batch, Spec
from genus.training.memory import keep_freed_memory

LARGE, SMALL = Spec(shape=(1, 28, 28), levels=2), Spec(shape=(1, 8, 8), levels=17)
Step = Callable[[], None]


def training_step(model: Autoregressive, x: torch.Tensor, precision: torch.dtype) -> Step:
    """Return an update of a model, as the training loop makes it."""
    objective, noise = model.objectives()[0], BatchNoise(len(x))
    optimiser = torch.optim.AdamW(model.parameters(), fused=True)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
            loss = objective.loss(Batch(x), noise)["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def steps_of(name: str, spec: Spec) -> tuple[int, list[Step]]:
    """Return the batch size of a model and its updates: plain, ours, and ours in bfloat16."""
    torch.manual_seed(0)
    models = [genus.create(name, spec) for _ in range(2)]
    batch = models[0].objectives()[0].batch_size or 64
    x = torch.randint(spec.levels_or_raise, (batch, *spec.shape))
    for model in models:
        if hasattr(type(model), "initialise"):
            model.initialise(Batch(x))
    twin = plain(models[0])
    check(models[0], twin, x[:4])
    plain_step = training_step(twin, x, torch.float32)

    def without_layout() -> None:
        with default_layout():
            plain_step()

    for model in models:
        model.to(memory_format=torch.channels_last)
    single, half = (
        training_step(model, x, precision)
        for model, precision in zip(models, (torch.float32, torch.bfloat16), strict=True)
    )
    return batch, [without_layout, single, half]


def rates(steps: list[Step], batch: int, seconds: float) -> list[float]:
    """Return images a second of each step function, the median over interleaved rounds."""
    times: list[list[float]] = [[] for _ in steps]
    for step in steps:
        step()
    begin = time.perf_counter()
    while time.perf_counter() - begin < seconds or len(times[0]) < 3:
        for step, taken in zip(steps, times, strict=True):
            start = time.perf_counter()
            step()
            taken.append(time.perf_counter() - start)
    return [batch / statistics.median(taken) for taken in times]


def profile(step: Step) -> None:
    """Print where the time of a step goes."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as found:
        for _ in range(3):
            step()
    events = found.key_averages()
    total = sum(event.self_cpu_time_total for event in events)
    for event in sorted(events, key=lambda e: -e.self_cpu_time_total)[:6]:
        print(f"      {event.self_cpu_time_total / total:5.0%}  {event.key}")


def jobs(chosen: list[str] | None) -> Iterator[tuple[str, Spec]]:
    """Yield what is measured: all models of the family on large images, and two on small ones."""
    for name, cls in sorted(list_models().items()):
        if supports(cls, Conditionals) and (not chosen or name in chosen):
            yield name, LARGE
    for name in ("pixelcnn", "row-lstm"):
        if not chosen or name in chosen:
            yield name, SMALL


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--models", nargs="*", help="by name; the whole family where left out")
    parser.add_argument("--seconds", type=float, default=20, help="for each row")
    parser.add_argument("--profile", action="store_true", help="say where our time goes")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    keep_freed_memory()  # helps the plain networks as much as ours
    print(f"{given.threads} threads, torch {torch.__version__}; images a second")
    print(f"{'':34} {'batch':>5} {'plain':>8} {'ours f32':>9} {'ours bf16':>9} {'ratio':>7}")
    for name, spec in jobs(given.models):
        batch, steps = steps_of(name, spec)
        base, single, half = rates(steps, batch, given.seconds)
        row = f"{name}, {spec.shape[1]}x{spec.shape[2]}, {spec.levels} levels"
        print(
            f"{row:34} {batch:5} {base:8.1f} {single:9.1f} {half:9.1f} {half / base:6.2f}x",
            flush=True,
        )
        if given.profile:
            profile(steps[2])


if __name__ == "__main__":
    main()
