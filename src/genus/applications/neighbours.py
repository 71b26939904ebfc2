"""The samples that lean most to the training data, over their nearest real examples."""

from __future__ import annotations

from typing import TYPE_CHECKING

from genus.applications.picture import Picture, check_images, seen, tiles
from genus.errors import ConfigError

if TYPE_CHECKING:
    from genus.evaluation.block import SampleBlock
    from genus.spec import Spec


def plot_neighbours(block: SampleBlock, spec: Spec, *, name: str) -> Picture:
    """Show the most suspicious samples of an evaluation, for an eye to judge.

    On top are samples whose nearest training example is nearest in comparison with the nearest
    held-out one, below each its nearest training example and its nearest held-out one, of equally
    many. A model that copies shows the same image twice.

    Args:
        block: the sample block of an evaluation, as `genus.evaluation.evaluate` makes it.
        spec: of the data.
        name: whose samples they are.

    Returns:
        The picture, with the facts ``shown`` (how many) ``of`` how many samples, and the ``audit``.

    Raises:
        SpecError: the data are no images.
        ConfigError: the block was read from a record, which holds no images.

    Example:
        >>> import genus
        >>> from genus.evaluation import evaluate
        >>> data = genus.load_data("digits")
        >>> model = genus.create("independent", data.spec.unconditional())
        >>> block = evaluate(model, data, samples=20).samples
        >>> plot_neighbours(block, data.spec, name="independent").facts["of"]
        20
    """
    check_images("neighbours", spec)
    if block.closest is None:
        raise ConfigError("the sample block comes from a record, which has no images; judge again")
    shown = block.closest.shape[1]
    figure = tiles(
        seen(block.closest.flatten(0, 1), spec),
        shown,
        title=f"{name}: the samples that lean most to the training data",
        row_labels=("sample", "nearest of train", "nearest held out"),
    )
    audit = None if block.audit is None else block.audit.summary
    return Picture("neighbours", figure, {"shown": shown, "of": block.n, "audit": audit})
