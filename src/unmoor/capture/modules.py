"""Modules of the traced callable: names of their tensors, the path of the running one, training mode, restoration."""

from __future__ import annotations

import functools
import inspect
import re
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from types import FunctionType, MethodType, ModuleType
from typing import Any

import torch
from torch import nn
from torch.optim import Optimizer

from unmoor.capture.source import is_user_file, shown_name
from unmoor.capture.torch_private import DropoutBase, NormBase, owner_of
from unmoor.capture.warning import TrainingModeWarning
from unmoor.ir.graph import NOWHERE, Source

DEPTH = 3  # how deep optimisers are looked for in what a callable reaches
_OPAQUE = (nn.Module, ModuleType, type, FunctionType, MethodType)


def is_module(value: object) -> bool:
    return isinstance(value, nn.Module)


def _reachable(fn: object) -> Iterator[tuple[str, object]]:
    """(name, value) of what a callable can use by name: its own object, closure, globals, bound arguments."""
    if isinstance(fn, nn.Module):
        yield "", fn
    elif isinstance(fn, functools.partial):
        yield from _reachable(fn.func)
        for i, value in enumerate(fn.args):
            yield f"args.{i}", value
        yield from fn.keywords.items()
    elif isinstance(fn, torch._C.ScriptMethod):
        yield "", owner_of(fn)
    elif isinstance(fn, MethodType):
        yield "", fn.__self__
        yield from _reachable(fn.__func__)
    elif isinstance(fn, FunctionType):
        cells = zip(fn.__code__.co_freevars, fn.__closure__ or (), strict=False)
        yield from ((name, cell.cell_contents) for name, cell in cells if _filled(cell))
        yield from ((name, fn.__globals__[name]) for name in fn.__code__.co_names if name in fn.__globals__)
    elif hasattr(fn, "__dict__"):
        yield "", fn


def _filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:
        return False


class Modules:
    """What a callable's modules hold. Tensors are known by identity: a tied weight has its first name."""

    def __init__(self, fn: Callable[..., Any]) -> None:
        self.roots: dict[str, nn.Module] = {}
        self._tensors: dict[int, tuple[str, str, str]] = {}
        self._kept: list[torch.Tensor] = []
        for name, value in _reachable(fn):
            self._visit(name, value)
            if name == "" and not isinstance(value, nn.Module):
                for attribute, held in vars(value).items() if hasattr(value, "__dict__") else ():
                    self._visit(attribute, held)
        self.optimisers: list[Optimizer] = []
        for _, value in _reachable(fn):
            self._find_optimisers(value, DEPTH)
        self.scripted: dict[int, str] = {}  # paths by the identity that TorchScript's handles of one module share
        for path, module in self.every():
            if isinstance(module, torch.jit.ScriptModule):
                self.scripted.setdefault(hash(module._c), path)
        self.paths = {id(m): path for root, top in self.roots.items() for path, m in _named(root, top)}

    def _visit(self, name: str, value: object) -> None:
        if isinstance(value, nn.Module):
            self.roots.setdefault(name, value)
            for path, module in _named(name, value):
                groups = (("parameter", module._parameters), ("buffer", module._buffers), ("outside", vars(module)))
                for kind, group in groups:
                    for key, tensor in group.items():
                        self._know(tensor, kind, f"{path}.{key}" if path else key)
        else:
            self._know(value, "outside", name)

    def _know(self, tensor: object, kind: str, name: str) -> None:
        if isinstance(tensor, torch.Tensor) and id(tensor) not in self._tensors:
            self._kept.append(tensor)  # alive, so that the identity stays its own
            origin = f"tensor {name}" if kind == "outside" else f"{kind} {name}"
            self._tensors[id(tensor)] = (kind, name, origin)

    def _find_optimisers(self, value: object, depth: int) -> None:
        """Optimisers that a value is or holds; their tensors are known by the parameters they belong to."""
        if isinstance(value, Optimizer):
            if all(value is not known for known in self.optimisers):
                self.optimisers.append(value)
                self.know_optimiser(value)
        elif depth and type(value) in (list, tuple, dict):
            for held in value.values() if isinstance(value, dict) else value:  # type: ignore[attr-defined]
                self._find_optimisers(held, depth - 1)
        elif depth and hasattr(value, "__dict__") and not isinstance(value, (*_OPAQUE, torch.Tensor)):
            for held in vars(value).values():
                self._find_optimisers(held, depth - 1)

    def know_optimiser(self, optimiser: Optimizer) -> None:
        """The tensors of an optimiser, and the gradients that its parameters have."""
        for parameter, state in optimiser.state.items():
            for key, tensor in state.items() if isinstance(state, dict) else ():
                self._know(tensor, "outside", self.state_name(optimiser, parameter, key))
        for number, group in enumerate(optimiser.param_groups):
            for key, value in group.items():
                self._know(value, "outside", f"{type(optimiser).__name__}.{key}.{number}")
            for parameter in group["params"]:
                self._know(parameter.grad, "outside", f"{self.describe(parameter)[1] or 'a tensor'}.grad")

    def state_name(self, optimiser: Optimizer, parameter: torch.Tensor, key: str) -> str:
        """The name of what an optimiser holds of a parameter."""
        own = self.describe(parameter)[1]
        if not own:
            every = [p for group in optimiser.param_groups for p in group["params"]]
            own = str(next((k for k, p in enumerate(every) if p is parameter), "other"))
        return f"{type(optimiser).__name__}.{key}.{own}"

    def know_outside(self, tensor: torch.Tensor, name: str) -> None:
        """A tensor that is none of a module's."""
        self._know(tensor, "outside", name)

    def know_constant(self, tensor: torch.Tensor, name: str) -> None:
        """A tensor that TorchScript keeps: a constant of a graph, or an attribute."""
        if id(tensor) not in self._tensors:
            self._kept.append(tensor)
            self._tensors[id(tensor)] = ("parameter", name, f"tensor {name}" if name else "a constant of the graph")

    def describe(self, tensor: torch.Tensor) -> tuple[str, str, str]:
        """(kind, name for the graph, origin for people) of a tensor that the run did not make."""
        return self._tensors.get(id(tensor), ("outside", "", "a tensor"))

    def tensors(self) -> dict[str, torch.Tensor]:
        """The tensors by their origin for people."""
        return {self._tensors[id(t)][2]: t for t in self._kept}

    def every(self) -> Iterator[tuple[str, nn.Module]]:
        """All modules, once each, with their paths."""
        seen: set[int] = set()
        for root, top in self.roots.items():
            for path, module in _named(root, top):
                if id(module) not in seen:
                    seen.add(id(module))
                    yield path, module


