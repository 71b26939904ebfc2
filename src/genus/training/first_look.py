"""What a model takes from the data before training."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from genus.training.sampler import generator_of

if TYPE_CHECKING:
    from genus.training.session import Session

FIRST_EXAMPLES, FIRST_ENTRIES = 5_000, 2**22
"""Examples of real numbers, and entries of these, by which a model sets its units, at most."""


def initialise(session: Session) -> None:
    """Give the model what it takes from the data before training."""
    model = session.model
    if model.spec.classes:
        model.set_class_prior(torch.from_numpy(session.data.class_counts("train")))
    take = getattr(type(model), "initialise", None)
    if take is not None:
        first = session.data.train.batch(_first_rows(session))
        with torch.no_grad():
            take(model, session.to_model(first))


def _first_rows(session: Session) -> Tensor:
    """Return what a model may look at first: a batch, and of real numbers, whose unit it is, more.

    In 64 examples a column that rarely differs may not vary at all.
    """
    spec, train = session.model.spec, session.data.train
    if spec.is_discrete:
        return session.sampler.batch(0)
    n = max(session.batch_size, min(FIRST_EXAMPLES, FIRST_ENTRIES // spec.dims))
    return torch.randperm(len(train), generator=generator_of(session.config.seed, 9))[:n]
