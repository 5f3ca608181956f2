"""What the running Python program holds at a guard: two runs that hold the same go on alike, whichever way they came.

A state is nested tuples of plain values and of graph values. It holds the live variables of every frame of the traced
call; None stands for a state that cannot be told.
"""

from __future__ import annotations

import sys
from types import CodeType, FrameType, FunctionType, MethodType
from typing import Any

import torch

from unmoor.capture.bytecode import is_mid_expression, live_variables
from unmoor.capture.numbers import Float, Int, Number
from unmoor.capture.source import current, is_our_file, is_user_file
from unmoor.capture.tracks import Tracks
from unmoor.ir.graph import Value

DEPTH, ITEMS = 5, 128
PLAIN = (bool, int, float, complex, str, bytes, torch.dtype, torch.device, range, slice, type(None), type(...))


class _Unknown(Exception):
    """Something that cannot be compared."""


def python_state(tracks: Tracks, entry: CodeType) -> tuple[object, ...] | None:
    """The state of the traced call, whose frame of ours has the code `entry`; None where it cannot be told."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and not is_user_file(frame.f_code.co_filename):
        frame = frame.f_back
    frames = []
    try:
        while frame is not None and frame.f_code is not entry:
            if not is_our_file(frame.f_code.co_filename):
                frames.append(_frame(frame, tracks))
            frame = frame.f_back
    except _Unknown:
        return None
    return tuple(frames)


def _frame(frame: FrameType, tracks: Tracks) -> object:
    code, index = frame.f_code, current(frame)
    if index < 0 or is_mid_expression(code, index):
        raise _Unknown
    live = live_variables(code, index)
    variables = tuple((n, _token(v, tracks, DEPTH)) for n, v in sorted(frame.f_locals.items()) if n in live)
    return (code.co_filename, code.co_name, code.co_firstlineno, index, variables)


def _token(value: Any, tracks: Tracks, depth: int) -> object:
    if depth == 0:
        raise _Unknown
    if isinstance(value, torch.Tensor):
        track = tracks.known(value)
        if track is None:
            return ("untouched", id(value))
        if track.spoilt is not None or (track.base is not None and track.base.version != track.seen):
            raise _Unknown
        return ("tensor", track.value, None if track.base is None else track.root.value)
    if isinstance(value, (Int, Float)):
        return _number(value.node)
    if isinstance(value, PLAIN):
        return (type(value).__name__, repr(value))
    if isinstance(value, (tuple, list)):
        _check_size(value)
        return (type(value).__name__, *(_token(v, tracks, depth - 1) for v in value))
    if isinstance(value, dict):
        _check_size(value)
        return ("dict", *((_token(k, tracks, depth - 1), _token(v, tracks, depth - 1)) for k, v in value.items()))
    if isinstance(value, torch.nn.Module):
        plain = ((n, v) for n, v in vars(value).items() if n[:1] != "_" and isinstance(v, (*PLAIN, list, tuple, dict)))
        return ("module", id(value), tuple((n, _token(v, tracks, depth - 1)) for n, v in plain))
    if isinstance(value, MethodType):
        return ("method", id(value.__func__), _token(value.__self__, tracks, depth - 1))
    if isinstance(value, FunctionType):
        cells = (c.cell_contents for c in value.__closure__ or ())
        return ("function", id(value.__code__), *(_token(v, tracks, depth - 1) for v in cells))
    held = getattr(value, "__dict__", None)
    if type(held) is dict and not isinstance(value, type):
        _check_size(held)
        return ("instance", id(type(value)), tuple((n, _token(v, tracks, depth - 1)) for n, v in held.items()))
    return ("object", id(value))


def _number(number: Number) -> object:
    """A number by how it was computed: nothing is recorded for it."""
    args = tuple(_number(a) if isinstance(a, Number) else a if isinstance(a, Value) else repr(a) for a in number.args)
    return ("number", number.op, *args)


def _check_size(items: Any) -> None:
    if len(items) > ITEMS:
        raise _Unknown
