"""What a frame still holds: which of its variables are read later, and how deep its stack is."""

from __future__ import annotations

import dis
from functools import lru_cache
from types import CodeType

from unmoor.capture.source import instructions

LOADS, STORES = ("LOAD_FAST", "LOAD_FAST_CHECK", "LOAD_FAST_AND_CLEAR"), ("STORE_FAST", "DELETE_FAST")
ENDS = ("RETURN_VALUE", "RETURN_CONST", "RAISE_VARARGS", "RERAISE")
ALWAYS = ("JUMP_FORWARD", "JUMP_BACKWARD", "JUMP_BACKWARD_NO_INTERRUPT")


@lru_cache(maxsize=1024)
def live_variables(code: CodeType, index: int) -> frozenset[str]:
    """The local variables that may be read once the instruction at `index` has run; closure variables always."""
    always = frozenset((*code.co_cellvars, *code.co_freevars))
    if getattr(code, "co_exceptiontable", b""):  # a handler may read anything
        return always | {str(i.argval) for i in instructions(code) if i.opname in LOADS}
    live = _live(code)
    return always | frozenset().union(*(live[n] for n in _next(code, index)))


@lru_cache(maxsize=256)
def _live(code: CodeType) -> tuple[frozenset[str], ...]:
    listing = instructions(code)
    live: list[frozenset[str]] = [frozenset()] * (len(listing) + 1)
    changed = True
    while changed:
        changed = False
        for at in range(len(listing) - 1, -1, -1):
            before = _before(listing[at], frozenset().union(*(live[n] for n in _next(code, at))))
            changed = changed or before != live[at]
            live[at] = before
    return tuple(live)


def _before(instruction: dis.Instruction, after: frozenset[str]) -> frozenset[str]:
    if instruction.opname in LOADS:
        return after | {str(instruction.argval)}
    return after - {str(instruction.argval)} if instruction.opname in STORES else after


@lru_cache(maxsize=256)
def depths(code: CodeType) -> dict[int, int]:
    """How many values the stack holds before each instruction that can be reached without an exception."""
    listing = instructions(code)
    found: dict[int, int] = {}
    waiting = [(0, 0)]
    while waiting:
        at, depth = waiting.pop()
        if at in found or at >= len(listing):
            continue
        found[at] = depth
        instruction, target = listing[at], _target(code, at)
        if instruction.opname == "RETURN_GENERATOR":  # the generator is what the caller gets; the body goes on
            depth -= 1
        if target is not None:
            effect = dis.stack_effect(instruction.opcode, instruction.arg, jump=True)
            waiting.append((target, depth + effect))
        if instruction.opname not in (*ALWAYS, *ENDS):
            effect = dis.stack_effect(instruction.opcode, instruction.arg, jump=False)
            waiting.append((at + 1, depth + effect))
    return found


def operands(instruction: dis.Instruction) -> int:
    """How many values of the stack an instruction takes."""
    if "JUMP" in instruction.opname:
        return 1
    return max(1, 1 - dis.stack_effect(instruction.opcode, instruction.arg, jump=False))


@lru_cache(maxsize=8192)
def asks_identity(code: CodeType) -> bool:
    """Whether code asks `a is b`, or `a in b`, of anything but a constant: an object may be known by its identity."""
    listing = instructions(code)
    for at, instruction in enumerate(listing):
        before = listing[at - 1].opname if at else ""
        if instruction.opname == "IS_OP" and before != "LOAD_CONST":
            return True
        if instruction.opname == "CONTAINS_OP" and not _is_constant_in(listing, at):
            return True
    return any(asks_identity(c) for c in code.co_consts if isinstance(c, CodeType))


def _is_constant_in(listing: tuple[dis.Instruction, ...], at: int) -> bool:
    """Whether `in` looks for a constant, or in one."""
    first = at - 1
    while first >= 0 and listing[first].opname in ("LOAD_ATTR", "LOAD_METHOD", "CACHE"):
        first -= 1
    return listing[at - 1].opname == "LOAD_CONST" or (first > 0 and listing[first - 1].opname == "LOAD_CONST")


@lru_cache(maxsize=256)
def _offsets(code: CodeType) -> dict[int, int]:
    return {i.offset: n for n, i in enumerate(instructions(code))}


def _target(code: CodeType, at: int) -> int | None:
    instruction = instructions(code)[at]
    if instruction.opcode in dis.hasjrel or instruction.opcode in dis.hasjabs:
        return _offsets(code).get(instruction.argval)
    return None


def _next(code: CodeType, at: int) -> tuple[int, ...]:
    instruction, target = instructions(code)[at], _target(code, at)
    after = () if instruction.opname in (*ALWAYS, *ENDS) else (at + 1,)
    return after if target is None else (*after, target)
