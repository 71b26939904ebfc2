"""Pictures of what models have learned, on the page of a comparison and beside its runs."""

import base64
from html.parser import HTMLParser

import numpy as np
import pytest

from genus import compare, create, load_data
from genus.applications import gallery
from genus.data import ArraySplit, DataSet
from genus.spec import Spec
from genus.training import TrainConfig

MODELS = ["vae", "hmm", "independent"]
OPTIONS = {"vae": {"latents": 2, "hidden": 8}, "hmm": {"states": 3}}


class Pictures(HTMLParser):
    """The PNGs of a page by the name of their model and their kind."""

    def __init__(self, page):
        super().__init__()
        self.found = {}
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        alt, _, words = dict(attrs).get("alt", "").partition(": ")
        if ", " in alt and words:
            self.found[tuple(alt.split(", "))] = base64.b64decode(
                dict(attrs)["src"].partition(",")[2]
            )


@pytest.fixture(scope="module")
def data():
    y = np.arange(90) % 4
    x = np.zeros((90, 1, 4, 3), np.uint8)
    x[np.arange(90), 0, y] = 2
    splits = {name: ArraySplit(x, y) for name in ("train", "valid", "test")}
    return DataSet("rows", Spec((1, 4, 3), 3, 4), splits, "sha256:rows")


@pytest.mark.slow
def test_the_page_shows_what_each_model_has_and_a_resumed_one_the_same(
    data, tmp_path, monkeypatch, cache_folder
):
    asked = {
        "out": tmp_path / "o", "time_budget": 1, "samples": 20, "options": OPTIONS, "seeds": 2,
        "training": TrainConfig(steps=3, samples=0),
    }  # fmt: skip
    result = compare(MODELS, data, **asked)
    shown = Pictures(result.report.read_text()).found
    assert set(shown) == {
        ("vae", "traversal"), ("vae", "interpolation"), ("vae", "latent-map"), ("vae", "filters"),
        ("hmm", "states"),
    }  # fmt: skip
    for (model, kind), png in shown.items():
        assert (tmp_path / "o" / model / "evaluation" / f"{kind}.png").read_bytes() == png
    assert len(set(shown.values())) == 5
    assert not list((tmp_path / "o").glob("*.seed-*/evaluation/*.png"))
    monkeypatch.setattr(gallery, "draw", None)  # they are found again, and not drawn
    again = compare(MODELS, data, resume=True, **asked)
    assert Pictures(again.report.read_text()).found == shown


def test_a_picture_that_cannot_be_made_costs_no_more_than_a_note(data, monkeypatch):
    from genus.evaluation import evaluate
    from genus.evaluation.learned import with_pictures

    model = create("vae", data.spec.unconditional(), latents=1, hidden=8).eval()
    found = evaluate(model, data, samples=0, k=1)
    seen = with_pictures(found, model, data, split="test", seed=0)
    assert list(seen.learned) == ["traversal", "interpolation", "filters"]
    (note,) = seen.notes[len(found.notes) :]
    assert note.startswith("no picture of its latent-map: ")


def test_large_images_are_shown_by_fewer_examples(data):
    def size(side):
        spec = Spec((1, side, side), 2)
        x = (np.random.default_rng(0).random((8, *spec.shape)) < 0.5).astype(np.uint8)
        large = DataSet("large", spec, {"test": ArraySplit(x)}, "sha256:large")
        model = create("vae", spec, latents=2, hidden=8, network="mlp").eval()
        return len(gallery.draw("traversal", model, large).facts["latents"])

    assert size(28) == 2  # all there are
    assert size(400) == 1


def test_of_real_vectors_there_is_a_map_alone():
    wine = load_data("wine")
    model = create("vae", wine.spec.unconditional(), latents=3, hidden=8).eval()
    assert gallery.kinds_of(model) == ["latent-map"]
    assert gallery.draw("latent-map", model, wine, split="valid").facts["examples"] == 18
