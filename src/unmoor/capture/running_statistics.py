"""Batch and instance norm in training mode: by the statistics of what they are given, which the running ones follow."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from unmoor.capture.numbers import Int
from unmoor.capture.wording import statistics
from unmoor.ir.graph import Value
from unmoor.ir.types import BOOL

if TYPE_CHECKING:
    from unmoor.capture.recorder import Recorder

Bound = dict[str, Any]


def batch_norm(r: Recorder, bound: Bound, run: Callable[[], torch.Tensor]) -> torch.Tensor:
    """Statistics of each channel, over the batch and all places."""
    x, rank = _checked(r, bound, "batch norm")
    axes = tuple(a for a in range(rank) if a != 1)
    data = r.argument(x)
    result = run()
    emit = r.tape.emit
    (of_batch,) = emit("aten::mean", (data, axes, False, None))
    (spread,) = emit("aten::var", (data, axes, 0, False))
    rest = (False, bound["momentum"], bound["eps"], False)
    given = (data, r.argument(bound["weight"]), r.argument(bound["bias"]), of_batch, spread)
    (value,) = emit("aten::batch_norm", (*given, *map(r.argument, rest)))
    r.tracks.add(result, value, "computed")
    _follow(r, bound, lambda: of_batch, lambda: emit("aten::var", (data, axes, 1, False))[0])
    return result


def instance_norm(r: Recorder, bound: Bound, run: Callable[[], torch.Tensor]) -> torch.Tensor:
    """Statistics of each channel of each example, over its places; the running ones follow their means."""
    x, rank = _checked(r, bound, "instance norm")
    places = tuple(range(2, rank))
    data = r.argument(x)
    result = run()
    emit = r.tape.emit
    rest = (True, bound["momentum"], bound["eps"], False)
    given = (data, r.argument(bound["weight"]), r.argument(bound["bias"]), None, None)
    (value,) = emit("aten::instance_norm", (*given, *map(r.argument, rest)))
    r.tracks.add(result, value, "computed")

    def mean_of(each: Value) -> Value:
        return emit("aten::mean", (each, (0,), False, None))[0]

    _follow(
        r,
        bound,
        lambda: mean_of(emit("aten::mean", (data, places, False, None))[0]),
        lambda: mean_of(emit("aten::var", (data, places, 1, False))[0]),
    )
    return result


def _checked(r: Recorder, bound: Bound, name: str) -> tuple[torch.Tensor, int]:
    """The input and its rank, where a trace can hold this."""
    x: torch.Tensor = bound["input"]
    rank = r.rank(x, x.dim())
    if x.dtype in (torch.float16, torch.bfloat16):
        raise r.refusal(f"{name} of half floats in training mode is not supported", "convert it with .float()")
    for tensor in (bound["running_mean"], bound["running_var"]):
        if tensor is not None:
            r.tracks.check_writable(r.tracks.of(tensor), f"{name} in training mode")
            if tensor.dtype != x.dtype:
                raise r.refusal(f"{name} in training mode wants input and statistics of one dtype")
    _demand_elements(r, x, tuple(a for a in range(rank) if a != 1))
    return x, rank


def _demand_elements(r: Recorder, x: torch.Tensor, axes: tuple[int, ...]) -> None:
    """A guard: the axes have elements, of which statistics can be taken."""
    count = math.prod((r.size(x, a, x.size(a)) for a in axes), start=1)
    if isinstance(count, Int):
        condition = r.tape.pure("prim::compare", (count.node.value, 0, ">"), BOOL)
        r.tape.guard(condition, True, statistics())


def _follow(r: Recorder, bound: Bound, mean: Callable[[], Value], spread: Callable[[], Value]) -> None:
    """The running statistics move towards the recent ones, by the momentum."""
    momentum, emit = bound["momentum"], r.tape.emit
    for tensor, recent in ((bound["running_mean"], mean), (bound["running_var"], spread)):
        if tensor is None:
            continue
        track = r.tracks.of(tensor)
        (kept,) = emit("aten::mul", (r.tracks.read(track), r.argument(1 - momentum)))
        (added,) = emit("aten::mul", (recent(), r.argument(momentum)))
        r.tracks.write(track, emit("aten::add", (kept, added, 1))[0])
