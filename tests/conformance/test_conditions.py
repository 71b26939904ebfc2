"""Models that are given images: the checks find what is wrong with them, and others refuse."""

import pytest
import torch
from torch import nn

from genus import registry
from genus.conformance import verify
from genus.conformance.specs import CONDITIONED, default_specs
from genus.errors import SpecError
from genus.models.pix2pix import Pix2Pix
from genus.spec import Spec

SMALLER, GREY = CONDITIONED[:2]


class IgnoresImage(Pix2Pix):
    """The generator is given a blank image."""

    def _generator(self, z, y):
        return super()._generator(z, torch.zeros_like(y))


class BlindCritic(Pix2Pix):
    """The critic judges the image alone."""

    def _critic(self, x, y):
        return super()._critic(x, torch.zeros_like(y))


class MixesImages(Pix2Pix):
    """Images are centred at the mean of those that are given together."""

    def _as_given(self, y):
        return super()._as_given(y) - super()._as_given(y).mean(0)


class NormalisesBatch(Pix2Pix):
    """The generator normalises over the batch, whatever is in it."""

    def __init__(self, spec, config=None):
        super().__init__(spec, config)
        for layer in self.generator.net.modules():
            if isinstance(layer, nn.Sequential) and isinstance(layer[1], nn.GroupNorm):
                layer[1] = nn.BatchNorm2d(layer[1].num_channels, track_running_stats=False)


class DrawsImages(Pix2Pix):
    """Samples without images are made of black ones."""

    def labels_for(self, n, y, u_B):
        black = torch.zeros(n, *self.spec.condition, dtype=torch.long)
        return super().labels_for(n, black if y is None else y, u_B)


class TakesAnyImage(Pix2Pix):
    """Levels out of range are brought back without a word."""

    def check_inputs(self, x, y):
        super().check_inputs(x, None if y is None else y.clamp(0, self.spec.levels - 1))


BUGS = [
    (IgnoresImage, GREY, ("conditions.used",)),
    (BlindCritic, GREY, ("conditions.used",)),
    (MixesImages, SMALLER, ("conditions.own", "sampling.count", "inputs.rows")),
    (NormalisesBatch, SMALLER, ("conditions.own", "sampling.count")),
    (DrawsImages, SMALLER, ("conditions.refused",)),
    (TakesAnyImage, SMALLER, ("conditions.refused",)),
]


@pytest.mark.parametrize(("cls", "spec", "names"), BUGS, ids=lambda p: getattr(p, "__name__", None))
def test_the_planted_bug_is_found_by_name(cls, spec, names):
    report = verify(cls, specs=[spec], quick=True)
    assert {finding.check for finding in report.failures} >= set(names), str(report)


def test_the_verb_that_ignores_the_image_is_named():
    failed = [verify(cls, specs=[GREY], quick=True).failures for cls in (IgnoresImage, BlindCritic)]
    verbs = [[f.detail for f in found if f.check == "conditions.used"] for found in failed]
    assert verbs == [["change of sample with the image"], ["change of score with the image"]]


def test_pix2pix_passes_on_all_kinds_of_images():
    report = verify(Pix2Pix)
    assert report.passed, str(report)
    assert len({finding.spec for finding in report.findings}) == len(CONDITIONED)
    assert {"conditions.used", "conditions.own", "conditions.refused"} <= {
        finding.check for finding in report.findings
    }


def test_only_a_class_that_goes_by_images_is_verified_with_them():
    assert not any(spec.condition for spec in default_specs())
    assert all(spec.condition for spec in default_specs(condition=True)[:-2])


def test_every_other_model_refuses_an_image_and_says_which_do(shipped):
    spec = Spec(shape=(1, 8, 8), levels=17, condition=(1, 4, 4))
    takes = {name for name, cls in shipped.items() if cls.takes_condition}
    assert takes == {"pix2pix"}
    for name in shipped.keys() - takes:
        with pytest.raises(SpecError, match=rf"^{name.replace('+', '.')} does not go.*pix2pix"):
            registry.create(name, spec)


@pytest.mark.parametrize("spec", [Spec((1, 8, 8), 17), Spec((1, 8, 8), 17, 3), Spec((5,), 2)])
def test_pix2pix_refuses_data_without_an_image_and_says_how_to_have_one(spec):
    with pytest.raises(SpecError, match="--given downsample:2"):
        registry.create("pix2pix", spec)
