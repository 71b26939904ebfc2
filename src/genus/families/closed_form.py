"""Models that are fitted by counting: closed form in one pass, or EM in several.

A subclass says what to count in a batch and what to make of the sums. The family passes over the
data, adds the counts up over batches and processes, and stops when nothing improves any more.
"""

# Shapes: B batch, Y classes.
from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator

import torch
from torch import Tensor

from genus.capabilities import FitContext
from genus.errors import DataError
from genus.families.base import DensityModel
from genus.spec import Batch

Batches = Callable[[], Iterable[Batch]]

CHUNK = 2**22
"""Entries of the data that are counted at once: few large sums are faster than many small ones."""


class ClosedForm(DensityModel):
    r"""A density whose parameters are a function of additive sufficient statistics.

    .. math:: T = \sum_n t(x_n, y_n; \theta), \qquad \theta \leftarrow f(T)

    A model that needs one pass keeps ``iterations`` at 1. EM iterates: `statistics` is the E-step
    and `update` the M-step. A subclass keeps what it learns in buffers, so that saving, loading
    and moving to a device need no code of its own.

    References:
        | Maximum Likelihood from Incomplete Data via the EM Algorithm (Dempster et al., 1977)

    Example:
        >>> class Poisson(ClosedForm):  # a rate for every column
        ...     def __init__(self, spec, config=None):
        ...         super().__init__(spec, config)
        ...         self.register_buffer("rate_D", torch.ones(spec.dims))
        ...     def statistics(self, batch):
        ...         return {"x": batch.x.sum(0)}
        ...     def update(self, total):
        ...         self.rate_D.copy_(total["x"] / total["count"])
        ...         return {}
        >>> from genus.spec import Spec
        >>> model = Poisson(Spec(shape=(1,), levels=10))
        >>> model.fit(lambda: [Batch(torch.tensor([[2], [4]])), Batch(torch.tensor([[6]]))])
        >>> model.rate_D
        tensor([4.])
    """

    family = "closed form"

    iterations: int = 1
    """Passes over the data at most, for each restart."""
    tolerance: float = 1e-3
    """Nats per example; a pass that gains less is the last."""
    restarts: int = 1
    """How often to begin anew; the best is kept."""
    seeds: int = 0
    """How many examples `begin` wants to see; 0 leaves out the pass that collects them."""

    def statistics(self, batch: Batch) -> dict[str, Tensor]:
        """Return sums over the batch, each of the same shape for every batch."""
        raise NotImplementedError(f"{type(self).__name__} must write statistics()")

    def update(self, total: dict[str, Tensor]) -> dict[str, float]:
        """Set the parameters from the sums over all data, in float64, and return metrics.

        The family adds ``"count"``, the number of examples, and for a class-conditional model
        ``"labels"`` ``(Y,)`` to what `statistics` gave. Among the metrics, ``"nats"`` is the mean
        log-likelihood per example and ``"objective"`` what is climbed, where that is another;
        both speak of the parameters that the sums were made with.
        """
        raise NotImplementedError(f"{type(self).__name__} must write update()")

    def begin(self, seen: Batch, generator: torch.Generator | None) -> None:
        """Set the first parameters from up to ``seeds`` examples drawn evenly from the data."""

    @torch.no_grad()
    def fit(self, batches: Batches, context: FitContext | None = None) -> None:
        """Fit to what ``batches()`` yields; it is called once for each pass over the data.

        Args:
            batches: begins a pass over the data.
            context: generator, log, stop and reduction over processes; all optional.

        Raises:
            DataError: there are no examples, or labels are missing.
            SpecError: the examples do not fit the Spec.
        """
        context = context or FitContext()
        seen = self._collect(batches, context) if self.seeds else None
        best, state = -math.inf, self.state_dict()
        for restart in range(self.restarts):
            if seen is not None:
                self.begin(seen, context.generator)
                self._share(context)
            reached = self._climb(batches, context, restart)
            if reached >= best:
                best, state = reached, {k: v.clone() for k, v in self.state_dict().items()}
            if self._must_stop(context):
                break
        self.load_state_dict(state)

    def _climb(self, batches: Batches, context: FitContext, restart: int) -> float:
        """Iterate until nothing is gained or the time is over; return the last objective."""
        reached = -math.inf
        for iteration in range(self.iterations):
            total = self._total(batches, context)
            metrics = self.update(total)
            if self.spec.classes:
                self.set_class_prior(total["labels"])
            context.log({"restart": restart, "iteration": iteration, **metrics})
            objective = metrics.get("objective", metrics.get("nats", math.inf))
            if objective - reached < self.tolerance or self._must_stop(context):
                return objective
            reached = objective
        return reached

    def _total(self, batches: Batches, context: FitContext) -> dict[str, Tensor]:
        """Return the statistics summed over batches and processes, in float64."""
        total: dict[str, Tensor] = {}
        for batch in self._chunks(batches):
            part = {"count": torch.tensor(len(batch)), **self.statistics(batch)}
            if self.spec.classes and batch.y is not None:
                part["labels"] = torch.bincount(batch.y, minlength=self.spec.classes)
            for name, value in part.items():
                total[name] = total[name].add_(value) if name in total else value.double()
        if not total:
            raise DataError(f"there are no examples to fit {self.name} to")
        return {name: context.reduce(value) for name, value in total.items()}

    def _chunks(self, batches: Batches) -> Iterator[Batch]:
        """Yield the batches of a pass, checked, joined into large ones, on the model's device."""
        waiting: list[Batch] = []
        for batch in batches():
            if len(batch) == 0:
                continue
            self.check_inputs(batch.x, batch.y if self.spec.classes else None)
            if self.spec.classes and batch.y is None:
                raise DataError(
                    f"{self.name} was made for {self.spec.classes} classes, but the data have no "
                    "labels; create it with spec.unconditional()"
                )
            waiting.append(batch)
            if sum(map(len, waiting)) * self.spec.dims >= CHUNK:
                yield self._joined(waiting)
                waiting = []
        if waiting:
            yield self._joined(waiting)

    def _joined(self, parts: list[Batch]) -> Batch:
        labels = [part.y for part in parts if part.y is not None and self.spec.classes]
        x = torch.cat([part.x for part in parts])
        return Batch(x, torch.cat(labels) if labels else None).to(self.device)

    def _collect(self, batches: Batches, context: FitContext) -> Batch:
        """Return up to ``seeds`` examples, all equally likely (Vitter's algorithm R)."""
        rows_x: Tensor | None = None
        rows_y = torch.zeros(self.seeds, dtype=torch.long)
        seen = 0
        for batch in self._chunks(batches):
            x, n = batch.x.cpu(), len(batch)
            if rows_x is None:
                rows_x = x.new_zeros(self.seeds, *x.shape[1:])
            age = torch.arange(seen + 1, seen + n + 1)
            draw = (torch.rand(n, generator=context.generator).double() * age).long()
            place = torch.where(age <= self.seeds, age - 1, draw)
            last = torch.full((self.seeds + seen + n,), -1)  # of several for one place
            last.scatter_reduce_(0, place, torch.arange(n), "amax")
            kept = last[: self.seeds].ge(0).nonzero().squeeze(1)
            rows_x[kept] = x[last[kept]]
            if batch.y is not None:
                rows_y[kept] = batch.y.cpu()[last[kept]]
            seen += n
        if rows_x is None:
            raise DataError(f"there are no examples to fit {self.name} to")
        count = min(seen, self.seeds)
        return Batch(rows_x[:count], rows_y[:count] if self.spec.classes else None)

    def _share(self, context: FitContext) -> None:
        """Give every process the first one's parameters, as each has begun from its own rows."""
        for buffer in self.buffers():
            mine = buffer if context.rank == 0 else torch.zeros_like(buffer)
            buffer.copy_(context.reduce(mine.clone()))

    def _must_stop(self, context: FitContext) -> bool:
        """Say whether any process is out of time, so that all stop at the same pass."""
        return bool(context.reduce(torch.tensor(float(context.stop()))) > 0)
