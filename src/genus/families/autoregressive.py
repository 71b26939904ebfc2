r"""The autoregressive family: a likelihood as a product of conditionals.

.. math:: p(x) = \prod_t p(x_{o_t} \mid x_{o_1}, \dots, x_{o_{t-1}})
"""

# Shapes: B batch, n samples, D dims, P parameters of one entry, C H W an image.
from __future__ import annotations

import abc

import torch
from torch import Tensor

from genus.capabilities import Completion, Objective, Stream
from genus.distributions.likelihoods import Law, Likelihood
from genus.families.base import DensityModel, check_temperature, evaluating
from genus.random import ExampleNoise, Noise
from genus.spec import Batch, Spec


class Autoregressive(DensityModel, abc.ABC):
    """An autoregressive model writes `parameters_of`; likelihood, loss and samplers are here.

    A subclass sets ``self.likelihood`` if the default, a free probability for every level, is not
    what it wants, and gives `stream` where it can do better than running the whole network again.
    """

    family = "autoregressive"
    likelihood: Likelihood

    def __init__(self, spec: Spec, config: object = None) -> None:
        super().__init__(spec, config)
        self.likelihood = Likelihood("auto", spec)

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
        return x.to(self.dtype) * (2 / (self.spec.levels - 1)) - 1

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

    def objectives(self) -> tuple[Objective, ...]:
        """Return the one objective: the negative log-likelihood, in nats per dimension."""
        parameters = tuple(self.parameters())
        return (Objective("likelihood", parameters, self._loss, learning_rate=3e-3),)

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
        x = torch.zeros(n, *self.spec.shape, dtype=torch.long if self.spec.levels else self.dtype)
        known = torch.zeros_like(x, dtype=torch.bool)
        return self._draw(x, known, y, generator, temperature, streaming)[0]

    def complete(
        self,
        x: Tensor,
        known: Tensor,
        *,
        y: Tensor | None = None,
        generator: torch.Generator | None = None,
        temperature: float = 1.0,
    ) -> Completion:
        """Draw the entries where ``known`` is False; the known ones are untouched.

        Args:
            x: ``(B, *shape)``; what stands in missing entries does not matter.
            known: ``(B, *shape)`` boolean.
            y: ``(B,)`` labels; drawn from the prior over classes when left out.
            generator: source of randomness.
            temperature: divides every conditional's logits.

        Returns:
            A completion that is exact if all missing entries come after all known ones.

        Raises:
            SpecError: the inputs do not fit the Spec, or ``known`` is not a boolean mask.
        """
        self.check_inputs(torch.where(known, x, torch.zeros_like(x)), y)
        self.require(known.dtype == torch.bool, "known to be a boolean mask", self.spec)
        filled, log_prob = self._draw(x, known, y, generator, temperature, True)
        known_BD = known.flatten(1)[:, self.order().to(known.device)]
        exact = not bool((known_BD[:, 1:] & ~known_BD[:, :-1]).any())
        exact = exact and (y is not None or self.spec.classes is None)
        method = "ancestral" if exact else "ancestral, blind to known entries later in the order"
        return Completion(filled, exact, method, log_prob)

    @torch.no_grad()
    def _draw(
        self,
        x: Tensor,
        known: Tensor,
        y: Tensor | None,
        generator: torch.Generator | None,
        temperature: float,
        streaming: bool,
    ) -> tuple[Tensor, Tensor]:
        """Return x with unknown entries drawn in order, and their log-probability ``(B,)``."""
        check_temperature(temperature)
        noise = ExampleNoise(len(x), generator, device=self.device, dtype=self.dtype)
        labels = self.labels_for(len(x), y, noise.uniform())
        u_BD = noise.uniform(self.spec.dims)
        x_BD, known_BD = x.to(self.device).flatten(1).clone(), known.to(self.device).flatten(1)
        log_prob_B = u_BD.new_zeros(len(x))
        with evaluating(self):
            stream = (self.stream if streaming else self.recompute)(len(x), labels)
            for t, index in enumerate(self.order().tolist()):
                law = stream.next().tempered(temperature)
                value = torch.where(
                    known_BD[:, index], x_BD[:, index], law.icdf(u_BD[:, t]).to(x_BD)
                )
                log_prob_B += law.log_prob(value).masked_fill(known_BD[:, index], 0)
                x_BD[:, index] = value
                stream.push(value)
        return x_BD.view_as(x), log_prob_B


class RecomputingStream:
    """Conditionals by one full pass for each position: slow, and right for every model.

    Args:
        model: an autoregressive model.
        n: number of examples.
        y: ``(n,)`` labels, or None.
    """

    def __init__(self, model: Autoregressive, n: int, y: Tensor | None) -> None:
        self.model, self.y, self.position = model, y, 0
        self.indices = model.order().tolist()
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
