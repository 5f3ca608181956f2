"""What the caller does next with a number: whether its next instructions compare it with another number.

`float(t)` must return a real float, so the only way to record `float(t) > 0` as the comparison, and not as equality
with one exact value, is to read the caller's code.
"""

from __future__ import annotations

import builtins
import dis
from dataclasses import dataclass
from types import FrameType

from unmoor.capture.source import current, instructions

_LOADS = ("LOAD_CONST", "LOAD_FAST", "LOAD_GLOBAL", "LOAD_NAME", "LOAD_DEREF")
_MISSING = object()
MIRRORED = {"<": ">", "<=": ">=", ">": "<", ">=": "<=", "==": "==", "!=": "!="}


@dataclass(frozen=True)
class Comparison:
    """`number op other`: what the caller does with the number at once. `index` is the comparing instruction's."""

    op: str
    other: int | float
    index: int


def comparison_after(frame: FrameType, function: str) -> Comparison | None:
    """The comparison that follows the call of the builtin `function` which `frame` is in.

    None where the result is used otherwise, where the other side is no plain number, or where the code is not of
    one of these forms: `f(...) < k`, `k < f(...)`, with k a constant, a variable or a plain attribute of one.
    """
    code = instructions(frame.f_code)
    at = current(frame)
    if at < 0 or not code[at].opname.startswith("CALL"):
        return None
    start = _start_of_expression(code, at)
    if start is None or not _is_builtin(code, start, frame, function):
        return None
    after = _skip(code, at + 1)
    if after < len(code) and code[after].opname == "COMPARE_OP":  # k < f(...)
        return _comparison(code, after, _loaded_before(code, start, frame), mirrored=True)
    value, after = _load(code, after, frame)
    after = _skip(code, after)
    if after < len(code) and code[after].opname == "COMPARE_OP":
        return _comparison(code, after, value, mirrored=False)
    return None


def _comparison(code: tuple[dis.Instruction, ...], at: int, other: object, mirrored: bool) -> Comparison | None:
    op = str(code[at].argval)
    if op not in MIRRORED or type(other) not in (int, float, bool):
        return None
    assert isinstance(other, (int, float))
    return Comparison(MIRRORED[op] if mirrored else op, other, at)


def _skip(code: tuple[dis.Instruction, ...], at: int) -> int:
    while at < len(code) and code[at].opname in ("CACHE", "NOP", "PRECALL", "EXTENDED_ARG"):
        at += 1
    return at


def _start_of_expression(code: tuple[dis.Instruction, ...], call: int) -> int | None:
    """Where the expression that ends in this call begins; None where its code has jumps."""
    needed = 1  # values that the instructions from here on must have put on the stack
    for i in range(call, -1, -1):
        instruction = code[i]
        if "JUMP" in instruction.opname:
            return None
        needed -= dis.stack_effect(instruction.opcode, instruction.arg, jump=False)
        if needed == 0:
            return i
        if needed < 0:
            return None
    return None


def _is_builtin(code: tuple[dis.Instruction, ...], start: int, frame: FrameType, name: str) -> bool:
    for i in (start, start + 1):
        if code[i].opname in ("LOAD_GLOBAL", "LOAD_NAME"):
            return code[i].argval == name and _named(name, frame) is getattr(builtins, name)
    return False


def _named(name: str, frame: FrameType) -> object:
    for scope in (frame.f_locals, frame.f_globals, frame.f_builtins):
        if name in scope:
            return scope[name]
    return _MISSING


def _load(code: tuple[dis.Instruction, ...], at: int, frame: FrameType) -> tuple[object, int]:
    """The value that a simple load at `at` gives, and where the code goes on."""
    if at >= len(code) or code[at].opname not in _LOADS:
        return _MISSING, at
    name = code[at].argval
    value = name if code[at].opname == "LOAD_CONST" else _named(name, frame)
    at = _skip(code, at + 1)
    while at < len(code) and code[at].opname == "LOAD_ATTR":
        held = getattr(value, "__dict__", {})
        value = held.get(code[at].argval, _MISSING) if isinstance(held, dict) else _MISSING
        at = _skip(code, at + 1)
    return value, at


def _loaded_before(code: tuple[dis.Instruction, ...], start: int, frame: FrameType) -> object:
    """The value that the load which ends right before `start` gives."""
    for begin in range(start - 1, max(start - 12, -1), -1):
        if code[begin].opname in _LOADS:
            value, end = _load(code, begin, frame)
            return value if end == start else _MISSING
    return _MISSING
