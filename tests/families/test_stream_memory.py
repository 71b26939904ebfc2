"""What streams hold: some rows of the image, or what attention keeps of all of it."""

import pytest
import torch

from genus import Spec, create, registry
from genus.capabilities import Conditionals, supports
from genus.families.stream_memory import held_bytes

ROWS = ["pixelcnn", "gated-pixelcnn", "pixelcnn++", "row-lstm", "diagonal-bilstm", "nade"]
SPEC = Spec(shape=(1, 6, 9), levels=2)


def for_one_example(name: str, height: int) -> float:
    """Bytes that one more example of height x 9 pixels costs at the end of a stream."""
    cls = registry.get(name)
    model = create(name, Spec(shape=(1, height, 9), levels=2), **cls.tiny).eval()
    held = []
    for n in (2, 6):
        stream = model.stream(n)
        for _ in range(model.spec.dims):
            stream.next()
            stream.push(torch.zeros(n, dtype=torch.long))
        held.append(held_bytes(stream))
    return (held[1] - held[0]) / 4


def streamed() -> list[str]:
    found = []
    for name, cls in registry.list_models().items():
        if supports(cls, Conditionals):
            try:
                cls.check_spec(SPEC)
            except ValueError:
                continue
            found.append(name)
    return found


def test_all_models_of_the_family_are_known_here() -> None:
    assert set(ROWS) < set(streamed())


@torch.no_grad()
@pytest.mark.parametrize("name", streamed())
def test_what_an_example_costs_is_bounded(name: str) -> None:
    low, high = for_one_example(name, 6), for_one_example(name, 24)
    assert low > 0
    if name in ROWS:
        assert high == low, "some rows of the image, whatever its height"
    else:
        assert high <= 4 * low, "in proportion to the pixels"


@torch.no_grad()
def test_weights_are_not_counted_and_shared_memory_once() -> None:
    class Toy:
        def __init__(self) -> None:
            self.model = torch.nn.Linear(100, 100)
            self.view, self.kept = self.model.weight[3], torch.zeros(5)
            self.again = {"view": [self.kept[1:], (self.kept,)], "self": self, "f": len}

    assert held_bytes(Toy()) == 5 * 4
