"""Every registered model passes every check that its capabilities call for."""

import pytest

from genus import registry
from genus.conformance import verify
from genus.families import latent

SIBLINGS = {"iwae": "vae", "beta-vae": "vae", "vampprior-vae": "vae", "iaf-vae": "vae"}
"""Models that differ from another in the defaults of options, whose choices are verified there."""


LONG = (
    "pixelcnn++", "pixelsnail", "pixel-transformer", "draw", "ladder-vae", "dbn", "vae", "m2",
    "rbm", "row-lstm", "diagonal-bilstm", "multiscale-pixelrnn", "made",
)  # fmt: skip
"""Models on which the whole kit takes more than half a minute of a core."""


def conforms(name, *, quick):
    report = verify(name, quick=quick)
    assert report.passed, str(report)
    assert len({finding.spec for finding in report.findings}) >= 4


@pytest.mark.slow
@pytest.mark.parametrize("name", registry.list_models())
def test_a_registered_model_conforms(name):
    conforms(name, quick=name in SIBLINGS or name in LONG)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", LONG)
def test_a_model_conforms_on_every_spec_and_with_every_choice(name, monkeypatch):
    # Pixel networks draw a whole example in each sweep of a completion, here in dozens of choices.
    monkeypatch.setattr(latent, "SWEEPS", 3)
    conforms(name, quick=False)


@pytest.mark.parametrize(("name", "other"), SIBLINGS.items())
def test_siblings_have_the_same_options(name, other):
    ours, theirs = (registry.get(n).Config.__dataclass_fields__ for n in (name, other))
    assert {k: f.type for k, f in ours.items()} == {k: f.type for k, f in theirs.items()}
    assert registry.get(name).__bases__ == registry.get(other).__bases__
