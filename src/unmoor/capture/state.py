"""What the running Python program holds at a guard: two runs that hold the same go on alike, whichever way they came.

That is the frames of the traced call, where each stands with its live variables and what is on its stack, and what it
can reach outside (unmoor.capture.outside). What cannot be looked into makes the state untold: such paths never join.
"""

from __future__ import annotations

import sys
from types import CodeType, FrameType
from typing import Any

import torch

from unmoor.capture.bytecode import asks_identity, live_variables
from unmoor.capture.contents import Contents, Untold
from unmoor.capture.conversions import original
from unmoor.capture.numbers import Float, Int
from unmoor.capture.outside import Outside
from unmoor.capture.recorder import Recorder
from unmoor.capture.script.interpreter import Interpreter
from unmoor.capture.source import current, instructions, is_our_file
from unmoor.capture.stack import NOTHING, called_by_c, stack
from unmoor.ir.recording import Held

_SINGLE = (bool, int, float, len)  # C functions that ask their one argument one thing
_OPERAND = (bool, int, float, Int, Float, torch.Tensor, type(None))


class Watch:
    """Looks at the program at its guards. `entry` is the code of our function that calls the program."""

    def __init__(self, recorder: Recorder, outside: Outside, script: Interpreter, entry: CodeType) -> None:
        self.recorder, self.tracks, self.outside, self.entry = recorder, recorder.tracks, outside, entry
        self.script = script
        self._last: tuple[int, int] | None = None

    def held(self) -> Held | None:
        """What the program holds now, at a guard; None where that cannot be told."""
        with self.recorder.silence():  # looking is no reading
            return self._held()

    def _held(self) -> Held | None:
        mine, frames = _frames(self.entry)
        if frames is None or (not frames and not self.script.running):
            return None
        contents = Contents(self.tracks)
        called: list[FrameType | None]
        try:
            if self.script.running:
                asked = self.script.form(contents)
                called = [mine[-1], *frames]
            else:
                here = (id(frames[0]), frames[0].f_lasti)
                again, self._last = here == self._last, here
                asked = _asked(frames[0], mine, contents, again)
                called = [None, *frames]
            form = (
                asked,
                *(_frame(f, inner, contents) for inner, f in zip(called, frames, strict=False)),
                self.outside.form(contents),
                self.recorder.draws,
                torch.is_grad_enabled(),
            )
            inputs = tuple(self.tracks.read_quietly(t) for t in self.tracks.inputs)
        except Untold:
            return None
        if any(v is None for v in inputs):
            return None
        told = self.outside.asks_identity or any(asks_identity(f.f_code) for f in frames)
        return Held(form, tuple(contents.values), tuple(contents.sharing), tuple(contents.bases), told, inputs)  # type: ignore[arg-type]


def _frames(entry: CodeType) -> tuple[list[FrameType], list[FrameType] | None]:
    """Our own innermost frames, and those of the program, the innermost first; None where ours stand between."""
    frame: FrameType | None = sys._getframe(1)
    mine: list[FrameType] = []
    program: list[FrameType] = []
    while frame is not None and frame.f_code is not entry:
        if not is_our_file(frame.f_code.co_filename):
            program.append(frame)
        elif program:
            return mine, None
        else:
            mine.append(frame)
        frame = frame.f_back
    return mine, program


def _asked(frame: FrameType, mine: list[FrameType], contents: Contents, again: bool) -> object:
    """By which instruction the program asks, and what it gives: C code in between would have a state of its own."""
    index = current(frame)
    if index < 0 or not mine:
        raise Untold
    name = instructions(frame.f_code)[index].opname
    if "JUMP" in name or name in ("TO_BOOL", "UNARY_NOT"):
        return name
    if name == "COMPARE_OP":
        given = stack(frame, with_operands=True)
        if given is None or not all(isinstance(v, _OPERAND) for v in given[-2:]):
            raise Untold
        return name, *(contents.form(v) for v in given[-2:])
    ours = mine[-1]
    arguments = {k: ours.f_locals[k] for k in ("self", "args", "kwargs") if k in ours.f_locals}
    if name in ("LOAD_ATTR", "LOAD_METHOD") and ours.f_code.co_name == "get" and not again:
        return name, contents.form(arguments)
    if not name.startswith("CALL") or ours.f_code.co_name not in ("method", "__int__", "__float__", "__index__"):
        raise Untold
    if not called_by_c(ours, frame):
        if again:
            raise Untold
        return name, contents.form(arguments)
    given = stack(frame, with_operands=True)
    if given is None or len(given) < 2 or not any(given[-2] is f for f in _SINGLE):
        raise Untold
    return name, given[-2].__name__, contents.form(given[-1])


def _frame(frame: FrameType, inner: FrameType | None, contents: Contents) -> object:
    """One frame; `inner` is the frame that it is calling."""
    code, index = frame.f_code, current(frame)
    below = stack(frame)
    if index < 0 or below is None:
        raise Untold
    if inner is not None and called_by_c(inner, frame):
        _check_called(frame, inner, index)
    live = live_variables(code, index)
    variables = tuple((n, contents.form(v)) for n, v in sorted(frame.f_locals.items()) if n in live)
    held = tuple(None if v is NOTHING else contents.form(v) for v in below)
    return (contents.same(original(code)), index, variables, held)


def _check_called(frame: FrameType, inner: FrameType, index: int) -> None:
    """Untold unless the C code between two frames does no more than call: a module, a class, a property, f(*args)."""
    instruction = instructions(frame.f_code)[index]
    if instruction.opname in ("LOAD_ATTR", "LOAD_METHOD"):
        return
    if not instruction.opname.startswith("CALL"):
        raise Untold
    given = stack(frame, with_operands=True) or []
    below = len(stack(frame) or [])
    called: Any = next((v for v in given[below:] if v is not NOTHING), None)
    while hasattr(called, "__func__"):
        called = called.__func__
    if isinstance(called, type):
        codes = [_code(getattr(called, n, None)) for n in ("__init__", "__new__")]
    else:
        codes = [_code(called), _code(getattr(type(called), "__call__", None))]  # noqa: B004
    if not any(inner.f_code is c for c in codes):
        raise Untold


def _code(function: Any) -> object:
    return getattr(function, "__code__", None)
