r"""Completing examples with a model that has an order: exactly where it can, else by particles.

.. math:: p(x_\text{missing} \mid x_\text{known}) \propto
    \prod_{t\ \text{missing}} p(x_t \mid x_{<t}) \prod_{t\ \text{known}} p(x_t \mid x_{<t})

Where everything missing comes last, the second product does not depend on it, and drawing one
entry after another from the first is exact. Elsewhere it is not, and `genus.families.particles`
weighs many such draws by the second product. A label that is not given is missing too, and comes
first: it is drawn from :math:`p(y \mid x_\text{known})`, or the particles carry different ones.
"""

# Shapes: B examples, D entries, N particles of an example, Y classes.
from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, get_args

import torch
from torch import Tensor

from genus.capabilities import Completion
from genus.errors import ConfigError, SpecError, raise_all
from genus.families.base import check_temperature, evaluating
from genus.families.particles import draw_by_weight, entry_log_probs
from genus.random import ExampleNoise, categorical_icdf

if TYPE_CHECKING:
    from genus.families.autoregressive import Autoregressive

CompletionMethod = Literal["auto", "smc", "ancestral"]
PARTICLES = 64
"""Particles of an example where nothing else is asked for."""
MOST_PARTICLES = 65_536
"""The most particles of an example: they run side by side, so memory grows with them."""
EXAMPLES = 256
"""Examples that are drawn side by side where each needs one draw: a bound on memory."""
IN_ORDER = "ancestral"
BLIND = "ancestral, blind to known entries later in the order"
REORDERED = "ancestral, in an order that begins with the known entries"


@dataclass(frozen=True)
class Task:
    """Examples to complete, and how.

    Args:
        model: an autoregressive model.
        x: ``(B, *shape)``, zero where missing.
        known: ``(B, *shape)`` boolean.
        y: ``(B,)`` labels, or None.
        u_B: noise for the label.
        noise: all other noise.
        temperature: of the conditionals.
        particles: of an example.
    """

    model: Autoregressive
    x: Tensor
    known: Tensor
    y: Tensor | None
    u_B: Tensor
    noise: ExampleNoise
    temperature: float
    particles: int

    def part(self, rows: Tensor) -> Task:
        """Return the task of some of the examples."""
        return replace(
            self,
            x=self.x[rows],
            known=self.known[rows],
            y=None if self.y is None else self.y[rows],
            u_B=self.u_B[rows],
            noise=self.noise.take(rows.tolist()),
        )

    @property
    def infers_label(self) -> bool:
        """Whether there is a label and it is not given."""
        return self.y is None and self.model.spec.classes is not None

    def known_first(self) -> Tensor:
        """Return ``(B,)``: whether all that is missing comes last in the order."""
        known_BD = self.known.flatten(1)[:, self.model.order().to(self.known.device)]
        return ~(known_BD[:, 1:] & ~known_BD[:, :-1]).any(1)

    def log_joint(self, x: Tensor, counted: Tensor) -> Tensor:
        """Return ``(B, Y)``: log p(y) and, added to it, the counted entries of x given y."""
        columns = []
        for label, log_prior in enumerate(self.model.log_prior_Y):
            y_B = torch.full((len(x),), label, device=x.device)
            entries_BD = entry_log_probs(self.model, x.flatten(1), y_B, self.temperature)
            columns.append(entries_BD.masked_fill(~counted.flatten(1), 0).sum(1) + log_prior)
        return torch.stack(columns, 1)

    def log_whole(self, x: Tensor) -> Tensor:
        """Return ``(B,)``, the log-likelihood of completed examples, of the label where given."""
        if self.infers_label:
            return self.log_joint(x, torch.ones_like(self.known)).logsumexp(1)
        return entry_log_probs(self.model, x.flatten(1), self.y, self.temperature).sum(1)


def complete(
    model: Autoregressive,
    x: Tensor,
    known: Tensor,
    *,
    y: Tensor | None,
    generator: torch.Generator | None,
    temperature: float,
    method: CompletionMethod,
    particles: int,
) -> Completion:
    """Complete examples; this is `Autoregressive.complete`, where the arguments are explained."""
    _check_options(temperature, method, particles)
    known = fitting_mask(known, x)
    x = x.masked_fill(~known, 0)
    model.check_inputs(x, y)
    device = model.device
    noise = ExampleNoise(len(x), generator, device=device, dtype=model.dtype)
    task = Task(
        model,
        x.to(device),
        known.to(device),
        None if y is None else y.to(device),
        noise.uniform(),
        noise,
        temperature,
        particles,
    )
    with torch.no_grad(), evaluating(model):
        return _joined(list(_parts(task, method)), task)


