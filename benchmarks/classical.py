"""Passes of EM against scikit-learn and hmmlearn: the same data and start, in one run.

Each row fits the same model twice: the other library's, and ours begun where the other began, with
as many passes over the data and nothing but the data in either (no prior, no floor that matters).
Both must reach the same log-likelihood, to 1e-4 of it, or the row says so and the program ends
with 1. The time is that of the passes, the best of some rounds that take turns.

    python benchmarks/classical.py [--threads 2] [--rows 10000 100000] [--passes 5] [--seconds 10]
        [--only gmm-full ...]
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from genus.capabilities import FitContext
from genus.families.closed_form import ClosedForm
from genus.families.factorised import FactorisedConfig
from genus.models.gaussian_mixture import GaussianMixture, GaussianMixtureConfig
from genus.models.hmm import HMM, HMMConfig
from genus.models.naive_bayes import NaiveBayes
from genus.spec import Batch, Spec

STEPS = 50
"""Steps of a sequence; rows are steps."""
TOLERANCE = 1e-4
EXACT = {"pseudo": 0.0, "min_scale": 1e-4, "tolerance": -1.0}


@dataclass
class Duel:
    """The same fit by both libraries.

    Args:
        ours: fits our model from its start.
        theirs: fits theirs from the same start.
        ours_nats: log-likelihood of all rows under our fitted model.
        theirs_nats: the same under theirs.
    """

    ours: Callable[[], None]
    theirs: Callable[[], None]
    ours_nats: Callable[[], float]
    theirs_nats: Callable[[], float]


def clusters(rows: int, dims: int, kinds: int) -> torch.Tensor:
    """Return rows around some centres, every column with mean 0 and deviation 1."""
    generator = torch.Generator().manual_seed(0)
    centre = 2 * torch.randn(kinds, dims, generator=generator)
    shear = torch.randn(kinds, dims, dims, generator=generator) / dims**0.5
    kind = torch.randint(kinds, (rows,), generator=generator)
    noise = torch.randn(rows, dims, generator=generator)
    x = torch.empty(rows, dims)
    for k in range(kinds):
        x[kind == k] = centre[k] + noise[kind == k] @ shear[k]
    return (x - x.mean(0)) / x.std(0, correction=0)


def started(model: ClosedForm, batch: Batch, passes: int) -> Callable[[], None]:
    """Return a fit of our model that always begins where it would begin now."""
    model.double()
    model.begin(batch[slice(0, model.seeds)], torch.Generator().manual_seed(0))
    if hasattr(model.parts, "shift_D"):  # the other library is given standardised columns
        assert float(model.parts.shift_D.abs().max()) < 1
    model.iterations, model.seeds = passes, 0
    state = {name: tensor.clone() for name, tensor in model.state_dict().items()}

    def fit() -> None:
        model.load_state_dict(state)
        model.fit(lambda: [batch], FitContext())

    return fit


def mixture(rows: int, covariance: str, passes: int) -> Duel:
    """Return the duel of Gaussian mixtures of 20 components in 10 dimensions."""
    from sklearn.mixture import GaussianMixture as Theirs

    x = clusters(rows, 10, 20).double()
    config = GaussianMixtureConfig(components=20, covariance=covariance, **EXACT)
    model = GaussianMixture(Spec(shape=(10,)), config)
    fit = started(model, Batch(x), passes)
    parts, unit = model.parts, float(model.parts.scale_D.log().sum())
    z = parts.coordinates(x).numpy()
    if covariance == "diag":
        precision = (-2 * parts.log_scale_MD).exp().numpy()
    else:
        precision = torch.linalg.inv(parts.covariance_CDD).numpy()
        precision = precision[0] if covariance == "tied" else precision
    weights = model.log_weight_YK[0].exp().numpy()
    start = {
        "weights_init": weights / weights.sum(),
        "means_init": parts.mean_MD.numpy().copy(),
        "precisions_init": precision.copy(),
    }
    theirs = Theirs(20, covariance_type=covariance, reg_covar=0, tol=0, max_iter=passes, **start)
    return Duel(
        fit,
        lambda: theirs.fit(z),
        lambda: float(model.log_prob(x).sum()) + rows * unit,
        lambda: float(theirs.score(z)) * rows,
    )


def naive_bayes(rows: int, levels: int | None, passes: int) -> Duel:
    """Return the duel of naive Bayes over 100 columns and 10 classes, which takes one pass."""
    from sklearn.naive_bayes import BernoulliNB, GaussianNB

    x = clusters(rows, 100, 10)
    y = torch.randint(10, (rows,), generator=torch.Generator().manual_seed(1))
    x = x.double() if levels is None else (x > 0).long()
    spec = Spec(shape=(100,), levels=levels, classes=10)
    model = NaiveBayes(spec, FactorisedConfig(alpha=1.0 if levels else 1e-12)).double()
    counts = np.bincount(y, minlength=10) + 1.0  # our class prior has one pseudo-count for each
    prior = counts / counts.sum()
    if levels is None:
        theirs = GaussianNB(var_smoothing=0, priors=prior)
    else:
        theirs = BernoulliNB(alpha=1.0, class_prior=prior)
    data, labels = x.double().numpy(), y.numpy()

    def nats() -> float:
        return float(np.logaddexp.reduce(theirs.predict_joint_log_proba(data), 1).sum())

    return Duel(
        lambda: model.fit(lambda: [Batch(x, y)]),
        lambda: theirs.fit(data, labels),
        lambda: float(model.log_prob(x).sum()),
        nats,
    )


def hidden_markov(rows: int, emission: str, passes: int) -> Duel:
    """Return the duel of hidden Markov models of 10 states."""
    from hmmlearn import hmm

    sequences = max(1, rows // STEPS)
    if emission == "categorical":
        x = torch.randint(30, (sequences, STEPS), generator=torch.Generator().manual_seed(0))
        x, spec = x.cummax(1).values, Spec(shape=(STEPS,), levels=30)
    else:
        x = clusters(sequences * STEPS, 4, 10).double().view(sequences, 1, STEPS, 4)
        spec = Spec(shape=(1, STEPS, 4))
    config = HMMConfig(states=10, emission=emission, prior=0.0, **EXACT)
    model = HMM(spec, config)
    fit = started(model, Batch(x), passes)
    start, step = (law[0].exp().numpy() for law in (model.log_start_YS, model.log_step_YSS))
    flat = model._split(x)
    common = {"n_iter": passes, "tol": -np.inf, "init_params": ""}
    if emission == "categorical":
        theirs = hmm.CategoricalHMM(10, params="ste", n_features=30, **common)
        laws = {"emissionprob_": model.parts.log_mass_EM.exp().T.numpy().copy()}
        data, unit = flat.numpy(), 0.0
    else:
        free = {"min_covar": 0, "covars_prior": 0, "covars_weight": 1}
        theirs = hmm.GaussianHMM(10, covariance_type=emission, params="stmc", **free, **common)
        parts = model.parts
        spread = (2 * parts.log_scale_MD).exp() if emission == "diag" else parts.covariance_CDD
        laws = {"means_": parts.mean_MD.numpy().copy(), "covars_": spread.numpy().copy()}
        data, unit = parts.coordinates(flat).numpy(), float(parts.scale_D.log().sum())
    laws["startprob_"], laws["transmat_"] = start / start.sum(), step / step.sum(1, keepdims=True)
    lengths = [STEPS] * sequences

    def refit() -> None:
        for name, law in laws.items():
            setattr(theirs, name, law.copy())
        theirs.fit(data, lengths)

    return Duel(
        fit,
        refit,
        lambda: float(model.log_prob(x).sum()) + len(flat) * unit,
        lambda: float(theirs.score(data, lengths)),
    )


DUELS: dict[str, Callable[[int, int], Duel]] = {
    "gmm-full": lambda rows, passes: mixture(rows, "full", passes),
    "gmm-diag": lambda rows, passes: mixture(rows, "diag", passes),
    "gmm-tied": lambda rows, passes: mixture(rows, "tied", passes),
    "nb-binary": lambda rows, passes: naive_bayes(rows, 2, passes),
    "nb-real": lambda rows, passes: naive_bayes(rows, None, passes),
    "hmm-levels": lambda rows, passes: hidden_markov(rows, "categorical", passes),
    "hmm-full": lambda rows, passes: hidden_markov(rows, "full", passes),
    "hmm-diag": lambda rows, passes: hidden_markov(rows, "diag", passes),
}
"""Every row by its name: from rows and passes to a duel."""


def best_times(duel: Duel, seconds: float) -> tuple[float, float]:
    """Return the shortest fit of ours and of theirs, in turns for so many seconds."""
    ours, theirs = [], []
    begin = time.perf_counter()
    while not ours or time.perf_counter() - begin < seconds:
        for fit, taken in ((duel.ours, ours), (duel.theirs, theirs)):
            start = time.perf_counter()
            fit()
            taken.append(time.perf_counter() - start)
    return min(ours), min(theirs)


def rows_of(names: list[str], sizes: list[int], passes: int) -> Iterator[tuple[str, int, Duel]]:
    """Yield every duel that was asked for."""
    for name in names:
        for rows in sizes:
            yield name, rows, DUELS[name](rows, passes)


def main() -> int:
    """Measure and print; return 1 where a log-likelihood differs."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rows", type=int, nargs="*", default=[10_000, 100_000])
    parser.add_argument("--passes", type=int, default=5, help="of EM")
    parser.add_argument("--seconds", type=float, default=10, help="for each row of the table")
    parser.add_argument("--only", nargs="*", choices=list(DUELS), default=list(DUELS))
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    warnings.simplefilter("ignore")  # that so few passes have not converged
    print(f"{given.threads} threads, torch {torch.__version__}; {given.passes} passes of EM")
    print(f"{'':12} {'rows':>8} {'theirs s':>9} {'ours s':>8} {'ratio':>7}  log-likelihood")
    wrong = 0
    for name, rows, duel in rows_of(given.only, given.rows, given.passes):
        ours, theirs = best_times(duel, given.seconds)
        found, expected = duel.ours_nats(), duel.theirs_nats()
        apart = abs(found - expected) / abs(expected)
        verdict = "equal" if apart <= TOLERANCE else "DIFFERENT"
        wrong += apart > TOLERANCE
        print(
            f"{name:12} {rows:8} {theirs:9.3f} {ours:8.3f} {theirs / ours:6.2f}x  "
            f"{verdict} ({apart:.0e})",
            flush=True,
        )
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
