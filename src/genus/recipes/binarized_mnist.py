"""Static binarized MNIST (Larochelle's split), in nats on the test split, on two processor cores.

Measured scores are in the documentation's results, with digest, seed and hardware, beside those of
the papers.
"""

from __future__ import annotations

from typing import Any

from genus.recipes.recipe import Recipe, recipe


def half_an_hour(model: str, **training: Any) -> Recipe:
    """Return thirty minutes of a model with its defaults, or with other options of training."""
    training = {"time_budget": 1800, **training}
    return Recipe(model=model, data="binarized-mnist", training=training)


@recipe
def pixelcnn() -> Recipe:
    """PixelCNN with position biases (van den Oord et al. 2016, arXiv:1601.06759).

    Command: ``genus train pixelcnn --data binarized-mnist --time-budget 30m``.
    Cost: 30 minutes on two cores. Expected: 83.5 nats, measured; 81.30 in the paper, with another
    size and training that it does not state.
    """
    return half_an_hour("pixelcnn")


@recipe
def row_lstm() -> Recipe:
    """Row LSTM (van den Oord et al. 2016, arXiv:1601.06759).

    Command: ``genus train row-lstm --data binarized-mnist --time-budget 30m``.
    Cost: 30 minutes on two cores, or 60 on one. Expected: 82.1 nats, measured on one core;
    80.54 in the paper.
    """
    return half_an_hour("row-lstm")


@recipe
def diagonal_bilstm() -> Recipe:
    """Diagonal BiLSTM (van den Oord et al. 2016, arXiv:1601.06759).

    Command: ``genus train diagonal-bilstm --data binarized-mnist --time-budget 30m``.
    Cost: 30 minutes on two cores, or 60 on one. Expected: 79.6 nats, measured on one core, and 79.4
    in 100 minutes of it; 79.20 in the paper, with seven layers.
    """
    return half_an_hour("diagonal-bilstm")


@recipe
def gated_pixelcnn() -> Recipe:
    """Gated PixelCNN (van den Oord et al. 2016, arXiv:1606.05328).

    Command: ``genus train gated-pixelcnn --data binarized-mnist --time-budget 30m``.
    Cost: 30 minutes on two cores, or 60 on one. Expected: 82.7 nats, measured on one core; the
    paper has no figure for this data.
    """
    return half_an_hour("gated-pixelcnn")


@recipe
def pixelcnn_plus() -> Recipe:
    """PixelCNN++ (Salimans et al. 2017, arXiv:1701.05517).

    Command: ``genus train pixelcnn++ --data binarized-mnist --time-budget 30m``.
    Cost: 30 minutes on two cores, or 60 on one. Expected: 79.8 nats, measured on one core; the
    paper has no figure for this data.
    """
    return half_an_hour("pixelcnn++")


@recipe
def pixelsnail() -> Recipe:
    """PixelSNAIL (Chen et al. 2017, arXiv:1712.09763).

    Command: ``genus train pixelsnail --data binarized-mnist --time-budget 30m``.
    Cost: 30 minutes on two cores, or 60 on one. Expected: below 81.1 nats, measured in 45 minutes
    of one core that had other work; the paper has no figure for this data.
    """
    return half_an_hour("pixelsnail")


@recipe
def multiscale_pixelrnn() -> Recipe:
    """Multi-scale PixelRNN of Row LSTMs (van den Oord et al. 2016, arXiv:1601.06759).

    Command: ``genus train multiscale-pixelrnn --data binarized-mnist --time-budget 30m``.
    Cost: 30 minutes on two cores, or 60 on one. Expected: 81.8 nats, measured on one core; the
    paper has no figure for this data.
    """
    return half_an_hour("multiscale-pixelrnn")


@recipe
def pixel_transformer() -> Recipe:
    """A causal transformer over pixels (Child et al. 2019, arXiv:1904.10509).

    Command: ``genus train pixel-transformer --data binarized-mnist --time-budget 30m``.
    Cost: 30 minutes on two cores, or 60 on one. Expected: 83.9 nats, measured on one core; the
    paper has no figure for this data.
    """
    return half_an_hour("pixel-transformer")


@recipe
def fvsbn() -> Recipe:
    """FVSBN (Neal 1992; Frey, Hinton and Dayan 1996).

    Command: ``genus train fvsbn --data binarized-mnist --time-budget 2m``.
    Cost: two minutes on one core; half an hour gives the same. Expected: 97.8 nats, measured on
    one core.
    """
    return half_an_hour("fvsbn", time_budget=120)


@recipe
def made() -> Recipe:
    """MADE (Germain et al. 2015, arXiv:1502.03509).

    Command: ``genus train made --data binarized-mnist --time-budget 30m --learning-rate 0.001
    --weight-decay 0.1``.
    Cost: 30 minutes on one core; the best weights come after nine. Expected: 88.4 nats, measured
    on one core; 86.64 in the paper, with two layers of 8000 units and 32 masks.
    """
    return half_an_hour("made", learning_rate=1e-3, weight_decay=0.1)


@recipe
def nade() -> Recipe:
    """NADE (Larochelle and Murray 2011; Uria et al. 2016, arXiv:1605.02226).

    Command: ``genus train nade --data binarized-mnist --time-budget 30m --weight-decay 0.03``.
    Cost: 30 minutes on one core; the best weights come after fifteen. Expected: 86.4 nats,
    measured on one core; 88.33 in the paper, with 500 units.
    """
    return half_an_hour("nade", weight_decay=0.03)


