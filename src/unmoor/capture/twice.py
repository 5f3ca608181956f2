"""Python state that a call changes: a second call, from the state that the first one left, must give the same.

A trace has the first call's numbers in it. A module that counts its calls in a Python number, or a function that does
so in a closure, gives something else each time; one that only keeps what it computed, or writes down what it saw, does
not. What tells them apart is to call once more.
"""

from __future__ import annotations

import copy
import itertools
import pickle
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FunctionType, MethodType
from typing import Any

import numpy as np
import torch
from torch import nn

from unmoor.capture.modules import MISSING
from unmoor.capture.numbers import Float, Int
from unmoor.capture.structure import flatten, is_tensor, rebuild
from unmoor.errors import UnmoorError, Unsupported
from unmoor.ir.signature import Structure

Parts = tuple[Structure, list[Any]]
Place = tuple[dict[str, Any], str, Any]  # (where, name, value)
SOURCES = (np.random.RandomState, np.random.Generator, random.Random, itertools.count)  # something else at every call


def outer_numbers(fn: object) -> dict[str, Any]:
    """What tells whether the numbers, containers, iterators and random generators changed that a function reaches."""
    kept = {name: _kept(value) for name, value in _outer(fn).items()}
    return {name: value for name, value in kept.items() if value is not None}


def _outer(fn: object) -> dict[str, Any]:
    """What a function reaches by closure, globals and its own attributes; what its module holds beside numbers."""
    owner, function = (fn.__self__, fn.__func__) if isinstance(fn, MethodType) else (fn, fn)
    found: dict[str, Any] = {}
    if isinstance(owner, nn.Module):
        for path, module in owner.named_modules():
            held = {n: v for n, v in vars(module).items() if not n.startswith("_") and _is_fleeting(v)}
            found |= {f"{path}.{name}".lstrip("."): value for name, value in held.items()}
    if not isinstance(function, FunctionType):
        return found
    found |= {f"{function.__name__}.{name}": value for name, value in vars(function).items()}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        try:
            found[name] = cell.cell_contents
        except ValueError:  # not filled yet
            continue
    for name in function.__code__.co_names:
        found.setdefault(name, function.__globals__.get(name))
    return found


def _kept(value: object) -> Any:
    if type(value) in (bool, int, float, str):
        return value
    if type(value) in (list, dict) and len(value) < _MANY:  # type: ignore[arg-type]
        return [id(v) if not isinstance(v, (int, float)) else v for v in _items(value)]
    if isinstance(value, SOURCES):
        return pickle.dumps(value)
    if isinstance(value, Iterator) and hasattr(value, "__length_hint__"):
        return value.__length_hint__()  # how much of a list, a range or the like is left
    return None


def _is_fleeting(value: object) -> bool:
    return type(value) in (list, dict) or isinstance(value, (*SOURCES, Iterator))


_MANY = 1000


def _items(value: Any) -> Iterator[Any]:
    yield from [*value, *value.values()] if isinstance(value, dict) else value


def check_again(
    fn: Callable[..., Any],
    call: tuple[tuple[Any, ...], dict[str, Any]],
    first: Parts,
    left: list[Place],
    names: list[str],
    states: Sequence[torch.Tensor],
) -> None:
    """Unsupported, naming what changed, where a second call does not give `first` again, or leaves something else.

    The caller puts modules and random states back afterwards; lists and dicts outside are put back here.
    """
    with _containers_kept(fn):
        _put(left)
        try:
            args, kwargs = copy.deepcopy(call)
            second = fn(*args, **kwargs)
        except UnmoorError:
            raise
        except Exception as error:
            raise _refusal(names, f"a second call raises {type(error).__name__}: {error}") from error
    if not same(first, taken_apart(second, (args, kwargs), states)):
        raise _refusal(names, "a second call gives something else")


def check_other_values(
    fn: Callable[..., Any],
    call: tuple[tuple[Any, ...], dict[str, Any]],
    left: list[Place],
    names: list[str],
    states: Sequence[torch.Tensor],
    restart: Callable[[], None],
) -> None:
    """Unsupported where a call on other values gives something else after the first call than without it.

    A module that keeps what it computed from its first input, and uses that in every call, gives the same again only
    for the same input. `restart` puts everything back as it was before the first call.
    """
    alone = _outcome(fn, call, states)
    restart()
    _put(left)
    after = _outcome(fn, call, states)
    restart()
    if alone is not None and (after is None or not same(alone, after)):
        raise _refusal(names, "after a first call, one on other values gives something else than without it")


def _outcome(
    fn: Callable[..., Any], call: tuple[tuple[Any, ...], dict[str, Any]], states: Sequence[torch.Tensor]
) -> Parts | None:
    """The result of a call like this one on other values; None where it raises."""
    structure, leaves = flatten(copy.deepcopy(call), "the arguments")
    try:
        args, kwargs = rebuild(structure, [_other(leaf) for leaf in leaves])
        return taken_apart(fn(*args, **kwargs), (args, kwargs), states)
    except Exception:  # whatever the program does with values that it was not meant to see
        return None


def _other(tensor: torch.Tensor) -> torch.Tensor:
    """The elements in another order; floats smaller, too."""
    moved = tensor.detach().reshape(-1).roll(1).reshape(tensor.shape)
    return (moved * 0.75 if tensor.is_floating_point() else moved).requires_grad_(tensor.requires_grad)


def _refusal(names: list[str], why: str) -> Unsupported:
    return Unsupported(
        f"the call changes {', '.join(names)} in Python, and its result depends on that: {why}. A trace would repeat "
        "the first call for ever; keep such state in a buffer (register_buffer), or pass it in and return it"
    )


@contextmanager
def _containers_kept(fn: object) -> Iterator[None]:
    held = [(value, value.copy()) for value in _outer(fn).values() if type(value) in (list, dict)]
    try:
        yield
    finally:
        for value, before in held:
            value.clear()
            (value.extend if isinstance(value, list) else value.update)(before)


def _put(places: list[Place]) -> None:
    for target, name, value in places:
        if value is MISSING:
            target.pop(name, None)
        else:
            target[name] = value


def taken_apart(result: Any, call: Any = (), states: Sequence[torch.Tensor] = ()) -> Parts:
    """A result as a structure and copies of its tensors; with them, what the call left in its arguments and states."""
    structure, leaves = flatten(result, "the result", _leaf)
    leaves = [*leaves, *flatten(call, "the arguments")[1], *states]
    return structure, [v.detach().clone() if isinstance(v, torch.Tensor) else v for v in leaves]


def same(first: Parts, second: Parts) -> bool:
    """Whether two results are alike, up to rounding."""
    return first[0] == second[0] and all(map(_equal, first[1], second[1]))


def _leaf(value: object) -> bool:
    return is_tensor(value) or type(value) in (int, float, Int, Float)  # what was symbolic may be plain now


def _equal(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor) and isinstance(second, torch.Tensor):
        same_type = first.shape == second.shape and first.dtype == second.dtype
        return same_type and torch.allclose(first.double(), second.double(), 1e-4, 1e-6, equal_nan=True)
    if isinstance(first, (Int, Float)):
        first = first.node.hint
    if isinstance(second, (Int, Float)):
        second = second.node.hint
    return bool(first == second)
