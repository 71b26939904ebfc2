"""Pixel networks at the end of a decoder: one law, whole or pixel by pixel, given a map."""

import pytest
import torch

from genus import create, registry
from genus.conformance import verify
from genus.errors import ConfigError, SpecError
from genus.families import conditioned
from genus.families.conditioned import PixelDecoder, network_given_map
from genus.models.pixelcnn_plus import with_ones
from genus.spec import Batch, Spec

NETWORKS = [
    "pixelcnn", "gated-pixelcnn", "pixelcnn++", "pixelsnail", "row-lstm", "diagonal-bilstm"
]  # fmt: skip
SPECS = [Spec(shape=(1, 4, 5), levels=2), Spec(shape=(3, 5, 3), levels=4, classes=2)]


def loud(name, spec):
    torch.manual_seed(0)
    decoder = PixelDecoder(spec, name, 3, features=12, layers=2, hidden=12, kernel=3).double()
    with torch.no_grad():
        for parameter in decoder.parameters():
            parameter += 0.2 * torch.randn_like(parameter)
    return decoder.eval()


def some(spec, n=3):
    generator = torch.Generator().manual_seed(1)
    given = torch.randn(n, 3, *spec.shape[1:], generator=generator).double()
    return torch.randint(spec.levels, (n, *spec.shape), generator=generator), given


@pytest.mark.parametrize("spec", SPECS, ids=str)
@pytest.mark.parametrize("name", NETWORKS)
def test_the_streamed_law_is_the_whole_one_at_every_position(name, spec):
    decoder, (x, given) = loud(name, spec), some(spec)
    with torch.no_grad():
        law = decoder(given)
        whole, stream = law.log_prob(x).flatten(1), law.stream()
        assert sorted(law.order) == list(range(spec.dims))
        for index in law.order:
            value = x.flatten(1)[:, index]
            difference = stream.next().log_prob(value) - whole[:, index]
            assert difference.abs().max() < 1e-9
            stream.push(value)


@pytest.mark.parametrize("name", NETWORKS)
def test_the_law_depends_on_the_map_of_its_own_row_alone(name):
    spec = SPECS[1]
    decoder, (x, given) = loud(name, spec), some(spec)
    other = given.clone()
    other[1] += 1
    moved = (decoder(given).log_prob(x) - decoder(other).log_prob(x)).abs().flatten(1).sum(1)
    assert moved[0] == 0
    assert moved[2] == 0
    assert moved[1] > 1e-3


@pytest.mark.parametrize("name", NETWORKS)
def test_the_law_has_a_slope_in_the_map(name):
    decoder, (x, given) = loud(name, SPECS[0]), some(SPECS[0])
    given.requires_grad_()
    decoder(given).log_prob(x).sum().backward()
    assert (given.grad.abs().sum((1, 2, 3)) > 0).all()


def test_many_rows_are_scored_some_at_a_time(monkeypatch):
    decoder, (x, given) = loud("row-lstm", SPECS[0]), some(SPECS[0], 7)
    expected = decoder(given).log_prob(x)
    sizes = []
    decoder.network.first.register_forward_hook(lambda m, inputs, o: sizes.append(len(inputs[0])))
    monkeypatch.setattr(conditioned, "BLOCK", 3)
    with torch.no_grad():
        found = decoder(given).log_prob(x)
    torch.testing.assert_close(found, expected.detach())
    assert sizes == [3, 3, 1]


def test_a_network_that_cannot_be_told_is_refused():
    with pytest.raises(ConfigError, match=r"inner='nade' cannot be conditioned.*row-lstm"):
        network_given_map("inner", "nade", SPECS[0], 3)
    with pytest.raises(SpecError, match="images"):
        PixelDecoder(Spec(shape=(4,), levels=2), "pixelcnn", 3)


ENDS = [("vae", "pixelcnn"), ("m2", "pixelcnn"), ("ladder-vae", "gated-pixelcnn")]
SLOW = [pytest.param("ladder-vae", "pixelsnail", marks=pytest.mark.exhaustive)]


@pytest.mark.parametrize(("name", "decoder"), ENDS + SLOW)
def test_a_model_that_ends_in_a_pixel_network_conforms(name, decoder):
    cls = registry.get(name)
    ended = type("Ended", (cls,), {"tiny": {**cls.tiny, "decoder": decoder}})
    report = verify(ended, specs=[Spec(shape=(1, 2, 3), levels=2, classes=2)], quick=True)
    assert report.passed, str(report)
    assert {"decoder.causality", "decoder.stream"} <= {f.check for f in report.findings}


MIXED = [("vae", "independent"), ("m2", "independent"), ("ladder-vae", "independent")]
MIXED += [pytest.param("ladder-vae", "pixelcnn++", marks=pytest.mark.exhaustive)]


@pytest.mark.parametrize(("name", "decoder"), MIXED)
def test_a_model_that_ends_in_a_mixture_over_colours_conforms(name, decoder):
    cls = registry.get(name)
    options = {**cls.tiny, "decoder": decoder, "likelihood": "mixture", "mixtures": 2}
    ended = type("Ended", (cls,), {"tiny": options})
    report = verify(ended, specs=[Spec(shape=(2, 2, 1), levels=3, classes=2)], quick=True)
    assert report.passed, str(report)
    assert {"decoder.causality", "decoder.stream"} <= {f.check for f in report.findings}


@pytest.mark.parametrize("name", ["vae", "ladder-vae"])
def test_a_mixture_over_colours_is_refused_where_it_cannot_be(name):
    for spec in (Spec(shape=(4,), levels=2), Spec(shape=(1, 4, 4))):
        with pytest.raises(SpecError, match=r"likelihood='mixture'.*needs images.*'auto'"):
            create(name, spec, likelihood="mixture")
    with pytest.raises(ConfigError, match=r"decoder='pixelcnn' has no mixture.*pixelsnail"):
        create(name, SPECS[1], likelihood="mixture", decoder="pixelcnn")
    with pytest.raises(ConfigError, match="mixtures"):
        create(name, SPECS[1], likelihood="mixture", mixtures=0)


def test_a_table_has_no_pixels_and_is_told_so():
    with pytest.raises(SpecError, match=r"decoder=.pixelcnn. needs images.*leave the decoder"):
        create("vae", Spec(shape=(4,)), decoder="pixelcnn")


@pytest.mark.parametrize("name", ["vae", "ladder-vae"])
def test_a_network_takes_its_lengths_from_a_first_batch(name):
    """Maps of normalised weights come out with unit variance, behind a decoder too."""
    spec = Spec(shape=(1, 8, 8), levels=4)
    model = create(name, spec, decoder="pixelcnn++", decoder_features=8, decoder_layers=1)
    x = torch.randint(4, (32, 1, 8, 8), generator=torch.Generator().manual_seed(0))
    first = model.pixels.network.left
    before = first.gain.clone()
    model.initialise(Batch(x))
    out = first(with_ones(model.pixels.network.scaled(x)))
    assert not torch.equal(first.gain, before)
    torch.testing.assert_close(out.std((0, 2, 3)), torch.ones(8), atol=0.01, rtol=0)


def test_options_reach_the_pixel_network():
    model = create("vae", SPECS[0], decoder="row-lstm", dropout=0.3, decoder_layers=3)
    assert (model.pixels.network.config.dropout, len(model.pixels.network.layers)) == (0.3, 3)
    assert model.pixels.network.config.features == 64
