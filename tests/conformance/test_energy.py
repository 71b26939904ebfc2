"""The checks of energy models find each planted mistake, and nothing without one."""

from dataclasses import replace

import pytest
import torch

from genus.conformance import verify
from genus.families import annealing
from genus.models.dbn import DBN
from genus.models.rbm import RBM
from genus.spec import Batch, Spec

PLAIN = Spec(shape=(1, 2, 3), levels=2)
CLASSES = Spec(shape=(5,), levels=2, classes=2)
LEVELS = Spec(shape=(4,), levels=3)


class ForgottenHiddenBias(RBM):
    """Chains leave out the hidden units' biases."""

    def chain(self, state, noise, sweeps, **options):
        with torch.no_grad():
            kept = self.units.bias_H.clone()
            self.units.bias_H.sub_(1.5)
            try:
                return super().chain(state, noise, sweeps, **options)
            finally:
                self.units.bias_H.copy_(kept)


class IdleSweep(RBM):
    """A sweep that changes nothing leaves every law as it is."""

    def gibbs(self, x, y=None, *, generator=None):
        return x


class WarmSamples(RBM):
    """Samples are drawn at another temperature than 1."""

    def sample(self, n, *, temperature=1.0, **options):
        return super().sample(n, temperature=1.7 * temperature, **options)


class HalfEnergy(RBM):
    """The visible biases count half in the energy and fully in the chains."""

    def energy(self, x, y):
        machine = self.units.machine()
        state = machine.as_state(self.state_of(Batch(x, y)))
        return super().energy(x, y) + 0.5 * machine.on_bias(state)


class MaximalLabel(RBM):
    """The best label stands for the sum over labels."""

    def free_energy(self, x, y=None):
        if y is None and self.spec.classes is not None:
            self.check_inputs(x, y)
            return self.class_energies(x).min(1).values
        return super().free_energy(x, y)


class IgnoredLabel(RBM):
    """Chains given a label let it go."""

    def chain(self, state, noise, sweeps, *, known=None, **options):
        return super().chain(state, noise, sweeps, known=None, **options)


class WrongConstant(RBM):
    """Log Z is off by a tenth."""

    def log_partition(self, **options):
        found = super().log_partition(**options)
        ends = {name: getattr(found, name) + 0.1 for name in ("lower", "upper", "estimate")}
        return replace(found, **ends)


class WrongTransition(RBM):
    """The runs of annealing move at another temperature than they are weighed at."""

    def log_partition(self, **options):
        plain = annealing._Path.move
        annealing._Path.move = lambda path, a, noise, beta: plain(path, a, noise, beta**0.3)
        try:
            return super().log_partition(**options)
        finally:
            annealing._Path.move = plain


class ForgottenPosterior(DBN):
    """The weights leave out log q, so they are no estimate of a probability."""

    def up(self, x, u_BU, depth=None):
        return [(h_BH, 0 * log_q_B) for h_BH, log_q_B in super().up(x, u_BU, depth)]


class MeanOfLogs(DBN):
    """The mean of logs instead of the log of a mean: no better with more samples."""

    def free_energy_bound(self, x, k, y=None, *, generator=None):
        rows = [super().free_energy_bound(x, 1, y, generator=generator)]
        for _ in range(k - 1):
            rows.append(super().free_energy_bound(x, 1, y, generator=generator))
        return torch.stack(rows).mean(0)


class SampledUpwards(DBN):
    """Samples are reconstructions of noise and not what the top machine draws."""

    def _top_chain(self, chosen, y, noise, temperature):
        return (noise.uniform(self.config.hidden) < 0.5).to(self.dtype)


class WrongTopConstant(DBN):
    """Log Z of the top machine is off by one wherever it is not summed."""

    def log_partition(self, **options):
        found = super().log_partition(**options)
        if found.exact:
            return found
        ends = {name: getattr(found, name) + 1 for name in ("lower", "upper", "estimate")}
        return replace(found, **ends)


BUGS = [
    (ForgottenHiddenBias, PLAIN, {"energy.gibbs", "energy.samples"}),
    (IdleSweep, PLAIN, {"energy.gibbs", "energy.inputs"}),
    (WarmSamples, LEVELS, {"energy.samples"}),
    (HalfEnergy, PLAIN, {"energy.gibbs", "energy.samples"}),
    (MaximalLabel, CLASSES, {"energy.labels"}),
    (IgnoredLabel, CLASSES, {"energy.samples"}),
    (WrongConstant, PLAIN, {"energy.log-partition"}),
    (WrongTransition, PLAIN, {"energy.log-partition"}),
    (ForgottenPosterior, PLAIN, {"energy.bound"}),
    (MeanOfLogs, PLAIN, {"energy.bound"}),
    (SampledUpwards, PLAIN, {"energy.bound-samples"}),
    (WrongTopConstant, PLAIN, {"energy.bound-partition"}),
]


@pytest.mark.parametrize(
    ("cls", "spec", "caught_by"), BUGS, ids=lambda v: getattr(v, "__name__", "")
)
def test_the_planted_mistake_is_found(cls, spec, caught_by):
    report = verify(cls, specs=[spec])
    failed = {finding.check for finding in report.failures}
    assert failed >= caught_by, f"{sorted(failed)} failed, of {caught_by}:\n{report}"


@pytest.mark.parametrize("spec", [PLAIN, CLASSES, LEVELS], ids=str)
@pytest.mark.parametrize("cls", [RBM, DBN])
def test_without_a_mistake_nothing_is_found(cls, spec):
    report = verify(cls, specs=[spec])
    assert report.passed, str(report)
