"""What Inception features lack, and weights that are not what they should be."""

from __future__ import annotations

import sys
import urllib.error
import urllib.request

import pytest
import torch

from genus.errors import ConfigError, DataError, SpecError
from genus.evaluation import evaluate, evaluate_samples
from genus.evaluation.inception import inception_net
from genus.evaluation.inception_weights import PUBLISHED, read_weights, weights_path
from genus.evaluation.samples import Reference
from genus.evaluation.sweep import sweep
from genus.spec import Spec

IMAGES = Spec(shape=(1, 8, 8), levels=5)


@pytest.fixture
def bars(toys):
    return toys.make_bars(sizes=(240, 60, 60))


def test_without_torch_fidelity_the_error_says_how_to_get_it(monkeypatch, weights, bars):
    monkeypatch.setitem(sys.modules, "torch_fidelity", None)
    for call in (
        lambda: Reference(bars, inception=True),
        lambda: evaluate_samples(bars.train.x, bars, inception=True),
    ):
        with pytest.raises(ConfigError, match="pip install torch-fidelity"):
            call()


@pytest.mark.parametrize(
    "line",
    [
        "import no_such_torchvision",
        "raise RuntimeError('torchvision::nms does not exist')",
    ],
)
def test_a_torchvision_that_does_not_fit_is_named(line, monkeypatch, weights, tmp_path):
    (tmp_path / "torch_fidelity.py").write_text(line)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "torch_fidelity", raising=False)
    with pytest.raises(ConfigError, match=r"installed but cannot be imported .*torchvision"):
        inception_net(IMAGES)


def test_a_variable_that_names_no_file(monkeypatch, stand_in, tmp_path):
    monkeypatch.setenv("GENUS_INCEPTION", str(tmp_path / "absent.pth"))
    with pytest.raises(DataError, match=r"GENUS_INCEPTION=.*absent\.pth is no file"):
        inception_net(IMAGES)


def test_without_a_network_the_download_is_announced_and_its_failure_says_what_to_do(
    monkeypatch, tmp_path, stand_in
):
    def refuse(request, timeout):
        raise urllib.error.URLError("no network")

    monkeypatch.delenv("GENUS_INCEPTION")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    said = []
    with pytest.raises(DataError, match=r"no network(.|\n)*let GENUS_INCEPTION name it"):
        inception_net(IMAGES, progress=said.append)
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    assert said == [f"downloading the Inception weights, 96 MB, to {folder}"]
    assert list(folder.iterdir()) == []


def test_the_copy_of_torch_fidelity_is_found_and_checked(monkeypatch, tmp_path, stand_in):
    monkeypatch.delenv("GENUS_INCEPTION", raising=False)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    path = tmp_path / "hub" / "checkpoints" / PUBLISHED.file
    path.parent.mkdir(parents=True)
    stand_in.save_weights(path)
    assert weights_path() == path
    with pytest.raises(DataError, match=r"sha256.*but the published weights.*remove it"):
        read_weights(path)


class Harm:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        import os

        return os.mkdir, (str(self.path),)


def test_a_file_with_code_in_it_is_refused_and_not_run(stand_in, weights, tmp_path):
    torch.save({"layer.weight": Harm(tmp_path / "harm")}, weights)
    with pytest.raises(DataError, match="does not hold weights alone"):
        inception_net(IMAGES)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "does not hold weights alone"),
        (b"not a pickle at all", "does not hold weights alone"),
        ([torch.zeros(2)], "something else than tensors by name"),
        ({"a": 3}, "something else than tensors by name"),
        ({"a": torch.tensor([0.0, torch.nan])}, "NaN or infinity in a"),
        ({"a": torch.zeros(2)}, "does not hold the weights of torch-fidelity's Inception"),
        ({"layer.weight": torch.zeros(2, 2)}, "does not hold the weights of torch-fidelity's"),
    ],
)
def test_a_broken_file_is_told_from_a_good_one(content, words, stand_in, weights):
    if isinstance(content, bytes):
        weights.write_bytes(content)
    else:
        torch.save(content, weights)
    with pytest.raises(DataError, match=words) as caught:
        inception_net(IMAGES)
    assert str(weights) in str(caught.value)


def test_whatever_is_damaged_the_error_is_ours(weights):
    g, good = torch.Generator().manual_seed(0), weights.read_bytes()
    refused = 0
    for _ in range(200):
        damaged = bytearray(good)
        for place in torch.randint(400, (3,), generator=g).tolist():  # where its pickle is
            damaged[place] ^= 0x55
        weights.write_bytes(damaged)
        try:
            read_weights(weights)
        except DataError:
            refused += 1
    assert refused > 150


@pytest.mark.parametrize(
    "spec", [Spec(shape=(3,)), Spec(shape=(3, 8, 8)), Spec(shape=(2, 8, 8), levels=256)]
)
def test_other_data_than_images_with_levels_are_refused(spec, stand_in):
    with pytest.raises(SpecError, match=r"images with levels and 1 or 3 colours, but .*leave them"):
        inception_net(spec)


def test_a_reference_without_it_is_not_passed_off_as_one_with_it(stand_in, bars, toys):
    plain, model = Reference(bars), toys.UniformModel(bars.spec)
    for call in (
        lambda: evaluate(model, bars, reference=plain, inception=True),
        lambda: evaluate_samples(bars.train.x, bars, reference=plain, inception=True),
        lambda: sweep(model, bars, [1.0], reference=plain, inception=True),
        lambda: Reference(bars, nets=plain.nets, inception=True),
    ):
        with pytest.raises(ConfigError, match="has no Inception network"):
            call()
