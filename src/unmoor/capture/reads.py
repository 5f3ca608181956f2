"""Reads that dispatch cannot see: a torch function mode catches them also by names that were bound before the trace.

The methods of `methods` are set on torch's classes, so a program that kept `size = torch.Tensor.size` or wrote
`from torch import numel` holds torch's own function. Torch asks the innermost function mode before it runs any of
those, whatever name led there; functions that we replace are looked up by torch itself, and the rest end here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from unmoor.capture.recorder import Recorder
from unmoor.capture.torch_private import TorchFunctionMode
from unmoor.ir.recording import Froze

# What is the same for every tensor that a call accepts (dense, on the processor, of a plain dtype), or tells nothing.
NEUTRAL = frozenset(
    (
        "is_sparse", "is_sparse_csr", "is_quantized", "is_nested", "is_meta", "is_mkldnn", "is_conj", "is_neg",
        "is_distributed", "is_inference", "layout", "_is_zerotensor", "is_vulkan", "is_storage", "is_tensor",
        "_python_dispatch", "_has_symbolic_sizes_strides", "__hash__", "__dir__", "names", "name", "volatile",
        "is_nonzero", "is_same_size", "__setattr__", "sparse_dim", "dense_dim", "requires_grad_", "retain_grad",
    )
)  # fmt: skip
DEVICE = frozenset(
    (
        "device", "get_device", "is_cuda", "is_cpu", "is_ipu", "is_maia", "is_mps", "is_mtia", "is_xla", "is_xpu",
        "is_hpu", "__dlpack_device__", "is_pinned", "is_shared",
    )
)  # fmt: skip
GRADIENTS = frozenset(
    ("requires_grad", "is_leaf", "grad", "grad_fn", "grad_dtype", "retains_grad", "output_nr", "_backward_hooks")
)


class ReadsMode(TorchFunctionMode):
    """Sends torch's own functions to the handlers of their replacements, and writes down every other read."""

    def __init__(self, recorder: Recorder, handlers: dict[Any, Callable[..., Any]]) -> None:
        super().__init__()
        self.recorder, self.handlers = recorder, handlers

    def __torch_function__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        recorder = self.recorder
        if recorder.quiet:
            return func(*args, **(kwargs or {}))
        handler = self.handlers.get(func)
        if handler is not None:
            with recorder.silence():
                return handler(recorder, func, *args, **(kwargs or {}))
        kwargs = _factors_as_numbers(getattr(func, "__name__", ""), kwargs or {})
        result = func(*args, **kwargs)
        name = _name(func)
        if type(result) is not torch.Tensor and name is not None and not _holds_tensor(result):
            self._read(name, result, args)
        return result

    def _read(self, name: str, result: object, args: tuple[Any, ...]) -> None:
        if name in NEUTRAL or not args or not isinstance(args[0], torch.Tensor):
            return
        recorder = self.recorder
        if recorder.tracks.of(args[0]).fixed:
            return
        if name in DEVICE:
            froze = Froze.DEVICE
        elif name in GRADIENTS:
            froze = Froze.MODE
        elif result is None:
            return
        else:
            froze = Froze.LAYOUT
        shown = f" ({result!r})" if isinstance(result, (bool, str, torch.device)) or result is None else ""
        recorder.tape.assume(froze, f"{name} of a tensor was read{shown}")


def _factors_as_numbers(name: str, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Arguments that torch takes as plain numbers, where they are tensors, as the numbers of the trace."""
    factor = "value" if name.startswith(("addcmul", "addcdiv")) else "alpha"
    given = kwargs.get(factor)
    return {**kwargs, factor: given.item()} if isinstance(given, torch.Tensor) else kwargs


def _name(func: Any) -> str | None:
    """The user's name of a function that reads torch's own state; None for what we replaced, which has told already."""
    name = getattr(func, "__name__", "")
    if name == "__get__":
        descriptor = func.__self__
        return None if isinstance(descriptor, property) else str(descriptor.__name__)
    if name == "__set__":
        return None
    return str(name) if type(func).__name__ in ("method_descriptor", "builtin_function_or_method") else None


def _holds_tensor(value: object) -> bool:
    if isinstance(value, (tuple, list)):
        return any(map(_holds_tensor, value))
    return isinstance(value, torch.Tensor)
