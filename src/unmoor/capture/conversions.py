"""Calls of int(), float() and len() in the program: for a trace they go to functions that leave a size symbolic.

Python's own can only give plain numbers, which would pin the size. So a run that came upon one of these calls is made
again, with the code of the calling functions changed: the names that they load there are those of our functions.
"""

from __future__ import annotations

import builtins
import dis
import gc
import threading
from collections.abc import Iterable
from types import CodeType, FunctionType
from typing import Any
from weakref import WeakKeyDictionary

import torch

from unmoor.capture.methods import active, first_size
from unmoor.capture.numbers import Float, Int
from unmoor.capture.source import instructions


def _int(*args: Any, **kwargs: Any) -> Any:
    number: Any = args[0] if len(args) == 1 and not kwargs else None
    if type(number) in (Int, Float) and not number.node.data and active() is not None:
        whole = number if type(number) is Int else number.whole()
        if whole is not None:
            return whole
    return int(*args, **kwargs)


def _float(*args: Any) -> Any:
    number: Any = args[0] if len(args) == 1 else None
    if type(number) in (Int, Float) and not number.node.data and active() is not None:
        return number.__sym_float__()
    return float(*args)


def _len(value: Any, /) -> Any:
    recorder = active()
    if recorder is None or not isinstance(value, torch.Tensor):
        return len(value)
    with recorder.silence():
        return first_size(recorder, value)


_STAND_INS = {"int": _int, "float": _float, "len": _len}
for _name, _function in _STAND_INS.items():
    _function.stands_for = getattr(builtins, _name)  # type: ignore[attr-defined]
_lock = threading.Lock()
_changed: WeakKeyDictionary[CodeType, CodeType] = WeakKeyDictionary()  # every code that made a size plain so far
_original: WeakKeyDictionary[CodeType, CodeType] = WeakKeyDictionary()


def original(code: CodeType) -> CodeType:
    """The program's own code, of one that may be changed."""
    return _original.get(code, code)


class Conversions:
    """A context in which functions that are known to convert sizes run with their code changed."""

    def __init__(self) -> None:
        self._undo: list[tuple[FunctionType, CodeType]] = []

    def __enter__(self) -> Conversions:
        self._apply()
        return self

    def __exit__(self, *exception: object) -> None:
        with _lock:
            for function, code in self._undo:
                function.__code__ = code

    def learn(self, codes: Iterable[CodeType]) -> bool:
        """Change these codes too; whether there was one to change."""
        before = len(_changed)
        for code in codes:
            if code not in _original:
                _with_stand_ins(code)
        return len(_changed) > before and self._apply()

    def _apply(self) -> bool:
        with _lock:
            if not _changed:
                return False
            for name, function in _STAND_INS.items():  # for good: a closure made in a trace may outlive it
                setattr(builtins, _name_of(name), function)
            before = len(self._undo)
            for function in gc.get_referrers(*_changed):
                if isinstance(function, FunctionType) and function.__code__ in _changed:
                    self._undo.append((function, function.__code__))
                    function.__code__ = _changed[function.__code__]
            return len(self._undo) > before


def _name_of(name: str) -> str:
    return f"__unmoor_{name}__"


def _with_stand_ins(code: CodeType) -> CodeType:
    """The code with its calls of int(), float(), len() and map(int, ...) made calls of ours; itself without any."""
    if code in _changed:
        return _changed[code]
    consts = tuple(_with_stand_ins(c) if isinstance(c, CodeType) else c for c in code.co_consts)
    raw, names = bytearray(code.co_code), list(code.co_names)
    for at, instruction in enumerate(listing := instructions(code)):
        if instruction.opname != "LOAD_GLOBAL" or instruction.argval not in _STAND_INS:
            continue
        called, wide = instruction.arg & 1, raw[instruction.offset - 2] == dis.EXTENDED_ARG and instruction.offset > 0  # type: ignore[operator]
        before = listing[at - 1] if at else None
        mapped = before is not None and before.opname == "LOAD_GLOBAL" and before.argval == "map"
        name = _name_of(instruction.argval)
        index = names.index(name) if name in names else len(names)
        argument = index << 1 | called
        if not (called or mapped) or argument >= (1 << 16 if wide else 1 << 8):
            continue
        names += [name] * (index == len(names))
        raw[instruction.offset + 1] = argument & 255
        if wide:
            raw[instruction.offset - 1] = argument >> 8
    if len(names) == len(code.co_names) and all(a is b for a, b in zip(consts, code.co_consts, strict=True)):
        return code
    changed = code.replace(co_code=bytes(raw), co_names=tuple(names), co_consts=consts)
    _changed[code], _original[changed] = changed, code
    return changed
