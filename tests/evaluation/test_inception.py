"""Inception features: against torch-fidelity itself, and end to end with a small stand-in."""

from __future__ import annotations

import csv
import inspect
import io
import json
import sys

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from genus.errors import ConfigError, SpecError
from genus.evaluation import compare, evaluate, evaluate_samples, render
from genus.evaluation import inception as module
from genus.evaluation.frechet import frechet_distance
from genus.evaluation.inception import Pixels, inception_net, nets_for
from genus.evaluation.inception_weights import read_weights
from genus.evaluation.influence import frechet_with_error
from genus.evaluation.kernel import kernel_distance
from genus.evaluation.samples import Reference
from genus.evaluation.sweep import sweep
from genus.spec import Spec

IMAGES = Spec(shape=(1, 8, 8), levels=5)


@pytest.fixture
def bars(toys):
    return toys.make_bars(sizes=(240, 60, 60))


# Against the reference implementation.


def torch_fidelity():
    try:
        import torch_fidelity as library
    except Exception as error:
        pytest.skip(f"torch-fidelity cannot be imported ({error}): pip install torch-fidelity")
    return library


def random_inception(library, path):
    """Save weights of the true architecture, so drawn that features have a size of about one."""
    path_of_none = io.BytesIO()
    torch.save({}, path_of_none)
    path_of_none.seek(0)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nn.Module, "load_state_dict", lambda *args, **kwargs: None)
        net = library.FeatureExtractorInceptionV3(
            "inception-v3-compat", ["2048"], feature_extractor_weights_path=path_of_none
        )
    g = torch.Generator().manual_seed(0)
    drawn = net.state_dict()
    for name, value in drawn.items():
        if name.endswith("conv.weight"):
            value.normal_(0, (2 / value[0].numel()) ** 0.5, generator=g)
    torch.save(drawn, path)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("colours", "levels"), [(3, 256), (1, 18)])
def test_figures_are_those_of_torch_fidelity(colours, levels, tmp_path, monkeypatch):
    import numpy as np
    from PIL import Image

    library, n = torch_fidelity(), 12
    path = tmp_path / "random.pth"
    random_inception(library, path)
    monkeypatch.setenv("GENUS_INCEPTION", str(path))
    g = torch.Generator().manual_seed(1)
    smooth = F.interpolate(torch.rand(2 * n, colours, 7, 7, generator=g), size=(28, 28))
    x = (smooth * (levels - 1)).round().long()
    sets = {"a": x[:n], "b": (x[n:] * 0.8).round().long()}
    for name, images in sets.items():
        (tmp_path / name).mkdir()
        for i, image in enumerate(images):
            pixels = np.rint(image.permute(1, 2, 0).numpy() * 255 / (levels - 1)).astype(np.uint8)
            file = tmp_path / name / f"{i}.png"
            Image.fromarray(pixels if colours == 3 else pixels[:, :, 0]).save(file)
    theirs = library.calculate_metrics(
        input1=str(tmp_path / "a"),
        input2=str(tmp_path / "b"),
        feature_extractor="inception-v3-compat",
        feature_extractor_weights_path=str(path),
        fid=True,
        kid=True,
        kid_subsets=1,
        kid_subset_size=n,
        cuda=False,
        cache=False,
        verbose=False,
        save_cpu_ram=True,
    )
    net = inception_net(Spec(shape=(colours, 28, 28), levels=levels))
    first, second = (net(images) for images in sets.values())
    distance, kernel = (
        theirs["frechet_inception_distance"],
        theirs["kernel_inception_distance_mean"],
    )
    assert frechet_with_error(first, second)[0] == pytest.approx(distance, rel=1e-3)
    assert kernel_distance(first, second).value == pytest.approx(kernel, rel=1e-3)
    # What is a hundredth darker is told apart, so the agreement says something.
    monkeypatch.setattr(net.net, "forward", lambda x: net.net.extractor((x * 0.99).byte())[0])
    assert frechet_with_error(net(sets["a"]), second)[0] != pytest.approx(distance, rel=1e-3)


