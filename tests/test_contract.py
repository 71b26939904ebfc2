"""The contract: Specs, likelihoods, noise, configurations and the registry."""

import dataclasses
import json

import numpy as np
import pytest
import torch

import genus
from genus.capabilities import (
    Bounded,
    Conditionals,
    Density,
    Fits,
    Samples,
    Trains,
    capabilities_of,
    supports,
)
from genus.config import build_config, check_positive
from genus.errors import ConfigError, GenusError, SpecError
from genus.families.base import Model
from genus.likelihood import LogLikelihood
from genus.random import BatchNoise, ExampleNoise, categorical_icdf
from genus.registry import get, register
from genus.spec import Batch, Spec


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"shape": (0, 8, 8)}, "positive integers"),
        ({"shape": ()}, "positive integers"),
        ({"shape": (8, 8)}, r"\(D,\) or \(C, H, W\)"),
        ({"shape": (4,), "levels": 1}, "at least 2"),
        ({"shape": (4,), "classes": 0}, "at least 1"),
        ({"shape": (1, 4, 4), "condition": (4, 4)}, "three positive integers"),
        ({"shape": (1, 4, 4), "condition": (1, 0, 4)}, "three positive integers"),
        ({"shape": (4,), "condition": (1, 2, 2)}, "needs images"),
        ({"shape": (1, 4, 4), "classes": 2, "condition": (1, 2, 2)}, "leave one out"),
    ],
)
def test_a_spec_refuses_what_cannot_be(arguments: dict, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        Spec(**arguments)


def test_a_spec_without_an_image_to_go_by_is_written_as_it_always_was() -> None:
    spec = Spec(shape=(1, 4, 4), levels=3, classes=2)
    assert json.dumps(spec.to_json()) == '{"shape": [1, 4, 4], "levels": 3, "classes": 2}'
    assert repr(spec) == "Spec(shape=(1, 4, 4), levels=3, classes=2)"
    assert Spec.from_json({"shape": [1, 4, 4], "levels": 3, "classes": 2}) == spec


def test_a_spec_with_an_image_to_go_by_goes_through_json_and_can_lose_it() -> None:
    spec = Spec(shape=(1, 4, 4), levels=3, condition=(3, 2, 2))
    assert Spec.from_json(json.loads(json.dumps(spec.to_json()))) == spec
    assert eval(repr(spec)) == spec
    assert spec.is_conditional
    assert spec.unconditional() == Spec(shape=(1, 4, 4), levels=3)
    assert spec.of_conditions == Spec(shape=(3, 2, 2), levels=3)


def test_a_spec_names_all_problems_at_once() -> None:
    with pytest.raises(SpecError) as caught:
        Spec(shape=(-1, 8, 8), levels=0, classes=-2)
    assert str(caught.value).count("\n  - ") == 3


@pytest.mark.parametrize(
    ("x", "words"),
    [
        (torch.zeros(2, 1, 4, 5, dtype=torch.long), "expected"),
        (torch.zeros(2, 1, 4, 4), "quantise first"),
        (torch.full((2, 1, 4, 4), 3), "outside 0..2"),
        (torch.full((2, 1, 4, 4), -1), "outside 0..2"),
        (torch.zeros(2, 1, 4, 4, dtype=torch.bool), "integer levels"),
    ],
)
def test_examples_are_checked(x: torch.Tensor, words: str) -> None:
    with pytest.raises(SpecError, match=words):
        Spec(shape=(1, 4, 4), levels=3).check(x)


def test_continuous_examples_must_be_finite_and_floating() -> None:
    spec = Spec(shape=(2,))
    with pytest.raises(SpecError, match="NaN or infinity"):
        spec.check(torch.tensor([[0.0, float("nan")]]))
    with pytest.raises(SpecError, match=r"x\.float\(\)"):
        spec.check(torch.zeros(1, 2, dtype=torch.long))


def test_infinities_that_cancel_are_found_and_large_numbers_are_not_taken_for_them() -> None:
    spec, largest = Spec(shape=(2,)), torch.finfo(torch.float32).max
    spec.check(torch.full((3, 2), largest))  # the sum overflows
    for bad in ([torch.inf, -torch.inf], [torch.nan, 0.0], [torch.inf, 1.0]):
        with pytest.raises(SpecError, match="NaN or infinity"):
            spec.check(torch.tensor([[1.0, 2.0], bad]))


def test_labels_are_checked() -> None:
    with pytest.raises(SpecError, match="unconditional"):
        Spec(shape=(2,)).check_labels(torch.zeros(3, dtype=torch.long), 3)
    spec = Spec(shape=(2,), classes=3)
    with pytest.raises(SpecError, match=r"outside 0\.\.2"):
        spec.check_labels(torch.tensor([0, 3]), 2)
    with pytest.raises(SpecError, match=r"shape \(3,\)"):
        spec.check_labels(torch.tensor([0, 1]), 3)


def test_a_spec_survives_json() -> None:
    spec = Spec(shape=(3, 4, 5), levels=256, classes=10)
    assert Spec.from_json(spec.to_json()) == spec
    assert spec.unconditional() == Spec(shape=(3, 4, 5), levels=256)


def test_standard_error_is_that_of_the_mean() -> None:
    nats = np.random.default_rng(0).normal(-80, 9, 400)
    score = LogLikelihood(nats, "lower bound", 64)
    assert score.standard_error == pytest.approx(nats.std(ddof=1) / 20)
    assert score.label == "lower bound (k=64)"
    assert np.isnan(LogLikelihood.not_available().mean)


def test_a_samples_noise_does_not_depend_on_its_neighbours() -> None:
    few, many = (ExampleNoise(n, torch.Generator().manual_seed(4)) for n in (3, 40))
    for draw in ("uniform", "normal", "uniform"):
        assert torch.equal(getattr(few, draw)(5, 2), getattr(many, draw)(5, 2)[:3])
    first, second = few.uniform(4), few.uniform(4)
    assert not torch.equal(first, second)


def test_each_example_has_the_stream_of_its_key_and_each_draw_another() -> None:
    """Seeds mean the same pictures for good, so the bits are those of NumPy's generator."""
    noise = ExampleNoise(3, torch.Generator().manual_seed(4), dtype=torch.float64)
    keys = torch.randint(2**63 - 1, (3,), generator=torch.Generator().manual_seed(4)).tolist()

    def streams(draw: int) -> list[np.random.Generator]:
        return [np.random.Generator(np.random.Philox(key=[key, draw])) for key in keys]

    normal = np.stack([stream.standard_normal((2, 5)) for stream in streams(1)])
    assert torch.equal(noise.normal(2, 5), torch.from_numpy(normal))
    part = noise.take([2, 0])
    assert noise.uniform(0).shape == (3, 0)
    uniform = np.stack([stream.random() for stream in streams(3)])
    assert torch.equal(noise.uniform(), torch.from_numpy(np.floor(uniform * 2**24) / 2**24))
    normal = np.array([streams(2)[row].standard_normal() for row in (2, 0)])
    assert torch.equal(part.normal(), torch.from_numpy(normal))


def test_uniform_noise_is_uniform_and_below_one() -> None:
    u = ExampleNoise(200, torch.Generator().manual_seed(0)).uniform(500)
    assert u.dtype == torch.float32
    assert u.max() < 1
    counts = torch.histc(u, 10, 0, 1)
    assert ((counts - 10_000).abs() < 500).all()


def test_processes_share_the_noise_of_the_global_batch() -> None:
    whole = BatchNoise(6, torch.Generator().manual_seed(0)).normal(3)
    parts = [
        BatchNoise(3, torch.Generator().manual_seed(0), rank=rank, world=2).normal(3)
        for rank in range(2)
    ]
    assert torch.equal(torch.cat(parts), whole)


def test_inverse_transform_of_a_categorical() -> None:
    logits = torch.tensor([0.2, 0.5, 0.3]).log().expand(5, 3)
    u = torch.tensor([0.0, 0.19, 0.21, 0.69, 0.71])
    assert categorical_icdf(logits, u).tolist() == [0, 0, 1, 1, 2]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Options:
    depth: int = 2
    rate: float = 0.5

    def __post_init__(self) -> None:
        check_positive(self, "depth", "rate")


def test_words_become_a_configuration() -> None:
    assert build_config(Options, {"depth": "7", "rate": "1e-3"}, "toy") == Options(
        depth=7, rate=1e-3
    )


def test_every_mistake_in_a_configuration_is_named() -> None:
    with pytest.raises(ConfigError) as caught:
        build_config(Options, {"dept": 1, "depth": "many", "rate": "x"}, "toy")
    message = str(caught.value)
    assert "did you mean depth?" in message
    assert "depth='many'" in message
    assert "rate='x'" in message
    with pytest.raises(ConfigError, match="depth=-1 must be above zero; rate=0"):
        build_config(Options, {"depth": -1, "rate": 0.0}, "toy")
    with pytest.raises(ConfigError, match="rate=inf must be finite"):
        build_config(Options, {"rate": "inf"}, "toy")


def test_capabilities_are_asked_of_the_class() -> None:
    class Impostor(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.log_prob = torch.nn.Linear(1, 1)
            self.sample = torch.nn.Linear(1, 1)

    assert not supports(Impostor(), Density)
    assert not supports(Impostor(), Samples)
    pixelcnn, vae = get("pixelcnn"), get("vae")
    assert supports(pixelcnn, Density)
    assert supports(pixelcnn, Conditionals)
    assert supports(pixelcnn, Trains)
    assert not supports(pixelcnn, Fits)
    assert supports(vae, Bounded)
    assert not supports(vae, Density)
    assert "classifies" in capabilities_of(pixelcnn)


def test_a_misspelt_model_has_near_matches() -> None:
    with pytest.raises(ConfigError, match="did you mean pixelcnn"):
        genus.create("pixelcn", Spec(shape=(1, 4, 4), levels=2))
    with pytest.raises(ConfigError, match="did you mean features"):
        genus.create("pixelcnn", Spec(shape=(1, 4, 4), levels=2), feature=3)


def test_two_models_cannot_share_a_name() -> None:
    with pytest.raises(ConfigError, match="two models are called 'vae'"):

        @register("vae")
        class Other(Model):
            family = "test"

    assert get("vae").__name__ == "VAE"


def test_every_model_says_what_it_is(shipped) -> None:
    assert len(shipped) >= 6
    for name, cls in shipped.items():
        assert cls.name == name
        assert cls.family in {"autoregressive", "latent", "adversarial", "energy", "closed form"}
        assert cls.__doc__
        assert dataclasses.is_dataclass(cls.Config)


def test_batches_slice_and_move() -> None:
    batch = Batch(torch.arange(6).view(3, 2), torch.tensor([0, 1, 2]))
    assert len(batch) == 3
    part = batch[torch.tensor([2, 0])]
    assert part.x.tolist() == [[4, 5], [0, 1]]
    assert part.y is not None
    assert part.y.tolist() == [2, 0]
    assert Batch(batch.x).to("cpu").y is None


def test_every_export_resolves_and_errors_are_value_errors() -> None:
    for name in genus.__all__:
        assert getattr(genus, name) is not None
    assert issubclass(GenusError, ValueError)
    with pytest.raises(AttributeError, match="nothing"):
        _ = genus.nothing
