r"""The autoregressive family: a likelihood as a product of conditionals.

.. math:: p(x) = \prod_t p(x_{o_t} \mid x_{o_1}, \dots, x_{o_{t-1}})
"""

# Shapes: B batch, n samples, D dims, P parameters of one entry, C H W an image.
from __future__ import annotations

import abc
from typing import ClassVar

import torch
from torch import Tensor

from genus.capabilities import Completion, Objective, Stream
from genus.distributions.likelihoods import Law, Likelihood
from genus.distributions.ordered import filling
from genus.distributions.units import scaled_levels
from genus.families.base import DensityModel, check_temperature, evaluating
from genus.families.completion import PARTICLES, CompletionMethod, complete
from genus.families.recorded import RecordedSampler
from genus.nn.host_numbers import HostNumbers
from genus.random import Noise
from genus.spec import Batch, Spec


class Autoregressive(DensityModel, abc.ABC):
    """An autoregressive model writes `parameters_of`; likelihood, loss and samplers are here.

    A subclass sets ``self.likelihood`` if the default, a free probability for every level, is not
    what it wants, and gives `stream` where it can do better than running the whole network again.
    """

    family = "autoregressive"
    learning_rate: ClassVar[float] = 3e-3
    """Default step size of training."""
    batch_size: ClassVar[int] = 64
    """Default examples of one update."""
    likelihood: Likelihood

    def __init__(self, spec: Spec, config: object = None) -> None:
        super().__init__(spec, config)
        self.likelihood = Likelihood("auto", spec)
        self._order = HostNumbers()

    @abc.abstractmethod
    def parameters_of(self, u: Tensor, y: Tensor | None) -> Tensor:
        """Return the parameters of every conditional, ``(B, *shape, P)``.

        Args:
            u: ``(B, *shape)``, the example scaled by `scaled`; real numbers, so that the
                dependence on each entry can be differentiated.
            y: ``(B,)`` labels, or None.
        """

    def scaled(self, x: Tensor) -> Tensor:
        """Return levels on [-1, 1], in the type of the weights; real data pass unchanged."""
        if self.spec.levels is None:
            return x.to(self.dtype)
        return scaled_levels(x, self.spec.levels, self.dtype)

    def conditionals(self, x: Tensor, y: Tensor | None = None) -> Law:
        """Return the law ``(B, *shape)`` of each entry given those before it in `order`.

        Args:
            x: ``(B, *shape)``.
            y: ``(B,)`` labels; a class-conditional model needs them here.

        Raises:
            SpecError: the inputs do not fit the Spec, or labels are missing.
        """
        self.check_inputs(x, y)
        self.require(self.spec.classes is None or y is not None, "labels y here", self.spec)
        return self.likelihood(self.parameters_of(self.scaled(x), y))

    def conditional_log_prob(self, x: Tensor, y: Tensor | None) -> Tensor:
        """Return ``(B,)``, the sum of the conditionals' log-probabilities."""
        return self.conditionals(x, y).log_prob(x).flatten(1).sum(1)

    def order(self) -> Tensor:
        """Return ``(D,)``: the flat index of the entry at each position of the order.

        Images go row by row and pixel by pixel, and within a pixel colour by colour.
        """
        index = torch.arange(self.spec.dims).view(self.spec.shape)
        return index.permute(1, 2, 0).flatten() if self.spec.is_image else index

    def indices(self) -> list[int]:
        """Return `order` as numbers of Python."""
        return self._order.of(self.order())

    def objectives(self) -> tuple[Objective, ...]:
        """Return the one objective: the negative log-likelihood, in nats per dimension."""
        parameters = tuple(self.parameters())
        return (
            Objective(
                "likelihood",
                parameters,
                self._loss,
                learning_rate=self.learning_rate,
                batch_size=self.batch_size,
            ),
        )

    def _loss(self, batch: Batch, noise: Noise) -> dict[str, Tensor]:
        y = batch.y if self.spec.classes is not None else None
        nats = -self.log_prob(batch.x, y).mean()
        return {"loss": nats / self.spec.dims, "nats": nats.detach()}

    def stream(self, n: int, y: Tensor | None = None) -> Stream:
        """Return the conditionals of ``n`` examples one position at a time.

        This one runs the whole network for each position, which is right for any model: the
        oracle that faster streams are held against.
        """
        return self.recompute(n, y)

    def recompute(self, n: int, y: Tensor | None = None) -> RecomputingStream:
        """Return the conditionals by one full pass for each position, whatever `stream` does."""
        return RecomputingStream(self, n, y)

    def sample(
        self,
        n: int,
        *,
        y: Tensor | None = None,
        generator: torch.Generator | None = None,
        temperature: float = 1.0,
        streaming: bool = True,
    ) -> Tensor:
        """Return ``n`` exact samples ``(n, *shape)``.

        Args:
            n: how many; each is the same however many are drawn with it.
            y: ``(n,)`` labels; drawn from the prior over classes when left out.
            generator: source of randomness.
            temperature: divides every conditional's logits; below 1 is more conservative.
            streaming: False runs the whole network once per position, as an oracle.

        Raises:
            SpecError: labels that do not fit the Spec.
        """
        check_temperature(temperature)
        noise = self.noise(n, generator)
        labels = self.labels_for(n, y, noise.uniform())
        return self._draw(labels, noise.uniform(self.spec.dims), temperature, streaming)

    def from_uniform(
        self, u_BD: Tensor, y: Tensor | None = None, temperature: float = 1.0
    ) -> Tensor:
        """Return the sample ``(B, *shape)`` that each row of uniform noise stands for.

        Args:
            u_BD: ``(B, D)`` in [0, 1), one number for each position of the order.
            y: ``(B,)`` labels, which a class-conditional model needs.
            temperature: divides every conditional's logits.
        """
        return self._draw(y, u_BD, temperature, True)

    def recorded(self, n: int, *, temperature: float = 1.0) -> RecordedSampler:
        """Return what draws batches of ``n`` on a GPU, launching a whole walk at once.

        Args:
            n: samples of a batch.
            temperature: divides every conditional's logits.

        Raises:
            ConfigError: the model is not on a GPU, or a number that cannot be used.
        """
        check_temperature(temperature)
        return RecordedSampler(self, n, temperature=temperature)

    def _draw(
        self, labels: Tensor | None, u_BD: Tensor, temperature: float, streaming: bool
    ) -> Tensor:
        """Return an example for each row of noise, as `fill` does where nothing is known."""
        return self.arranged(self.walk(labels, u_BD, temperature, streaming))

    @torch.no_grad()
    def walk(
        self,
        labels: Tensor | None,
        u_BD: Tensor,
        temperature: float = 1.0,
        streaming: bool = True,
    ) -> Tensor:
        """Return the entries ``(B, D)``, in order, that each row of noise stands for."""
        drawn: list[Tensor] = []
        with evaluating(self):
            stream = (self.stream if streaming else self.recompute)(len(u_BD), labels)
            for u_B in u_BD.double().T.contiguous().unbind(0):
                law = stream.next()
                drawn.append((law if temperature == 1 else law.tempered(temperature)).icdf(u_B))
                stream.push(drawn[-1])
        return torch.stack(drawn, 1)

    def arranged(self, x_BD: Tensor) -> Tensor:
        """Return examples ``(B, *shape)`` of entries that are in order."""
        return x_BD[:, self.order().argsort()].view(len(x_BD), *self.spec.shape)

    def complete(
        self,
        x: Tensor,
        known: Tensor,
        *,
        y: Tensor | None = None,
        generator: torch.Generator | None = None,
        temperature: float = 1.0,
        method: CompletionMethod = "auto",
        particles: int = PARTICLES,
    ) -> Completion:
        """Draw the entries where ``known`` is False; the known ones are untouched.

        Where all missing entries come after all known ones in the model's order, that is one
        exact draw, entry by entry. Elsewhere such a draw would be blind to what is known later,
        and many of them are drawn side by side and weighed by it: see `genus.families.completion`.

        Args:
            x: ``(B, *shape)``; what stands in missing entries does not matter.
            known: boolean, of the same shape or one that broadcasts to it.
            y: ``(B,)`` labels; where they are left out, the class follows from what is known.
            generator: source of randomness.
            temperature: divides every conditional's logits; draws, weights and all figures that
                come with them are those of the model so changed.
            method: "auto" is exact where it can be and "smc" elsewhere, example by example; "smc"
                always weighs particles; "ancestral" always takes one blind draw, with a label
                from the prior over classes.
            particles: of each example that is completed by "smc"; more are nearer to the truth,
                at a price in proportion.

        Returns:
            A completion that says whether it is exact, how it was made and how likely it is.

        Raises:
            SpecError: the inputs do not fit the Spec, or ``known`` is not a boolean mask.
            ConfigError: a temperature, method or number of particles that cannot be used.
        """
        return complete(
            self,
            x,
            known,
            y=y,
            generator=generator,
            temperature=temperature,
            method=method,
            particles=particles,
        )

    def with_known_first(self, known: Tensor) -> Autoregressive | None:
        """Return this model in an order that begins with the known entries, or None.

        One order is all that most models know. A model of many orders overrides this, and is
        then completed by a single draw whatever the mask.

        Args:
            known: ``(*shape)`` boolean, the mask of some of the examples.
        """
        return None

    @torch.no_grad()
    def fill(
        self,
        x: Tensor,
        known: Tensor,
        labels: Tensor | None,
        u_BD: Tensor,
        temperature: float = 1.0,
        streaming: bool = True,
    ) -> tuple[Tensor, Tensor]:
        """Return x with its missing entries drawn in order, and their log-probability ``(B,)``.

        Args:
            x: ``(B, *shape)``.
            known: ``(B, *shape)`` boolean.
            labels: ``(B,)``, or None for an unconditional model.
            u_BD: uniform noise, by position in the order.
            temperature: divides every conditional's logits.
            streaming: False runs the whole network once per position.
        """
        filled_BD, known_BD = (part.to(self.device).flatten(1) for part in (x.clone(), known))
        log_prob_B = u_BD.new_zeros(len(x))
        with evaluating(self):
            stream = (self.stream if streaming else self.recompute)(len(x), labels)
            steps = filling(stream, self.indices(), filled_BD, known_BD, u_BD, temperature)
            for law, value_B, drawn_B in steps:
                log_prob_B += law.log_prob(value_B).masked_fill(~drawn_B, 0)
        return filled_BD.view_as(x), log_prob_B


class RecomputingStream:
    """Conditionals by one full pass for each position: slow, and right for every model.

    Args:
        model: an autoregressive model.
        n: number of examples.
        y: ``(n,)`` labels, or None.
    """

    def __init__(self, model: Autoregressive, n: int, y: Tensor | None) -> None:
        self.model, self.y, self.position = model, y, 0
        self.indices = model.indices()
        dtype = torch.long if model.spec.levels else model.dtype
        self.x_BD = torch.zeros(n, model.spec.dims, dtype=dtype, device=model.device)

    def next(self) -> Law:
        """Return the law ``(n,)`` of the next entry."""
        x = self.x_BD.view(-1, *self.model.spec.shape)
        parameters = self.model.parameters_of(self.model.scaled(x), self.y)
        return self.model.likelihood(parameters.flatten(1, -2)[:, self.indices[self.position]])

    def push(self, value: Tensor) -> None:
        """Fix the entry and advance."""
        self.x_BD[:, self.indices[self.position]] = value
        self.position += 1

    def select(self, index_B: Tensor) -> None:
        """Rearrange the batch, labels included."""
        self.x_BD = self.x_BD[index_B]
        self.y = None if self.y is None else self.y[index_B]
