"""Numbers of a tensor that Python keeps are never those of another, or of an earlier moment."""

import copy

import pytest
import torch

import genus
from genus.capabilities import Conditionals, supports
from genus.nn.host_numbers import HostNumbers
from genus.registry import list_models
from genus.spec import Spec

IMAGE = Spec(shape=(1, 4, 5), levels=2)
NAMES = [name for name, cls in list_models().items() if supports(cls, Conditionals)]


def test_numbers_are_asked_for_once_and_again_after_a_change():
    numbers, tensor = HostNumbers(), torch.tensor([3, 1, 2])
    first = numbers.of(tensor)
    assert first == [3, 1, 2]
    assert numbers.of(tensor) is first
    tensor[0] = 5
    assert numbers.of(tensor) == [5, 1, 2]
    tensor.copy_(torch.tensor([0, 1, 2]))
    assert numbers.of(tensor) == [0, 1, 2]
    assert numbers.of(tensor.flip(0)) == [2, 1, 0]
    assert numbers.of(tensor) == [0, 1, 2]


def test_what_does_not_know_of_changes_is_always_asked():
    with torch.inference_mode():
        numbers, tensor = HostNumbers(), torch.tensor([3, 1, 2])
        assert numbers.of(tensor) == [3, 1, 2]
        tensor[0] = 5
        assert numbers.of(tensor) == [5, 1, 2]


@pytest.mark.parametrize("streaming", [True, False])
@pytest.mark.parametrize("name", NAMES)
def test_models_draw_in_inference_mode(name, streaming):
    torch.manual_seed(0)
    model = genus.create(name, IMAGE, **list_models()[name].tiny).eval()
    seed = torch.Generator().manual_seed
    wanted = model.sample(2, generator=seed(1), streaming=streaming)
    with torch.inference_mode():
        assert torch.equal(model.sample(2, generator=seed(1), streaming=streaming), wanted)


@pytest.mark.parametrize("name", ["fvsbn", "made", "nade"])
def test_weights_of_another_order_bring_it_along(name):
    """An order that is loaded into a model that has drawn before is the one it draws in."""
    torch.manual_seed(0)
    tiny = list_models()[name].tiny
    other = genus.create(name, IMAGE, order="random", order_seed=4, **tiny)
    model = genus.create(name, IMAGE, order="random", order_seed=9, **tiny)
    seed = torch.Generator().manual_seed
    model.sample(2, generator=seed(1))
    twin = copy.deepcopy(model)
    for each in (model, twin):
        each.load_state_dict(other.state_dict())
        assert torch.equal(
            each.sample(8, generator=seed(1)), other.sample(8, generator=seed(1), streaming=False)
        )
