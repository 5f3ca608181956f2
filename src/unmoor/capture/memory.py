"""Memory: strides as expressions of sizes, and `as_strided` as a read of a tensor that fills its memory.

A graph's tensors have no strides: its elements lie in row-major order. What the program learns of strides holds where
the tensors of a call lie in memory as the traced ones did, which guards see to (unmoor.capture.layout).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from unmoor.capture.draws import DROPOUTS
from unmoor.capture.torch_private import OpOverload, storage_of
from unmoor.capture.tracks import Track
from unmoor.ir.graph import Arg

if TYPE_CHECKING:
    from unmoor.capture.recorder import Recorder

# Views that begin where their base does.
FROM_THE_START = DROPOUTS | frozenset(
    f"aten::{name}"
    for name in (
        "view", "reshape", "flatten", "unflatten", "unsqueeze", "squeeze", "transpose", "permute", "t", "mT",
        "numpy_T", "expand", "expand_as", "contiguous", "to", "detach", "alias", "ravel",
        "reshape_as",
    )
)  # fmt: skip


def order_of(sizes: tuple[int, ...], strides: tuple[int, ...]) -> tuple[int, ...] | None:
    """The axes from the outermost in memory to the innermost; None where elements overlap or leave gaps."""
    natural = tuple(range(len(sizes)))
    for order in (natural, tuple(sorted(natural, key=lambda a: -strides[a]))):
        step, dense = 1, True
        for axis in reversed(order):
            dense = dense and strides[axis] == step
            step *= sizes[axis]
        if dense:
            return order
    return None


class _Places:
    """The places of a tensor's elements, as NumPy compares them."""

    def __init__(self, tensor: torch.Tensor) -> None:
        size = tensor.element_size()
        self.shape = tuple(torch.Tensor.size(tensor))
        steps = tuple(s * size for s in torch.Tensor.stride(tensor))
        first = torch.Tensor.storage_offset(tensor) * size + 8  # of memory that is never read; 0 would be none
        self.__array_interface__ = {
            "version": 3,
            "typestr": f"|V{size}",
            "shape": self.shape,
            "strides": steps,
            "data": (first, True),
        }


_EFFORT = 100_000  # of a question of places: what takes more counts as shared


def crossing(a: torch.Tensor, b: torch.Tensor) -> bool:
    """Whether two tensors have elements in common, and not each one at the same index."""
    if storage_of(a) != storage_of(b):
        return False
    here, there = _Places(a), _Places(b)
    if here.__array_interface__ == there.__array_interface__ or 0 in (*here.shape, *there.shape):
        return False
    try:
        return np.shares_memory(np.asarray(here), np.asarray(there), max_work=_EFFORT)  # type: ignore[arg-type]
    except np.exceptions.TooHardError:
        return True


def _layout(tensor: torch.Tensor) -> tuple[int, ...] | None:
    return order_of(tuple(torch.Tensor.size(tensor)), tuple(torch.Tensor.stride(tensor)))


def strides(recorder: Recorder, tensor: torch.Tensor) -> tuple[Any, ...]:
    """The tensor's strides: products of its sizes where it is dense, else numbers, with sizes pinned."""
    real = tuple(torch.Tensor.stride(tensor))
    track = recorder.tracks.of(tensor)
    if track.fixed:
        return real
    recorder.layout.settle(track)
    recorder.rank(tensor, len(real))
    order = _layout(tensor)
    if order is None:
        for one in (track, track.root):
            sizes = tuple(torch.Tensor.size(one.tensor))
            recorder.rank(one.tensor, len(sizes))
            for axis, size in enumerate(sizes):
                recorder.guards.equal(recorder.size(one.tensor, axis, size).node)
        return real
    out: list[Any] = [1] * len(real)
    step: Any = 1
    for axis in reversed(order):
        out[axis] = step
        step = step * recorder.size(tensor, axis, torch.Tensor.size(tensor, axis))
    return tuple(out)


def as_strided(recorder: Recorder, func: OpOverload, bound: dict[str, Any]) -> Any:
    """Recorded as a read of the tensor that fills the memory, row by row."""
    x, offset = bound["self"], bound["storage_offset"]
    track = recorder.tracks.of(x)
    whole = _filling(track)
    begins = offset is not None or (x.storage_offset() == 0 and _from_the_start(track, whole))
    order = None if whole is None else _layout(whole.tensor)
    if whole is None or order is None or not begins or (whole.kind == "input" and order != tuple(range(len(order)))):
        raise recorder.refusal(
            "as_strided is supported of tensors that fill their memory, and of views from their beginning",
            "put .contiguous() before it, or use unfold or slices",
        )
    if not whole.fixed:
        recorder.layout.settle(whole)
    source = whole.tensor
    if order != tuple(range(len(order))):
        turned = source.permute(order)
        recorded: tuple[Arg, ...] = (recorder.tracks.read(whole), order)
        source = recorder.record("aten::permute", recorded, [source, list(order)], turned, aliases=True)
    ours = [source, bound["size"], bound["stride"], 0 if offset is None else offset]
    arguments = tuple(recorder.argument(a) for a in ours)
    result = recorder.run(func, (x, bound["size"], bound["stride"], offset), {})
    return recorder.record("aten::as_strided", arguments, ours, result, aliases=True)


def _filling(track: Track) -> Track | None:
    """The tensor, or the nearest that it is a view of, that fills its memory from the first element to the last."""
    while True:
        tensor = track.tensor
        count = torch.Tensor.numel(tensor)
        memory = torch.Tensor.untyped_storage(tensor).nbytes()
        if _layout(tensor) is not None and tensor.storage_offset() == 0 and memory == count * tensor.element_size():
            return track
        if track.base is None:
            return None
        track = track.base


def _from_the_start(track: Track, whole: Track | None) -> bool:
    """Whether a view begins where the tensor that fills the memory does, whatever the sizes are."""
    while track is not whole:
        if track.base is None or track.derivation is None or track.derivation.op not in FROM_THE_START:
            return False
        track = track.base
    return True
