"""What a frame still holds: which of its variables are read later, and whether an expression is half done."""

from __future__ import annotations

import dis
from functools import lru_cache
from types import CodeType

from unmoor.capture.source import instructions

LOADS, STORES = ("LOAD_FAST", "LOAD_FAST_CHECK", "LOAD_FAST_AND_CLEAR"), ("STORE_FAST", "DELETE_FAST")
ENDS = ("RETURN_VALUE", "RETURN_CONST", "RAISE_VARARGS", "RERAISE")
ALWAYS = ("JUMP_FORWARD", "JUMP_BACKWARD", "JUMP_BACKWARD_NO_INTERRUPT")
_FIXED = ("LOAD_GLOBAL", "LOAD_CONST", "LOAD_ATTR", "LOAD_FAST", "PUSH_NULL", "PRECALL", "CALL")
KEPT, OTHER = "kept", "other"  # an iterator or context manager; any other value on the stack


@lru_cache(maxsize=256)
def live_variables(code: CodeType, index: int) -> frozenset[str]:
    """The local variables that may be read once the instruction at `index` has run; closure variables always."""
    listing = instructions(code)
    always = frozenset((*code.co_cellvars, *code.co_freevars, *_counters(code)))
    if getattr(code, "co_exceptiontable", b""):  # a handler may read anything
        return always | {str(i.argval) for i in listing if i.opname in LOADS}
    live: list[frozenset[str]] = [frozenset()] * (len(listing) + 1)
    changed = True
    while changed:
        changed = False
        for at in range(len(listing) - 1, -1, -1):
            before = _before(listing[at], frozenset().union(*(live[n] for n in _next(code, at))))
            changed = changed or before != live[at]
            live[at] = before
    return always | frozenset().union(*(live[n] for n in _next(code, index)))


def _counts(code: CodeType, at: int) -> bool:
    """Whether the loop over the iterator that is made at `at` is told by its variable alone: it counts, as far in every
    call. Any other iterator hides where it stands: `for f in (g, g)`, `range(n)` with n read from a tensor."""
    listing = instructions(code)
    if at < 2 or listing[at].opname != "GET_ITER" or not listing[at - 1].opname.startswith("CALL"):
        return False
    start = at - 1
    while start > 0 and listing[start].opname in _FIXED and listing[start].argval not in ("range", "enumerate"):
        start -= 1
    return listing[start].opname == "LOAD_GLOBAL" and all(
        i.opname in _FIXED and (i.opname != "LOAD_FAST" or i.argval == "self") for i in listing[start:at]
    )


def _counters(code: CodeType) -> frozenset[str]:
    """The variables that loops over range and enumerate set first."""
    listing, found = instructions(code), set[str]()
    for at, instruction in enumerate(listing[:-2]):
        if instruction.opname == "FOR_ITER":
            first = listing[at + 1] if listing[at + 1].opname in STORES else listing[at + 2]
            found.add(str(first.argval))
    return frozenset(found)


def _before(instruction: dis.Instruction, after: frozenset[str]) -> frozenset[str]:
    if instruction.opname in LOADS:
        return after | {str(instruction.argval)}
    return after - {str(instruction.argval)} if instruction.opname in STORES else after


@lru_cache(maxsize=256)
def is_mid_expression(code: CodeType, index: int) -> bool:
    """Whether, while the instruction at `index` runs, the stack holds values that no variable shows.

    Its own operands, iterators of loops and context managers do not count. True where that is not known.
    """
    stack = _stacks(code).get(index)
    if stack is None:
        return True
    own = _operands(instructions(code)[index])
    return any(kind is OTHER for kind in stack[: max(len(stack) - own, 0)])


@lru_cache(maxsize=256)
def _stacks(code: CodeType) -> dict[int, tuple[str, ...]]:
    """The stack before each instruction that can be reached without an exception."""
    listing = instructions(code)
    found: dict[int, tuple[str, ...]] = {}
    waiting: list[tuple[int, tuple[str, ...]]] = [(0, ())]
    while waiting:
        at, stack = waiting.pop()
        if at in found or at >= len(listing):
            continue
        found[at] = stack
        target, counts = _target(code, at), _counts(code, at)
        if target is not None:
            waiting.append((target, _after(listing[at], stack, True, counts)))
        if listing[at].opname not in (*ALWAYS, *ENDS):
            waiting.append((at + 1, _after(listing[at], stack, False, counts)))
    return found


def _after(instruction: dis.Instruction, stack: tuple[str, ...], jumps: bool, counts: bool) -> tuple[str, ...]:
    name, arg = instruction.opname, instruction.arg
    if name == "GET_ITER":
        return (*stack[:-1], KEPT if counts else OTHER)
    if name.startswith("BEFORE_"):  # with
        return (*stack[:-1], KEPT, OTHER)
    if name == "SWAP" and arg:
        swapped = list(stack)
        swapped[-1], swapped[-arg] = swapped[-arg], swapped[-1]
        return tuple(swapped)
    if name == "COPY" and arg:
        return (*stack, stack[-arg])
    effect = dis.stack_effect(instruction.opcode, arg, jump=jumps)
    return stack[:effect] if effect < 0 else (*stack, *([OTHER] * effect))


def _operands(instruction: dis.Instruction) -> int:
    if "JUMP" in instruction.opname:
        return 1
    return max(1, 1 - dis.stack_effect(instruction.opcode, instruction.arg, jump=False))


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
