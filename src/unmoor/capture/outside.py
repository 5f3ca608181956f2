"""What a call reaches in Python beyond its variables: attributes of modules, globals, closures, defaults.

They are looked at from the start of the call on: what stays as it was is told once, what changes or may is told anew.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import lru_cache
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import nn

from unmoor.capture.bytecode import asks_identity
from unmoor.capture.contents import PLAIN, STILL, Contents, Same, Untold
from unmoor.capture.modules import Modules
from unmoor.capture.source import is_our_file, is_user_file
from unmoor.capture.tracks import Tracks

_ABSENT = object()
_OF_TORCH = frozenset(vars(nn.Module())) - {"training", "_parameters", "_buffers", "_modules"}
FUNCTIONS = 3000  # as many are looked through
_PACKAGES = ("site-packages", "dist-packages")

Place = tuple[Any, str, Any]  # (where: a mapping, name, value)


class _Cell:
    """A closure's cell as a mapping with one name."""

    def __init__(self, cell: Any) -> None:
        self.cell = cell

    def __getitem__(self, name: str) -> Any:
        return self.cell.cell_contents

    def get(self, name: str, default: Any) -> Any:
        try:
            return self.cell.cell_contents
        except ValueError:
            return default


class Outside:
    """The places that a callable reaches, and what they held when it was made."""

    def __init__(self, fn: Callable[..., Any], modules: Modules, tracks: Tracks) -> None:
        self.tracks = tracks
        self.asks_identity = False
        self._places: list[Place] = []
        self._sizes: list[tuple[dict[str, Any], int]] = []
        self._seen: set[int] = set()
        self._functions = 0
        for _, module in modules.every():
            self._module(module)
        self._callable(fn)
        self._changing = [v for v in {id(v): v for _, _, v in self._places}.values() if _may_change(v)]
        self._start: tuple[object, ...] | None = None
        self._told: bool | None = None

    def form(self, contents: Contents) -> object:
        """What they hold now. Raises Untold."""
        if self._told is None:
            self._begin()
        if not self._told:
            raise Untold
        changed = tuple(
            (k, contents.form(now))
            for k, (where, name, before) in enumerate(self._places)
            if (now := where.get(name, _ABSENT)) is not before
        )
        added = tuple(
            (n, tuple((str(k), contents.form(v)) for k, v in where.items()))
            for n, (where, size) in enumerate(self._sizes)
            if len(where) != size
        )
        return self._start, changed, added, tuple(contents.form(v) for v in self._changing)

    def _begin(self) -> None:
        """The first look: a thing of a library that cannot be looked into is taken to stay as it is."""
        before = Contents(self.tracks)
        self._start = tuple((n, type(v), repr(v) if isinstance(v, PLAIN) else Same(v)) for _, n, v in self._places)
        kept = []
        self._told = True
        for value in self._changing:
            try:
                before.form(value)
                kept.append(value)
            except Untold:
                self._told = self._told and _has_file(type(value)) and _in_package(type(value))  # type: ignore[arg-type]
        self._changing = kept

    # -- places -------------------------------------------------------------------------------
    def _module(self, module: nn.Module) -> None:
        if isinstance(module, torch.jit.ScriptModule):
            return  # the interpreter tells of what those hold
        own = vars(module)
        for where in (own, own.get("_buffers", {}), own.get("_parameters", {})):
            self._sizes.append((where, len(where)))
            self._places += [(where, k, v) for k, v in where.items() if where is not own or k not in _OF_TORCH]
        self._class(type(module))

    def _class(self, cls: type) -> None:
        for base in cls.__mro__:
            if id(base) in self._seen or base.__module__ in ("builtins", "typing", "abc"):
                continue
            self._seen.add(id(base))
            if base.__module__.startswith("torch."):
                self._function(vars(base).get("forward"))
                continue
            if not _is_users(base):
                continue
            for name, value in list(vars(base).items()):
                inner = getattr(value, "__func__", getattr(value, "fget", value))
                if isinstance(inner, FunctionType):
                    self._function(inner)
                elif not name.startswith("__") and not callable(value):
                    self._places.append((vars(base), name, value))

    def _callable(self, fn: Any) -> None:
        if isinstance(fn, MethodType):
            self._callable(fn.__func__)
            self._value(fn.__self__)
        elif isinstance(fn, FunctionType):
            self._function(fn)
        elif isinstance(fn, type):
            self._class(fn)
        elif isinstance(fn, nn.Module):
            self._class(type(fn))
        elif hasattr(fn, "func") and hasattr(fn, "keywords"):  # functools.partial
            self._callable(fn.func)
        elif hasattr(fn, "__dict__"):
            self._value(fn)

    def _value(self, value: Any) -> None:
        if isinstance(value, (FunctionType, MethodType, type, nn.Module)):
            self._callable(value)
            return
        if _is_users(type(value)):  # type: ignore[arg-type]
            self._class(type(value))
        if hasattr(value, "__wrapped__"):
            self._callable(value.__wrapped__)

    def _function(self, function: object) -> None:
        if not isinstance(function, FunctionType) or id(function) in self._seen or self._functions > FUNCTIONS:
            return
        self._seen.add(id(function))
        self._functions += 1
        code = function.__code__
        self.asks_identity = self.asks_identity or asks_identity(code)
        if is_our_file(code.co_filename) or not is_user_file(code.co_filename):
            return
        for cell in function.__closure__ or ():
            try:
                self._reached(_Cell(cell), "cell_contents")
            except ValueError:
                continue
        names = _names(code)
        space = function.__globals__
        for name in sorted(names):
            if name in space:
                self._reached(space, name)
                held = space[name]
                if isinstance(held, ModuleType) and is_user_file(getattr(held, "__file__", None) or "<frozen"):
                    for attribute in sorted(names & vars(held).keys()):
                        self._reached(vars(held), attribute)

    def _reached(self, where: Any, name: str) -> None:
        value = where[name]
        if isinstance(value, ModuleType):
            return
        if not callable(value) or isinstance(value, nn.Module) or hasattr(value, "__dict__"):
            self._places.append((where, name, value))
        self._value(value)


@lru_cache(maxsize=4096)
def _names(code: CodeType) -> frozenset[str]:
    """The global names and attributes that code, and what is defined in it, speaks of."""
    inner = (_names(c) for c in code.co_consts if isinstance(c, CodeType))
    return frozenset(code.co_names).union(*inner)


def _may_change(value: object) -> bool:
    """Whether a value can change while its name keeps it."""
    if isinstance(value, (*PLAIN, *STILL, torch.Tensor, nn.Module, FunctionType, MethodType)):
        return False
    return not isinstance(value, tuple) or any(_may_change(v) for v in value)


@lru_cache(maxsize=4096)
def _is_users(cls: type) -> bool:
    return _has_file(cls) and is_user_file(inspect.getfile(cls))


@lru_cache(maxsize=4096)
def _in_package(cls: type) -> bool:
    return any(p in inspect.getfile(cls) for p in _PACKAGES)


@lru_cache(maxsize=4096)
def _has_file(cls: type) -> bool:
    try:
        inspect.getfile(cls)
    except (TypeError, OSError):
        return False
    return True
