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
