"""Where the user's program stands: its innermost frame, as a Source, and the text of the condition it evaluates."""

from __future__ import annotations

import ast
import dis
import linecache
import os
import sys
import sysconfig
from functools import cache, lru_cache
from types import CodeType, FrameType

import torch

from unmoor.ir.graph import NOWHERE, Source

_TORCH = os.path.dirname(torch.__file__) + os.sep
_UNMOOR = os.path.dirname(os.path.dirname(os.path.abspath(__file__))) + os.sep
_STDLIB = sysconfig.get_paths()["stdlib"] + os.sep
_PACKAGES = ("site-packages" + os.sep, "dist-packages" + os.sep)


@cache
def is_user_file(filename: str) -> bool:
    """Whether code of this file counts as the user's: not torch's, not ours, not the standard library's."""
    if filename.startswith((_TORCH, _UNMOOR, "<frozen", "<__array_function__")):
        return False
    return not filename.startswith(_STDLIB) or any(p in filename for p in _PACKAGES)


def is_our_file(filename: str) -> bool:
    """Whether code of this file is Unmoor's own."""
    return filename.startswith(_UNMOOR)


@cache
def is_library(filename: str) -> bool:
    """Whether code of this file is installed, and not the user's own."""
    return not is_user_file(filename) or any(p in filename for p in _PACKAGES)


def user_frame() -> FrameType | None:
    """The innermost frame of the user's program, which calls into torch: his own, or that of a package."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and not is_user_file(frame.f_code.co_filename):
        frame = frame.f_back
    return frame


def asking_frame() -> FrameType | None:
    """The innermost frame that is not Unmoor's: which asks for what we answer."""
    frame: FrameType | None = sys._getframe(1)
    while frame is not None and is_our_file(frame.f_code.co_filename):
        frame = frame.f_back
    return frame


def functions_around(frame: FrameType | None) -> list[CodeType]:
    """The code that a frame runs, and that of the functions around it which call it: it may be a comprehension."""
    found: list[CodeType] = []
    while frame is not None and not is_our_file(frame.f_code.co_filename):
        if not found or found[-1] in frame.f_code.co_consts:
            found.append(frame.f_code)
        frame = frame.f_back
    return found


def own_source(source: Source) -> Source:
    """The user's own innermost line, where the line of `user_frame`, which is `source`, is a package's."""
    frame = user_frame()
    if frame is None or source == NOWHERE or not is_library(frame.f_code.co_filename):
        return NOWHERE
    while frame is not None and is_library(frame.f_code.co_filename):
        frame = frame.f_back
    return source_of(frame)


@cache
def shown_name(filename: str) -> str:
    """A file's name without the folders of this machine: below the working directory, a package, or bare."""
    for packages in _PACKAGES:
        if packages in filename:
            return filename.rpartition(packages)[2].replace(os.sep, "/")
    if filename.startswith("<") or not os.path.isabs(filename):
        return filename
    below = os.path.relpath(filename)
    return os.path.basename(filename) if below.startswith("..") else below.replace(os.sep, "/")


@lru_cache(maxsize=4096)
def _source(filename: str, line: int, module: str, caller: str) -> Source:
    return Source(shown_name(filename), line, linecache.getline(filename, line).strip(), module, caller)


def _caller(frame: FrameType) -> str:
    """The user's own innermost line, where that of `frame` is a library's."""
    filename = frame.f_code.co_filename
    if not is_library(filename):
        return ""
    outer: FrameType | None = frame
    while outer is not None and is_library(outer.f_code.co_filename):
        outer = outer.f_back
    return "" if outer is None else f"{shown_name(outer.f_code.co_filename)}:{outer.f_lineno}"


def source_of(frame: FrameType | None, module: str = "") -> Source:
    """The line that a frame is at."""
    if frame is None:
        return Source(module=module) if module else NOWHERE
    return _source(frame.f_code.co_filename, frame.f_lineno or 0, module, _caller(frame))