def _check_options(temperature: float, method: str, particles: int) -> None:
    """Raise `ConfigError` with all that is wrong with them."""
    problems = []
    try:
        check_temperature(temperature)
    except ConfigError as error:
        problems.append(str(error))
    if method not in get_args(CompletionMethod):
        names = ", ".join(get_args(CompletionMethod))
        problems.append(f"method={method!r} must be one of {names}")
    if not (isinstance(particles, int) and 1 <= particles <= MOST_PARTICLES):
        problems.append(
            f"particles={particles!r} must be an integer from 1 to {MOST_PARTICLES:,}; "
            f"{PARTICLES} is usual"
        )
    raise_all(ConfigError, "cannot complete:", problems)


def fitting_mask(known: Tensor, x: Tensor) -> Tensor:
    """Return the mask in the shape of the examples.

    Raises:
        SpecError: it is no mask, or one of another shape.
    """
    if known.dtype != torch.bool:
        raise SpecError(
            f"known must be a boolean mask, True where an entry is known; got {known.dtype}"
        )
    pairs = zip(reversed(known.shape), reversed(x.shape), strict=False)
    if known.dim() > x.dim() or not all(size in (1, wanted) for size, wanted in pairs):
        raise SpecError(
            f"known has shape {tuple(known.shape)}, which does not fit examples of shape "
            f"{tuple(x.shape)}; give one value for each entry"
        )
    return known.to(x.device).expand_as(x)


def _parts(task: Task, method: CompletionMethod) -> Iterator[tuple[Tensor, Completion]]:
    """Yield rows of the batch and their completion, in pieces that bound memory.

    How a row is completed depends on the row alone, never on its company.
    """
    first_B = task.known_first()
    if method == "smc":
        first_B = torch.zeros_like(first_B)
    if method == "ancestral" and task.infers_label:
        first_B = first_B & ~task.known.flatten(1).any(1)
    for rows in _chunks(first_B, EXAMPLES):
        yield rows, _in_order(task.part(rows))
    if method == "ancestral":
        for rows in _chunks(~first_B, EXAMPLES):
            yield rows, _blind(task.part(rows))
        return
    if method == "auto":
        for rows, other in _other_orders(task, ~first_B):
            done = _in_order(replace(task.part(rows), model=other))
            entries_BD = entry_log_probs(task.model, done.x.flatten(1), done.y, task.temperature)
            own = entries_BD.masked_fill(task.known[rows].flatten(1), 0).sum(1)
            yield rows, replace(done, exact=False, method=REORDERED, log_prob=own)
            first_B = first_B.index_fill(0, rows, True)
    for rows in _chunks(~first_B, _side_by_side(task)):
        yield rows, _by_particles(task.part(rows))


def _chunks(chosen_B: Tensor, size: int) -> Sequence[Tensor]:
    """Return the rows that are chosen, so many at a time."""
    rows_B = chosen_B.nonzero().squeeze(1)
    return torch.split(rows_B, size) if len(rows_B) else ()


