"""Benchmarks compare equals: the plain networks are ours, pixel by pixel, to the last gradient."""

import runpy
from pathlib import Path

import pytest
import torch

import genus
from genus.capabilities import Conditionals, supports
from genus.registry import list_models
from genus.spec import Batch, Spec

PLAIN = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "plain.py"))
CLASSICAL = runpy.run_path(str(Path(__file__).parents[1] / "benchmarks" / "classical.py"))
NAMES = [name for name, cls in list_models().items() if supports(cls, Conditionals)]


def loud(name, spec):
    """Return a small model, all of whose weights say something."""
    torch.manual_seed(0)
    model = genus.create(name, spec, **list_models()[name].tiny)
    if hasattr(model, "initialise"):
        model.initialise(Batch(torch.randint(spec.levels_or_raise, (8, *spec.shape))))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return model.double()


def total_slope(model):
    """Return the sum of all gradients' sizes; masked weights add nothing to it."""
    return sum(p.grad.abs().sum() for p in model.parameters() if p.grad is not None)


@pytest.mark.parametrize("shape", [(1, 4, 5), (3, 5, 4)], ids=["grey", "colour"])
@pytest.mark.parametrize("name", NAMES)
def test_the_plain_network_is_ours(name, shape):
    model = loud(name, Spec(shape=shape, levels=3))
    twin = PLAIN["plain"](model)
    x = torch.randint(3, (4, *shape))
    PLAIN["check"](model, twin, x)
    for network in (model, twin):
        network.log_prob(x).sum().backward()
    torch.testing.assert_close(total_slope(twin), total_slope(model))


def test_another_network_is_told_apart():
    model = loud("pixelcnn", Spec(shape=(1, 4, 5), levels=3))
    twin = PLAIN["plain"](model)
    with torch.no_grad():
        twin.first.weight[0, 0, 0, 0] += 1
    with pytest.raises(AssertionError):
        PLAIN["check"](model, twin, torch.randint(3, (4, 1, 4, 5)))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", CLASSICAL["DUELS"])
def test_classical_models_meet_the_other_library_from_the_same_start(name):
    if name.startswith("hmm"):
        pytest.importorskip("hmmlearn")
    duel = CLASSICAL["DUELS"][name](500, 2)
    duel.ours()
    duel.theirs()
    assert duel.ours_nats() == pytest.approx(duel.theirs_nats(), rel=1e-6)
