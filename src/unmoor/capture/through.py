"""Writes through views: the new value of a tensor after a view of it has been written in place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from unmoor.capture.refusals import refuse
from unmoor.capture.tape import Tape
from unmoor.capture.wording import Wording
from unmoor.ir.graph import Arg, Value
from unmoor.ir.recording import EVERY, Froze
from unmoor.ir.types import BOOL, INT

SAME = frozenset(("aten::detach", "aten::alias", "aten::dropout", "aten::contiguous", "aten::to"))
SWAPPED = frozenset(("aten::t", "aten::transpose", "aten::numpy_T", "aten::mT", "aten::swapaxes", "aten::swapdims"))
REPEATED = frozenset(("aten::expand", "aten::expand_as", "aten::broadcast_to"))
RESHAPED = frozenset(
    ("aten::view", "aten::view_as", "aten::reshape", "aten::flatten", "aten::unflatten", "aten::unsqueeze",
     "aten::squeeze")
)  # fmt: skip


@dataclass(frozen=True)
class Derivation:
    """How a view came from its base: the op, its arguments (the base's value first), and which of its outputs it is."""

    op: str
    args: tuple[Arg, ...]
    index: int = 0
    count: int = 1


@dataclass(frozen=True, eq=False)
class View:
    """A view and its base, as they are in this run."""

    derivation: Derivation
    tensor: torch.Tensor
    base: torch.Tensor


def written_through(tape: Tape, view: View, old: Value, value: Value) -> Value:
    """The base's new value, where `old` is its value before and the view has become `value`."""
    op, args, rank = view.derivation.op, view.derivation.args, view.base.dim()
    if op in SAME:
        return value
    items = _items(tape, view, old)
    if items is not None:
        return tape.emit("unmoor::setitem", (old, items, value))[0]
    if op in SWAPPED:
        return tape.emit(op, (value, *args[1:]))[0]
    if op == "aten::movedim":
        return tape.emit(op, (value, args[2], args[1]))[0]
    if op == "aten::permute":
        return _unpermuted(tape, value, args[1])
    if op == "aten::diagonal":
        return tape.emit("aten::diagonal_scatter", (old, value, *args[1:]))[0]
    if op in REPEATED:
        _guard_not_repeated(tape, view, old, value)
    if op in RESHAPED or op in REPEATED:
        tape.guard_rank(old, rank)
        sizes = tuple(tape.pure("prim::size", (old, axis), INT) for axis in range(rank))
        return tape.emit("aten::reshape", (value, sizes))[0]
    raise refuse(
        tape.where(),
        f"an in-place write through {op} of another tensor is not supported",
        "write to a copy (.clone()), or build the result with torch.where or torch.cat",
    )


def _items(tape: Tape, view: View, old: Value) -> tuple[Arg, ...] | None:
    """The items under which a view that is a part of its base stands there; None for other views."""
    op, args, rank = view.derivation.op, view.derivation.args, view.base.dim()
    if op == "unmoor::getitem":
        assert isinstance(args[1], tuple)
        return args[1]
    pieces = op in ("aten::split", "aten::chunk")
    if not pieces and op not in ("aten::select", "aten::slice", "aten::narrow", "aten::unbind"):
        return None
    axis = args[2] if pieces else args[1]
    if not isinstance(axis, int):
        return None
    if axis < 0:
        tape.guard_rank(old, rank)
    before: tuple[Arg, ...] = (("slice", None, None, None),) * (axis % rank)
    match op:
        case "aten::select":
            return (*before, args[2])
        case "aten::unbind":
            return (*before, view.derivation.index)
        case "aten::slice":
            return (*before, ("slice", *args[2:5]))
        case "aten::narrow":
            return (*before, ("slice", args[2], tape.pure("prim::int_add", (args[2], args[3]), INT), None))
    each = args[1]
    if op == "aten::chunk":  # rounded up
        size = tape.pure("prim::size", (old, axis % rank), INT)
        short = tape.pure("prim::int_sub", (each, 1), INT)
        each = tape.pure("prim::int_floordiv", (tape.pure("prim::int_add", (size, short), INT), each), INT)
    start = tape.pure("prim::int_mul", (each, view.derivation.index), INT)
    return (*before, ("slice", start, tape.pure("prim::int_add", (start, each), INT), None))


def _unpermuted(tape: Tape, value: Value, dims: Arg) -> Value:
    assert isinstance(dims, tuple)
    order = [d % len(dims) for d in dims if isinstance(d, int)]
    return tape.emit("aten::permute", (value, tuple(int(i) for i in np.argsort(order))))[0]


def _guard_not_repeated(tape: Tape, view: View, old: Value, value: Value) -> None:
    """An expanded tensor may be written where it repeats nothing: eager PyTorch refuses the others."""
    what = "writes in place through expand, which repeats nothing"
    words = Wording(Froze.BRANCH_ON_SIZE, what, f"{what} {EVERY}; here it repeats", "write to a copy (.clone())")
    before = view.tensor.dim() - view.base.dim()
    for axis in range(view.tensor.dim()):
        size = tape.pure("prim::size", (value, axis), INT)
        wanted: Arg = 1 if axis < before else tape.pure("prim::size", (old, axis - before), INT)
        tape.guard(tape.pure("prim::compare", (size, wanted, "=="), BOOL), True, words)
