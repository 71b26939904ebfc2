"""Images a second of training, against plain float32 masked convolutions, in one run.

The plain PixelCNN keeps whole kernels and multiplies them by a mask, in the default layout and in
float32; the plain Row LSTM does the same and convolves row by row. Both have the same features,
layers, loss and optimiser as ours. The ratio says what cropped kernels, features-last layout and
bfloat16 are worth together; the middle column is ours in float32, so that bfloat16's part shows.

    python benchmarks/training.py [--threads 2] [--seconds 20] [--profile]
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import genus
from genus.random import BatchNoise
from genus.spec import Batch, Spec
from genus.training.memory import keep_freed_memory

FEATURES, BATCH = 64, 64


class PlainMaskedConv(nn.Conv2d):
    """A whole kernel times a mask, for one colour."""

    def __init__(self, kind: str, inputs: int, outputs: int, kernel: tuple[int, int]) -> None:
        super().__init__(inputs, outputs, kernel, padding=(kernel[0] // 2, kernel[1] // 2))
        mask = torch.ones(kernel)
        mask[kernel[0] // 2 + 1 :] = 0
        mask[kernel[0] // 2, kernel[1] // 2 + (kind == "B") :] = 0
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight * self.mask, self.bias, padding=self.padding)


class PlainBlock(nn.Module):
    """The residual block of the paper."""

    def __init__(self) -> None:
        super().__init__()
        h = FEATURES // 2
        self.path = nn.Sequential(
            nn.ReLU(), nn.Conv2d(2 * h, h, 1),
            nn.ReLU(), PlainMaskedConv("B", h, h, (3, 3)),
            nn.ReLU(), nn.Conv2d(h, 2 * h, 1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        return x + self.path(x)


class PlainRowLSTM(nn.Module):
    """A Row LSTM that convolves the state row by row."""

    def __init__(self) -> None:
        super().__init__()
        self.h = FEATURES // 2
        self.input = PlainMaskedConv("B", FEATURES, 4 * self.h, (1, 3))
        self.state = nn.Conv1d(self.h, 4 * self.h, 3, padding=1, bias=False)
        self.up = nn.Conv2d(self.h, FEATURES, 1)

    def forward(self, x: Tensor) -> Tensor:
        gates = self.input(x)
        h = c = gates.new_zeros(len(x), self.h, x.shape[3])
        rows = []
        for i in range(x.shape[2]):
            o, f, n, g = (gates[:, :, i] + self.state(h)).chunk(4, 1)
            c = f.sigmoid() * c + n.sigmoid() * g.tanh()
            h = o.sigmoid() * c.tanh()
            rows.append(h)
        return x + self.up(torch.stack(rows, 2))


def plain(name: str, layers: int, levels: int) -> nn.Module:
    """Return the plain network from an image on [-1, 1] to logits."""
    block = PlainBlock if name == "pixelcnn" else PlainRowLSTM
    return nn.Sequential(
        PlainMaskedConv("A", 1, FEATURES, (7, 7)),
        *(block() for _ in range(layers)),
        nn.ReLU(), nn.Conv2d(FEATURES, FEATURES, 1),
        nn.ReLU(), nn.Conv2d(FEATURES, 1 if levels == 2 else levels, 1),
    )  # fmt: skip


def plain_step(name: str, layers: int, spec: Spec, x: Tensor) -> Callable[[], None]:
    """Return an update of the plain network."""
    levels = spec.levels_or_raise
    network = plain(name, layers, levels)
    optimiser = torch.optim.Adam(network.parameters())

    def step() -> None:
        logits = network(2 * x.float() / (levels - 1) - 1)
        if levels == 2:
            loss = F.binary_cross_entropy_with_logits(logits, x.float())
        else:
            loss = F.cross_entropy(logits, x[:, 0])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def our_step(
    name: str, layers: int, spec: Spec, x: Tensor, precision: torch.dtype
) -> Callable[[], None]:
    """Return an update of our model, as the training loop makes it."""
    model = genus.create(name, spec, features=FEATURES, layers=layers, hidden=FEATURES)
    model.to(memory_format=torch.channels_last)
    objective = model.objectives()[0]
    optimiser = torch.optim.AdamW(model.parameters(), fused=True)
    noise = BatchNoise(BATCH)

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=precision == torch.bfloat16):
            loss = objective.loss(Batch(x), noise)["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()

    return step


def rates(steps: list[Callable[[], None]], seconds: float) -> list[float]:
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
    return [BATCH / statistics.median(taken) for taken in times]


def profile(step: Callable[[], None]) -> None:
    """Print where the time of a step goes."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU]) as found:
        for _ in range(3):
            step()
    events = found.key_averages()
    total = sum(event.self_cpu_time_total for event in events)
    for event in sorted(events, key=lambda e: -e.self_cpu_time_total)[:6]:
        print(f"      {event.self_cpu_time_total / total:5.0%}  {event.key}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--seconds", type=float, default=20, help="for each row")
    parser.add_argument("--profile", action="store_true", help="say where our time goes")
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    keep_freed_memory()  # helps the plain networks as much as ours
    torch.manual_seed(0)
    print(f"{given.threads} threads, batch {BATCH}, {FEATURES} features; images a second")
    print(f"{'':34} {'plain':>8} {'ours f32':>9} {'ours bf16':>9} {'ratio':>6}")
    for side, levels in ((28, 2), (8, 17)):
        for name, layers in (("pixelcnn", 7), ("row-lstm", 3)):
            spec = Spec(shape=(1, side, side), levels=levels)
            x = torch.randint(levels, (BATCH, *spec.shape))
            steps = [
                plain_step(name, layers, spec, x),
                our_step(name, layers, spec, x, torch.float32),
                our_step(name, layers, spec, x, torch.bfloat16),
            ]
            base, single, half = rates(steps, given.seconds)
            row = f"{name}, {layers} layers, {side}x{side}, {levels} levels"
            print(f"{row:34} {base:8.0f} {single:9.0f} {half:9.0f} {half / base:5.2f}x")
            if given.profile:
                profile(steps[2])


if __name__ == "__main__":
    main()