# The features.


def test_levels_become_bytes_in_three_colours():
    x = torch.arange(5).view(1, 1, 1, 5)
    found = Pixels(Spec(shape=(1, 1, 5), levels=5))(x)
    assert found.dtype == torch.uint8
    assert found[0, :, 0].tolist() == [[0, 64, 128, 191, 255]] * 3
    colours = torch.randint(256, (2, 3, 4, 4))
    assert torch.equal(Pixels(Spec(shape=(3, 4, 4), levels=256))(colours).long(), colours)


def test_features_are_those_of_the_extractor_in_its_own_unit(stand_in, bars):
    net = inception_net(bars.spec)
    assert stand_in.FeatureExtractorInceptionV3.seen == (
        "inception-v3-compat",
        ["2048"],
        io.BytesIO,
    )
    x = bars.test.x
    pixels = (x.double() * 255 / 4).round().to(torch.uint8).expand(-1, 3, -1, -1)
    assert torch.equal(net(x), net.net.extractor(pixels)[0].double())
    assert (net.name, net.head, net.scale) == ("inception", None, 1.0)
    for words in ("inception-v3-compat", "0.1 million weights", "not the published ones"):
        assert words in net.description


def test_published_weights_are_called_so(stand_in, weights, monkeypatch):
    monkeypatch.setattr(module, "read_weights", lambda path: (read_weights(path)[0], True))
    description = inception_net(IMAGES).description
    assert "trained on photographs (ImageNet)" in description
    assert "depend on the number of images" in description


def test_making_it_leaves_the_global_generator_alone(stand_in):
    before = torch.get_rng_state()
    inception_net(IMAGES)
    assert torch.equal(torch.get_rng_state(), before)


def test_the_fingerprint_is_of_weights_and_version(stand_in, weights, tmp_path, monkeypatch):
    first = inception_net(IMAGES).fingerprint
    weights.rename(tmp_path / "elsewhere.pth")
    monkeypatch.setenv("GENUS_INCEPTION", str(tmp_path / "elsewhere.pth"))
    assert inception_net(IMAGES).fingerprint == first
    monkeypatch.setattr(stand_in, "__version__", "0.5.0")
    assert inception_net(IMAGES).fingerprint != first
    monkeypatch.setattr(stand_in, "__version__", "0.4.0")
    bias = torch.full((600,), 1e-3)
    stand_in.save_weights(tmp_path / "elsewhere.pth", **{"layer.bias": bias})
    assert inception_net(IMAGES).fingerprint != first


# End to end.


def test_it_is_a_third_set_beside_two_that_stay_as_they_were(stand_in, bars):
    plain, full = Reference(bars), Reference(bars, inception=True)
    assert [net.name for net in full.nets] == ["trained", "random", "inception"]
    assert full.fingerprint != plain.fingerprint
    assert full.notes[: len(plain.notes)] == plain.notes
    assert any("60 examples do not fill 600 features (FD[inception])" in n for n in full.notes)
    assert any("FD[inception]: 600 features are too many to resample" in n for n in full.notes)
    x = bars.train.x[:60]
    before, after = plain.measure(x).to_json(), full.measure(x).to_json()
    extra = after["features"].pop("inception")
    assert after.pop("fingerprint") != before.pop("fingerprint")
    assert after == before
    assert extra["frechet"]["standard_error"] > 0
    assert extra["sliced"]["standard_error"] is None
    net = full.nets[2]
    right = frechet_distance(net(x), net(full.examples))
    assert extra["frechet"]["value"] == pytest.approx(right, rel=1e-5)


def test_real_data_are_measured_as_their_floor(stand_in, bars):
    reference = Reference(bars, inception=True)
    scores = reference.measure(reference.real).scores["inception"]
    assert scores.frechet.value == scores.frechet.floor
    assert scores.fingerprint == reference.nets[2].fingerprint


