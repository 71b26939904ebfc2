"""A second device where there is none: tensors that claim to lie on it.

They hold a tensor of the processor, and what is computed between them is computed there, with the
same values. What mixes the two places is refused as a GPU refuses it. So a machine without a GPU
can still say whether a model, a training run or an evaluation keeps to one device.

What it cannot say: whether a GPU's own kernels agree, how fast they are, or what NCCL does.

Registering a device changes what torch says about the machine, for as long as the process lives;
import this in a process of its own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode, return_and_correct_aliasing
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend


class Backend:
    """What torch asks of a backend."""

    @staticmethod
    def is_available() -> bool:
        return True

    @staticmethod
    def device_count() -> int:
        return 1

    @staticmethod
    def current_device() -> int:
        return 0

    @staticmethod
    def get_amp_supported_dtype() -> list[torch.dtype]:
        return [torch.bfloat16]

    @staticmethod
    def _is_in_bad_fork() -> bool:
        return False

    @staticmethod
    def manual_seed_all(seed: int) -> None:
        """Nothing is drawn here by a state of its own."""


NAME = "pretended"
_setup_privateuseone_for_python_backend(NAME, Backend())
DEVICE = torch.device(NAME, 0)

FROM_THE_PROCESSOR = {"aten::index", "aten::index_put_", "aten::_index_put_impl_"}
"""Operations that a GPU runs with indices, and them alone, on the processor."""
SAYS_A_NUMBER = {"aten::_local_scalar_dense", "aten::equal"}
CROSSINGS: list[str] = []
"""What has been carried from one place to the other, or waited for, in order."""


class Pretended(Tensor):
    """A tensor that says it lies on the device."""

    inner: Tensor
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, inner: Tensor) -> Pretended:
        tensor = Tensor._make_wrapper_subclass(
            cls,
            inner.shape,
            strides=inner.stride(),
            storage_offset=inner.storage_offset(),
            dtype=inner.dtype,
            device=DEVICE,
        )
        tensor.inner = inner
        return tensor

    def __repr__(self) -> str:
        return f"Pretended({self.inner!r})"

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})


def wrapped(tensor: Tensor) -> Tensor:
    """Return a tensor as one on the device."""
    return tensor if isinstance(tensor, Pretended) else Pretended(tensor)


def mapped(tree: Any, function: Callable[[Tensor], Any]) -> Any:
    """Return arguments or results with every tensor replaced by what a function makes of it.

    Operations have lists and tuples; torch's own walk over all that there could be takes most of
    the time of an operation.
    """
    if isinstance(tree, Tensor):
        return function(tree)
    if type(tree) in (tuple, list):
        return type(tree)([mapped(part, function) for part in tree])
    if type(tree) is dict:
        return {key: mapped(part, function) for key, part in tree.items()}
    return tree


@functools.cache
def shares_memory(func: Any) -> bool:
    """Return whether what an operation returns may be, or lie in, one of its arguments."""
    return any(value.alias_info is not None for value in func._schema.returns)


def run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Run one operation where its arguments lie, or where it was asked to put its result."""
    name, tensors = func._schema.name, []

    def inside(tensor: Tensor) -> Tensor:
        tensors.append(tensor)
        return tensor.inner if isinstance(tensor, Pretended) else tensor

    inner_args, inner_kwargs = mapped(args, inside), mapped(kwargs, inside)
    here = any(isinstance(tensor, Pretended) for tensor in tensors)
    asked = kwargs.get("device")
    to = here if asked is None else torch.device(asked).type == NAME
    if asked is not None:
        inner_kwargs["device"] = torch.device("cpu")
    if here and name not in ("aten::_to_copy", "aten::copy_"):
        check_places(name, tensors)
    if crosses(name, tensors, to):
        CROSSINGS.append(name)
    out = func(*inner_args, **inner_kwargs)
    if name in SAYS_A_NUMBER or not to:
        return out
    out = mapped(out, wrapped)
    if here and shares_memory(func):
        return return_and_correct_aliasing(func, args, kwargs, out)
    return out


