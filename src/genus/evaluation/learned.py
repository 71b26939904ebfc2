"""What each model of a comparison has learned, in pictures."""

from __future__ import annotations

from dataclasses import replace
from html import escape
from typing import TYPE_CHECKING, Any

from genus.errors import GenusError
from genus.evaluation.outcome import Comparison
from genus.evaluation.pictures import data_uri
from genus.evaluation.scoring import Evaluation

if TYPE_CHECKING:
    from genus.data import DataSet

WORDS = {
    "traversal": "Each row moves one of the latents that vary most; all others stay.",
    "interpolation": "From latents to latents in equal steps: of held-out examples, which then "
    "stand at both ends, or drawn from the prior.",
    "latent-map": "Where held-out examples lie among the latents.",
    "filters": "What hidden units look for: the weights of those with the largest.",
    "states": "Sequences, the probability of each hidden state at each step, and the likeliest "
    "path.",
}
"""What each kind of picture shows."""


def with_pictures(
    evaluation: Evaluation, model: Any, data: DataSet, *, split: str, seed: int
) -> Evaluation:
    """Return an evaluation with all pictures that can be made of the model.

    A picture that these data do not allow costs the model nothing but a note.
    """
    # The other way round applications stand on evaluations.
    from genus.applications import gallery

    if data.missing is not None:
        return evaluation
    learned, notes = {}, []
    for kind in gallery.kinds_of(model):
        try:
            learned[kind] = gallery.draw(kind, model, data, split=split, seed=seed).png()
        except GenusError as error:
            notes.append(f"no picture of its {kind}: {error}")
    return replace(evaluation, learned=learned, notes=(*evaluation.notes, *notes))


def learned_section(comparison: Comparison) -> str:
    """Return the pictures of every model that has some, of the first seed."""
    shown = {
        row.label: row.evaluation.learned
        for row in comparison.rows
        if row.evaluation is not None and row.evaluation.learned
    }
    if not shown:
        return ""
    models = "\n".join(
        f'<h3>{escape(label)}</h3>\n<div class="shelf">\n'
        + "\n".join(_figure(label, kind, png) for kind, png in pictures.items())
        + "\n</div>"
        for label, pictures in shown.items()
    )
    return (
        "<h2>What the models have learned</h2>\n<p>None of the examples was picked. "
        f"<code>genus plot RUN KIND</code> shows more of each.</p>\n{models}"
    )


def _figure(label: str, kind: str, png: bytes) -> str:
    words = WORDS[kind]
    return (
        f'<figure class="learned"><img alt="{escape(f"{label}, {kind}: {words}")}" '
        f'src="{data_uri(png)}"/>'
        f"<figcaption>{kind} <small>{words}</small></figcaption></figure>"
    )