def is_literal(source: Source) -> bool:
    """Whether a line makes a tensor of nothing but literals: `a = torch.tensor([1, 2])`."""
    try:
        calls = [n for n in ast.walk(ast.parse(source.text)) if isinstance(n, ast.Call) and n.args]
    except SyntaxError:
        return False
    makers = [c for c in calls if isinstance(c.func, ast.Attribute) and c.func.attr in ("tensor", "as_tensor")]
    return bool(makers) and all(_is_constant(c.args[0]) for c in makers)


def _is_constant(node: ast.expr) -> bool:
    try:
        ast.literal_eval(node)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=256)
def instructions(code: CodeType) -> tuple[dis.Instruction, ...]:
    """The instructions of a code object, without the interpreter's inline caches."""
    return tuple(dis.get_instructions(code))


@lru_cache(maxsize=256)
def _indices(code: CodeType) -> dict[int, int]:
    return {instruction.offset: i for i, instruction in enumerate(instructions(code))}


def current(frame: FrameType) -> int:
    """The index, in `instructions`, of the one that a frame is executing."""
    indices, offset = _indices(frame.f_code), frame.f_lasti
    while offset >= 0 and offset not in indices:
        offset -= 2  # a call of a Python function leaves the frame at the end of the call's inline caches
    at = indices.get(offset, -1)
    while at >= 0 and instructions(frame.f_code)[at].opname == "PRECALL":
        at += 1  # Python 3.11, once it has specialised a call, makes it from the instruction before
    return at


def is_call(frame: FrameType | None) -> bool:
    """Whether a frame is in a call: what happens there is not the frame's own condition."""
    return frame is not None and current(frame) >= 0 and instructions(frame.f_code)[current(frame)].opname == "CALL"


def is_while(frame: FrameType | None) -> bool:
    """Whether a frame asks for the condition of a `while`: it jumps by it, and the line says so."""
    if frame is None or current(frame) < 0:
        return False
    name = instructions(frame.f_code)[current(frame)].opname
    line = linecache.getline(frame.f_code.co_filename, frame.f_lineno or 0).strip()
    return line.startswith("while ") and ("JUMP" in name or name in ("TO_BOOL", "COMPARE_OP", "UNARY_NOT"))


def is_loop(frame: FrameType | None, text: str) -> bool:
    """Whether a frame, in the expression `text`, asks for a number to count the turns of a loop."""
    if frame is None or current(frame) < 0:
        return False
    at = instructions(frame.f_code)[current(frame)]
    return at.opname in ("GET_ITER", "FOR_ITER") or text.startswith(("range(", "enumerate(", "zip("))


def condition_text(frame: FrameType | None, index: int | None = None) -> str:
    """The source text of the condition that the instruction at `index` (the current one) evaluates.

    For a branch that is the operand of `if`, `while`, `not`, `and` or `or` whose truth is asked. Where no source can
    be had, the line's text, which may be empty.
    """
    if frame is None:
        return ""
    code = frame.f_code
    at = current(frame) if index is None else index
    listing = instructions(code)
    if at > 0 and ("JUMP" in listing[at].opname or listing[at].opname in ("TO_BOOL", "UNARY_NOT")):
        at -= 1  # a jump's own position is not reliable; that of the instruction before it is the operand's
    positions = listing[at].positions if at >= 0 else None
    line = linecache.getline(code.co_filename, frame.f_lineno or 0).strip()
    if positions is None or positions.lineno is None or positions.end_lineno is None:
        return line
    if line.startswith("for ") and positions.end_lineno > positions.lineno:  # all of the loop: its head says enough
        return line.rpartition(":")[0] if line.endswith(":") else line
    lines = linecache.getlines(code.co_filename, frame.f_globals)
    span = (positions.lineno, positions.col_offset or 0, positions.end_lineno, positions.end_col_offset or 0)
    return _segment(lines, span) or line


Span = tuple[int, int, int, int]  # first line, first column, last line, end column


def _segment(lines: list[str], span: Span) -> str:
    """The text of a span (columns count UTF-8 bytes, as ast's do), as one line."""
    first, start, last, end = span
    if not 0 < first <= last <= len(lines):
        return ""
    rows = [row.encode() for row in lines[first - 1 : last]]
    rows[-1] = rows[-1][:end]
    rows[0] = rows[0][start:]
    return " ".join(b" ".join(rows).decode(errors="replace").split())
