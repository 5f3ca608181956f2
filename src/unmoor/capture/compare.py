"""What differs between two outcomes of a call, and at which op of the recording it began."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch

from unmoor.capture.original import Leaves, Outcome, Twin, as_tensor, call
from unmoor.capture.structure import pinned
from unmoor.capture.torch_private import TorchDispatchMode, below_autograd
from unmoor.dtypes import BY_TORCH_NAME
from unmoor.ir.graph import Node
from unmoor.ir.signature import Structure
from unmoor.ops.closeness import SMALLEST, TOLERANCE

MANY = 1 << 26  # elements that are kept of what eager PyTorch computes
Runs = Callable[[Leaves], Sequence[tuple[Node, Sequence[Any]]]]


def difference(want: Outcome, got: Outcome) -> tuple[str, dict[str, float]]:
    """What is wrong with an outcome, "" for nothing; and how far each value is off, in parts of the largest."""
    if _form(want) != _form(got):
        return f"the result is of the form {_form(got)} in place of {_form(want)}", {}
    off: dict[str, float] = {}
    for name, one in want.values.items():
        w = _tensor(one)
        g = _tensor(got.values[name], w.dtype)
        if w.shape != g.shape or w.dtype != g.dtype:
            shown = f"{g.dtype}{list(g.shape)} in place of {w.dtype}{list(w.shape)}"
            return f"{name} is {shown}".replace("torch.", ""), off
        off[name] = distance(w, g)
        if off[name] > TOLERANCE.get(BY_TORCH_NAME[str(w.dtype).removeprefix("torch.")], 0.0):
            return f"{name} is off by {off[name]:.2g} of its largest element", off
    return "", off


def _tensor(value: Any, dtype: torch.dtype | None = None) -> torch.Tensor:
    return as_tensor(value, dtype) if isinstance(value, np.ndarray) else torch.as_tensor(value)


def _form(outcome: Outcome) -> dict[str, object]:
    """The parts of a result by name: tensors and numbers as "a value", others as they are."""
    values = {name: "a value" for name in outcome.values if name.startswith("result")}
    return {**values, **{name: repr(value) for name, value in pinned(outcome.structure, "result")}}


def distance(want: torch.Tensor, got: torch.Tensor) -> float:
    """The largest difference, in parts of the largest value."""
    a, b = want.detach().double(), got.detach().double()
    same = (a == b) | (a.isnan() & b.isnan())
    off = torch.where(same, 0.0, (a - b).abs())
    finite = a[a.isfinite()]
    scale = max(SMALLEST, float(finite.abs().max())) if finite.numel() else 1.0
    return float(off.nan_to_num(torch.inf).max()) / scale if off.numel() else 0.0


def first_unlike(
    twin: Callable[[], Twin], arguments: Structure, example: Leaves, leaves: Leaves, run: Runs
) -> Node | None:
    """The first node whose value on `leaves` is none of those that eager PyTorch computes there.

    `run` gives the nodes of the recording with their values. What has no like on the example either, where both agree,
    is no step of eager PyTorch's, and tells nothing. `twin` makes a copy of the original.
    """
    known = _computed(twin(), arguments, leaves)
    unlike = [n for n, values in run(leaves) if n.op.startswith("aten::") and not _all_known(values, known)]
    if not unlike or leaves is example:
        return unlike[0] if unlike else None
    known = _computed(twin(), arguments, example)
    steps = {id(node) for node, values in run(example) if _all_known(values, known)}
    return next((n for n in unlike if id(n) in steps), None)


Known = dict[tuple[torch.Size, torch.dtype], list[torch.Tensor]]


def _all_known(values: Sequence[Any], known: Known) -> bool:
    return all(_is_known(v, known) for v in values if isinstance(v, (np.ndarray, np.generic)))


def _is_known(value: Any, known: Known) -> bool:
    array = np.asarray(value)
    dtype = torch.bfloat16 if array.dtype == np.uint16 else None
    tensor = as_tensor(array, dtype)
    tolerance = TOLERANCE.get(BY_TORCH_NAME[str(tensor.dtype).removeprefix("torch.")], 0.0)
    return any(distance(k, tensor) <= tolerance for k in known.get((tensor.shape, tensor.dtype), ()))


def _computed(twin: Twin, arguments: Structure, leaves: Leaves) -> Known:
    """All that eager PyTorch computes in a call, and the inputs."""
    log = _Log()
    with nullcontext() if twin.gradients else below_autograd(), log:
        call(twin.fn, arguments, leaves, twin.gradients)
    for leaf in leaves:
        log.keep(leaf)
    return log.known


class _Log(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Keeps copies of what ops give."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.known: Known = {}
        self.elements = 0

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Torch's switch for wrapping the method below so that its compiler skips it, which imports that compiler."""
        return False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        for tensor in result if isinstance(result, (tuple, list)) else (result,):
            if isinstance(tensor, torch.Tensor):
                self.keep(tensor)
        return result

    def keep(self, tensor: torch.Tensor) -> None:
        """Keep a copy, while there are not too many."""
        self.elements += tensor.numel()
        if self.elements <= MANY:
            self.known.setdefault((tensor.shape, tensor.dtype), []).append(tensor.detach().clone())
