"""Static binarized MNIST with the sizes of the papers, in nats on the test split.

The papers' optimisers and step sizes, which some do not state, are replaced by the defaults of
training. Scores are the papers' unless they are called measured; runs without a measured one have
not been made to the end here.
"""

from __future__ import annotations

from typing import Any

from genus.recipes.recipe import Recipe, recipe


def of_the_paper(model: str, preset: str = "mnist", **training: Any) -> Recipe:
    """Return a run of a model with a paper's size."""
    return Recipe(model=model, data="binarized-mnist", preset=preset, training=training)


@recipe
def diagonal_bilstm() -> Recipe:
    """Diagonal BiLSTM, 7 layers of h = 16 (van den Oord et al. 2016, arXiv:1601.06759, Table 1).

    Command: ``genus train diagonal-bilstm --data binarized-mnist --preset mnist --batch-size 16
    --time-budget 4h``. Cost: four hours on two cores. Expected: 79.20 nats (the paper, Table 4).
    """
    return of_the_paper("diagonal-bilstm", batch_size=16, time_budget=4 * 3600)


@recipe
def diagonal_bilstm_shallow() -> Recipe:
    """Diagonal BiLSTM, one layer of h = 32 (van den Oord et al. 2016, arXiv:1601.06759, Table 4).

    Command: ``genus train diagonal-bilstm --data binarized-mnist --preset mnist-shallow
    --batch-size 16 --time-budget 1h``. Cost: an hour on two cores. Expected: 80.75 nats (the
    paper, Table 4).
    """
    return of_the_paper("diagonal-bilstm", "mnist-shallow", batch_size=16, time_budget=3600)


@recipe
def row_lstm() -> Recipe:
    """Row LSTM, with the size of the Diagonal BiLSTM (van den Oord et al. 2016, arXiv:1601.06759).

    Command: ``genus train row-lstm --data binarized-mnist --preset mnist --batch-size 16
    --time-budget 2h``. Cost: two hours on two cores. Expected: 80.54 nats (the paper, Table 4,
    which does not say the size).
    """
    return of_the_paper("row-lstm", batch_size=16, time_budget=2 * 3600)


@recipe
def pixelcnn() -> Recipe:
    """PixelCNN, with the size of the Diagonal BiLSTM (van den Oord et al. 2016, arXiv:1601.06759).

    Command: ``genus train pixelcnn --data binarized-mnist --preset mnist --batch-size 16
    --time-budget 1h``. Cost: an hour on two cores. Expected: 81.30 nats (the paper, Table 4, which
    does not say the size).
    """
    return of_the_paper("pixelcnn", batch_size=16, time_budget=3600)


@recipe
def made() -> Recipe:
    """MADE, two layers of 8000 units and 32 sets of masks (Germain et al. 2015, arXiv:1502.03509).

    Command: ``genus train made --data binarized-mnist --preset mnist --batch-size 100
    --time-budget 12h``. Cost: half a day on a GPU; 84 million weights. Expected: 86.64 nats (the
    paper, Table 6, whose figure is the mean over the 32 networks: ``ensemble_log_prob``).
    """
    return of_the_paper("made", batch_size=100, time_budget=12 * 3600)


@recipe
def nade() -> Recipe:
    """NADE, 500 units and a fixed random order (Larochelle and Murray 2011).

    Command: ``genus train nade --data binarized-mnist --preset mnist --time-budget 20m``.
    Cost: 20 minutes on one core. Expected: 88.33 nats (Uria et al. 2016, arXiv:1605.02226).
    """
    return of_the_paper("nade", time_budget=1200)
