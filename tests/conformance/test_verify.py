"""The report, the choice of what is verified, and the names by which a user asks for it."""

import json
import math

import pytest
import torch
from tests.conformance import toys
from tests.conformance.bugs import BatchStatistics, MaskOffByOne
from tests.conformance.toys import ClassTable, LinearChain

import genus
from genus import registry
from genus.conformance import Finding, Report, default_specs, load_class, verify
from genus.conformance.all_checks import CHECKS
from genus.conformance.subject import choices, variants
from genus.conformance.tools import all_examples, chi_square_p, index_of
from genus.errors import ConfigError, SpecError
from genus.spec import Spec

SPEC = Spec(shape=(1, 2, 3), levels=2)


def test_default_specs_cover_what_they_should():
    specs = default_specs()
    assert {spec.levels for spec in specs} == {2, 3, 17, 256, None}
    images = [spec for spec in specs if spec.is_image]
    assert {spec.shape[0] for spec in images} == {1, 3}
    assert any(spec.shape[1] != spec.shape[2] for spec in images)
    assert {spec.classes is None for spec in specs} == {True, False}
    assert any(spec.classes and spec.levels is None for spec in specs)


def test_verify_is_exported():
    assert genus.verify is verify


def test_an_instance_is_checked_as_it_is_and_not_changed():
    model = LinearChain(SPEC).train()
    model.requires_grad_(True)
    before = {k: v.clone() for k, v in model.state_dict().items()}
    state = torch.get_rng_state()
    report = verify(model, specs=[SPEC], quick=True)
    assert report.passed, str(report)
    assert any("as given" in finding.spec for finding in report.findings)
    assert any("as given" not in finding.spec for finding in report.findings)
    assert model.training
    assert next(model.parameters()).dtype == torch.float32
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())


def test_a_damaged_instance_of_a_correct_class_fails():
    spec = Spec(shape=(1, 2, 3), levels=2, classes=2)
    model = ClassTable(spec)
    model.log_prior_Y += 0.1
    report = verify(model, specs=[spec], quick=True)
    failed = {finding.check for finding in report.failures}
    assert failed >= {"normalisation.total", "classes.prior"}
    assert all("as given" in finding.spec for finding in report.failures)


def test_the_same_seed_gives_the_same_report():
    first, second = (verify(LinearChain, specs=[SPEC], quick=True, seed=3) for _ in range(2))
    assert first.findings == second.findings
    other = verify(LinearChain, specs=[SPEC], quick=True, seed=4)
    assert other.passed
    assert other.findings != first.findings


def test_correct_toys_pass_at_several_seeds():
    for seed in range(1, 3):
        for cls in (LinearChain, toys.ToyVAE, ClassTable):
            report = verify(cls, specs=[SPEC], quick=True, seed=seed)
            assert report.passed, f"seed {seed}: {report}"


class Refuses(LinearChain):
    name = "refuses everything"

    @classmethod
    def check_spec(cls, spec):
        raise SpecError("this model takes no data at all")


def test_a_model_that_refuses_every_spec_fails():
    report = verify(Refuses)
    assert not report.passed
    assert len(report.skipped) >= len(default_specs())
    assert "nothing could be verified" in str(report)
    assert "this model takes no data at all" in str(report)


class Broken(LinearChain):
    def __init__(self, spec, config=None):
        raise KeyError("no such layer")


def test_a_model_that_cannot_be_made_is_reported():
    report = verify(Broken, specs=[SPEC])
    assert [finding.check for finding in report.failures] == ["model.builds"]
    assert "KeyError" in report.failures[0].detail


def test_an_error_inside_a_check_is_a_failure_that_quotes_it():
    report = verify(ClassTableThatRaises, specs=[SPEC], quick=True)
    failure = next(f for f in report.failures if f.check == "normalisation.total")
    assert math.isnan(failure.figure)
    assert "RuntimeError: out of order" in failure.detail


class ClassTableThatRaises(ClassTable):
    def conditional_log_prob(self, x, y):
        raise RuntimeError("out of order")


def test_something_else_is_no_model():
    with pytest.raises(ConfigError, match="dict is not a model: it has no method sample"):
        verify({})


def test_the_report_as_text_and_as_json():
    report = verify(MaskOffByOne, specs=[SPEC], quick=True)
    text = str(report)
    assert "FAILED" in text.splitlines()[0]
    assert "likelihoods are too good to be true" in text
    data = json.loads(json.dumps(report.to_json(), allow_nan=False))
    assert data["passed"] is False
    assert set(data) == {"model", "passed", "seconds", "findings", "skipped"}
    keys = {"check", "spec", "passed", "figure", "limit", "meaning", "detail"}
    assert all(set(finding) == keys for finding in data["findings"])


