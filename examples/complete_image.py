"""Complete the lower half of test digits with a trained model, four ways each.

    python examples/train_and_sample.py --out runs/example
    python examples/complete_image.py runs/example completed.png

Any run on images whose model can complete will do. In the picture the first column is the original.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch
from PIL import Image

import genus
from genus.capabilities import Completes


def main() -> None:
    """Load, erase, complete, save."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="run folder of a model trained on digits")
    parser.add_argument("picture", type=Path, help="PNG to write")
    options = parser.parse_args()

    model = genus.load(options.run)
    if not genus.supports(model, Completes):
        parser.error(f"{model.name} cannot complete; try pixelcnn")
    levels = model.spec.levels_or_raise
    originals = genus.load_data("digits").test.batch(torch.arange(6)).x
    ways = 4
    x = originals.repeat_interleave(ways, 0)
    known = torch.ones_like(x, dtype=torch.bool)
    known[:, :, x.shape[2] // 2 :] = False

    drawn = model.complete(x, known, generator=torch.Generator().manual_seed(0))
    print(f"{drawn.method}; {'exact' if drawn.exact else 'approximate'}")

    columns = torch.cat([originals[:, None], drawn.x.unflatten(0, (-1, ways))], 1)[:, :, 0]
    grid = torch.cat([torch.cat(list(row), 1) for row in columns])
    image = Image.fromarray((grid * 255 / (levels - 1)).round().to(torch.uint8).numpy())
    image.resize((image.width * 8, image.height * 8), Image.Resampling.NEAREST).save(
        options.picture
    )
    print(f"completed: {options.picture}")


if __name__ == "__main__":
    main()
