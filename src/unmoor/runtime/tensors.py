"""Arguments as tensors that the native runtime can read: copies where their memory cannot be read as it is."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from unmoor.errors import SignatureError, Unsupported

_WIDE = ("uint16", "uint32", "uint64")


def readable(value: Any, name: str) -> Any:
    """A plain contiguous CPU tensor or array of the same elements. SignatureError says why there is none."""
    if isinstance(value, np.ndarray):
        if type(value) not in (np.ndarray, np.memmap):
            raise SignatureError(
                f"{name} is a {type(value).__name__}, a subclass of numpy.ndarray with a meaning of its own; "
                f"pass numpy.asarray({name}) if its elements are all that counts"
            )
        if value.dtype.kind not in "biufV" or value.dtype.itemsize > 8 or value.dtype.name in _WIDE:
            raise SignatureError(f"{name} has the dtype {value.dtype}, which Unmoor does not support")
        return np.array(value, value.dtype.newbyteorder("="), order="C", subok=False)
    if isinstance(value, np.generic):
        return np.asarray(value)
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(value, torch.Tensor):
        return _readable_torch(torch, value, name)
    if isinstance(value, (bool, int, float)):
        way_out = "torch.tensor(...)" if torch is not None else "numpy.asarray(..., dtype)"
        raise SignatureError(f"{name} is the number {value!r}; the program takes a tensor there: pass {way_out}")
    raise SignatureError(f"{name} is a {type(value).__name__}; pass a NumPy array or a torch tensor")


def _readable_torch(torch: Any, value: Any, name: str) -> Any:
    if torch._C._len_torch_dispatch_stack() > 0:
        raise SignatureError(
            "the model is called while a torch dispatch mode is active (a trace, for instance), "
            "which would not see what it does: call it outside"
        )
    if torch._C._functorch.is_functorch_wrapped_tensor(value):
        raise SignatureError(
            f"{name} is inside a transform of torch.func (vmap, grad, jvp): a compiled program is not transformed. "
            "Transform the function that was traced, or call the model outside"
        )
    if value.requires_grad and torch.is_grad_enabled():
        raise SignatureError(
            f"{name} requires grad, and gradients are on: the result would be cut off from them silently. "
            f"Call under torch.no_grad(), or pass {name}.detach()"
        )
    if value.device.type != "cpu":
        raise SignatureError(f"{name} is on the device {value.device}; pass {name}.cpu()")
    if value.layout is not torch.strided:
        raise SignatureError(f"{name} has the layout {value.layout}; pass {name}.to_dense()")
    if type(value) is not torch.Tensor and type(value) is not torch.nn.Parameter:
        raise SignatureError(
            f"{name} is a {type(value).__name__}, a subclass of torch.Tensor with a meaning of its own; "
            f"pass {name}.as_subclass(torch.Tensor) if its elements are all that counts"
        )
    if value.dtype.is_complex or value.is_quantized:
        raise SignatureError(f"{name} has the dtype {value.dtype}, which Unmoor does not support")
    if not hasattr(torch.Tensor, "__dlpack_c_exchange_api__"):
        raise Unsupported(
            f"torch {torch.__version__} is too old for Unmoor to read its tensors: update torch, or pass {name}.numpy()"
        )
    with torch.no_grad():
        return value.detach().resolve_neg().contiguous()


def check_writable(value: Any, name: str) -> None:
    """SignatureError unless the call can write into it."""
    reason = ""
    if isinstance(value, np.ndarray):
        reason = "" if value.flags.writeable else "is read-only"
    elif "torch" not in sys.modules or not isinstance(value, sys.modules["torch"].Tensor):
        reason = f"is a {type(value).__name__}"
    if reason:
        raise SignatureError(f"the program changes {name} in place, but it {reason}: pass a copy that can be written")


def write_back(target: Any, changed: Any) -> None:
    """Copies what a call changed in a copy back into the tensor or array that was given."""
    if isinstance(target, np.ndarray):
        np.copyto(target, changed)
        return
    torch = sys.modules["torch"]
    with torch.no_grad():
        target.copy_(changed)
