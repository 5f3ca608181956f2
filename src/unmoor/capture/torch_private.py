"""Every private name of torch that capture leans on, in one place; tests pin what each of them does.

When a new torch release breaks capture, this file and its tests are where it shows.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import nn
from torch._C import TensorBase
from torch._ops import OpOverload
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = [
    "NormBase",
    "OpOverload",
    "TensorBase",
    "TorchDispatchMode",
    "TorchFunctionMode",
    "address_of",
    "below_autograd",
    "is_dropout",
    "nested_transforms",
    "schema_of",
    "script_classes",
    "storage_of",
    "undispatched",
    "without_torch_compile",
]

NormBase = _NormBase


def below_autograd() -> Any:
    """A context under which dispatch skips autograd: composite ops reach a dispatch mode whole."""
    return torch._C._AutoDispatchBelowAutograd()


@contextmanager
def undispatched() -> Iterator[None]:
    """A context in which no dispatch mode sees what torch does."""
    guard = torch._C._DisableTorchDispatch()
    try:
        yield
    finally:
        del guard


def without_torch_compile() -> Any:
    """A context in which functions made by torch.compile run as they were written, if there can be any."""
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()


def schema_of(func: OpOverload) -> Any:
    """The schema of an overload: `name`, `overload_name`, `arguments` (name, default_value, alias_info), `returns`."""
    return func._schema


def storage_of(tensor: torch.Tensor) -> int:
    """A number that two tensors share exactly where they share memory (while one of them lives)."""
    return int(tensor.untyped_storage()._cdata)


def address_of(tensor: torch.Tensor) -> int:
    """Where a tensor's memory starts: equal also where two tensors share memory by way of another library."""
    return int(tensor.untyped_storage().data_ptr())


def is_dropout(module: nn.Module) -> bool:
    return isinstance(module, _DropoutNd)


def script_classes() -> tuple[type, ...]:
    """Classes whose calls run TorchScript's own interpreter, which capture cannot see into."""
    return (torch._C.ScriptFunction, torch._C.ScriptMethod)


def nested_transforms() -> list[tuple[Any, str, str]]:
    """(module, attribute, user's name) of the functions through which every torch.func transform enters its level."""
    from torch._functorch import eager_transforms, vmap

    return [
        (vmap, "vmap_increment_nesting", "torch.func.vmap"),
        (eager_transforms, "grad_increment_nesting", "torch.func.grad or vjp"),
        (eager_transforms, "jvp_increment_nesting", "torch.func.jvp"),
        (eager_transforms, "_wrap_all_tensors_to_functional", "torch.func.functionalize"),
    ]


def set_version(tensor: torch.Tensor, version: int) -> None:
    """Sets the counter by which autograd knows that a tensor was written: for one that is put back as it was."""
    torch._C._autograd._unsafe_set_version_counter((tensor,), (version,))
