"""Laws of whole examples, many at once, each fitted to examples that belong to it in part.

These are what a mixture mixes and what the states of a hidden Markov model emit. All can be told
to ignore entries (``known``), which is what makes exact completion possible, and all can be given
pseudo-examples that look like the whole data.
"""

# Shapes: B batch, M components, D entries of an example.
from __future__ import annotations

from torch import Tensor, nn

from genus.random import Noise

Totals = dict[str, Tensor]


class Components(nn.Module):
    """M laws of an example and what it takes to fit them by EM.

    What a component learns from examples are totals: sums over examples, weighed by how far each
    belongs to the component. A subclass keeps what it learns in buffers.

    Args:
        count: M.
        dims: D.
    """

    def __init__(self, count: int, dims: int) -> None:
        super().__init__()
        self.count, self.dims = count, dims

    def begin(self, x_BD: Tensor, known_BD: Tensor | None = None) -> None:
        """Take what is common to all components from the known entries of some of the data."""
        raise NotImplementedError

    def coordinates(self, x_BD: Tensor) -> Tensor:
        """Return ``(B, D)`` real numbers in which distances between examples are meaningful."""
        raise NotImplementedError

    def log_prob(self, x_BD: Tensor, known_BD: Tensor | None = None) -> Tensor:
        """Return ``(B, M)``, the log-probability of the known entries under each component."""
        raise NotImplementedError

    def statistics(self, x_BD: Tensor, weight_BM: Tensor, known_BD: Tensor | None = None) -> Totals:
        """Return the totals of examples that belong in part to each component.

        Where entries are missing these are the totals of what is known; or, of laws whose entries
        depend on each other, what the totals are expected to be given that.
        """
        raise NotImplementedError

    def typical(self) -> Totals:
        """Return the expected totals of one pseudo-example in each component."""
        raise NotImplementedError

    def update(self, total: Totals, pseudo: float) -> None:
        """Set the parameters given the totals and ``pseudo`` examples for each component.

        A component to which nothing belongs stays as it is, and so does an entry of it of which no
        value is known.
        """
        raise NotImplementedError

    def log_likelihood(self, total: Totals) -> Tensor:
        """Return the log-probability of the examples behind the totals, each under its own."""
        raise NotImplementedError

    def draw(
        self,
        index_B: Tensor,
        noise: Noise,
        temperature: float,
        x_BD: Tensor,
        known_BD: Tensor | None = None,
    ) -> Tensor:
        """Return ``(B, D)`` from the component of each row, given its known entries."""
        raise NotImplementedError

    def free_parameters(self) -> int:
        """Return how many numbers determine the laws."""
        raise NotImplementedError

    def log_prior(self) -> Tensor:
        """Return the sum over components of the mean log-probability of a pseudo-example."""
        return self.log_likelihood(self.typical())

    def with_pseudo(self, total: Totals, pseudo: float) -> Totals:
        """Return the totals with those of ``pseudo`` examples for each component added."""
        return {name: total[name] + pseudo * value for name, value in self.typical().items()}
