"""torch.cond, while_loop, scan and map while tracing: branches and loops of the graph, with every path kept.

The functions that the program hands over run here under the recorder, on real tensors: both sides of a branch,
whichever is taken, and every turn of a loop, of which the first becomes the loop's block. Torch's compiler, to which
eager PyTorch hands such functions, has no part in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

import torch

from unmoor.capture.blocks import (
    Given,
    Loop,
    RandomState,
    condition,
    given,
    is_alike,
    not_chosen,
    number_type,
    plain,
    shown,
    stand_in,
)
from unmoor.capture.numbers import Float, Int
from unmoor.capture.recorder import Recorder
from unmoor.capture.torch_private import tree_flatten, tree_unflatten
from unmoor.capture.wording import rows_needed
from unmoor.errors import UnmoorError
from unmoor.ir.graph import Arg, Block, Node, Value
from unmoor.ir.types import BOOL

Function = Callable[..., Any]
_originals: dict[str, Function] = {}


# -- branches -------------------------------------------------------------------------------------
def cond(r: Recorder, pred: Any, true_fn: Function, false_fn: Function, operands: Any = ()) -> Any:
    """torch.cond: an If with both functions as its blocks; of a number, plainly the function that it chooses."""
    if isinstance(pred, (bool, int, float)):
        return r.aloud(true_fn if pred else false_fn, *operands)
    if not isinstance(pred, torch.Tensor) or pred.numel() != 1:
        raise RuntimeError(f"Expected pred to be bool or single-element tensor, but got {pred}.")
    if not callable(true_fn) or not callable(false_fn):
        raise RuntimeError("Expect both branches to be callable.")
    leaves, _ = tree_flatten(operands)
    if not isinstance(operands, (tuple, list)) or not all(isinstance(leaf, torch.Tensor) for leaf in leaves):
        raise RuntimeError(
            "Expect operands to be a tuple of possibly nested dict/list/tuple that only consists of tensor leaves, but "
            f"got {operands}."
        )
    taken = bool(pred)
    decides = r.tape.pure("prim::truth", (r.argument(pred),), BOOL)
    before = RandomState(r)
    sides, blocks, after = [], [], []
    for function in (true_fn, false_fn):
        before.restore(r)
        nodes: list[Node] = []
        chosen = function is (true_fn if taken else false_fn)
        try:
            with r.block(nodes):
                sides.append(given(r, r.aloud(function, *operands)))
        except Exception as error:
            if chosen or isinstance(error, UnmoorError):
                raise
            raise not_chosen(r, "torch.cond", error) from error
        blocks.append(nodes)
        after.append(RandomState(r))
    after[0 if taken else 1].restore(r)
    joined = _Joined(r, sides, taken)
    joined.draws(before, after, blocks)
    made = tuple(Block((), tuple(n), tuple(x)) for n, x in zip(blocks, joined.results, strict=True))
    r.tape.nodes.append(Node("prim::If", (decides,), tuple(joined.outputs), r.tape.where(), made))
    return tree_unflatten(joined.leaves, sides[0].form)


class _Joined:
    """What an If gives: for each leaf of its functions' results, one that stands for both."""

    def __init__(self, r: Recorder, sides: Sequence[Given], taken: bool) -> None:
        self.r = r
        self.outputs: list[Value] = []
        self.results: tuple[list[Arg], list[Arg]] = ([], [])
        first, second = sides
        if first.form != second.form:
            raise r.refusal("the functions of torch.cond give results of different structure", "give the same of both")
        chosen = first if taken else second
        self.leaves = [self._leaf(k, first, second, chosen) for k in range(len(first.leaves))]

    def _output(self, a: Arg, b: Arg, value: Value) -> Value:
        self.outputs.append(value)
        self.results[0].append(a)
        self.results[1].append(b)
        return value

    def _leaf(self, k: int, first: Given, second: Given, chosen: Given) -> Any:
        r, a, b = self.r, first.leaves[k], second.leaves[k]
        if not is_alike(a, b):
            raise r.refusal(
                f"the functions of torch.cond give {shown(a)} and {shown(b)}",
                "what follows needs one type and size: make them alike",
            )
        if isinstance(a, torch.Tensor):
            value = self._output(first.args[k], second.args[k], r.tape.value())
            made = stand_in(r, chosen.leaves[k], value)
            self._freeze(made, [g.shared[k] for g in (first, second)])
            return made
        symbolic = any(isinstance(leaf, (Int, Float)) for leaf in (a, b))
        if not symbolic and repr(a) == repr(b):
            return a
        if not isinstance(a, (int, float)) or isinstance(a, bool):
            raise r.refusal(
                f"the functions of torch.cond give {a!r} and {b!r}", "give a tensor where the two sides differ"
            )
        value = self._output(first.args[k], second.args[k], r.tape.value(type_=number_type(plain(a))))
        return stand_in(r, chosen.leaves[k], value)

    def _freeze(self, made: torch.Tensor, shared: list[Any]) -> None:
        """Where a function hands on a tensor from outside, or one twice, none of them may be written from here on."""
        tracks = [track for track in shared if track is not None]
        if not tracks:
            return
        why = self.r.refusal(
            "torch.cond may give a tensor from outside of its functions, a view of one, or the same tensor twice: when "
            "one of them is changed in place later, it shows in the others on some paths only",
            "let the function return a clone",
        )
        for track in (self.r.tracks.of(made), *tracks):
            track.frozen = track.frozen or why

    def draws(self, before: RandomState, after: list[RandomState], blocks: list[list[Node]]) -> None:
        """Behind the branch, draws count as on the side that made more; one with a drawing loop gives the generator."""
        r = self.r
        r.draws = max(a.draws for a in after) if all(a.generator is before.generator for a in after) else r.draws
        if r.generator is None or before.generator is None or all(a.generator is before.generator for a in after):
            return
        ends: list[Value] = []
        for state, nodes in zip(after, blocks, strict=True):
            assert state.generator is not None
            with r.tape.block(nodes):
                ends.append(r.counted(state.generator, state.draws))
        r.generator.value, r.draws = self._output(ends[0], ends[1], r.tape.value("random")), 0
        r.generator.version += 1


