"""The traced callable itself, for a check before saving: run on the example and on inputs made from it."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from unmoor.capture.copies import copied
from unmoor.capture.modules import Modules, in_training
from unmoor.capture.structure import flatten, is_tensor, paths, rebuild
from unmoor.capture.tracks import elements
from unmoor.capture.warning import TrainingModeWarning
from unmoor.dtypes import DType
from unmoor.ir.recording import Recording
from unmoor.ir.signature import Structure

Leaves = list[Any]


@dataclass(frozen=True)
class Outcome:
    """What a call gave: the result's structure, and by name its tensors and numbers, the argument tensors as the call
    left them, and the states."""

    structure: Structure
    values: dict[str, Any]


class Original:
    """A callable with copies of the tensors it was traced on. The callable is held, its parameters are not copied.

    `mode` is "train", "eval" or "": as its modules are at the trace.
    """

    def __init__(
        self, fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], mode: str, dims: object
    ) -> None:
        self.fn, self.mode, self.dims = fn, mode, dims
        self.arguments, leaves = flatten((tuple(args), dict(kwargs)), "the arguments")
        self.example: Leaves = _copies(leaves)
        self._training = [mode == "train" if mode else in_training(m) for _, m in Modules(fn).every()]

    @property
    def arrays(self) -> list[np.ndarray]:
        """The example's tensors as arrays."""
        return [np.array(elements(leaf)) for leaf in self.example]

    def as_traced(self, recording: Recording) -> Twin:
        """A deep copy with the parameters, buffers and states of the recording, in the mode of the trace.

        Raises whatever Python says where it cannot be copied.
        """
        twin = Twin(copied(self.fn), self.dims, recording.graph.differentiates)
        for training, (_, module) in zip(self._training, Modules(twin.fn).every(), strict=True):
            if in_training(module) is not training:  # a module that TorchScript froze has no such attribute
                module.training = training
        tensors = Modules(twin.fn).tensors()
        kept = [(c.origin, c.data) for c in recording.graph.constants] + [(s.origin, s.data) for s in recording.states]
        with torch.no_grad():
            for origin, data in kept:
                tensor = tensors.get(origin)
                if tensor is not None and tuple(tensor.shape) == data.shape:
                    tensor.copy_(as_tensor(data, tensor.dtype))
        return twin

    def forced(self, decisions: tuple[bool, ...]) -> Recording | None:
        """The recording of a call on the example whose first guards go as `decisions` say; None where none can."""
        from unmoor.capture import record_forced

        args, kwargs = rebuild(self.arguments, _copies(self.example))
        return record_forced(self.fn, args, kwargs, decisions, self.dims)

    def made_of(self, shapes: Sequence[tuple[int, ...]], seed: int, dtypes: Sequence[DType] = ()) -> Leaves:
        """Tensors of these sizes, their elements within the range of the example's, the same for the same seed.

        They have the example's dtypes, unless others are given.
        """
        generator = torch.Generator().manual_seed(seed)
        made = [_like(e, shape, generator) for e, shape in zip(self.example, shapes, strict=True)]
        wanted = [getattr(torch, d.torch_name) for d in dtypes] or [m.dtype for m in made]
        made = [m.to(dtype) for m, dtype in zip(made, wanted, strict=True)]
        for example, tensor in zip(self.example, made, strict=True):
            tensor.requires_grad_(example.requires_grad and tensor.is_floating_point())
        return made


class Twin:
    """A copy of a traced callable, to be called."""

    def __init__(self, fn: Callable[..., Any], dims: object, gradients: bool) -> None:
        self.fn, self.dims, self.gradients = fn, dims, gradients

    def call(self, arguments: Structure, leaves: Leaves, states: Mapping[str, str]) -> Outcome:
        """A call on copies of the leaves; errors pass through. `states` has names of states, and where they are."""
        outcome = call(self.fn, arguments, leaves, self.gradients)
        tensors = Modules(self.fn).tensors() if states else {}
        held = {f"the state {name}": tensors[o].detach().clone() for name, o in states.items() if o in tensors}
        return Outcome(outcome.structure, {**outcome.values, **held})

    def recorded(self, arguments: Structure, leaves: Leaves) -> Recording:
        """A new recording, of a call on the leaves."""
        from unmoor.capture import record

        args, kwargs = rebuild(arguments, _copies(leaves))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", TrainingModeWarning)
            return record(self.fn, args, kwargs, self.dims)


def call(fn: Callable[..., Any], arguments: Structure, leaves: Leaves, gradients: bool) -> Outcome:
    """A call on copies of the leaves, with all random generators left as they are. Errors pass through.

    `gradients` says whether they are on: a program that computes some needs it.
    """
    mine = _copies(leaves)
    args, kwargs = rebuild(arguments, mine)
    with random_states_kept(), torch.set_grad_enabled(gradients):
        structure, results = flatten(fn(*args, **kwargs), "the result", _is_leaf)
    values = dict(zip(paths(structure, "result"), results, strict=True))
    return Outcome(structure, {**values, **{f"argument {k} after the call": t for k, t in enumerate(mine)}})


def _copies(leaves: Sequence[torch.Tensor]) -> Leaves:
    """Copies that require gradients where these do."""
    return [leaf.detach().clone().requires_grad_(leaf.requires_grad) for leaf in leaves]


def as_tensor(data: np.ndarray, dtype: torch.dtype | None = None) -> torch.Tensor:
    """An array as a tensor. NumPy has no bfloat16: `dtype` tells whether 16-bit words are that."""
    tensor = torch.from_numpy(np.array(data))
    return tensor.view(torch.bfloat16) if dtype is torch.bfloat16 and data.dtype == np.uint16 else tensor


def _is_leaf(value: object) -> bool:
    return is_tensor(value) or isinstance(value, (bool, int, float))


def _like(example: torch.Tensor, shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    if example.numel() == 0:
        return torch.zeros(shape, dtype=example.dtype)
    elements = example.detach().reshape(-1)
    one, other = (elements[torch.randint(example.numel(), shape, generator=generator)] for _ in range(2))
    if not example.is_floating_point():
        return one
    part = torch.rand(shape, generator=generator).to(example.dtype)  # no two alike: ties would be decided either way
    return torch.where(one.isfinite() & other.isfinite(), one + (other - one) * part, one)


@contextmanager
def random_states_kept() -> Iterator[None]:
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()
    try:
        yield
    finally:
        torch.set_rng_state(states[0])
        random.setstate(states[1])
        np.random.set_state(states[2])