def _side_by_side(task: Task) -> int:
    """Return how many examples share a stream.

    On a processor a stream of one example's particles is long enough to keep it busy, and an
    example alone is rounded the same whatever stands beside it. Others want more rows at a time.
    """
    rows = 64 if task.x.device.type == "cpu" else 1024
    return max(1, rows // task.particles)


def _other_orders(task: Task, chosen_B: Tensor) -> Iterator[tuple[Tensor, Autoregressive]]:
    """Yield rows of equal masks and the model in an order that suits them, if it has one."""
    rows_B = chosen_B.nonzero().squeeze(1)
    if not len(rows_B):
        return
    known_BD = task.known[rows_B].flatten(1)
    masks, which_B = torch.unique(known_BD, dim=0, return_inverse=True)
    for number, mask_D in enumerate(masks):
        other = task.model.with_known_first(mask_D.view(task.model.spec.shape))
        if other is None:
            return
        for rows in torch.split(rows_B[which_B == number], EXAMPLES):
            yield rows, other


def _in_order(task: Task) -> Completion:
    """Draw what is missing, all of which comes last; the label first, if it is not given."""
    labels, log_known = task.y, None
    if task.infers_label:
        joint_BY = task.log_joint(task.x, task.known)
        labels, log_known = categorical_icdf(joint_BY, task.u_B), joint_BY.logsumexp(1)
    x, log_prob = _filled(task, labels)
    if log_known is None:
        entries_BD = entry_log_probs(task.model, x.flatten(1), labels, task.temperature)
        log_known = entries_BD.masked_fill(~task.known.flatten(1), 0).sum(1)
        log_conditional = log_prob
    else:
        log_conditional = task.log_whole(x) - log_known
    return Completion(
        x,
        task.temperature == 1,
        IN_ORDER,
        log_prob,
        log_known=log_known,
        log_conditional=log_conditional,
        effective=torch.full_like(log_prob, math.inf),
        y=labels,
    )


def _blind(task: Task) -> Completion:
    """Draw what is missing in order, without a look at what is known later."""
    labels = task.model.labels_for(len(task.x), task.y, task.u_B)
    x, log_prob = _filled(task, labels)
    return Completion(x, False, BLIND, log_prob, y=labels)


def _filled(task: Task, labels: Tensor | None) -> tuple[Tensor, Tensor]:
    u_BD = task.noise.uniform(task.model.spec.dims)
    return task.model.fill(task.x, task.known, labels, u_BD, task.temperature)


def _by_particles(task: Task) -> Completion:
    """Complete by sequential Monte Carlo."""
    E, N, known_ED = len(task.x), task.particles, task.known.flatten(1)
    labels_R = None if task.y is None else task.y.repeat_interleave(N)
    if task.infers_label:
        # Evenly spaced, so that the labels of the particles are shared out as the prior says.
        places_EN = (torch.arange(N, device=task.x.device) + task.u_B.double().unsqueeze(1)) / N
        labels_R = task.model.labels_for(E * N, None, places_EN.flatten())
    drawn = draw_by_weight(
        task.model, task.x.flatten(1), known_ED, labels_R, N, task.noise, task.temperature
    )
    entries_ED = entry_log_probs(task.model, drawn.x_ED, drawn.labels_E, task.temperature)
    x, log_known = drawn.x_ED.view_as(task.x), drawn.log_known_E.to(entries_ED)
    whole = task.log_whole(x) if task.infers_label else entries_ED.sum(1)
    return Completion(
        x,
        False,
        f"sequential Monte Carlo, {N} particles",
        entries_ED.masked_fill(known_ED, 0).sum(1),
        log_known=log_known,
        log_conditional=whole - log_known,
        effective=drawn.effective_E.to(entries_ED),
        y=drawn.labels_E,
    )


def _joined(parts: list[tuple[Tensor, Completion]], task: Task) -> Completion:
    """Return the completion of the whole batch, its rows in their places."""
    if not parts:
        return Completion(task.x, True, IN_ORDER, task.u_B.new_zeros(0))
    back_B = torch.cat([rows for rows, _ in parts]).argsort()

    def whole(name: str) -> Tensor | None:
        pieces = [getattr(part, name) for _, part in parts]
        found = [piece for piece in pieces if piece is not None]
        return torch.cat(found)[back_B] if len(found) == len(pieces) else None

    x, effective = whole("x"), whole("effective")
    assert x is not None
    return Completion(
        x,
        all(part.exact for _, part in parts),
        _in_words(parts, effective, task.temperature),
        whole("log_prob"),
        log_known=whole("log_known"),
        log_conditional=whole("log_conditional"),
        effective=effective,
        y=whole("y"),
    )


def _in_words(
    parts: list[tuple[Tensor, Completion]], effective: Tensor | None, temperature: float
) -> str:
    """Return how a batch was completed: the methods, how many rows each, what is left of them."""
    counts: dict[str, int] = {}
    for rows, part in parts:
        counts[part.method] = counts.get(part.method, 0) + len(rows)
    mixed = len(counts) > 1
    words = "; ".join(f"{n} by {name}" if mixed else name for name, n in counts.items())
    if effective is not None and bool(effective.isfinite().any()):
        words += f", {float(effective.min()):.1f} of them effective at the worst moment"
    return words if temperature == 1 else f"{words}, at temperature {temperature:g}"
