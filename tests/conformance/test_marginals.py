"""The checks of marginal likelihoods pass a right model and find planted mistakes by name."""

import math

import pytest
import torch

from genus.conformance import verify
from genus.families.completion import fitting_mask
from genus.models.gaussian_mixture import GaussianMixture
from genus.models.naive_bayes import NaiveBayes
from genus.spec import Spec

LEVELS = Spec(shape=(1, 2, 2), levels=3, classes=2)
REAL = Spec(shape=(2,), classes=2)


class OtherPrior(NaiveBayes):
    """Forgets the class prior where no label is given."""

    def marginal_log_prob(self, x, known, y=None):
        x = x.masked_fill(~known, 0)
        joint = self.log_weight_YK.view(1, -1) + self.parts.log_prob(
            x.flatten(1), known.expand_as(x).flatten(1)
        )
        labels = joint - math.log(joint.shape[1])
        return labels.logsumexp(1) if y is None else joint.gather(1, y[:, None]).squeeze(1)


class PlugsIn(NaiveBayes):
    """Takes the missing entries for zeros, which have a likelihood of their own."""

    def marginal_log_prob(self, x, known, y=None):
        return self.log_prob(x.masked_fill(~known, 0), y)


class PerEntry(NaiveBayes):
    """Scales the likelihood of the whole by the share that is known."""

    def marginal_log_prob(self, x, known, y=None):
        known = fitting_mask(known, x)
        return self.log_prob(x, y) * known.flatten(1).double().mean(1)


class MostLikely(GaussianMixture):
    """Takes the best component in place of the sum."""

    def marginal_log_prob(self, x, known, y=None):
        known = fitting_mask(known, x)
        x = x.masked_fill(~known, 0)
        return self._joint(x, y, known.flatten(1)).amax(1)


class NoPrior(NaiveBayes):
    """Takes the classes for equally likely where entries are missing."""

    def class_log_prob(self, x, known=None):
        if known is None:
            return super().class_log_prob(x)
        return (self.joint_log_prob(x, known) - self.log_prior_Y).log_softmax(1)


class Imputes(NaiveBayes):
    """Classifies with a value in the place of what is missing."""

    def class_log_prob(self, x, known=None):
        return super().class_log_prob(x if known is None else x.masked_fill(~known, 1))


BUGS = [
    (NoPrior, LEVELS, {"marginals.posterior"}),
    (Imputes, LEVELS, {"marginals.posterior"}),
    (Imputes, REAL, {"marginals.posterior"}),
    (OtherPrior, LEVELS, {"marginals.sum", "marginals.ends"}),
    (OtherPrior, REAL, {"marginals.quadrature", "marginals.ends"}),
    (PlugsIn, LEVELS, {"marginals.sum", "marginals.ends"}),
    (PlugsIn, REAL, {"marginals.quadrature", "marginals.ends"}),
    (PerEntry, LEVELS, {"marginals.sum", "marginals.unknown"}),
    (PerEntry, REAL, {"marginals.quadrature", "marginals.unknown"}),
    (MostLikely, REAL, {"marginals.quadrature", "marginals.ends"}),
    (MostLikely, LEVELS, {"marginals.sum", "marginals.ends"}),
]


@pytest.mark.parametrize(("cls", "spec", "caught_by"), BUGS)
def test_the_planted_bug_is_found_by_name(cls, spec, caught_by):
    report = verify(cls, specs=[spec], quick=True)
    failed = {finding.check for finding in report.failures}
    assert failed >= caught_by, str(report)
    assert all(name.startswith("marginals.") for name in failed), str(report)


@pytest.mark.parametrize("cls", [NaiveBayes, GaussianMixture])
@pytest.mark.parametrize("spec", [LEVELS, REAL], ids=["levels", "real"])
def test_without_the_bug_nothing_is_found(cls, spec):
    report = verify(cls, specs=[spec], quick=True)
    assert report.passed, str(report)
    ran = {finding.check for finding in report.findings if finding.check.startswith("marginals")}
    one = "marginals.sum" if spec.is_discrete else "marginals.quadrature"
    assert ran == {one, "marginals.ends", "marginals.posterior", "marginals.unknown"}


def test_unknown_levels_are_random_and_unused():
    x = torch.tensor([[[[0, -7], [99, 1]]]])
    known = torch.tensor([[True, False], [False, True]])
    model = NaiveBayes(LEVELS)
    assert float(model.marginal_log_prob(x, known)) == pytest.approx(-2 * math.log(3), abs=1e-5)
