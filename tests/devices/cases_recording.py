"""A walk over an example can be captured on a device: nothing is carried there, or asked for."""

import pytest
import torch
from fitting import fitting
from pretended import CROSSINGS, DEVICE, pretended
from taped import tape

import genus
from genus.capabilities import Conditionals, supports
from genus.families.recorded import RecordedSampler
from genus.registry import list_models, register
from genus.spec import Spec

SPECS = {
    "image": Spec(shape=(3, 3, 4), levels=4, classes=3),
    "binary": Spec(shape=(1, 5, 4), levels=2),
    "vector": Spec(shape=(5,), levels=300),
}


def quiet_tape(run):
    """Record, and see that the second run carries nothing between the places."""
    turns = []

    def watched():
        CROSSINGS.clear()
        result = run()
        turns.append(list(CROSSINGS))
        return result

    recorded = tape(watched)
    assert turns[1] == []
    return recorded


def noise(spec, number):
    seeded = torch.Generator().manual_seed(number)
    u = torch.rand(3, spec.dims, generator=seeded)
    return u, torch.randint(spec.classes, (3,), generator=seeded) if spec.classes else None


STREAMED = fitting(SPECS, lambda cls: supports(cls, Conditionals))


@pytest.mark.parametrize(("name", "spec"), STREAMED)
def test_every_model_can_be_recorded(name, spec):
    is_recorded(name, spec)


@pytest.mark.parametrize("large", ["gated-pixelcnn", "pixelcnn++", "pixelsnail"])
def test_a_binary_walk_given_a_map_can_be_recorded(large):
    is_recorded("multiscale-pixelrnn", Spec(shape=(1, 3, 3), levels=2), large=large)


def is_recorded(name, spec, **options):
    torch.manual_seed(0)
    model = genus.create(name, spec, **{**list_models()[name].tiny, **options}).double()
    wanted = [model.from_uniform(*noise(spec, number)) for number in range(3)]
    with torch.no_grad():
        for weight in model.parameters():
            weight.mul_(1.5)
    wanted.append(model.from_uniform(*noise(spec, 3)))
    with torch.no_grad():
        for weight in model.parameters():
            weight.div_(1.5)
    with pretended():
        model.to(DEVICE)
        sampler = RecordedSampler(model, 3, recorder=quiet_tape)
        for number, x in enumerate(wanted):
            if number == 3:  # what an optimiser does reaches the recording
                with torch.no_grad():
                    for weight in model.parameters():
                        weight.mul_(1.5)
            assert torch.equal(sampler.from_uniform(*noise(spec, number)).cpu(), x)


class Asks(list_models()["fvsbn"]):
    """Looks at what it has drawn, as a sampler with an early end does."""

    def stream(self, n, y=None):
        stream = super().stream(n, y)
        push = stream.push

        def asking(value):
            if value.sum().item() >= 0:
                push(value)

        stream.push = asking
        return stream


class Carries(list_models()["fvsbn"]):
    """Brings a table from the processor at every position."""

    def stream(self, n, y=None):
        stream = super().stream(n, y)
        push = stream.push
        stream.push = lambda value: push(value + torch.zeros(n, dtype=torch.long).to(value.device))
        return stream


class Draws(list_models()["fvsbn"]):
    """Has a source of noise of its own."""

    def stream(self, n, y=None):
        stream = super().stream(n, y)
        push = stream.push
        stream.push = lambda value: push(torch.randint_like(value, 2))
        return stream


@pytest.mark.parametrize(
    ("planted", "words"),
    [(Asks, "asks for a number"), (Carries, "_to_copy"), (Draws, "draws by a generator")],
)
def test_a_stream_that_cannot_be_captured_is_found(planted, words):
    register(f"planted-{planted.__name__.lower()}")(planted)
    spec = SPECS["binary"]
    with pretended():
        model = planted(spec).double().to(DEVICE)
        with pytest.raises((RuntimeError, AssertionError), match=words):
            RecordedSampler(model, 3, recorder=quiet_tape).from_uniform(*noise(spec, 0))
