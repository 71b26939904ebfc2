"""Which hidden states a sequence goes through."""

# Shapes: N sequences, T steps, S states, C H W an image whose rows are the steps.
from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol

from torch import Tensor

from genus.applications.codes import check_rows, some_rows
from genus.applications.picture import Picture, plain_text
from genus.capabilities import supports
from genus.errors import ConfigError
from genus.evaluation.likelihood import place, scoring_mode
from genus.evaluation.rows import read
from genus.evaluation.scoring import check_match
from genus.registry import able
from genus.training.pictures import visible

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from genus.data import DataSet
    from genus.spec import Spec

    Array = NDArray[Any]

MOST_TICKS = 12
"""Numbers of states beside an axis."""
IN_A_ROW = 4
"""Images side by side, each with its states."""
PATH: dict[str, Any] = {"color": "tab:orange", "linewidth": 1.2, "markersize": 2.5}
"""How a path is drawn."""


class StatePaths(Protocol):
    """Explains a sequence by a path through hidden states."""

    def viterbi(
        self, x: Tensor, y: Tensor | None = None, known: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Return the likeliest path of states, ``(B, T)``, and log p(x, path), ``(B,)``."""
        ...

    def posterior(self, x: Tensor, y: Tensor | None = None, known: Tensor | None = None) -> Tensor:
        """Return the probability of every state at every step, ``(B, T, S)``."""
        ...


def plot_states(
    model: Any,
    data: DataSet,
    *,
    split: str = "test",
    n: int = 4,
    rows: Tensor | None = None,
    seed: int = 0,
) -> Picture:
    """Show sequences, the probability of every state at every step, and the likeliest path.

    Vectors run from left to right, images from top to bottom, a row at a step. Labels are not
    shown to the model: one with classes finds the class along with the states, which are numbered
    class by class.

    Args:
        model: one that has paths of states.
        data: sequences for it.
        split: of the data.
        n: how many sequences, chosen at random.
        rows: ``(N,)`` which ones, instead.
        seed: of the choice.

    Returns:
        The picture, with the facts ``rows``, ``states`` (how many there are), ``visited`` (how many
        are on these paths), ``path_log_prob`` (mean log p(x, path), nats) and ``certainty`` (mean
        probability of the state that the path takes).

    Raises:
        ConfigError: the model has no paths of states.
        SpecError: the data do not fit the model.
        DataError: the split is empty.

    Example:
        >>> import genus
        >>> data = genus.load_data("digits")
        >>> model = genus.create("hmm", data.spec.unconditional(), states=3)
        >>> plot_states(model, data, n=2).facts["states"]
        3
    """
    check_able(model)
    check_match(model, data)
    part = data.split(split)
    rows = some_rows(part, n, seed) if rows is None else rows
    check_rows(part, rows)
    batch = read(part, rows)
    with scoring_mode(model) as ready:
        x = place(ready, batch.x)
        path_NT, log_prob_N = (found.cpu() for found in ready.viterbi(x))
        posterior_NTS = ready.posterior(x).cpu()
    title = f"{model.name}: states of {split} sequences of {data.name}"
    names = [f"row {row}" for row in rows.tolist()]
    figure = _figure(batch.x, posterior_NTS, path_NT, data.spec, names, title)
    taken_NT = posterior_NTS.gather(2, path_NT.unsqueeze(2)).squeeze(2)
    facts = {
        "rows": rows.tolist(),
        "states": posterior_NTS.shape[2],
        "visited": len(path_NT.unique()),
        "path_log_prob": float(log_prob_N.double().mean()),
        "certainty": float(taken_NT.double().mean()),
    }
    return Picture("states", figure, facts)


def check_able(model: Any) -> None:
    """Raise `ConfigError` unless the model has paths of states."""
    if not supports(model, StatePaths):
        raise ConfigError(
            f"{model.name} has no hidden states along a sequence; train a model that has: "
            f"{able(StatePaths)}"
        )


def _figure(
    x: Tensor, posterior_NTS: Tensor, path_NT: Tensor, spec: Spec, names: list[str], title: str
) -> Figure:
    """Return a pair of panels for each sequence: what is seen, and what is behind it."""
    from matplotlib.figure import Figure

    draw = _beside if spec.is_image else _below
    seen = visible(x, spec).permute(0, 2, 3, 1) if spec.is_image else x
    figure = draw(Figure, seen.numpy(), posterior_NTS.numpy(), path_NT.numpy(), spec, names)
    figure.suptitle(
        plain_text(title) + "\nblue: probability of each state, given all steps; orange: the "
        "likeliest path",
        fontsize=9,
    )
    return figure


def _beside(
    figures: Any, x: Array, posterior_NTS: Array, path_NT: Array, spec: Spec, names: list[str]
) -> Figure:
    """Return images with their states to the right, row beside row."""
    across = min(len(x), IN_A_ROW)
    down = math.ceil(len(x) / across)
    figure = figures(figsize=(2.9 * across, 2.9 * down + 0.5), layout="constrained")
    axes = figure.subplots(down, 2 * across, squeeze=False).reshape(-1, 2)
    steps = posterior_NTS.shape[1]
    for index, name in enumerate(names):
        seen, behind = axes[index]
        seen.imshow(x[index], aspect="auto", extent=(-0.5, 0.5, steps - 0.5, -0.5))
        seen.set_xticks([])
        seen.set_ylabel("step", fontsize=8)
        behind.imshow(posterior_NTS[index], aspect="auto", cmap="Blues", vmin=0, vmax=1.3)
        behind.plot(path_NT[index], range(steps), "o-", **PATH)
        behind.set_xlabel("state", fontsize=8)
        behind.set_xticks(ticks(posterior_NTS.shape[2]))
        behind.set_yticks([])
        for axis, title in ((seen, name), (behind, "")):
            axis.set_title(title, fontsize=8)
            axis.tick_params(labelsize=7)
    for axis in axes[len(names) :].flatten():
        axis.set_axis_off()
    return figure  # type: ignore[no-any-return]


def _below(
    figures: Any, x: Array, posterior_NTS: Array, path_NT: Array, spec: Spec, names: list[str]
) -> Figure:
    """Return sequences with their states below, step under step."""
    figure = figures(figsize=(8.0, 2.1 * len(x) + 0.5), layout="constrained")
    axes = figure.subplots(2 * len(x), 1, squeeze=False, height_ratios=[2, 3] * len(x))
    steps = range(posterior_NTS.shape[1])
    for index, name in enumerate(names):
        seen, behind = axes[2 * index, 0], axes[2 * index + 1, 0]
        if spec.is_discrete:
            seen.step(steps, x[index], where="mid", linewidth=1)
        else:
            seen.plot(steps, x[index], linewidth=1)
        seen.set_xticks([])
        seen.set_ylabel(name, fontsize=8)
        behind.imshow(
            posterior_NTS[index].T, aspect="auto", cmap="Blues", vmin=0, vmax=1.3, origin="lower"
        )
        behind.plot(steps, path_NT[index], "o-", **PATH)
        behind.set_ylabel("state", fontsize=8)
        behind.set_yticks(ticks(posterior_NTS.shape[2]))
        for axis in (seen, behind):
            axis.set_xlim(-0.5, len(steps) - 0.5)
            axis.tick_params(labelsize=7)
    axes[-1, 0].set_xlabel("step", fontsize=8)
    return figure  # type: ignore[no-any-return]


def ticks(states: int) -> list[int]:
    """Return the numbers of states that stand beside an axis, at most twelve of them.

    Example:
        >>> ticks(4), ticks(30)
        ([0, 1, 2, 3], [0, 3, 6, 9, 12, 15, 18, 21, 24, 27])
    """
    return list(range(0, states, math.ceil(states / MOST_TICKS)))
