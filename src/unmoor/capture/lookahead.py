"""What the caller does next with a number or a condition: whether it compares the one, and whether the other matters.

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


def makes_no_difference(frame: FrameType | None) -> bool:
    """Whether the comparison that a frame makes now leads to the same, be it true or false.

    `n > 1 and mask is None` is False for every n where there is a mask. Both ways are followed, through jumps and tests
    of plain values, as far as nothing but the frame's own stack changes; they must come to one place with equal stacks.
    """
    if frame is None:
        return False
    code, at = instructions(frame.f_code), current(frame)
    if at < 0 or code[at].opname != "COMPARE_OP":
        return False
    ways = [_follow(code, at + 1, held, frame) for held in (True, False)]
    (first, one), (second, other) = ways
    return first == second and len(one) == len(other) and all(map(_identical, one, other))


def _identical(a: object, b: object) -> bool:
    return a is b or (type(a) is type(b) and type(a) in (int, str) and a == b)


def _follow(code: tuple[dis.Instruction, ...], at: int, held: bool, frame: FrameType) -> tuple[int, list[object]]:
    """Where the frame gets without doing anything, and what is then on its stack, above what was there."""
    held_values: list[object] = [held]
    places = {instruction.offset: n for n, instruction in enumerate(code)}
    for _ in range(_FAR):
        if at >= len(code):
            break
        name, argument = code[at].opname, code[at].argval
        top = held_values[-1] if held_values else _MISSING
        if name in _LOADS:
            value = argument if name == "LOAD_CONST" else _named(argument, frame)
            if value is _MISSING or (name == "LOAD_GLOBAL" and (code[at].arg or 0) & 1):  # the latter calls it
                break
            held_values.append(value)
        elif name == "IS_OP" and len(held_values) > 1:
            is_it = held_values[-2] is held_values[-1]
            held_values[-2:] = [is_it is not bool(code[at].arg)]
        elif name in ("UNARY_NOT", "TO_BOOL") and type(top) in _PLAIN:
            held_values[-1] = not top if name == "UNARY_NOT" else bool(top)
        elif name == "POP_TOP" and held_values:
            held_values.pop()
        elif name == "COPY" and argument == 1 and held_values:
            held_values.append(top)
        elif "JUMP" in name and "BACKWARD" not in name:
            jumps = _jumps(name, top)
            if jumps is None:
                break
            keeps = "OR_POP" in name and jumps
            if name not in ("JUMP_FORWARD",) and not keeps:
                held_values.pop()
            at = places[argument] - 1 if jumps else at
        elif name not in _NOTHING:
            break
        at += 1
    return at, held_values


def _jumps(name: str, top: object) -> bool | None:
    """Whether a jump is taken with this value on the stack; None where that cannot be told."""
    if name == "JUMP_FORWARD":
        return True
    if top is _MISSING:
        return None
    if name.endswith("NONE"):
        return (top is None) is not name.endswith("NOT_NONE")
    if type(top) not in _PLAIN:
        return None
    return bool(top) is ("IF_TRUE" in name)


_PLAIN = (bool, int, str, type(None))
_NOTHING = ("CACHE", "NOP", "EXTENDED_ARG", "RESUME", "NOT_TAKEN")
_FAR = 64  # instructions


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
            loaded = _named(code[i].argval, frame)
            return getattr(loaded, "stands_for", loaded) is getattr(builtins, name)
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
