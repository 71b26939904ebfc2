"""Devices, precision and processes, through Lightning Fabric; nothing else touches them."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor, nn

from genus.errors import ConfigError
from genus.spec import Batch
from genus.training.config import TrainConfig
from genus.training.memory import keep_freed_memory


class Engine:
    """One process of a training run.

    The model is not wrapped: gradient penalties and two players break wrappers. Gradients are
    averaged by one flattened reduction for each update instead.

    Args:
        config: device, precision and number of processes.
        dtype: type of the model's weights; bfloat16 is for float32 models.

    Raises:
        ConfigError: the device is not there.
    """

    def __init__(self, config: TrainConfig, dtype: torch.dtype = torch.float32) -> None:
        accelerator, devices = _place(config.device, config.processes)
        if accelerator == "cpu":
            keep_freed_memory()
        self.precision = _precision(config.precision, accelerator, dtype)
        from lightning_fabric import Fabric

        with _quiet():
            self.fabric = Fabric(
                accelerator=accelerator,
                devices=devices,
                strategy="ddp" if config.processes > 1 else "auto",
                precision="bf16-mixed" if self.precision == "bf16" else "32-true",
            )
            self.fabric.launch()
        self.device: torch.device = self.fabric.device
        self.rank: int = self.fabric.global_rank
        self.world: int = self.fabric.world_size
        torch.backends.cudnn.deterministic = True

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes files."""
        return self.rank == 0

    def place(self, model: nn.Module) -> None:
        """Move a model to the device, images in the layout that convolutions like best."""
        model.to(self.device)
        if any(weight.dim() == 4 for weight in model.parameters()):
            # The type stubs know the layout only together with a device and a type.
            model.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def autocast(self) -> AbstractContextManager[Any]:
        """Return the context in which losses are computed."""
        context: AbstractContextManager[Any] = self.fabric.autocast()
        return context

    def share(self, batch: Batch) -> Batch:
        """Return this process's rows of a batch that every process has."""
        return batch if self.world == 1 else batch[torch.arange(self.rank, len(batch), self.world)]

    def average(self, gradients: Sequence[Tensor], scalars: dict[str, Tensor]) -> dict[str, Tensor]:
        """Average gradients in place, and scalars, over the processes in one reduction.

        Returns:
            The scalars; they ride along, so that every process decides by the same numbers.
        """
        scalars = {name: scalar.detach() for name, scalar in scalars.items()}
        if self.world == 1:
            return scalars
        dtype = gradients[0].dtype if gradients else torch.float32
        pieces = [gradient.reshape(-1) for gradient in gradients]
        pieces += [scalar.reshape(1).to(dtype) for scalar in scalars.values()]
        flat = self.sum(torch.cat(pieces)) / self.world
        parts = torch.split(flat, [piece.numel() for piece in pieces])
        for gradient, part in zip(gradients, parts, strict=False):
            gradient.copy_(part.view_as(gradient))
        means = (part.squeeze() for part in parts[len(gradients) :])
        return dict(zip(scalars, means, strict=True))

    def sum(self, tensor: Tensor) -> Tensor:
        """Return the sum of a tensor over the processes."""
        if self.world == 1:
            return tensor
        # Fabric's own puts a barrier before every reduction, which doubles the waiting.
        total = tensor.clone()
        torch.distributed.all_reduce(total)
        return total

    def agree(self, numbers: Sequence[float]) -> list[float]:
        """Return the first process's numbers, so that clocks and signals cannot part them."""
        if self.world == 1:
            return list(numbers)
        mine = torch.tensor(numbers, dtype=torch.float64, device=self.device)
        agreed: list[float] = self.sum(mine if self.is_first else torch.zeros_like(mine)).tolist()
        return agreed

    def gather(self, tensor: Tensor) -> Tensor:
        """Return every process's tensor, stacked: ``(world, ...)``."""
        whole = torch.zeros(self.world, *tensor.shape, dtype=torch.float64, device=self.device)
        whole[self.rank] = tensor.to(whole)
        return self.sum(whole).to(tensor.dtype).cpu()

    def barrier(self) -> None:
        """Wait for the other processes."""
        if self.world > 1:
            self.fabric.barrier()

    def close(self) -> None:
        """Leave the group of processes."""
        if self.world > 1 and torch.distributed.is_initialized():
            self.barrier()
            torch.distributed.destroy_process_group()


def is_worker() -> bool:
    """Say whether a launcher, ours or torchrun, has made this process one of several."""
    return "LOCAL_RANK" in os.environ and int(os.environ.get("WORLD_SIZE", "1")) > 1


def check_device(config: TrainConfig) -> None:
    """Check that the device of a configuration is there.

    Raises:
        ConfigError: it is not, or there are fewer devices than processes.
    """
    _place(config.device, config.processes)


def find_device(name: str) -> torch.device:
    """Return the device that a name stands for: auto, cpu, cuda or cuda:1.

    Raises:
        ConfigError: it is not known, or not there.
    """
    accelerator, devices = _place(name, processes=1)
    index = f":{devices[0]}" if isinstance(devices, list) else ""
    return torch.device(accelerator + index)


def has_fast_bf16(accelerator: str) -> bool:
    """Say whether bfloat16 is in the hardware rather than emulated."""
    if accelerator == "cuda":
        return torch.cuda.get_device_capability() >= (8, 0)
    known: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    if known:
        return bool(known.get("avx512_bf16") or known.get("amx_bf16"))
    asked = getattr(torch.cpu, "_is_avx512_bf16_supported", None)  # torch 2.11
    return bool(asked and asked())


def _precision(wanted: str, accelerator: str, dtype: torch.dtype) -> str:
    if wanted == "auto":
        return "bf16" if dtype == torch.float32 and has_fast_bf16(accelerator) else "float32"
    return wanted


def _place(device: str, processes: int) -> tuple[str, int | list[int]]:
    """Return Fabric's accelerator and devices."""
    kind, _, index = device.partition(":")
    if kind not in ("auto", "cpu", "cuda") or (index and not index.isdigit()):
        raise ConfigError(f"device={device!r} is not known; choose auto, cpu, cuda or cuda:0")
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if kind == "cuda" and count <= int(index or 0):
        raise ConfigError(
            f"device={device!r} was asked for, but torch {torch.__version__} sees {count} "
            "GPUs here; use device=cpu (--device cpu), or auto"
        )
    if kind == "cpu" or not count:
        return "cpu", processes
    if processes > count:
        raise ConfigError(f"processes={processes}, but there are {count} GPUs")
    return "cuda", [int(index)] if index else processes


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep Fabric from announcing its precision and its processes on every run."""
    logger = logging.getLogger("lightning_fabric")
    before = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(before)
