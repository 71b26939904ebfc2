"""What a pixel may see: the context that is measured is the one that the structure gives."""

from __future__ import annotations

import importlib.util
import io
import re
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from PIL import Image

from genus import Spec, create, load_data
from genus.evaluation.context import (
    BLIND,
    LATER,
    PLACE,
    context_figure,
    earlier_entries,
    painted,
    visible_context,
)
from genus.families.autoregressive import Autoregressive

DOCS = Path(__file__).resolve().parents[2] / "docs"
CONTEXT_PAGE = DOCS / "guides" / "context.md"


class Chosen(Autoregressive):
    """Sees the entries that it is told to, as strongly as it is told."""

    name = "chosen"

    def __init__(self, spec: Spec, weight_DD: torch.Tensor) -> None:
        super().__init__(spec)
        self.weight_DD = torch.nn.Parameter(weight_DD)

    def parameters_of(self, u, y):
        out_BD = u.flatten(1) @ self.weight_DD.T.to(u)
        return out_BD.view(*u.shape, 1).expand(*u.shape, self.likelihood.width)


def test_it_is_the_gradient() -> None:
    spec = Spec(shape=(2, 3, 4), levels=2)
    generator = torch.Generator().manual_seed(0)
    weight = torch.randn(24, 24, generator=generator) * (
        torch.rand(24, 24, generator=generator) < 0.5
    )
    model = Chosen(spec, weight)
    seen = visible_context(model, 1, 2, 1, draws=4000)
    expected = weight.view(2, 3, 4, 2, 3, 4)[1, 1, 2].double().abs()
    assert seen.shape == (2, 3, 4)
    assert ((seen > 0) == (expected > 0)).all()
    # The mean of |v| is sqrt(2 / pi) for a standard normal direction v.
    torch.testing.assert_close(seen, expected * (2 / torch.pi) ** 0.5, rtol=0.1, atol=0)


def test_the_blind_spot_of_stacked_masks_is_found_and_nothing_else() -> None:
    model = create("pixelcnn", Spec(shape=(1, 6, 9), levels=3), features=12, layers=8, kernel=3)
    row, column = 4, 3
    seen = visible_context(model, row, column, weights="random")[0] > 0
    earlier = earlier_entries(model, row, column)[0]
    for r in range(6):
        for c in range(9):
            assert earlier[r, c] == ((r, c) < (row, column))
            assert seen[r, c] == (earlier[r, c] and c - column <= row - r), (r, c)


def test_colours_see_those_before_them() -> None:
    model = create("pixelcnn", Spec(shape=(3, 3, 3), levels=2), features=12, layers=2)
    for colour in range(3):
        seen = visible_context(model, 1, 1, colour, weights="random") > 0
        assert seen[:, 1, 1].tolist() == [other < colour for other in range(3)]
        assert torch.equal(earlier_entries(model, 1, 1, colour)[:, 1, 1], seen[:, 1, 1])
        assert seen[:, 0, :].all()


def test_own_weights_and_random_ones_leave_the_model_as_it_is() -> None:
    model = create("pixelcnn", Spec(shape=(1, 4, 4), levels=2, classes=3), features=8, layers=1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with torch.no_grad():
        model.last.weight.zero_()
    blind = visible_context(model, 2, 2)
    assert not blind.any()
    assert visible_context(model, 2, 2, weights="random").any()
    assert model.dtype == torch.float32
    for name, value in model.state_dict().items():
        assert "last.weight" in name or torch.equal(value, before[name])


def test_the_colours_of_a_picture() -> None:
    seen = torch.zeros(2, 3, dtype=torch.float64)
    seen[0, 0], seen[0, 1] = 1.0, 1e-3
    earlier = torch.tensor([[True, True, True], [False, False, False]])
    picture = painted(seen, earlier, 1, 0)
    assert tuple(picture[1, 0]) == PLACE
    assert tuple(picture[0, 2]) == BLIND
    assert tuple(picture[1, 1]) == LATER
    assert picture[0, 0].sum() < picture[0, 1].sum()  # stronger is darker
    leak = painted(torch.ones(2, 3).double(), earlier, 1, 0)
    assert tuple(leak[1, 2]) not in (LATER, BLIND)


def test_a_figure_has_a_panel_for_each_model() -> None:
    spec = Spec(shape=(1, 5, 5), levels=2)
    models = {f"{n}": create("pixelcnn", spec, features=4, layers=n) for n in (1, 2, 3)}
    sizes = []
    for columns in (3, 2):
        png = context_figure(models, 2, 2, weights="random", columns=columns)
        sizes.append(Image.open(io.BytesIO(png)).size)
    assert sizes[0][0] > sizes[1][0]
    assert sizes[0][1] < sizes[1][1]


@pytest.mark.parametrize(
    ("place", "words"),
    [
        ((5, 0), "row=5 must be from 0 to 4"),
        ((0, -1), "column=-1 must be from 0 to 4"),
        ((0, 0, 1), "colour=1 must be from 0 to 0"),
        ((9, 9, 9), "row=9 .*\n.*column=9"),
    ],
)
def test_a_place_that_is_not_there(place, words) -> None:
    model = create("pixelcnn", Spec(shape=(1, 5, 5), levels=2), features=4, layers=1)
    with pytest.raises(ValueError, match=words):
        visible_context(model, *place)


def test_models_without_a_context() -> None:
    vectors, whole = Spec(shape=(3,)), Spec(shape=(1, 5, 5), levels=2)
    for model in (create("gaussian-mixture", vectors), create("independent", whole)):
        with pytest.raises(ValueError, match="no context to measure"):
            visible_context(model, 0, 0)


def build_context() -> ModuleType:
    spec = importlib.util.spec_from_file_location("build_context", DOCS / "build_context.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.slow
def test_the_pictures_of_the_page_can_be_made(tmp_path, capsys) -> None:
    build_context().main(tmp_path)
    names = {path.name for path in tmp_path.iterdir()}
    assert names == set(re.findall(r"pictures/([\w-]+\.png)", CONTEXT_PAGE.read_text()))
    for name in names:
        with Image.open(tmp_path / name) as drawn, Image.open(DOCS / "pictures" / name) as kept:
            assert drawn.size == kept.size, f"{name} is out of date: python docs/build_context.py"
            assert np.asarray(drawn).std() > 10


def test_a_run_shows_what_it_looks_at() -> None:
    """A model that has learned to copy the pixel to the left looks there most."""
    spec = load_data("digits").spec
    weight = torch.zeros(64, 64)
    for entry in range(64):
        weight[entry, :entry] = 0.01
        if entry % 8:
            weight[entry, entry - 1] = 2.0
    model = Chosen(Spec(shape=spec.shape, levels=2), weight)
    seen = visible_context(model, 4, 4)[0]
    assert seen.argmax() == 4 * 8 + 3