def test_features_of_real_examples_are_kept(stand_in, bars):
    said, network = [], stand_in.FeatureExtractorInceptionV3
    first = Reference(bars, inception=True, progress=said.append)
    assert network.images == 120
    assert said.count("taking the inception features of 60 real examples") == 2
    again = Reference(bars, inception=True, progress=said.append)
    assert network.images == 120
    assert torch.equal(again.features["inception"], first.features["inception"])
    said.clear()
    again.measure(again.real)
    assert said == ["taking the inception features of 60 samples"]
    stand_in.__version__ = "0.5.0"
    Reference(bars, inception=True)
    assert network.images == 120 + 60 + 120


def test_evaluations_have_it_when_asked(stand_in, bars, toys):
    model = toys.UniformModel(bars.spec)
    for found in (
        evaluate(model, bars, inception=True),
        evaluate_samples(bars.train.x, bars, samples=60, inception=True),
        sweep(model, bars, [1.0], inception=True),
    ):
        block = found.blocks[1.0] if hasattr(found, "blocks") else found.samples
        assert list(block.scores) == ["trained", "random", "inception"]
        assert any("600 features" in note for note in found.notes)
    with pytest.raises(ConfigError, match="samples=0 leaves none"):
        evaluate(model, bars, samples=0, inception=True)
    bound = evaluate(toys.BoundModel(bars.spec), bars, k=1, inception=True)
    assert bound.notes == ("bound does not sample, so there are no Inception features",)
    plain = evaluate(model, bars)
    assert list(plain.samples.scores) == ["trained", "random"]
    assert not any("inception" in note for note in plain.notes)


def test_what_is_missing_is_said_before_any_work(monkeypatch, weights, bars, toys, tmp_path):
    class Idle:
        name, family, spec = "idle", "toy", bars.spec.unconditional()

        def log_prob(self, x, y=None):
            raise AssertionError("scored")

        sample = log_prob

    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    with pytest.raises(ConfigError, match="torch-fidelity"):
        evaluate(Idle(), bars, inception=True)
    with pytest.raises(ConfigError, match="torch-fidelity"):
        compare(["independent"], bars, out=tmp_path / "o", time_budget=1, inception=True)
    assert not (tmp_path / "o" / "independent").exists()
    with pytest.raises(SpecError, match="images with levels"):
        compare(["independent"], toys.make_points(), out=tmp_path / "p", inception=True)


def test_a_comparison_has_it_in_table_page_json_and_csv(stand_in, bars, tmp_path):
    from rich.console import Console

    given = {"out": tmp_path / "o", "time_budget": 0.3}
    plain = compare(["independent"], bars, **given)
    assert "inception" not in plain.report.read_text() + plain.to_csv()
    result = compare(["independent"], bars, **given, resume=True, inception=True)
    content = json.loads((result.out / "compare.json").read_text())
    assert [note["name"] for note in content["features"]] == ["trained", "random", "inception"]
    for row in content["rows"]:
        assert "inception" in row["evaluation"]["samples"]["features"]
    (first, *_) = csv.DictReader(io.StringIO(result.to_csv()))
    assert float(first["inception.frechet.value"]) > 0
    assert float(first["value.FD[inception]"]) == float(first["inception.frechet.value"])
    assert "value.KID[inception]" in first
    page = result.report.read_text()
    for words in ("FD[inception]", "KID[inception]", "not the published ones", "too many to resam"):
        assert words in page
    for width in (80, 140):
        console = Console(file=io.StringIO(), width=width)
        render(result, console)
        text = console.file.getvalue()
        after = text[text.index("The same samples in Inception features") :]
        assert "FD[inception] KID[inception]" in " ".join(after.split())
        assert "…" not in after


def test_without_the_option_the_networks_are_those_of_the_house(bars, cache_folder, quick):
    assert [net.name for net in nets_for(bars)] == ["trained", "random"]
    recipe = inspect.signature(Reference).parameters["inception"]
    assert recipe.default is False
