"""What every model has: a Spec, a configuration, checked inputs and a prior over its classes."""

# Shapes: B batch, Y classes.
from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from genus import registry
from genus.errors import ConfigError, SpecError
from genus.random import ExampleNoise
from genus.spec import Spec


@dataclass(frozen=True, kw_only=True)
class EmptyConfig:
    """The configuration of a model that has no options."""


class Model(nn.Module):
    """Base of all families: holds what a model is, and checks what it is given.

    A model whose Spec has classes is class-conditional. Without ``y`` it speaks of the mixture
    over classes: `log_prob` is log p(x) and `sample` draws the class first. One whose Spec has an
    image as its condition speaks of p(x | y) alone, and needs ``y``.

    Args:
        spec: what the data are.
        config: an instance of the class's ``Config``.

    Raises:
        SpecError: the model cannot work on such data.
    """

    name: ClassVar[str] = "unregistered"
    family: ClassVar[str]
    Config: ClassVar[type[Any]] = EmptyConfig
    tiny: ClassVar[dict[str, Any]] = {}
    """Options that make the model small, for the conformance kit."""
    presets: ClassVar[dict[str, dict[str, Any]]] = {}
    """Options of the models in a paper's tables, by name; what they leave out is the default."""
    representative: ClassVar[bool] = False
    """Whether the model stands for its family where none is named, as in ``genus compare``."""
    semi_supervised: ClassVar[bool] = False
    """Whether training takes examples whose label is -1, which means that they have none."""
    takes_condition: ClassVar[bool] = False
    """Whether the Spec may have a condition, an image that each example is made from."""
    log_prior_Y: Tensor

    def __init__(self, spec: Spec, config: Any = None) -> None:
        super().__init__()
        self.spec = spec
        self.config = self.Config() if config is None else config
        registry.check_condition(type(self), spec)
        self.check_spec(spec)
        if spec.classes:
            uniform = torch.full((spec.classes,), -math.log(spec.classes))
            self.register_buffer("log_prior_Y", uniform)

    @classmethod
    def suited(cls, spec: Spec, examples: int) -> dict[str, Any]:
        """Return options that suit a training set of so many examples better than the defaults.

        A user's own options override them.
        """
        return {}

    @classmethod
    def check_spec(cls, spec: Spec) -> None:
        """Raise `SpecError` if the model cannot work on such data; any data will do here."""

    @classmethod
    def require(cls, holds: bool, needs: str, spec: Spec) -> None:
        """Raise `SpecError` saying what the model needs, unless it ``holds``."""
        if not holds:
            raise SpecError(f"{cls.name} needs {needs}, but the data are {spec}")

    @property
    def device(self) -> torch.device:
        """Where the model is; a model without weights is on the CPU."""
        tensor = next(chain(self.parameters(), self.buffers()), None)
        return torch.device("cpu") if tensor is None else tensor.device

    @property
    def dtype(self) -> torch.dtype:
        """The floating type of the weights."""
        return next(
            (t.dtype for t in chain(self.parameters(), self.buffers()) if t.is_floating_point()),
            torch.float32,
        )

    def check_inputs(self, x: Tensor, y: Tensor | None) -> None:
        """Raise `SpecError` unless ``x``, and ``y`` where given, fit the Spec."""
        self.spec.check(x)
        if y is not None:
            self.spec.check_condition(y, len(x))

    def set_class_prior(self, counts_Y: Tensor) -> None:
        """Take p(y) from label counts, with one pseudo-count each so that none is impossible."""
        smoothed_Y = counts_Y.to(self.log_prior_Y) + 1
        self.log_prior_Y.copy_((smoothed_Y / smoothed_Y.sum()).log())

    def noise(self, n: int, generator: torch.Generator | None = None) -> ExampleNoise:
        """Return a stream of noise for each of ``n`` examples, where and of what type the model is.

        Args:
            n: how many.
            generator: where their keys come from; None takes torch's global one.
        """
        return ExampleNoise(n, generator, device=self.device, dtype=self.dtype)

    def labels_for(self, n: int, y: Tensor | None, u_B: Tensor) -> Tensor | None:
        """Return the labels of ``n`` samples: those given, or draws from p(y) made from ``u_B``.

        Raises:
            SpecError: labels that do not fit the Spec; or no images where those are the condition,
                because there is no p(y) of them.
        """
        if y is not None:
            return self.spec.check_condition(y, n).to(self.device)
        self.require(self.spec.condition is None, "images y to go by", self.spec)
        if self.spec.classes is None:
            return None
        cdf_Y = self.log_prior_Y.double().exp().cumsum(0)
        index_B = torch.searchsorted(cdf_Y, u_B.to(cdf_Y), right=True)
        return index_B.clamp(max=self.spec.classes - 1)

    def joint_log_prob(self, x: Tensor) -> Tensor:
        """Return ``(B, Y)``, log p(x, y) for every class, from `log_prob` given the class."""
        self.require(self.spec.classes is not None, "classes", self.spec)
        columns = []
        for label in range(len(self.log_prior_Y)):
            y_B = torch.full((len(x),), label, device=x.device)
            columns.append(self.conditional_log_prob(x, y_B) + self.log_prior_Y[label])
        return torch.stack(columns, 1)

    def conditional_log_prob(self, x: Tensor, y: Tensor | None) -> Tensor:
        """Return ``(B,)``, log p(x | y), or log p(x) of an unconditional model where y is None."""
        raise NotImplementedError(f"{type(self).__name__} has no density")

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """Refuse: a model has named verbs, and networks inside it have a forward pass."""
        raise TypeError(f"call {self.name} by a verb, such as sample or log_prob")


class DensityModel(Model):
    """A model with an exact density: adds the mixture over classes and Bayes' rule."""

    def log_prob(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        r"""Return the exact log-likelihood in nats, ``(B,)``.

        Args:
            x: ``(B, *shape)``.
            y: ``(B,)`` labels. Left out for a class-conditional model it means
                :math:`\log \sum_y p(y)\, p(x \mid y)`.

        Raises:
            SpecError: the inputs do not fit the Spec, or the model takes no labels.
        """
        self.check_inputs(x, y)
        if y is None and self.spec.classes is not None:
            return self.joint_log_prob(x).logsumexp(1)
        return self.conditional_log_prob(x, y)

    def class_log_prob(self, x: Tensor) -> Tensor:
        r"""Return ``(B, Y)``, :math:`\log p(y \mid x)` by Bayes' rule.

        Raises:
            SpecError: the model has no classes.
        """
        self.check_inputs(x, None)
        return self.joint_log_prob(x).log_softmax(1)


@contextlib.contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a model in evaluation mode for a while, so that a draw does not depend on dropout."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)


def check_temperature(temperature: float) -> None:
    """Raise `ConfigError` unless the temperature is a finite number above zero."""
    if not (temperature > 0 and math.isfinite(temperature)):
        raise ConfigError(f"temperature={temperature} must be a finite number above zero")
