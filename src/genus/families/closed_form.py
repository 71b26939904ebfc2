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
from genus.errors import DataError, SpecError
from genus.families.completion import fitting_mask
from genus.families.information import Criteria
from genus.families.reservoir import Reservoir
from genus.spec import Batch

Batches = Callable[[], Iterable[Batch]]

CHUNK = 2**20
"""Numbers that are computed at once: so many that calls cost nothing, so few that what is made of
them is still in the processor's caches when it is needed again."""


class ClosedForm(Criteria):
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
    fits_missing: bool = False
    """Whether a fit can take batches in which some entries are not known."""

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

    @property
    def width(self) -> int:
        """How many numbers `statistics` holds for each example; bounds the examples at once."""
        return self.spec.dims

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
            batch = self._blanked(batch)
            self.check_inputs(batch.x, batch.y if self.spec.classes else None)
            if self.spec.classes and batch.y is None:
                raise DataError(
                    f"{self.name} was made for {self.spec.classes} classes, but the data have no "
                    "labels; create it with spec.unconditional()"
                )
            waiting.append(batch)
            if sum(map(len, waiting)) >= self._rows_at_once():
                yield from self._joined(waiting)
                waiting = []
        if waiting:
            yield from self._joined(waiting)

    def _blanked(self, batch: Batch) -> Batch:
        """Return the batch with zeros where entries are missing."""
        if batch.known is None:
            return batch
        if not self.fits_missing:
            raise DataError(
                f"{self.name} cannot be fitted to examples with missing entries; leave those rows "
                "or columns out, or complete them first"
            )
        x, known = self.known_part(batch.x, batch.known)
        return Batch(x, batch.y, known)

    def known_part(self, x: Tensor, known: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Return examples with zeros where they are not known, and the mask of every entry."""
        if known is None:
            return x, None
        mask = fitting_mask(known, x)
        return x.masked_fill(~mask, 0), mask

    def class_log_prob(self, x: Tensor, known: Tensor | None = None) -> Tensor:
        r"""Return ``(B, Y)``, :math:`\log p(y \mid x)` by Bayes' rule, given what is known of x.

        Args:
            x: ``(B, *shape)``; what stands at unknown entries is not looked at and may be NaN.
            known: boolean mask of the entries that are not missing; all where left out.

        Raises:
            SpecError: the model has no classes, or cannot do without an entry.
        """
        if known is None:
            return super().class_log_prob(x)
        x, mask = self.known_part(x, known)
        self.check_inputs(x, None)
        return self.joint_log_prob(x, mask).log_softmax(1)

    def joint_log_prob(self, x: Tensor, known: Tensor | None = None) -> Tensor:
        """Return ``(B, Y)``, log p(x, y) of every class; what is known of x where some is not."""
        if known is not None:
            raise SpecError(f"{self.name} cannot leave out entries of an example")
        return super().joint_log_prob(x)

    def _rows_at_once(self) -> int:
        return max(1, CHUNK // self.width)

    def _joined(self, parts: list[Batch]) -> Iterator[Batch]:
        """Yield the same examples in pieces of the right size, on the model's device."""
        labels = [part.y for part in parts if part.y is not None and self.spec.classes]
        known = None
        if any(part.known is not None for part in parts):
            known = _cat([_mask_of(part) for part in parts])
        whole = Batch(_cat([part.x for part in parts]), _cat(labels) if labels else None, known)
        for start in range(0, len(whole), self._rows_at_once()):
            yield whole[slice(start, start + self._rows_at_once())].to(self.device)

    def _collect(self, batches: Batches, context: FitContext) -> Batch:
        """Return up to ``seeds`` examples, all equally likely."""
        reservoir = Reservoir(self.seeds, context.generator)
        for batch in self._chunks(batches):
            rows = {"x": batch.x}
            if batch.y is not None:
                rows["y"] = batch.y
            if self.fits_missing:
                rows["known"] = _mask_of(batch)
            reservoir.add(rows)
        if not reservoir.seen:
            raise DataError(f"there are no examples to fit {self.name} to")
        return Batch(**reservoir.rows)

    def _share(self, context: FitContext) -> None:
        """Give every process the first one's parameters, as each has begun from its own rows."""
        for buffer in self.buffers():
            mine = buffer if context.rank == 0 else torch.zeros_like(buffer)
            buffer.copy_(context.reduce(mine.clone()))

    def _must_stop(self, context: FitContext) -> bool:
        """Say whether any process is out of time, so that all stop at the same pass."""
        return bool(context.reduce(torch.tensor(float(context.stop()))) > 0)


def _mask_of(batch: Batch) -> Tensor:
    """Return which entries are known, all where the batch does not say."""
    return torch.ones_like(batch.x, dtype=torch.bool) if batch.known is None else batch.known


def _cat(parts: list[Tensor]) -> Tensor:
    """Return the parts as one tensor, without a copy where there is one part."""
    return parts[0] if len(parts) == 1 else torch.cat(parts)
