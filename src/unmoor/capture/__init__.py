"""Capture: runs a PyTorch callable once on example tensors, and records what ran as a graph.

The only package that imports torch, and only when one of these functions is called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from unmoor.capture.warning import TrainingModeWarning
from unmoor.ir.signature import Structure

if TYPE_CHECKING:
    from unmoor.capture.compare import Runs
    from unmoor.capture.original import Original, Outcome, Twin
    from unmoor.ir.graph import Node
    from unmoor.ir.recording import Recording

__all__ = [
    "TrainingModeWarning",
    "arrays",
    "call",
    "difference",
    "first_unlike",
    "flatten_call",
    "is_module",
    "keep_original",
    "needs_grad",
    "outcome_of",
    "rebuild",
    "record",
    "record_forced",
    "record_several",
    "thread_count",
]


def thread_count() -> int:
    """How many threads torch uses for an op, and a traced callable for a call."""
    import torch

    return torch.get_num_threads()


def record(
    fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any] | None = None, dims: object = None
) -> Recording:
    """The recording of one call `fn(*args, **kwargs)`.

    `dims` has, by the name of an input, an entry for each of its dims: a name, a size, `unmoor.Dim` or None.

    `fn` is a function, a method or a module. Tensors anywhere in nested tuples, lists, dicts, dataclasses and named
    tuples become the graph's inputs; numbers, strings, booleans and None are frozen as they are. The module, its
    buffers, the inputs and the random number generators are afterwards as they were.

    Raises Unsupported, with the user's line, for what cannot be recorded; errors of `fn` itself pass through.
    Warns with TrainingModeWarning where dropout or batch norm would run in training mode.
    """
    from unmoor.capture.trace import Call, record_calls

    return record_calls([Call(fn, args, dict(kwargs or {}), dims=dims)])[0]


def record_forced(
    fn: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: Mapping[str, Any],
    decisions: tuple[bool, ...],
    dims: object = None,
) -> Recording | None:
    """The recording of a call whose first guards go as `decisions` say, whatever the values are.

    None where the call cannot go that way, for instance since it raises an error of its own then.
    """
    from unmoor.capture.trace import Call, record_calls

    try:
        return record_calls([Call(fn, args, dict(kwargs), decisions=decisions, dims=dims)])[0]
    except Exception:  # whatever the program does with values that it was not meant to see
        return None


def record_several(
    calls: Sequence[tuple[Callable[..., Any], tuple[Any, ...], Mapping[str, Any], str]], dims: Sequence[object]
) -> list[Recording]:
    """The recordings of several calls (fn, args, kwargs, mode), which share their state; of each, `dims` as above.

    A tensor that one of them changes is state in all that read it. `mode` is "train", "eval" or "": as the modules are.
    """
    from unmoor.capture.trace import Call, record_calls

    pairs = zip(calls, dims, strict=True)
    return record_calls([Call(fn, args, dict(kwargs), mode, dims=said) for (fn, args, kwargs, mode), said in pairs])


def flatten_call(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> tuple[Structure, list[Any]]:
    """The structure of the 2-tuple (args, kwargs), and its torch tensors (or NumPy arrays) in leaf order."""
    from unmoor.capture.structure import flatten

    return flatten((tuple(args), dict(kwargs)), "arguments")


def rebuild(structure: Structure, tensors: Sequence[Any]) -> Any:
    """The value of a structure with its leaves filled in; the inverse of flattening.

    A dataclass or named tuple is made again where its class was flattened in this process, else it is a dict.
    """
    from unmoor.capture.structure import rebuild as build

    return build(structure, tensors)


def is_module(fn: object) -> bool:
    """Whether `fn` is a torch module."""
    from unmoor.capture.modules import is_module as is_torch_module

    return is_torch_module(fn)


def needs_grad(tensors: Sequence[Any]) -> bool:
    """Whether autograd would record a call on these tensors: gradients are on, and one of them requires one."""
    from unmoor.capture.structure import needs_grad as needs

    return needs(tensors)


def keep_original(
    fn: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], mode: str = "", dims: object = None
) -> Original:
    """The callable with copies of the tensors that it is traced on, in `mode` if that is given, for a later check."""
    from unmoor.capture.original import Original

    return Original(fn, args, kwargs, mode, dims)


def call(fn: Callable[..., Any], arguments: Structure, leaves: list[Any], gradients: bool) -> Outcome:
    """What a call on copies of the leaves gives, with gradients on or off; errors pass through."""
    from unmoor.capture.original import call as call_original

    return call_original(fn, arguments, leaves, gradients)


def outcome_of(like: Outcome, values: list[Any]) -> Outcome:
    """An outcome with the names of another, of arrays and numbers."""
    from unmoor.capture.original import Outcome, as_tensor

    def tensor(value: Any, wanted: Any) -> Any:
        return as_tensor(value, getattr(wanted, "dtype", None)) if hasattr(value, "dtype") else value

    named = zip(like.values, values, strict=True)
    return Outcome(like.structure, {name: tensor(value, like.values[name]) for name, value in named})


def difference(want: Outcome, got: Outcome) -> tuple[str, dict[str, float]]:
    """What is wrong with an outcome, "" for nothing; and how far each value is off, in parts of the largest."""
    from unmoor.capture.compare import difference as differs

    return differs(want, got)


def first_unlike(
    twin: Callable[[], Twin], arguments: Structure, example: list[Any], leaves: list[Any], run: Runs
) -> Node | None:
    """The first node of the recording that gives something else than eager PyTorch."""
    from unmoor.capture.compare import first_unlike as unlike

    return unlike(twin, arguments, example, leaves, run)


def arrays(leaves: list[Any]) -> list[np.ndarray]:
    """Tensors as arrays, bfloat16 as 16-bit words: copies."""
    from unmoor.capture.tracks import elements

    return [np.array(elements(leaf)) for leaf in leaves]
