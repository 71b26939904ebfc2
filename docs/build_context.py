"""Draw the pictures of docs/guides/context.md: masks, and what a pixel sees in every model.

    python docs/build_context.py [FOLDER]

The pictures go to ``docs/pictures`` unless a folder is given. They are kept in version control,
since measuring them takes a minute; run this again when a model's context changes.
"""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from genus import Spec, create, list_models, supports
from genus.capabilities import Conditionals
from genus.errors import GenusError
from genus.evaluation.context import context_figure
from genus.nn.causal import causal_mask

SPEC = Spec(shape=(1, 11, 13), levels=4)
PLACE = (6, 5)
"""Row and column of the pixel whose context is drawn; none of a coarse grid of every second."""
OPTIONS: dict[str, dict[str, Any]] = {
    "pixelcnn": {"features": 16, "layers": 6, "kernel": 3, "hidden": 16},
    "gated-pixelcnn": {"layers": 6},
    "row-lstm": {"features": 16, "layers": 1, "kernel": 3, "hidden": 16},
    "diagonal-bilstm": {"features": 16, "layers": 2, "kernel": 3, "hidden": 16},
    "pixelcnn++": {},
    "pixelsnail": {},
    "pixel-transformer": {},
    "made": {},
}
"""The models that the page speaks of, in its order; they stand before all others."""
DEPTHS = (1, 2, 4, 7)
"""Layers of the PixelCNNs whose context grows."""


def models() -> dict[str, Any]:
    """Return a small model of every kind that has conditionals over such images."""
    found = {}
    known = {n: c for n, c in list_models().items() if c.__module__.startswith("genus.models.")}
    for name in [*OPTIONS, *(name for name in known if name not in OPTIONS)]:
        if name in known and supports(known[name], Conditionals):
            options = {**known[name].tiny, **OPTIONS.get(name, {})}
            try:
                found[name] = seeded(name, options)
            except GenusError as error:
                print(f"{name} is left out: {error}", file=sys.stderr)
    return found


def seeded(name: str, options: dict[str, Any]) -> Any:
    """Return a model whose weights are the same at every call."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return create(name, SPEC, **options)


def masks() -> bytes:
    """Return a PNG of masks A and B: over pixels, and over the colours of the pixel itself."""
    figure = Figure(figsize=(8.4, 2.5), layout="constrained")
    axes = figure.subplots(1, 4)
    for axis, kind in zip(axes[:2], ("A", "B"), strict=True):
        kernel = causal_mask(kind, 1, 1, 3, 5, 1)[0, 0]  # type: ignore[arg-type]
        whole = np.concatenate([kernel.numpy(), np.zeros((2, 5))])
        _table(axis, f"mask {kind}: a 5x5 kernel", whole, [""] * 5, [""] * 5)
        axis.plot(2, 2, "o", color="tab:orange", markersize=13, markerfacecolor="none", mew=2)
    for axis, kind in zip(axes[2:], ("A", "B"), strict=True):
        centre = causal_mask(kind, 3, 3, 1, 1, 3)[:, :, 0, 0]  # type: ignore[arg-type]
        _table(axis, f"mask {kind}: its own pixel", centre.numpy(), list("RGB"), list("RGB"))
        axis.set_xlabel("sees", fontsize=8)
        axis.set_ylabel("features of", fontsize=8)
    return png(figure)


def _table(axis: Axes, title: str, allowed: Any, columns: list[str], rows: list[str]) -> None:
    axis.imshow(allowed, cmap="Blues", vmin=0, vmax=1.6, interpolation="nearest")
    axis.set_title(title, fontsize=9)
    axis.set_xticks(range(len(columns)), columns)
    axis.set_yticks(range(len(rows)), rows)
    axis.tick_params(length=0)
    for position in np.ndindex(allowed.shape):
        if not allowed[position]:
            axis.text(position[1], position[0], "0", ha="center", va="center", color="0.6")


def png(figure: Figure) -> bytes:
    """Return a figure as a file that is the same wherever it is made by the same versions."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()


def depths() -> bytes:
    """Return a PNG of the context of PixelCNNs of growing depth."""
    options = {**OPTIONS["pixelcnn"], "features": 8, "hidden": 8}
    shown = {
        f"{layers} layer{'s' if layers > 1 else ''}": seeded(
            "pixelcnn", {**options, "layers": layers}
        )
        for layers in DEPTHS
    }
    return context_figure(shown, *PLACE, weights="random")


def main(folder: Path) -> None:
    """Write all pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    found = models()
    (folder / "context.png").write_bytes(context_figure(found, *PLACE, weights="random"))
    (folder / "context-depth.png").write_bytes(depths())
    (folder / "masks.png").write_bytes(masks())
    print(f"wrote 3 pictures of {len(found)} models to {folder}")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent / "pictures")