def check_places(name: str, tensors: list[Tensor]) -> None:
    """Raise what torch raises where the tensors of an operation lie in two places."""
    for tensor in tensors:
        is_index = name in FROM_THE_PROCESSOR and not tensor.is_floating_point()
        if not (isinstance(tensor, Pretended) or tensor.dim() == 0 or is_index):
            raise RuntimeError(
                f"Expected all tensors to be on the same device: {name} got one of "
                f"{tuple(tensor.shape)} from the processor"
            )


def crosses(name: str, tensors: list[Tensor], to: bool) -> bool:
    """Return whether an operation carries anything but a number from one place to the other."""
    here = {isinstance(tensor, Pretended) for tensor in tensors if tensor.dim() > 0}
    carries = name in ("aten::_to_copy", "aten::copy_") and here == {not to}
    asks = name in SAYS_A_NUMBER and any(isinstance(tensor, Pretended) for tensor in tensors)
    return carries or len(here) > 1 or asks


class Operations(TorchDispatchMode):
    """Sees to what is made on the device, or moved there, by arguments that are elsewhere."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return run(func, args, kwargs or {})


class Functions(TorchFunctionMode):
    """Does what torch does above its operations, out of sight of `Operations`."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        own = INSTEAD.get(func)
        return func(*args, **(kwargs or {})) if own is None else own(*args, **(kwargs or {}))


def carried(
    make: Callable[..., Tensor], data: Any, *, device: Any = None, **options: Any
) -> Tensor:
    """Return what torch.tensor or torch.as_tensor does, made on the processor and carried."""
    made = make(data, **options)
    return made if device is None else made.to(device)


def made_like(like: Tensor, data: Any, *, device: Any = None, **options: Any) -> Tensor:
    """Return what Tensor.new_tensor does."""
    options.setdefault("dtype", like.dtype)
    return torch.tensor(data, **options).to(device or like.device)


def as_list(tensor: Tensor) -> Any:
    """Return what Tensor.tolist does, and note that it was asked."""
    if isinstance(tensor, Pretended):
        CROSSINGS.append("tolist")
        return tensor.inner.tolist()
    return tensor.tolist()


def lstm_cell(
    x: Tensor, state: Any, of_x: Tensor, of_h: Tensor, bias_x: Any = None, bias_h: Any = None
) -> tuple[Tensor, Tensor]:
    """Return what torch does in one operation, which is another one on each device."""
    gates = x @ of_x.T + state[0] @ of_h.T
    if bias_x is not None:
        gates = gates + bias_x + bias_h
    i, f, g, o = gates.chunk(4, 1)
    c = f.sigmoid() * state[1] + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


def lstm(x: Tensor, start: Any, weights: Any, *_: Any) -> tuple[Tensor, Tensor, Tensor]:
    """Return the states of one layer over sequences, the batch first."""
    h, c = (part[0] for part in start)
    states = []
    for x_t in x.unbind(1):
        h, c = lstm_cell(x_t, (h, c), *weights)
        states.append(h)
    return torch.stack(states, 1), h, c


INSTEAD: dict[Any, Any] = {
    torch.tensor: functools.partial(carried, torch.tensor),
    torch.as_tensor: functools.partial(carried, torch.as_tensor),
    Tensor.new_tensor: made_like,
    Tensor.tolist: as_list,
    torch._VF.lstm_cell: lstm_cell,
    torch.lstm_cell: lstm_cell,
    torch.lstm: lstm,
}
"""What is done in place of torch's functions."""


@contextmanager
def pretended() -> Iterator[torch.device]:
    """Give a device that is not there."""
    # A module that is moved would swap the outside of its tensors only, and keep what they hold.
    torch.__future__.set_overwrite_module_params_on_conversion(True)
    try:
        # Inference mode hides operations from `Operations`; without gradients they are the same.
        with mock.patch("torch.inference_mode", torch.no_grad), Operations(), Functions():
            yield DEVICE
    finally:
        torch.__future__.set_overwrite_module_params_on_conversion(False)
