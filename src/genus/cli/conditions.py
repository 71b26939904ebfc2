"""What a run that makes images from images is given: rows of its test split, or the user's own."""

# Shapes: n images, k samples of each.
from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from genus.cli import datasets, examples
from genus.cli.errors import Problems, UsageError
from genus.cli.options import within

if TYPE_CHECKING:
    from torch import Tensor

    from genus.spec import Spec
    from genus.training import RunConfig

MOST_EACH = 100
"""The most samples of one image."""


@Parameter(name="*")
@dataclass(frozen=True, kw_only=True)
class ImageOptions:
    """What samples are made from, for runs trained with --given.

    Args:
        from_: A picture, a folder of pictures, .npy or .npz to make samples from, for runs trained
            with --given; the first rows of the test split when left out.
        each: Samples of each image, for runs trained with --given.
    """

    from_: Annotated[Path | None, Parameter(name="--from")] = None
    each: int = 1

    def check(self) -> None:
        """Check all that can be checked before the run is loaded.

        Raises:
            UsageError: a path or a number that cannot be used.
        """
        problems = Problems()
        with problems.collect():
            within(self.each, 1, MOST_EACH, "--each", "one is usual")
        with problems.collect():
            examples.check_path(self.from_, None, "cannot draw:")
        problems.raise_any("cannot draw:")

    def check_unused(self, spec: Spec) -> None:
        """Raise `UsageError` if they are given to a run that is not made for images to go by."""
        problems, why = Problems(), "the run was not trained with --given; leave it out"
        if spec.condition is None:
            problems.require(self.from_ is None, f"--from {self.from_}: {why}")
            problems.require(self.each == 1, f"--each {self.each}: {why}")
        problems.raise_any("cannot draw:")


PLAIN = ImageOptions()
"""No option at all."""


@dataclass(frozen=True)
class Conditions:
    """Images to go by.

    Args:
        y: ``(n, *condition)``.
        original: ``(n, *shape)`` what they were made from, or None where nobody knows.
        source: where they come from, without paths.
    """

    y: Tensor
    original: Tensor | None
    source: dict[str, Any]

    def __len__(self) -> int:
        return len(self.y)


def read(record: RunConfig, options: ImageOptions, n: int) -> Conditions:
    """Return the images that a run is given.

    Args:
        record: what the run says of itself.
        options: of which the path counts.
        n: how many at most.

    Raises:
        UsageError: the test split has fewer, or the user's images do not fit.
        DataError: data that cannot be read, or have changed since the run was trained.
    """
    import torch

    if options.from_ is not None:
        found = examples.read(options.from_, None, record.spec.of_conditions)
        return Conditions(found.x[:n], None, {"from": options.from_.name})
    data = datasets.load_again(record.data)
    if n > len(data.test):
        raise UsageError(
            f"-n {n:,}: the test split of {data.name} has {len(data.test):,} images to go by; "
            "draw fewer, or several of each (--each)"
        )
    batch = data.test.batch(torch.arange(n))
    assert batch.y is not None
    source = {"data": data.name, "digest": data.digest, "split": "test"}
    return Conditions(batch.y, batch.x, source)


def save(path: Path, x: Tensor, given: Conditions, spec: Spec, recipe: dict[str, Any]) -> str:
    """Write strips of condition, samples and original as ``.png``, or all of them as arrays.

    Args:
        path: where to; ``.npy`` holds the samples alone.
        x: ``(n * k, *shape)``, the samples of an image together.
        given: n of them.
        spec: what a sample is.
        recipe: how they were made.

    Returns:
        The sha256 of the file.
    """
    from genus.cli import files
    from genus.training.atomic import write_bytes
    from genus.training.pictures import beside

    kind = path.suffix.lower()
    if kind == ".npy":
        return files.save(path, x, None, spec, recipe)
    if kind == ".png":
        each = x.view(len(given), -1, *spec.shape)
        picture = beside(given.y, each, given.original, spec)
        return write_bytes(path, files.png(picture, recipe))
    arrays = {"x": files.numbers(x, spec), "given": files.numbers(given.y, spec)}
    if given.original is not None:
        arrays["original"] = files.numbers(given.original, spec)
    return write_bytes(path, files.npz(arrays, recipe))
