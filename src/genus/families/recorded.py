r"""Drawing batch after batch by playing back what a stream does, without asking Python again.

A stream is thousands of small operations: at every position a few dozen, on one pixel. A GPU runs
one of them in less time than the processor takes to launch it, so most of the time goes into
launching. Which operations follow each other does not depend on what is drawn, and so a whole walk
over the image, all its positions, can be recorded once as a graph and launched as one.

References:
    | Accelerating PyTorch with CUDA Graphs (Nguyen et al., 2021)
    | https://pytorch.org/blog/accelerating-pytorch-with-cuda-graphs/
"""

# Shapes: n samples, D entries.
from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from genus.errors import ConfigError

if TYPE_CHECKING:
    from genus.families.autoregressive import Autoregressive

Recorder = Callable[[Callable[[], Tensor]], tuple[Tensor, Callable[[], None]]]
"""Runs a function of no arguments, and returns its result and what runs it again in place."""


def cuda_graph(
    run: Callable[[], Tensor], device: torch.device
) -> tuple[Tensor, Callable[[], None]]:
    """Record on a GPU: run once to warm up, once to capture.

    Returns:
        The result, and what computes it again into the same memory.
    """
    with torch.cuda.device(device):
        aside = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside):
            run()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            result = run()
    return result, graph.replay


class RecordedSampler:
    """Draws batches of one size from a model on a GPU; see `Autoregressive.recorded`.

    The first batch costs two walks over the image, one to warm up and one to record; every other
    launches one graph. Samples are those of `Autoregressive.sample`, from the same noise. The
    weights may change in place between batches, as an optimiser changes them; a model that has been
    moved, or given new parameters, is recorded again.

    The memory of the stream, what it computes on the way included, stays taken for as long as the
    sampler lives.

    Args:
        model: an autoregressive model.
        n: samples of a batch.
        temperature: divides every conditional's logits.
        recorder: how to record.

    Raises:
        ConfigError: the model is not on a GPU and no other recorder is given; ``n`` is not
            positive; the law of an entry cannot be recorded.
    """

    def __init__(
        self,
        model: Autoregressive,
        n: int,
        *,
        temperature: float = 1.0,
        recorder: Recorder | None = None,
    ) -> None:
        if recorder is None and model.device.type != "cuda":
            raise ConfigError(
                f"a stream is recorded on a GPU only, and the model is on {model.device}: call "
                "sample(), which costs the same there, or move the model with .to('cuda')"
            )
        if n < 1:
            raise ConfigError(f"n={n} must be at least 1")
        if model.likelihood.name == "gaussian-mixture":
            raise ConfigError(
                "a mixture of Gaussians is drawn from in as many rounds as its quantiles take, "
                "which cannot be recorded: call sample()"
            )
        self.model, self.n, self.temperature = model, n, temperature
        self._recorder = recorder
        self._recorded: tuple[int, ...] = ()

    def sample(
        self, *, y: Tensor | None = None, generator: torch.Generator | None = None
    ) -> Tensor:
        """Return ``n`` exact samples ``(n, *shape)``, as the model's own ``sample`` does.

        Args:
            y: ``(n,)`` labels; drawn from the prior over classes when left out.
            generator: source of randomness.

        Raises:
            SpecError: labels that do not fit the Spec.
        """
        noise = self.model.noise(self.n, generator)
        labels = self.model.labels_for(self.n, y, noise.uniform())
        return self.from_uniform(noise.uniform(self.model.spec.dims), labels)

    @torch.no_grad()
    def from_uniform(self, u_nD: Tensor, y: Tensor | None = None) -> Tensor:
        """Return the sample that each row of uniform noise stands for, ``(n, *shape)``.

        Args:
            u_nD: in [0, 1), one number for each position of the order.
            y: ``(n,)`` labels, which a class-conditional model needs.

        Raises:
            ConfigError: the noise is for another number of samples.
        """
        size = (self.n, self.model.spec.dims)
        if u_nD.shape != size:
            raise ConfigError(f"noise of {tuple(u_nD.shape)} does not fit batches of {size}")
        # What a graph has by heart: where the weights lie, and whether it reads labels.
        by_heart = y is None, *_places(self.model)
        if by_heart != self._recorded:
            self._begin(u_nD, y)
            self._recorded = by_heart
        else:
            self._take(u_nD, y)
            self._play()
        # Rearranging copies, so that the next batch does not overwrite this one.
        return self.model.arranged(self._x_nD)

    def _begin(self, u_nD: Tensor, y: Tensor | None) -> None:
        """Make room for the noise and labels, and record the walk that reads them."""
        device = self.model.device
        self._u_nD = torch.empty(u_nD.shape, dtype=torch.float64, device=device)
        self._y_n = None if y is None else torch.empty(self.n, dtype=torch.long, device=device)
        self._take(u_nD, y)
        walk, given = self.model.walk, (self._y_n, self._u_nD, self.temperature)
        record = self._recorder or partial(cuda_graph, device=device)
        self._x_nD, self._play = record(lambda: walk(*given))
        self._play()  # to capture is not to compute

    def _take(self, u_nD: Tensor, y: Tensor | None) -> None:
        """Put noise and labels where the recorded operations read them."""
        self._u_nD.copy_(u_nD)
        if self._y_n is not None and y is not None:
            self._y_n.copy_(y)


def _places(module: nn.Module) -> tuple[int, ...]:
    """Return where the weights of a model lie."""
    return tuple(t.data_ptr() for t in (*module.parameters(), *module.buffers()))
