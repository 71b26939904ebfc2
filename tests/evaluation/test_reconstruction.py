"""Reconstructions in an evaluation and on the page of a comparison."""

from __future__ import annotations

import base64
import io
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from PIL import Image

from genus import compare, create, evaluate
from genus.data import ArraySplit, DataSet
from genus.evaluation.reconstruction import (
    can_reconstruct,
    centre_of,
    reconstruct,
    restored_examples,
)
from genus.evaluation.storage import load_evaluation, save_evaluation
from genus.spec import Spec
from genus.training import TrainConfig


@pytest.fixture(scope="module")
def data():
    """Images of one bright row each, which is their class."""
    y = np.arange(90) % 4
    x = np.zeros((90, 1, 4, 3), np.uint8)
    x[np.arange(90), 0, y] = 2
    splits = {
        "train": ArraySplit(x, y),
        "valid": ArraySplit(x[:40], y[:40]),
        "test": ArraySplit(x[:60], y[:60]),
    }
    return DataSet("rows", Spec((1, 4, 3), 3, 4), splits, "sha256:rows")


def test_who_can():
    spec = Spec((1, 4, 4), 2)
    for name in ("vae", "autoencoder", "ladder-vae", "vq-vae"):
        assert can_reconstruct(create(name, spec, **type(create(name, spec)).tiny)), name
    for name in ("independent", "gan", "made"):
        assert not can_reconstruct(create(name, spec)), name


def test_it_is_the_law_at_the_centre(data):
    model = create("vae", data.spec, latents=2, hidden=8).eval()
    batch = data.test.batch(torch.arange(5))
    law = model.decode(centre_of(model.encode(batch.x, batch.y)), batch.y)
    assert torch.equal(reconstruct(model, batch).mean, law.mean)


def test_an_evaluation_shows_the_same_examples_for_all_models(data, tmp_path):
    first = create("vae", data.spec.unconditional(), latents=2, hidden=8)
    second = create("autoencoder", data.spec.unconditional(), latents=2, hidden=8)
    shown = [restored_examples(model, data.test, n=7) for model in (first, second)]
    assert shown[0].shape == (2, 7, 1, 4, 3)
    assert torch.equal(shown[0][0], shown[1][0])
    assert not torch.equal(shown[0][1], shown[1][1])
    found = evaluate(first, data, samples=0)
    assert found.restored.shape == (2, 32, 1, 4, 3)
    assert "restored" not in found.to_json()
    save_evaluation(tmp_path, found, {"a": 1})
    assert torch.equal(load_evaluation(tmp_path, {"a": 1}).restored, found.restored)


def test_where_there_is_nothing_to_show(data):
    conditional = create("vae", data.spec, latents=2, hidden=8)
    assert restored_examples(conditional, data.test) is not None
    plain = ArraySplit(data.test.x)
    assert restored_examples(conditional, plain) is None
    assert restored_examples(create("independent", data.spec), data.test) is None
    assert evaluate(create("independent", data.spec), data, samples=0).restored is None


class Images(HTMLParser):
    """Collects the reconstructions of a page."""

    def __init__(self):
        super().__init__()
        self.found = {}

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        if tag == "img" and attrs["alt"].startswith("Reconstructions: "):
            png = base64.b64decode(attrs["src"].partition(",")[2])
            image = Image.open(io.BytesIO(png))
            self.found[attrs["alt"].partition(": ")[2]] = np.asarray(image)


def test_the_page_shows_examples_above_their_reconstructions(data, tmp_path, monkeypatch):
    monkeypatch.setenv("GENUS_CACHE", str(tmp_path / "cache"))
    options = {"vae": {"latents": 2, "hidden": 8}}
    asked = {"out": tmp_path / "o", "options": options, "training": TrainConfig(steps=20)}
    result = compare(["vae", "independent"], data, **asked)
    page = Images()
    page.feed(result.report.read_text())
    assert list(page.found) == ["vae"]
    image, (examples, means) = page.found["vae"][..., 0], result.rows[0].evaluation.restored
    assert image.shape == (8 * 5 - 1, 8 * 4 - 1)
    for index in range(32):
        row, column = 2 * (index // 8), index % 8
        for place, wanted in ((row, examples[index]), (row + 1, means[index])):
            tile = image[place * 5 : place * 5 + 4, column * 4 : column * 4 + 3]
            np.testing.assert_array_equal(tile, (wanted[0] / 2 * 255).round().numpy())
