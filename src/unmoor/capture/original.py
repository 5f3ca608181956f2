"""The traced callable itself, for a check before saving: run on the example and on inputs made from it."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import FunctionType
from typing import Any

import numpy as np
import torch
from torch import nn

from unmoor.capture.structure import flatten, is_tensor, rebuild
from unmoor.ir.graph import Constant
from unmoor.ir.recording import Recording

Leaves = list[Any]


class Original:
    """A callable with copies of the tensors it was traced on. The callable is held, its parameters are not copied."""

    def __init__(self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        self.fn = fn
        self.arguments, leaves = flatten((tuple(args), dict(kwargs)), "the arguments")
        self.example: Leaves = [leaf.detach().clone() for leaf in leaves]

    @property
    def can_be_copied(self) -> bool:
        """Whether a run can be kept from changing anything: a module, or a function that holds nothing by a closure."""
        return isinstance(self.fn, nn.Module) or (isinstance(self.fn, FunctionType) and not self.fn.__closure__)

    def as_traced(self, recording: Recording) -> Callable[..., Any]:
        """A deep copy with the parameters, buffers and states that the recording has."""
        if not isinstance(self.fn, nn.Module):
            return self.fn
        twin = copy.deepcopy(self.fn)
        tensors = {**dict(twin.named_parameters()), **dict(twin.named_buffers())}
        with torch.no_grad():
            for origin, data in _kept(recording):
                tensor = tensors.get(origin.partition(" ")[2])
                if tensor is not None and tuple(tensor.shape) == data.shape:
                    kept = torch.from_numpy(np.array(data))
                    tensor.copy_(kept.view(torch.bfloat16) if tensor.dtype is torch.bfloat16 else kept)
        return twin

    def forced(self, decisions: tuple[bool, ...]) -> Recording | None:
        """The recording of a call on the example whose first guards go as `decisions` say; None where none can."""
        from unmoor.capture import record_forced

        args, kwargs = rebuild(self.arguments, [leaf.clone() for leaf in self.example])
        return record_forced(self.fn, args, kwargs, decisions)

    def made_of(self, shapes: Sequence[tuple[int, ...]], seed: int) -> Leaves:
        """Tensors of these sizes, their elements within the range of the example's, the same for the same seed."""
        generator = torch.Generator().manual_seed(seed)
        return [_like(e, shape, generator) for e, shape in zip(self.example, shapes, strict=True)]

    def call(self, fn: Callable[..., Any], leaves: Leaves) -> Leaves:
        """The result's tensors and numbers, then the argument tensors as the call left them. Errors pass through."""
        mine = [leaf.clone() for leaf in leaves]
        args, kwargs = rebuild(self.arguments, mine)
        with _random_states_kept(), torch.no_grad():
            _, results = flatten(fn(*args, **kwargs), "the result", _is_leaf)
        return [*results, *mine]


def _kept(recording: Recording) -> Iterator[tuple[str, np.ndarray]]:
    constants: tuple[Constant, ...] = recording.graph.constants
    yield from ((c.origin, c.data) for c in constants)
    yield from ((s.origin, s.data) for s in recording.states)


def _is_leaf(value: object) -> bool:
    return is_tensor(value) or isinstance(value, (bool, int, float))


def _like(example: torch.Tensor, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    if example.numel() == 0:
        return torch.zeros(shape, dtype=example.dtype)
    elements = example.reshape(-1)
    one, other = (elements[torch.randint(example.numel(), shape, generator=generator)] for _ in range(2))
    if not example.is_floating_point():
        return one
    part = torch.rand(shape, generator=generator).to(example.dtype)  # no two alike: ties would be decided either way
    return torch.where(one.isfinite() & other.isfinite(), one + (other - one) * part, one)


@contextmanager
def _random_states_kept() -> Iterator[None]:
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        random.setstate(states[1])
        np.random.set_state(states[2])


def difference(want: Leaves, got: Leaves) -> tuple[str, float]:
    """What is wrong with a call's leaves, "" for nothing; and the largest difference, in parts of the largest value."""
    if len(want) != len(got):
        return f"it gives {len(got)} values, and eager PyTorch gives {len(want)}", 0.0
    worst = 0.0
    for number, (w, g) in enumerate(zip(want, got, strict=True)):
        w, g = torch.as_tensor(w), torch.as_tensor(g)
        if w.shape != g.shape or w.dtype != g.dtype:
            shown = f"{g.dtype}{list(g.shape)} in place of {w.dtype}{list(w.shape)}"
            return f"value {number} is {shown}".replace("torch.", ""), worst
        a, b = w.detach().double(), g.detach().double()
        same = (a == b) | (a.isnan() & b.isnan())
        off = torch.where(same, 0.0, (a - b).abs())
        finite = a[a.isfinite()]
        scale = max(1e-6, float(finite.abs().max())) if finite.numel() else 1.0
        largest = float(off.nan_to_num(torch.inf).max()) / scale if off.numel() else 0.0
        worst = max(worst, largest)
        if largest > TOLERANCE.get(w.dtype, 0.0):
            return f"value {number} is off by {largest:.2g} of its largest element", worst
    return "", worst


# Of whole programs, in parts of the largest element: rounding of some hundred ops in the dtype.
TOLERANCE = {torch.float32: 1e-3, torch.float64: 1e-8, torch.float16: 3e-2, torch.bfloat16: 1e-1}