# -- loops ----------------------------------------------------------------------------------------
def while_loop(r: Recorder, cond_fn: Function, body_fn: Function, carried_inputs: Any) -> Any:
    """torch.while_loop: a Loop with a condition."""
    if not callable(cond_fn) or not callable(body_fn):
        raise RuntimeError("Expect cond_fn and body_fn to be callable.")
    leaves, form = tree_flatten(carried_inputs)
    whole = all(isinstance(v, torch.Tensor) or (isinstance(v, int) and not isinstance(v, bool)) for v in leaves)
    if not isinstance(carried_inputs, (tuple, list)) or not whole:
        raise RuntimeError(
            "Expect carried_inputs to be a tuple of possibly nested dict/list/tuple that only consists of tensor or "
            f"int leaves, but got {carried_inputs}."
        )

    def ask(carried: Any) -> Any:
        r.guards.deferred = True
        try:
            return r.aloud(cond_fn, *carried)
        finally:
            r.guards.deferred = False

    def turn(carried: Sequence[Any], rows: Sequence[Any]) -> tuple[Any, Any, Any]:
        onward = r.aloud(body_fn, *tree_unflatten(list(carried), form))
        made, _ = tree_flatten(onward)
        loop._check(carried, made)
        return ask(tree_unflatten(made, form)), onward, ()

    loop = Loop(r, "torch.while_loop", turn)
    again, (start,) = condition(r, ask(carried_inputs))
    now = [plain(leaf) for leaf in leaves]
    if not again:  # what a turn would do is recorded all the same
        before = RandomState(r)
        try:
            loop.turn(now, ())
        except Exception as error:
            if isinstance(error, UnmoorError):
                raise
            raise not_chosen(r, "torch.while_loop", error) from error
        before.restore(r)
    while again:
        again, now = loop.turn(now, ())
    outputs, _ = loop.emit(None, start, False, leaves, ())
    made = [stand_in(r, leaf, value) for leaf, value in zip(now, outputs, strict=True)]
    return tree_unflatten(made, loop.forms[0])


def scan(r: Recorder, combine_fn: Function, init: Any, xs: Any, *, dim: int = 0, reverse: bool = False) -> Any:
    """torch's scan: a Loop over rows."""
    initial, init_form = tree_flatten(init)
    given_xs, xs_form = tree_flatten(xs)
    if not given_xs:
        return init, []
    if not callable(combine_fn):
        raise RuntimeError(f"Combine_fn must be a callable, but got {combine_fn}")
    if not initial or not all(isinstance(v, torch.Tensor) for v in (*initial, *given_xs)):
        raise RuntimeError("scan() operator requires init leaves, and all leaves must be tensors.")
    axis = dim if dim >= 0 else dim + r.rank(given_xs[0], given_xs[0].dim())
    if any(x.dim() <= axis or axis < 0 for x in given_xs):
        raise RuntimeError("All xs leaves must at least have 'dim' number of dimensions and scan dimension > 0")
    moved = [x if axis == 0 else r.aloud(torch.movedim, x, axis, 0) for x in given_xs]

    def turn(carried: Sequence[Any], rows: Sequence[Any]) -> tuple[Any, Any, Any]:
        result = r.aloud(combine_fn, tree_unflatten(list(carried), init_form), tree_unflatten(list(rows), xs_form))
        if not isinstance(result, (tuple, list)) or len(result) != 2:
            raise RuntimeError("combine_fn of scan must return what is carried on, and an output")
        return None, *result

    loop = Loop(r, "scan", turn)
    carried, stacks = _over_rows(r, loop, initial, moved, reverse)
    back = [_moved_back(r, stack, axis) for stack in stacks]
    return tree_unflatten(carried, loop.forms[0]), tree_unflatten(back, loop.forms[1])


