"""CIFAR-10, 8-bit RGB at 32x32, in bits per dimension on the test split, with the papers' sizes.

These want a GPU for days. They have not been run to the end here, and the scores are the papers'.
"""

from __future__ import annotations

from genus.recipes.recipe import Recipe, recipe


@recipe
def pixelcnn() -> Recipe:
    """PixelCNN, 15 blocks of 256 features (van den Oord et al. 2016, arXiv:1601.06759, Table 1).

    Command: ``genus train pixelcnn --data cifar10 --preset cifar10 --batch-size 16
    --time-budget 48h``. Cost: days on one GPU. Expected: 3.14 bits/dim (the paper, Table 5).
    """
    training = {"batch_size": 16, "time_budget": 48 * 3600}
    return Recipe(model="pixelcnn", data="cifar10", preset="cifar10", training=training)


@recipe
def row_lstm() -> Recipe:
    """Row LSTM, 12 layers of 256 features (van den Oord et al. 2016, arXiv:1601.06759, Table 1).

    Command: ``genus train row-lstm --data cifar10 --preset cifar10 --batch-size 16
    --time-budget 120h``. Cost: a week on one GPU. Expected: 3.07 bits/dim (the paper, Table 5).
    """
    training = {"batch_size": 16, "time_budget": 120 * 3600}
    return Recipe(model="row-lstm", data="cifar10", preset="cifar10", training=training)


@recipe
def diagonal_bilstm() -> Recipe:
    """Diagonal BiLSTM, 12 layers of 256 features (van den Oord et al. 2016, arXiv:1601.06759).

    Command: ``genus train diagonal-bilstm --data cifar10 --preset cifar10 --batch-size 16
    --time-budget 120h``. Cost: a week on one GPU. Expected: 3.00 bits/dim (the paper, Table 5).
    """
    training = {"batch_size": 16, "time_budget": 120 * 3600}
    return Recipe(model="diagonal-bilstm", data="cifar10", preset="cifar10", training=training)


@recipe
def gated_pixelcnn() -> Recipe:
    """Gated PixelCNN (van den Oord et al. 2016, arXiv:1606.05328).

    Command: ``genus train gated-pixelcnn --data cifar10 --preset cifar10 --batch-size 128
    --time-budget 48h``. Cost: days on one GPU. Expected: 3.03 bits/dim (the paper, Table 1).
    """
    training = {"batch_size": 128, "time_budget": 48 * 3600}
    return Recipe(model="gated-pixelcnn", data="cifar10", preset="cifar10", training=training)


@recipe
def pixelcnn_plus_plus() -> Recipe:
    """PixelCNN++, 192 features (Salimans et al. 2017, arXiv:1701.05517).

    Command: ``genus train pixelcnn++ --data cifar10 --preset cifar10 --batch-size 128
    --ema 0.9995 --time-budget 120h``. Cost: about five days on eight GPUs of 2016 in the paper.
    Expected: 2.92 bits/dim (the paper, Table 1).
    """
    training = {"batch_size": 128, "ema": 0.9995, "time_budget": 120 * 3600}
    return Recipe(model="pixelcnn++", data="cifar10", preset="cifar10", training=training)


@recipe
def pixelsnail() -> Recipe:
    """PixelSNAIL, 12 blocks of 256 features (Chen et al. 2018, arXiv:1712.09763).

    Command: ``genus train pixelsnail --data cifar10 --preset cifar10 --batch-size 64
    --learning-rate 0.001 --ema 0.9995 --time-budget 120h``. Cost: days on several GPUs. Expected:
    2.85 bits/dim (the paper, Table 1).
    """
    training = {"batch_size": 64, "learning_rate": 1e-3, "ema": 0.9995, "time_budget": 120 * 3600}
    return Recipe(model="pixelsnail", data="cifar10", preset="cifar10", training=training)
