"""What a check is, and the list of all checks.

A check is a function of a model and a `Context` that returns what it measured. The decorator
`check` says which capabilities it needs and on which data it makes sense, so that the runner never
asks which model it has.
"""

# Shapes: B batch, D dims.
from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import torch
from torch import Tensor

from genus.capabilities import supports
from genus.spec import Batch, Spec

T = TypeVar("T")
ENUMERABLE_STATES = 70_000
"""Spaces of at most so many examples are enumerated."""
IMAGES = 64
"""Different images that samples are given to go by."""


@dataclass(frozen=True)
class Outcome:
    """One figure that a check measured.

    Args:
        figure: what was measured.
        limit: what it is held against, or None if it only informs.
        passed: the verdict.
        detail: where it was found, in words.
    """

    figure: float
    limit: float | None
    passed: bool
    detail: str = ""


class NotRun(Exception):
    """A check cannot say anything about this model on this data; the message says why."""


def at_most(figure: float | Tensor, limit: float, detail: str = "") -> Outcome:
    """Return an outcome that passes if the figure is at most the limit; NaN does not.

    Example:
        >>> at_most(float("nan"), 1.0).passed
        False
    """
    value = float(figure)
    return Outcome(value, limit, value <= limit, detail)


def at_least(figure: float | Tensor, limit: float, detail: str = "") -> Outcome:
    """Return an outcome that passes if the figure is at least the limit; NaN does not."""
    value = float(figure)
    return Outcome(value, limit, value >= limit, detail)


def inform(figure: float, detail: str) -> Outcome:
    """Return an outcome that only informs."""
    return Outcome(figure, None, True, detail)


def problems(found: Iterable[str]) -> Outcome:
    """Return an outcome that counts what is wrong and lists it; none may be."""
    texts = list(found)
    return at_most(len(texts), 0, "; ".join(texts))


@dataclass(frozen=True)
class Context:
    """What a check may use besides the model.

    Args:
        spec: the data.
        seed: of everything random.
        quick: whether to spend less on each check.
        variant: makes another model of the same class on the same data with some options
            replaced; None where that is not possible. It returns None if there is no such option.
        memory: what one check leaves for another about the same model, see `once`.
    """

    spec: Spec
    seed: int = 0
    quick: bool = False
    variant: Callable[..., Any] | None = field(default=None, compare=False)
    memory: dict[str, Any] = field(default_factory=dict, compare=False)

    def once(self, name: str, make: Callable[[], T]) -> T:
        """Return what the first check that asked under this name has made.

        It must be made of the model as it is handed to each check.
        """
        if name not in self.memory:
            self.memory[name] = make()
        found: T = self.memory[name]
        return found

    def generator(self, salt: int = 0) -> torch.Generator:
        """Return a generator that is the same at every call with the same ``salt``."""
        return torch.Generator().manual_seed(self.seed * 1009 + salt)

    def examples(self, n: int, salt: int = 0) -> Tensor:
        """Return ``n`` random examples: uniform levels, or standard normal float64."""
        shape = (n, *self.spec.shape)
        if self.spec.levels is None:
            return torch.randn(shape, generator=self.generator(salt), dtype=torch.float64)
        return torch.randint(self.spec.levels, shape, generator=self.generator(salt))

    def conditions(self, n: int) -> Tensor | None:
        """Return what ``n`` examples are conditional on: all classes in turn, images, or None."""
        return self.images(n) if self.spec.classes is None else torch.arange(n) % self.spec.classes

    def images(self, n: int, salt: int = 0) -> Tensor | None:
        """Return ``n`` random images to go by, the first ones always the same; None without any."""
        if self.spec.condition is None:
            return None
        pool = Context(self.spec.of_conditions, self.seed).examples(IMAGES, 500 + salt)
        return pool[torch.arange(n) % IMAGES]

    def draw(self, model: Any, n: int, salt: int = 0, **asked: Any) -> Tensor:
        """Return ``n`` samples without labels; they are given images where there are any."""
        if self.spec.condition is not None:
            asked["y"] = self.images(n)
        x: Tensor = model.sample(n, generator=self.generator(salt), **asked)
        return x

    def batch(self, n: int, salt: int = 0) -> Batch:
        """Return ``n`` random examples with what they are conditional on, if there is anything."""
        return Batch(self.examples(n, salt), self.conditions(n))

    def class_labels(self, n: int) -> list[Tensor | None]:
        """Return for each class ``n`` labels of it; ``[None]`` without classes."""
        if self.spec.classes is None:
            return [None]
        return [torch.full((n,), label) for label in range(self.spec.classes)]


def states_of(spec: Spec) -> int | None:
    """Return the number of different examples, or None if they are real numbers.

    Those of data with images to go by are not counted either: there would be another law for each.
    """
    return None if spec.levels is None or spec.condition else spec.levels**spec.dims


def enumerable(spec: Spec) -> bool:
    """Say whether all examples can be listed."""
    states = states_of(spec)
    return states is not None and states <= ENUMERABLE_STATES


def small_space(spec: Spec) -> bool:
    """Say whether there are few enough examples to count draws of each."""
    states = states_of(spec)
    return states is not None and states <= 1024


def is_large(spec: Spec) -> bool:
    """Say whether an example is slow to draw, so that few are drawn."""
    return spec.dims > 300


def discrete(spec: Spec) -> bool:
    """Say whether examples are levels."""
    return spec.is_discrete


def has_classes(spec: Spec) -> bool:
    """Say whether examples have labels."""
    return spec.classes is not None


def has_condition(spec: Spec) -> bool:
    """Say whether examples come with images to go by."""
    return spec.condition is not None


def anything(spec: Spec) -> bool:
    """Accept all data."""
    return True


Result = Outcome | Iterable[Outcome]


@dataclass(frozen=True)
class Check:
    """A check with what it needs.

    Args:
        name: ``subject.name``.
        run: measures.
        needs: capabilities that the model's class must have, all of them.
        where: says on which data the check makes sense.
        meaning: what a failure means to a user.
        slow: left out when the user is in a hurry.
    """

    name: str
    run: Callable[[Any, Context], Result]
    needs: tuple[type, ...]
    where: Callable[[Spec], bool]
    meaning: str
    slow: bool = False

    def applies(self, model: object) -> bool:
        """Say whether the model has the capabilities."""
        return all(supports(model, capability) for capability in self.needs)


CHECKS: dict[str, Check] = {}
"""Every check by its name, in the order in which they run."""


def check(
    name: str,
    *needs: type,
    meaning: str,
    where: Callable[[Spec], bool] = anything,
    slow: bool = False,
) -> Callable[[Callable[[Any, Context], Result]], Callable[[Any, Context], Result]]:
    """Enter a function in the list of checks."""

    def decorate(run: Callable[[Any, Context], Result]) -> Callable[[Any, Context], Result]:
        assert name not in CHECKS, f"two checks are called {name}"
        CHECKS[name] = Check(name, run, needs, where, meaning, slow)
        return run

    return decorate