def _moved_back(r: Recorder, stack: Any, axis: int) -> Any:
    if stack is None or axis == 0 or axis >= stack.dim():
        return stack
    return r.aloud(torch.movedim, stack, 0, axis)


def map_rows(r: Recorder, f: Function, xs: Any, *args: Any) -> Any:
    """torch's map: a Loop over rows that carries nothing."""
    leaves, form = tree_flatten(xs)
    if not leaves or not all(isinstance(x, torch.Tensor) for x in leaves):
        raise RuntimeError(f"Mapped xs can only consist of tensors. Got xs {leaves}.")

    def turn(carried: Sequence[Any], rows: Sequence[Any]) -> tuple[Any, Any, Any]:
        return None, (), r.aloud(f, tree_unflatten(list(rows), form), *args)

    loop = Loop(r, "map", turn)
    _, stacks = _over_rows(r, loop, [], leaves, False)
    return tree_unflatten(stacks, loop.forms[1])


def _over_rows(
    r: Recorder, loop: Loop, initial: list[Any], xs: list[torch.Tensor], backward: bool
) -> tuple[list[Any], list[Any]]:
    """Runs and records a loop over the rows of tensors: what is carried out of it, and the rows of all turns."""
    count = xs[0].size(0) if xs[0].dim() else 0
    if not count or any(x.size(0) != count for x in xs):
        raise RuntimeError(f"{loop.name}: the tensors must have the same number of rows, and at least one")
    turns = r.size(xs[0], 0, count)
    if isinstance(turns, Int):
        has_rows = r.tape.pure("prim::compare", (turns.node.value, 0, ">"), BOOL)
        r.tape.guard(has_rows, True, rows_needed(loop.name))
    now = list(initial)
    for place in reversed(range(count)) if backward else range(count):
        _, now = loop.turn(now, [x.select(0, place) for x in xs])
    outputs, stacks = loop.emit(r.argument(turns), None, backward, initial, xs)
    carried = [stand_in(r, leaf, value) for leaf, value in zip(now, outputs, strict=True)]
    rows = loop.rows[::-1] if backward else loop.rows
    made: list[Any] = []
    for column in zip(*rows, strict=True):
        if column[0] is None:
            made.append(None)
        elif isinstance(column[0], torch.Tensor):
            made.append(stand_in(r, torch.stack(list(column)), stacks.pop(0)))
        else:
            raise r.refusal(f"the function of {loop.name} gives {shown(column[0])} as a row", "give a tensor")
    return carried, made


# -- what torch's functions become ----------------------------------------------------------------
def _cond(pred, true_fn, false_fn, operands=()):  # type: ignore[no-untyped-def]
    from unmoor.capture.control import enter

    return enter("cond", pred, true_fn, false_fn, operands)


def _while_loop(cond_fn, body_fn, carried_inputs):  # type: ignore[no-untyped-def]
    from unmoor.capture.control import enter

    return enter("while_loop", cond_fn, body_fn, carried_inputs)


def _scan(combine_fn, init, xs, *, dim=0, reverse=False):  # type: ignore[no-untyped-def]
    from unmoor.capture.control import enter

    return enter("scan", combine_fn, init, xs, dim=dim, reverse=reverse)


def _map(f, xs, *args):  # type: ignore[no-untyped-def]
    from unmoor.capture.control import enter

    return enter("map", f, xs, *args)


_HANDLERS: dict[str, tuple[FunctionType, Function]] = {
    "cond": (_cond, cond),  # type: ignore[dict-item]
    "while_loop": (_while_loop, while_loop),  # type: ignore[dict-item]
    "scan": (_scan, scan),  # type: ignore[dict-item]
    "map": (_map, map_rows),  # type: ignore[dict-item]
}


def enter(name: str, *args: Any, **kwargs: Any) -> Any:
    """A call of one of torch's functions while some thread traces."""
    from unmoor.capture.methods import active

    recorder = active()
    if recorder is None:
        return _originals[name](*args, **kwargs)
    with recorder.silence():
        return _HANDLERS[name][1](recorder, *args, **kwargs)


def intercept(name: str, function: FunctionType) -> Callable[[], None]:
    """Makes calls of a function of torch come here, by whatever name the program holds it; returns how to undo that.

    Its code is replaced by one with the same parameters. Where torch's parameters are not those that we know, it stays,
    and the operator that it leads to is refused by name.
    """
    entry, code = _HANDLERS[name][0], function.__code__
    if code.co_freevars or _parameters(entry) != _parameters(function):
        return lambda: None
    original = FunctionType(code, function.__globals__, function.__name__, function.__defaults__)
    original.__kwdefaults__ = function.__kwdefaults__
    _originals[name] = original
    function.__code__ = entry.__code__

    def undo() -> None:
        function.__code__ = code

    return undo


def _parameters(function: FunctionType) -> tuple[object, ...]:
    code = function.__code__
    count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 4) + bool(code.co_flags & 8)
    return code.co_argcount, code.co_posonlyargcount, code.co_kwonlyargcount, code.co_varnames[:count]
