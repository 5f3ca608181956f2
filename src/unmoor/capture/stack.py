"""The values on a frame's stack, which Python does not show: iterators of loops, half of an expression.

CPython keeps them behind the frame's variables, in the same place from 3.11 to 3.13; a trial tells whether it does.
Only what lies below the operands of the running instruction is read: that the frame owns.
"""

from __future__ import annotations

import ctypes
import sys
from functools import cache, lru_cache
from types import CodeType, FrameType
from typing import Any

from unmoor.capture.bytecode import depths, operands
from unmoor.capture.source import current, instructions

_FRAME, _PREVIOUS, _ENTRY, _VARIABLES = 24, 8, 68, 72  # offsets in PyFrameObject, and in what it points to
NOTHING = object()  # an empty place


def stack(frame: FrameType, with_operands: bool = False) -> list[Any] | None:
    """What lies below the operands of the running instruction, the oldest first; None where that cannot be told.

    `with_operands` where the instruction is known to hold on to those.
    """
    return _read(frame, with_operands) if _works() else None


def _read(frame: FrameType, with_operands: bool) -> list[Any] | None:
    code, index = frame.f_code, current(frame)
    depth = depths(code).get(index)
    if depth is None:
        return None
    listing = instructions(code)
    if not with_operands:
        count = depth - operands(listing[index])
    elif index and listing[index - 1].opname == "PRECALL":  # to dis, this has taken the arguments away
        count = depths(code)[index - 1]
    else:
        count = depth
    if count <= 0:
        return []
    base = _inner(frame) + _VARIABLES + 8 * _variables(code)
    found = []
    for k in range(count):
        address = ctypes.c_void_p.from_address(base + 8 * k).value
        found.append(NOTHING if not address else ctypes.cast(address, ctypes.py_object).value)
    return found


def called_by_c(frame: FrameType, caller: FrameType) -> bool:
    """Whether a frame was entered from C code, and not straight from its caller's."""
    if not _works():
        return True
    if sys.version_info < (3, 12):
        return bool(ctypes.c_byte.from_address(_inner(frame) + _ENTRY).value)
    return ctypes.c_void_p.from_address(_inner(frame) + _PREVIOUS).value != _inner(caller)


def _inner(frame: FrameType) -> int:
    return int(ctypes.c_void_p.from_address(id(frame) + _FRAME).value or 0)


@lru_cache(maxsize=4096)
def _variables(code: CodeType) -> int:
    return len(code.co_varnames) + sum(c not in code.co_varnames for c in code.co_cellvars) + len(code.co_freevars)


@cache
def _works() -> bool:
    if sys.implementation.name != "cpython" or not (3, 11) <= sys.version_info[:2] <= (3, 13):
        return False
    found: list[Any] = []

    def look(mark: object) -> object:
        frame = sys._getframe(1)
        found.append(_read(frame, False))
        return mark

    def trial(one: object, other: object) -> object:
        unseen = object()
        for item in (one, other):
            pair = [item, unseen, look(other)]
        return pair

    one, other = object(), object()
    trial(one, other)
    if len(found) != 2 or any(f is None or len(f) != 3 for f in found):
        return False
    return all(f[1] is item for f, item in zip(found, (one, other), strict=True)) and found[0][2] is found[1][2]
