"""Correct models pass every check that applies to them."""

import pytest
from tests.conformance.toys import SMALL, TOYS, ToyVAE

from genus.conformance import verify


@pytest.mark.parametrize("cls", TOYS, ids=lambda cls: cls.__name__)
def test_a_correct_model_passes(cls):
    report = verify(cls, specs=SMALL, quick=True)
    assert report.passed, str(report)
    assert len({finding.spec for finding in report.findings}) >= 2


class DrawsDivergence(ToyVAE):
    """Trained by a draw of the divergence that its ELBO has by formula, which is far noisier."""

    def law(self, parameters):
        return super().law(0.01 * parameters)

    def loss(self, batch, noise):
        q = self.encode(batch.x, batch.y)
        z = q.mean + q.log_scale.exp() * noise.normal(self.config.latents)
        likelihood = self.decode(z, batch.y).log_prob(batch.x.long()).flatten(1).sum(1)
        drawn = q.log_prob(z) - self.prior().log_prob(z)
        return {"loss": (drawn - likelihood).mean() / self.spec.dims}


@pytest.mark.parametrize("seed", range(5))
def test_a_noisy_loss_of_the_right_mean_is_no_finding(seed):
    report = verify(DrawsDivergence, specs=SMALL[:1], quick=True, seed=seed)
    assert "training.bound" in {finding.check for finding in report.findings}
    assert report.passed, str(report)
