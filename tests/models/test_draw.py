"""What is special to DRAW: filters as the paper places them, strokes that build on each other."""

import numpy as np
import pytest
import torch

from genus import create
from genus.errors import ConfigError, SpecError
from genus.families.latent import LatentVariable
from genus.nn.glimpse import Glimpse
from genus.spec import Spec

SPEC = Spec(shape=(1, 6, 5), levels=2)


def loud(**config):
    torch.manual_seed(0)
    options = {"strokes": 3, "hidden": 8, "latents": 2, "read": 2, "write": 3, **config}
    model = create("draw", SPEC, **options).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return model


def paper_filters(out, size, grid, length):
    """Equations 19 to 27, with the paper's indices from one, in NumPy."""
    g, log_variance, log_pitch = out
    centre = (length + 1) / 2 * (g + 1)
    pitch = (max(size) - 1) / (grid - 1) * np.exp(log_pitch)
    rows = []
    for i in range(1, grid + 1):
        mean = centre + (i - grid / 2 - 0.5) * pitch
        place = np.arange(1, length + 1)
        row = np.exp(-((place - mean) ** 2) / (2 * np.exp(log_variance)))
        rows.append(row / row.sum())
    return np.stack(rows)


def test_filters_are_placed_as_in_the_paper():
    torch.manual_seed(0)
    glimpse = Glimpse(4, (6, 5), 3).double()
    h = torch.randn(1, 4).double()
    out = glimpse.place(h)[0].detach().numpy()
    rows, columns, strength = glimpse.filters(h)
    down, across, log_variance, log_pitch, log_strength = out
    expected = paper_filters((down, log_variance, log_pitch), (6, 5), 3, 6)
    np.testing.assert_allclose(rows[0].detach().numpy(), expected, atol=1e-12)
    expected = paper_filters((across, log_variance, log_pitch), (6, 5), 3, 5)
    np.testing.assert_allclose(columns[0].detach().numpy(), expected, atol=1e-12)
    assert float(strength.detach()) == pytest.approx(np.exp(log_strength))


def test_filters_far_outside_of_the_image_stay_finite():
    glimpse = Glimpse(1, (6, 5), 3)
    with torch.no_grad():
        glimpse.place.bias.copy_(torch.tensor([9.0, -9.0, -9.0, 2.0, 0.0]))
    rows, columns, _ = glimpse.filters(torch.zeros(1, 1))
    for part in (rows, columns):
        torch.testing.assert_close(part.sum(-1), torch.ones(1, 3))


@pytest.mark.parametrize("attention", [True, False])
def test_the_way_that_infers_agrees_with_encoder_prior_and_decoder(attention):
    """One walk gives what three would: a reused noise or a wrong state would show."""
    model, x = loud(attention=attention), torch.randint(2, (3, *SPEC.shape))
    eps = torch.randn(3, 2, model.latent_size).double()
    one = model.infer(x, None, eps)
    three = LatentVariable.infer(model, x, None, eps)
    torch.testing.assert_close(one.log_weights(x), three.log_weights(x))
    torch.testing.assert_close(one.log_q_BkG.sum(-1), three.log_q_BkG.sum(-1))
    assert one.kl_BkG.shape == (3, 2, 3)


def test_every_stroke_has_its_own_noise_and_divergence():
    model, x = loud(), torch.randint(2, (2, *SPEC.shape))
    eps = torch.zeros(2, 1, model.latent_size).double()
    before = model.infer(x, None, eps).law.log_prob(x)
    for stroke in range(3):
        moved = eps.clone()
        moved[..., 2 * stroke] = 1.0
        assert (model.infer(x, None, moved).law.log_prob(x) - before).abs().max() > 1e-6
    # A divergence that leaves out half a nat for each latent would be negative here.
    zeros = create("draw", SPEC, strokes=2, hidden=4, latents=3).double()
    with torch.no_grad():
        for parameter in zeros.parameters():
            parameter.zero_()
    found = zeros.elbo(x).kl
    torch.testing.assert_close(found, torch.zeros_like(found))


def test_later_strokes_see_what_earlier_ones_painted():
    model, x = loud(), torch.randint(2, (1, *SPEC.shape))
    eps = torch.zeros(1, 1, model.latent_size).double()
    still = model.infer(x, None, eps).kl_BkG.detach()
    eps[..., 0] = 2.0
    assert abs(float((model.infer(x, None, eps).kl_BkG.detach() - still)[0, 0, 2])) > 1e-6


def test_bad_data_and_options_are_named():
    with pytest.raises(SpecError, match="draw needs images of levels"):
        create("draw", Spec(shape=(4,), levels=2))
    with pytest.raises(ConfigError, match="strokes=0 must be above zero"):
        create("draw", SPEC, strokes=0)
    with pytest.raises(ConfigError, match="is for one group of latents"):
        create("draw", SPEC, objective="dreg")


def test_a_new_grid_covers_the_whole_image_without_gaps():
    """A patch of ones paints ones all over, but for the border where filters have less room."""
    glimpse = Glimpse(1, (28, 28), 5)
    painted = glimpse.paint(torch.ones(1, 1, 25), torch.zeros(1, 1))[0, 0, 4:-4, 4:-4].detach()
    with torch.no_grad():
        glimpse.place.bias[2] = 0.0
    narrow = glimpse.paint(torch.ones(1, 1, 25), torch.zeros(1, 1))[0, 0, 4:-4, 4:-4].detach()
    assert painted.min() > 0.5
    assert narrow.min() < 0.01, "filters as narrow as a pixel leave gaps; this test cannot see them"
