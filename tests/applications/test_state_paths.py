"""Pictures of hidden states."""

from __future__ import annotations

import numpy as np
import picture_toys as toys
import pytest
import torch

from genus import Spec, create
from genus.applications import plot_states
from genus.capabilities import FitContext
from genus.errors import ConfigError, DataError, SpecError
from genus.spec import Batch


def strings(levels=9, real=False):
    """Return a data set of sequences of ten steps."""
    rng = np.random.default_rng(0)
    x = rng.integers(0, levels, (12, 10))
    spec = Spec((10,), None if real else levels)
    split = toys.ArraySplit(x.astype(np.float32) if real else x)
    return toys.DataSet("strings", spec, {"test": split}, "sha256:0")


@pytest.mark.parametrize("real", [False, True])
def test_steps_of_a_vector_run_to_the_right_and_states_upwards(real):
    data = strings(real=real)
    picture = plot_states(toys.Counter(data.spec), data, rows=torch.tensor([5, 1]))
    axes = picture.figure.axes
    assert len(axes) == 4
    for place, row in enumerate((5, 1)):
        seen, behind = axes[2 * place : 2 * place + 2]
        x = data.test.x[row].numpy()
        np.testing.assert_array_equal(seen.lines[0].get_ydata(), x)
        np.testing.assert_array_equal(behind.lines[0].get_xdata(), range(10))
        np.testing.assert_array_equal(behind.lines[0].get_ydata(), x)
        shown = np.asarray(behind.images[0].get_array())
        assert shown.shape == (9, 10)
        np.testing.assert_array_equal(shown.argmax(0), x)
        assert behind.get_ylim()[0] < behind.get_ylim()[1]
        assert seen.get_xlim() == behind.get_xlim()
        assert seen.get_ylabel() == f"row {row}"
    facts = picture.facts
    assert (facts["rows"], facts["states"], facts["path_log_prob"]) == ([5, 1], 9, -1.0)
    assert facts["certainty"] == pytest.approx(0.9 + 0.1 / 9)
    assert facts["visited"] == len(np.unique(data.test.x[[5, 1]]))


def test_rows_of_an_image_run_downwards_beside_their_states():
    data = toys.images()
    picture = plot_states(toys.Counter(toys.TALL), data, n=5, seed=2)
    axes = picture.figure.axes
    assert len(axes) == 16  # two rows of four, and three places that are empty
    for place, row in enumerate(picture.facts["rows"]):
        seen, behind = axes[2 * place : 2 * place + 2]
        x = data.test.x[row, 0].numpy()
        np.testing.assert_array_equal(behind.lines[0].get_xdata(), x[:, 0])
        np.testing.assert_array_equal(behind.lines[0].get_ydata(), range(3))
        assert np.asarray(behind.images[0].get_array()).shape == (3, 9)
        pixels = np.asarray(seen.images[0].get_array())
        scale = pixels.shape[0] // 3
        np.testing.assert_array_equal(pixels[::scale, ::scale, 0], toys.grey(x))
        assert seen.get_ylim() == behind.get_ylim()  # step beside step
        assert seen.get_ylim()[0] > seen.get_ylim()[1]
        assert seen.get_title() == f"row {row}"
    assert not axes[-1].axison


def test_the_path_of_a_fitted_chain_is_drawn():
    x = torch.tensor([[0, 0, 0, 1, 1, 1], [1, 1, 1, 0, 0, 0]]).repeat(10, 1)
    spec = Spec((6,), 2)
    model = create("hmm", spec, states=2)
    model.fit(lambda: [Batch(x)], FitContext(torch.Generator().manual_seed(0)))
    data = toys.DataSet("two", spec, {"test": toys.ArraySplit(x)}, "sha256:0")
    picture = plot_states(model, data, rows=torch.tensor([0, 1]))
    first, second = (np.asarray(picture.figure.axes[i].lines[0].get_ydata()) for i in (1, 3))
    assert (first == 1 - second).all()
    assert (first[:3] == first[0]).all()
    assert (first[3:] == 1 - first[0]).all()
    wanted = model.viterbi(x[:2])[1].mean()
    assert picture.facts["path_log_prob"] == pytest.approx(float(wanted))
    assert picture.facts["certainty"] > 0.8


def test_a_chain_for_each_class_numbers_its_states_class_by_class():
    data = toys.images()
    model = create("hmm", data.spec, states=2)
    assert plot_states(model, data, n=2).facts["states"] == 6


def test_the_same_seed_gives_the_same_file():
    data = strings()
    first, again, other = (
        plot_states(toys.Counter(data.spec), data, n=2, seed=seed).png() for seed in (0, 0, 1)
    )
    assert first == again
    assert first != other


def test_what_has_no_states():
    data = strings()
    with pytest.raises(ConfigError, match=r"no hidden states along a sequence; .* hmm"):
        plot_states(create("independent", data.spec), data)
    with pytest.raises(SpecError, match="the model is for shape"):
        plot_states(toys.Counter(Spec((9,), 9)), data)
    with pytest.raises(ConfigError, match="row 12 is not there"):
        plot_states(toys.Counter(data.spec), data, rows=torch.tensor([12]))
    with pytest.raises(DataError, match="no examples to show"):
        plot_states(toys.Counter(data.spec), data, rows=torch.tensor([], dtype=torch.long))


def test_certainty_is_that_of_the_path_and_not_of_the_likeliest_states():
    class Astray(toys.Counter):
        def viterbi(self, x, y=None, known=None):
            path, log_prob = super().viterbi(x, y, known)
            return (path + 1) % 9, log_prob

    data = strings()
    picture = plot_states(Astray(data.spec), data, n=3)
    assert picture.facts["certainty"] == pytest.approx(0.1 / 9)
