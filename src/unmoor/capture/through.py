"""Writes through views: the new value of a tensor after a view of it has been written in place."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

from unmoor.capture.draws import DROPOUTS
from unmoor.capture.refusals import refuse
from unmoor.capture.tape import Tape
from unmoor.capture.wording import Wording
from unmoor.ir.graph import Arg, Value
from unmoor.ir.recording import EVERY, Froze
from unmoor.ir.types import BOOL, INT

SAME = DROPOUTS | {
    "aten::detach", "aten::alias", "aten::contiguous", "aten::to", "aten::positive", "aten::real"
}  # fmt: skip
SWAPPED = frozenset(
    ("aten::t", "aten::transpose", "aten::numpy_T", "aten::mT", "aten::mH", "aten::swapaxes", "aten::swapdims")
)
REPEATED = frozenset(("aten::expand", "aten::expand_as", "aten::broadcast_to"))
RESHAPED = frozenset(
    ("aten::view", "aten::view_as", "aten::reshape", "aten::flatten", "aten::unflatten", "aten::unsqueeze",
     "aten::squeeze", "aten::ravel", "aten::reshape_as", "aten::atleast_1d", "aten::atleast_2d", "aten::atleast_3d")
)  # fmt: skip
# Views that show each element of their base once at most: where they are put is asked of the op itself.
PLACED = frozenset(
    ("aten::tensor_split", "aten::hsplit", "aten::vsplit", "aten::dsplit", "aten::linalg_diagonal", "aten::einsum",
     "aten::unfold", "aten::split_with_sizes")
)  # fmt: skip


@dataclass(frozen=True)
class Derivation:
    """How a view came from its base: the op, its arguments, which of its outputs it is, and where the base stands.

    `indices` are the tensors that it was indexed by: it is a view where all of them are single integers.
    """

    op: str
    args: tuple[Arg, ...]
    index: int = 0
    count: int = 1
    at: int = 0  # the argument that is the base, or holds it alone
    indices: tuple[tuple[Value, torch.Tensor], ...] = ()

    def of(self, tape: Tape, base: Value) -> Value:
        """The view of another value of the base."""
        given: Arg = (base,) if isinstance(self.args[self.at], tuple) else base
        return tape.emit(self.op, (*self.args[: self.at], given, *self.args[self.at + 1 :]), self.count)[self.index]


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
    if op in PLACED:
        if op == "aten::unfold":
            _guard_apart(tape, view, value)
        return _put_in_place(tape, view, old, value)
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


def _put_in_place(tape: Tape, view: View, old: Value, value: Value) -> Value:
    """The elements of the view where the same view of all places says that they lie."""
    rank = view.base.dim()
    tape.guard_rank(old, rank)
    sizes = tuple(tape.pure("prim::size", (old, axis), INT) for axis in range(rank))
    count: Arg = 1
    for size in sizes:
        count = tape.pure("prim::int_mul", (count, size), INT)
    (places,) = tape.emit("aten::arange", (0, count, 1, None))
    shown = view.derivation.of(tape, tape.emit("aten::reshape", (places, sizes))[0])
    flat, at, given = (tape.emit("aten::reshape", (v, (-1,)))[0] for v in (old, shown, value))
    (made,) = tape.emit("unmoor::setitem", (flat, (at,), given))
    return tape.emit("aten::reshape", (made, sizes))[0]


def _guard_apart(tape: Tape, view: View, value: Value) -> None:
    """Windows may be written where no two of them overlap: what else a write does, PyTorch leaves open."""
    _, axis, size, step = view.derivation.args
    if isinstance(size, int) and isinstance(step, int) and size <= step:
        return
    if not isinstance(axis, int) or view.tensor.size(axis if axis >= 0 else axis - 1) > 1:
        raise refuse(
            tape.where(),
            "an in-place write through windows of a tensor that overlap: what it does to elements of several windows, "
            "PyTorch leaves open",
            "write to a copy (.clone())",
        )
    rank = view.base.dim()
    count = tape.pure("prim::size", (value, axis % max(rank, 1)), INT)
    what = "writes in place through windows that do not overlap"
    words = Wording(Froze.BRANCH_ON_SIZE, what, f"{what} {EVERY}; here they do", "write to a copy (.clone())")
    tape.guard(tape.pure("prim::compare", (count, 1, "<="), BOOL), True, words)


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