def test_not_a_number_becomes_null():
    finding = Finding("a.b", "spec", False, math.nan, 0.0, "meaning")
    assert Report("m", (finding,)).to_json()["findings"][0]["figure"] is None


def test_a_leak_is_named_by_its_entries():
    report = verify(MaskOffByOne, specs=[SPEC], quick=True)
    leak = next(f for f in report.failures if f.check == "causality.perturbation")
    words = leak.detail.split("; ")[1].split(" depends on ")
    assert words[0] == words[1]
    assert words[0].startswith("channel 0 row ")
    assert leak.detail.startswith("6 illegal pairs")


def test_a_leak_in_training_only_is_not_blamed_on_evaluation():
    report = verify(BatchStatistics, specs=[SPEC])
    failed = {finding.check for finding in report.failures}
    assert not failed & {"causality.perturbation", "causality.jacobian", "inputs.rows"}


def test_choices_are_found_and_varied():
    cls = registry.get("vae")
    assert "bernoulli" in choices(cls)["likelihood"]
    varied = variants(cls, dict(cls.tiny))
    assert {"bernoulli", "categorical", "logistic"} <= {v.get("likelihood") for v in varied}


def test_every_check_says_what_it_means():
    for name, check in CHECKS.items():
        subject, dot, rest = name.partition(".")
        assert subject, name
        assert dot, name
        assert rest, name
        assert len(check.meaning) > 20, name
        assert check.run.__doc__, name


def test_load_class():
    assert load_class("tests.conformance.toys:LinearChain").__name__ == "LinearChain"


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ("toys", "not of the form module:Class"),
        (":Class", "not of the form module:Class"),
        ("no_such_module_x:Class", "cannot import 'no_such_module_x'"),
        ("tests.conformance.toys:LinearChan", "did you mean LinearChain?"),
        ("tests.conformance.toys:TOYS", "is a tuple, not a class"),
        ("tests.conformance.toys:ChainStream", "is not a model"),
        ("missing.py:Class", "there is no file missing.py"),
    ],
)
def test_load_class_explains(reference, message):
    with pytest.raises(ConfigError, match=message.replace("?", r"\?")):
        load_class(reference)


MINE = """
import torch
from genus.families.base import DensityModel
from genus.distributions import Categorical
from genus.random import ExampleNoise


class Uniform(DensityModel):
    family = "mine"

    def law(self, n):
        return Categorical(torch.zeros(n, *self.spec.shape, self.spec.levels))

    @classmethod
    def check_spec(cls, spec):
        cls.require(spec.is_discrete and spec.classes is None, "levels", spec)

    def conditional_log_prob(self, x, y):
        return self.law(len(x)).log_prob(x.long()).flatten(1).sum(1)

    def sample(self, n, *, y=None, generator=None, temperature=1.0):
        if y is not None or temperature <= 0:
            raise ValueError("this model takes no labels, and temperatures above zero")
        noise = ExampleNoise(n, generator)
        return self.law(n).tempered(temperature).icdf(noise.uniform(*self.spec.shape))
"""


def test_a_users_own_file_is_verified(tmp_path, monkeypatch):
    (tmp_path / "mine_for_genus.py").write_text(MINE)
    report = verify(f"{tmp_path / 'mine_for_genus.py'}:Uniform", quick=True)
    assert report.model == "Uniform"
    assert report.passed, str(report)
    monkeypatch.chdir(tmp_path)
    assert verify("mine_for_genus:Uniform", quick=True).passed


def test_a_registered_name_is_verified_or_corrected():
    with pytest.raises(ConfigError, match="did you mean pixelcnn"):
        verify("pixelcn")


def test_chi_square_agrees_with_scipy():
    stats = pytest.importorskip("scipy.stats")
    counts, p = torch.tensor([18, 30, 52, 100]), torch.tensor([0.1, 0.15, 0.25, 0.5])
    expected = stats.chisquare(counts.numpy(), (p * 200).numpy()).pvalue
    assert chi_square_p(counts, p) == pytest.approx(expected, rel=1e-5)


def test_chi_square_of_an_impossible_draw_is_zero():
    assert chi_square_p(torch.tensor([40, 40, 1]), torch.tensor([0.5, 0.5, 0.0])) < 1e-4


def test_chi_square_keeps_its_level():
    generator = torch.Generator().manual_seed(0)
    p = torch.rand(30, generator=generator).softmax(0)
    draws = [torch.multinomial(p, 500, True, generator=generator) for _ in range(400)]
    values = torch.tensor([chi_square_p(torch.bincount(d, minlength=30), p) for d in draws])
    assert 0.02 < float((values < 0.05).float().mean()) < 0.09


def test_enumeration_and_its_inverse():
    spec = Spec(shape=(2, 1, 2), levels=3)
    x = all_examples(spec)
    assert len(torch.unique(x, dim=0)) == 81
    assert torch.equal(index_of(x, spec), torch.arange(81))
