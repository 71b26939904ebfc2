"""Pictures of weights."""

from __future__ import annotations

from math import inf

import numpy as np
import picture_toys as toys
import pytest
import torch

from genus import Spec, create
from genus.applications import plot_filters
from genus.applications.filters import coloured
from genus.errors import ConfigError, SpecError, TrainingError
from genus.registry import get


def test_the_largest_come_first_red_above_zero_and_blue_below():
    picture = plot_filters(toys.Units(toys.TALL), n=2)
    facts = picture.facts
    assert (facts["units"], facts["norms"], facts["of"]) == ([1, 2], [2.0, 1.0], 3)
    whole = np.asarray(picture.figure.axes[0].images[0].get_array()).astype(int)
    scale = (whole.shape[0] - 2) // 3
    width = 2 * scale + 2
    red_less_blue = whole[..., 0] - whole[..., 2]

    def middle(tile, row, column):
        return red_less_blue[1 + row * scale + scale // 2,
                             tile * width + 1 + column * scale + scale // 2]  # fmt: skip

    assert middle(0, 1, 1) < -60  # minus two
    assert middle(1, 2, 0) > 60  # plus one
    assert abs(middle(0, 0, 0)) < 5


def test_one_scale_holds_for_all():
    weight = torch.tensor([[[[-1.0]]], [[[0.5]]], [[[1.0]]], [[[9.0]]]])
    colours = coloured(weight, 1.0)[:, :, 0, 0].long()
    assert colours[2].tolist() == colours[3].tolist()  # beyond the end
    assert colours[0, 2] > colours[0, 0]
    assert colours[1, 0] > colours[1, 2]
    light = colours.sum(1).tolist()
    assert light[1] > light[2]  # the stronger, the darker


def test_weights_of_colours_keep_them_about_grey():
    weight = torch.zeros(1, 3, 1, 1)
    weight[0, 1] = 2.0
    weight[0, 2] = -2.0
    assert coloured(weight, 2.0).flatten().tolist() == [128, 255, 0]


def test_few_and_still_weights_have_a_picture():
    class Still(toys.Units):
        def filters(self):
            return torch.zeros(5, *self.spec.shape)

    picture = plot_filters(Still(toys.TALL), n=9)
    assert picture.facts["units"] == [0, 1, 2, 3, 4]
    assert picture.png()


def test_what_has_no_filters():
    with pytest.raises(ConfigError, match="no hidden units with one weight for every entry"):
        plot_filters(create("independent", toys.TALL))
    with pytest.raises(SpecError, match="filters are drawn as images, but the data are"):
        plot_filters(toys.Units(Spec((3,), 2)))

    class Wild(toys.Units):
        def filters(self):
            return super().filters() * inf

    with pytest.raises(TrainingError, match="the weights are not finite"):
        plot_filters(Wild(toys.TALL))


@pytest.mark.parametrize("levels", [2, 5])
@pytest.mark.parametrize("name", ["rbm", "dbn"])
def test_a_machine_says_what_a_level_adds_to_its_units(name, levels):
    """Fitting a straight line through the inputs of the units finds the filters."""
    spec = Spec((1, 2, 3), levels, 3)
    model = create(name, spec, **{**get(name).tiny, "spread": 0.7, "centred": True})
    weight = model.filters()
    assert weight.shape == (6, 1, 2, 3)
    layer = model.units if name == "rbm" else model.layers[0]
    machine = layer.machine()
    state = torch.zeros(levels, 6).long()
    label = [torch.zeros(levels, 1).long()] if len(machine.groups) > 1 else []
    for entry in range(6):
        state[:] = 0
        state[:, entry] = torch.arange(levels)
        inputs = machine.hidden_input(machine.as_state((state, *label))).detach().numpy()
        slopes = np.polyfit(np.arange(levels), inputs, 1)[0]
        np.testing.assert_allclose(weight.flatten(1)[:, entry].detach(), slopes, atol=1e-5)


def test_an_encoder_shows_the_weights_of_its_first_units():
    spec = Spec((1, 2, 3), 2, 3)
    model = create("vae", spec, latents=2, hidden=7, depth=1)
    x = torch.eye(6)
    first = model.encoder[0]
    inputs = first(torch.cat([x, torch.zeros(6, 3)], 1)) - first.bias
    torch.testing.assert_close(model.filters().flatten(1).T, inputs)
    assert plot_filters(model, n=3).facts["of"] == 7
    convolutional = create("vae", spec, latents=2, network="conv", features=4)
    with pytest.raises(ConfigError, match="no unit has a weight for every entry"):
        plot_filters(convolutional)