def _named(root: str, top: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    for path, module in top.named_modules():
        yield ".".join(p for p in (root, path) if p), module


# -- training mode --------------------------------------------------------------------------------
def acts_in_training(module: nn.Module) -> bool:
    """Whether a module does something else in training than deployment wants, and is in training mode."""
    if not in_training(module):
        return False
    cls = getattr(nn, class_name(module), type(module)) if isinstance(module, torch.jit.ScriptModule) else type(module)
    if issubclass(cls, DropoutBase):
        return bool(getattr(module, "p", True))
    return issubclass(cls, (NormBase, nn.RReLU))


def in_training(module: nn.Module) -> bool:
    """Whether a module is in training mode; one that TorchScript froze is not."""
    return bool(getattr(module, "training", False))


def warn_training_mode(modules: Modules) -> None:
    """One TrainingModeWarning that names every such module, its class, where it is called, and the way out."""
    found = [(path, m) for path, m in modules.every() if acts_in_training(m)]
    if not found:
        return
    rows = []
    for path, module in found:
        where = called_at(modules, module)
        rows.append(f"  {path or 'the module'} ({class_name(module)}){f', called at {where}' if str(where) else ''}")
    root = next(iter(modules.roots)) or "module"
    warnings.warn(
        "traced in training mode, where these modules drop elements or change their statistics:\n"
        + "\n".join(rows)
        + f"\nCall `{root}.eval()` before tracing.",
        TrainingModeWarning,
        stacklevel=_stack_level(),
    )


def class_name(module: nn.Module) -> str:
    """The name of a module's class; of one of TorchScript, that of the class that it was made from."""
    return str(module.original_name) if isinstance(module, torch.jit.ScriptModule) else type(module).__name__


def _stack_level() -> int:
    """The level of the user's frame, for the warning to point there."""
    level, frame = 1, inspect.currentframe()
    frame = frame.f_back if frame else None
    while frame is not None and not is_user_file(frame.f_code.co_filename):
        frame, level = frame.f_back, level + 1
    return level


def called_at(modules: Modules, module: nn.Module) -> Source:
    """The line of the parent's forward that names the module; the parent's own such line where it is a container."""
    for _, parent in modules.every():
        for name, child in parent.named_children():
            if child is module:
                found = _line_with(type(parent), f"self.{name}")
                return found if found.line else called_at(modules, parent)
    return NOWHERE


def _line_with(cls: type, text: str) -> Source:
    if issubclass(cls, torch.jit.ScriptModule):
        return NOWHERE
    try:
        filename = inspect.getsourcefile(cls.forward) or ""  # type: ignore[attr-defined]
        lines, first = inspect.getsourcelines(cls.forward)  # type: ignore[attr-defined]
    except (OSError, TypeError):
        return NOWHERE
    if not is_user_file(filename):
        return NOWHERE
    for offset, line in enumerate(lines):
        if re.search(rf"{re.escape(text)}\b", line):
            return Source(shown_name(filename), first + offset, line.strip())
    return NOWHERE


# -- while it runs --------------------------------------------------------------------------------
class PathHooks:
    """Keeps the path of the module that is running, through torch's global forward hooks."""

    def __init__(self, modules: Modules) -> None:
        self._paths = modules.paths
        self._stack: list[str] = []
        self._handles: list[Any] = []
        self._is_mine: Callable[[], bool] = lambda: True

    @property
    def path(self) -> str:
        return self._stack[-1] if self._stack else ""

    def install(self, is_mine: Callable[[], bool]) -> None:
        """Hooks run on every thread; `is_mine` tells the traced one."""
        self._is_mine = is_mine
        from torch.nn.modules import module

        self._handles = [
            module.register_module_forward_pre_hook(self._enter),
            module.register_module_forward_hook(self._leave, always_call=True),
        ]

    def remove(self) -> None:
        for handle in self._handles:
            handle.remove()

    def _enter(self, module: nn.Module, args: object) -> None:
        if not self._is_mine():
            return
        self._stack.append(self._paths.get(id(module), type(module).__name__))

    def _leave(self, module: nn.Module, args: object, result: object) -> None:
        if self._is_mine() and self._stack:
            self._stack.pop()


# -- afterwards -----------------------------------------------------------------------------------
@dataclass(frozen=True, eq=False)
class Rebound:
    """An attribute of a module that the call gave another tensor."""

    name: str
    old: torch.Tensor
    new: torch.Tensor
    is_buffer: bool


class Snapshot:
    """The Python attributes of all modules, to be put back. Tensors in them are never written by a trace."""

    def __init__(self, modules: Modules) -> None:
        self._held = [(path, m, _attributes(m)) for path, m in modules.every()]

    def rebound(self) -> Iterator[Rebound]:
        """The attributes that held a tensor before the call, and hold another now."""
        for path, module, before in self._held:
            now = _attributes(module)
            for group, values in before.items():
                for key, old in values.items():
                    new = now[group].get(key)
                    if new is not old and isinstance(old, torch.Tensor) and isinstance(new, torch.Tensor):
                        name = f"{path}.{key}" if path else key
                        yield Rebound(name, old, new, group == "_buffers")

    def restore(self) -> dict[str, tuple[dict[str, Any], str, Any]]:
        """Put all attributes back; returns what the call had changed, by its path: (where, name, value it left)."""
        changed: dict[str, tuple[dict[str, Any], str, Any]] = {}
        for path, module, before in self._held:
            now = _attributes(module)
            for group, values in before.items():
                names = [
                    k for k in {**values, **now[group]} if values.get(k, MISSING) is not now[group].get(k, MISSING)
                ]
                if names:
                    target = vars(module) if group == "" else vars(module)[group]
                    left = {k: now[group].get(k, MISSING) for k in names}
                    own = {k: f"{group}[{k}]" if group in HOOKS else k for k in names}
                    changed.update({f"{path}.{own[k]}" if path else own[k]: (target, k, left[k]) for k in names})
                    for k in names:
                        target.pop(k, None)
                    target.update({k: values[k] for k in names if k in values})
        return changed


MISSING = object()  # no value at all
HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_forward_hooks_with_kwargs", "_forward_pre_hooks_with_kwargs")
_GROUPS = ("_parameters", "_buffers", "_modules", *HOOKS)  # a call may install hooks, and note that it did


def _attributes(module: nn.Module) -> dict[str, dict[str, Any]]:
    own = vars(module)
    plain = {k: v for k, v in own.items() if k not in _GROUPS and not isinstance(v, torch._C.ScriptMethod)}
    return {"": plain, **{g: dict(own[g]) for g in _GROUPS if g in own}}
