"""Copies of callables with all that they hold, so that a call changes nothing of the original."""

from __future__ import annotations

import copy
import functools
from collections.abc import Callable, Iterator
from types import CellType, CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import nn

from unmoor.capture.source import is_our_file, is_user_file
from unmoor.capture.torch_private import owner_of

_SHARED = (ModuleType, type, str, bytes, int, float, complex, type(None), torch._C.ScriptFunction)


def copied(fn: Callable[..., Any]) -> Callable[..., Any]:
    """A deep copy: of a module, of a method with its object, of a function with its closure and the globals it names.

    What is reached twice is copied once. Raises whatever Python says where something cannot be copied.
    """
    made: Callable[..., Any] = _Copies().of(fn)
    return made


class _Copies:
    def __init__(self) -> None:
        self.memo: dict[int, Any] = {}
        self.functions: dict[int, FunctionType] = {}
        self.spaces: dict[int, dict[str, Any]] = {}

    def of(self, value: Any) -> Any:
        if isinstance(value, FunctionType):
            return self._function(value)
        if isinstance(value, MethodType):
            return MethodType(value.__func__, self.of(value.__self__))
        if isinstance(value, torch._C.ScriptMethod):
            return getattr(self.of(owner_of(value)), value.name)
        if isinstance(value, functools.partial):
            keywords = {k: self.of(v) for k, v in value.keywords.items()}
            return functools.partial(self.of(value.func), *map(self.of, value.args), **keywords)
        return value if isinstance(value, _SHARED) else copy.deepcopy(value, self.memo)

    def _function(self, function: FunctionType) -> FunctionType:
        code = function.__code__
        if id(function) in self.functions:
            return self.functions[id(function)]
        if is_our_file(code.co_filename) or not is_user_file(code.co_filename):
            return function
        cells = tuple(CellType() for _ in function.__closure__ or ())
        space = self.spaces.setdefault(id(function.__globals__), dict(function.__globals__))
        made = FunctionType(code, space, function.__name__, None, cells or None)
        self.functions[id(function)] = made  # before what it holds: functions may hold each other
        made.__defaults__ = self._all(function.__defaults__)
        made.__kwdefaults__ = {k: self.of(v) for k, v in (function.__kwdefaults__ or {}).items()} or None
        for cell, original in zip(cells, function.__closure__ or (), strict=True):
            try:
                cell.cell_contents = self.of(original.cell_contents)
            except ValueError:  # not filled yet
                continue
        for name in sorted(set(_names(code)) & function.__globals__.keys()):
            if space[name] is function.__globals__[name]:
                space[name] = self._global(space[name])
        return made

    def _all(self, values: tuple[Any, ...] | None) -> tuple[Any, ...] | None:
        return None if values is None else tuple(map(self.of, values))

    def _global(self, value: Any) -> Any:
        """What cannot be copied, a lock or an open file, is shared, unless it is a module."""
        try:
            return self.of(value)
        except Exception:
            if isinstance(value, nn.Module):
                raise
            return value


def _names(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, CodeType):
            yield from _names(inner)