@recipe
def vae() -> Recipe:
    """Convolutional variational autoencoder (Kingma and Welling 2014, arXiv:1312.6114).

    Command: ``genus train vae --data binarized-mnist --time-budget 45m``.
    Cost: 45 minutes on one core. Expected: a bound of 83.6 nats with 64 importance samples,
    measured on every fifth test image; 89.9 for one of perceptrons (Tomczak and Welling 2018).
    """
    return half_an_hour("vae", time_budget=2700)


@recipe
def vae_perceptron() -> Recipe:
    """Variational autoencoder of perceptrons (Kingma and Welling 2014, arXiv:1312.6114).

    Command: ``genus train vae --data binarized-mnist --set network=mlp --set latents=50 --set
    warmup=0.3 --time-budget 20m --weight-decay 0.01``. Then ``genus evaluate RUN --k 5000``.
    Cost: 20 minutes on one core, and half an hour for the bound. Expected: a bound of 88.3 nats
    with 5,000 importance samples, measured; 89.9 for perceptrons (Tomczak and Welling 2018).
    """
    options = {"network": "mlp", "latents": 50, "warmup": 0.3}
    training = {"time_budget": 1200, "weight_decay": 0.01}
    return Recipe(model="vae", data="binarized-mnist", options=options, training=training)


@recipe
def iwae() -> Recipe:
    """Importance-weighted autoencoder with 50 samples (Burda et al. 2016, arXiv:1509.00519).

    Command: ``genus train iwae --data binarized-mnist --set network=mlp --set latents=50 --set
    objective=dreg --set rise=0.5 --set warmup=0.15 --time-budget 50m --batch-size 32 --weight-decay
    0.01``. Then ``genus evaluate RUN --k 5000``.
    Cost: 50 minutes on one core, and half an hour for the bound. Expected: a bound of 87.0 nats
    with 5,000 importance samples, measured; 86.8 by pythae, after 3,280 epochs.
    """
    training = {"time_budget": 3000, "batch_size": 32, "weight_decay": 0.01}
    options = {
        "network": "mlp", "latents": 50, "objective": "dreg", "rise": 0.5, "warmup": 0.15,
    }  # fmt: skip
    return Recipe(model="iwae", data="binarized-mnist", options=options, training=training)


@recipe
def ladder_vae() -> Recipe:
    """Ladder VAE of three groups (Sonderby et al. 2016, arXiv:1602.02282).

    Command: ``genus train ladder-vae --data binarized-mnist --time-budget 100m``.
    Cost: 100 minutes on two cores. Expected: a bound of 83.5 nats with 64 importance samples and an
    evidence lower bound of 89.0 on valid, measured; 82.14 on test for three convolutional groups
    trained at length on a GPU (addtt's ladder-vae-pytorch).
    """
    return half_an_hour("ladder-vae", time_budget=6000)


@recipe
def pixel_ladder_vae() -> Recipe:
    """Ladder VAE that ends in a Diagonal BiLSTM (Gulrajani et al. 2016, arXiv:1611.05013).

    Command: ``genus train ladder-vae --data binarized-mnist --set decoder=diagonal-bilstm
    --set decoder_layers=3 --time-budget 80m --batch-size 16 --clip 0.2``.
    Cost: 80 minutes on one core. Expected: a bound of 79.9 nats with 16 importance samples,
    measured; latents say 2.3 nats of it, and the Diagonal BiLSTM alone comes to 79.4.
    """
    return Recipe(
        model="ladder-vae",
        data="binarized-mnist",
        options={"decoder": "diagonal-bilstm", "decoder_layers": 3},
        training={"time_budget": 4800, "batch_size": 16, "clip": 0.2},
    )


@recipe
def draw() -> Recipe:
    """DRAW with attention and 16 strokes (Gregor et al. 2015, arXiv:1502.04623).

    Command: ``genus train draw --data binarized-mnist --time-budget 115m``.
    Cost: 115 minutes on one core. Expected: a bound of 82.0 nats with 64 importance samples,
    measured, and 83.4 in 55 minutes; 80.97 in the paper, with 64 strokes.
    """
    return half_an_hour("draw", time_budget=6900)


@recipe
def rbm() -> Recipe:
    """Restricted Boltzmann machine of 500 units (Salakhutdinov and Murray 2008).

    Command: ``genus train rbm --data binarized-mnist --time-budget 25m``.
    Cost: 25 minutes on half a core. Expected: 88.6 nats, an estimate with the interval 87.7 to
    89.4, measured; 86.3 in the paper, with 25 steps of contrastive divergence.
    """
    return half_an_hour("rbm", time_budget=1500)


@recipe
def dbn() -> Recipe:
    """Deep belief network of 500 and 1,000 units (Hinton, Osindero and Teh 2006).

    The second half of the training is reweighted wake-sleep (Bornschein and Bengio 2015,
    arXiv:1406.2751).

    Command: ``genus train dbn --data binarized-mnist --set wake_sleep=0.5
    --set wake_samples=5 --time-budget 75m``.
    Cost: 75 minutes on one core. Expected: a bound of 86.6 nats with 1,000 samples, 85.8 to 87.4
    as log Z is, measured; 84.55 with 2,000 units at the top (Murray and Salakhutdinov 2009).
    """
    options = {"wake_sleep": 0.5, "wake_samples": 5}
    training: dict[str, Any] = {"time_budget": 4500}
    return Recipe(model="dbn", data="binarized-mnist", options=options, training=training)
