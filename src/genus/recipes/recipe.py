"""What a recipe is: one training run that anyone can repeat, and the list of all of them."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from genus.errors import ConfigError, near

if TYPE_CHECKING:
    from genus.data import DataSet
    from genus.training import RunResult


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """A training run in full: model, data, options and budget.

    Args:
        model: a registered name.
        data: a name of `genus data`.
        preset: the model's preset, if any.
        options: further options of the model.
        training: fields of `genus.training.TrainConfig`, a budget among them.

    Example:
        >>> options, training = {"hidden": 8}, {"steps": 9}
        >>> Recipe(model="nade", data="digits", options=options, training=training).command
        'genus train nade --data digits --set hidden=8 --steps 9'
    """

    model: str
    data: str
    preset: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any]

    @property
    def command(self) -> str:
        """The same run from the command line."""
        words = ["genus train", self.model, "--data", self.data]
        words += ["--preset", self.preset] if self.preset else []
        words += [f"--set {name}={value}" for name, value in self.options.items()]
        for name, value in self.training.items():
            shown = duration(value) if name == "time_budget" else value
            words.append(f"--{name.replace('_', '-')} {shown}")
        return " ".join(words)

    def run(self, out: Path | str, data: DataSet | None = None, **training: Any) -> RunResult:
        """Train, and return the finished run.

        Args:
            out: the run's folder.
            data: other data than the recipe's, of one's own for instance.
            training: fields of `genus.training.TrainConfig` in place of the recipe's.

        Raises:
            DataError: the data set is not there.
            ConfigError: options that do not fit.
        """
        import torch

        import genus
        from genus import registry
        from genus.training import TrainConfig

        found = genus.load_data(self.data) if data is None else data
        config = TrainConfig(**{**self.training, **training})
        spec = found.spec.unconditional()
        chosen = registry.preset(self.model, self.preset) if self.preset else {}
        options = registry.suited(self.model, spec, len(found.train), {**chosen, **self.options})
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.seed)
            model = genus.create(self.model, spec, **options)
        return genus.train(model, found, out, config)


def duration(seconds: float) -> str:
    """Return a duration as the command line takes it.

    Example:
        >>> duration(1800), duration(7200), duration(90)
        ('30m', '2h', '90s')
    """
    for size, letter in ((3600, "h"), (60, "m")):
        if seconds % size == 0:
            return f"{seconds // size:.0f}{letter}"
    return f"{seconds:g}s"


RECIPES: dict[str, Callable[[], Recipe]] = {}
"""Every recipe by its name, such as ``binarized-mnist/pixelcnn``."""


def recipe(function: Callable[[], Recipe]) -> Callable[[], Recipe]:
    """Enter a function in the list of recipes, under its module's and its own name."""
    place = function.__module__.rpartition(".")[2]
    RECIPES[f"{place}/{function.__name__}".replace("_", "-")] = function
    return function


def find(name: str) -> Recipe:
    """Return a recipe by its name.

    Raises:
        ConfigError: there is none; the message has near matches.
    """
    if name not in RECIPES:
        raise ConfigError(f"there is no recipe {name!r}; {near(name, RECIPES)}")
    return RECIPES[name]()


def about(name: str) -> str:
    """Return what the docstring of a recipe says: source, cost and expected score."""
    return inspect.getdoc(RECIPES[name]) or ""
