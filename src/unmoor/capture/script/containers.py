"""TorchScript's lists, dicts, tuples and texts: the ops on them that Python computes alike, or that change them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from unmoor.capture.numbers import Float, Int


def _get(container: Any, key: Any) -> Any:
    return container[key]


def _set(container: Any, key: Any, value: Any) -> Any:
    container[key] = value
    return container


def _delete(container: Any, key: Any) -> None:
    del container[key]


def _appended(items: list[Any], item: Any) -> list[Any]:
    items.append(item)
    return items


def _extended(items: list[Any], more: list[Any]) -> list[Any]:
    items.extend(more)
    return items


def _repeated(items: list[Any], count: Any) -> list[Any]:
    items *= count
    return items


def _slice(items: Any, start: Any, end: Any, step: Any) -> Any:
    return items[slice(*(None if b is None else _index(b) for b in (start, end, step)))]


def _index(bound: Any) -> int:
    return int(bound.node.pin()) if isinstance(bound, (Int, Float)) else int(bound)


def _pop(container: Any, key: Any = -1, *default: Any) -> Any:
    return container.pop(key, *default)


def _is(a: Any, b: Any) -> bool:
    if isinstance(a, (bool, int, float, str)) and isinstance(b, (bool, int, float, str)):
        return bool(a == b)
    return a is b


# Ops whose first argument is a list or a dict, by name.
CONTAINERS: dict[str, Callable[..., Any]] = {
    "aten::__getitem__": _get,
    "aten::select": _get,
    "aten::_set_item": _set,
    "aten::Delete": _delete,
    "aten::append": _appended,
    "aten::extend": lambda items, more: items.extend(more),
    "aten::insert": lambda items, at, item: items.insert(at, item),
    "aten::pop": _pop,
    "aten::clear": lambda container: container.clear(),
    "aten::reverse": lambda items: items.reverse(),
    "aten::add": lambda a, b: a + b,
    "aten::add_": _extended,
    "aten::mul": lambda a, b: a * b,
    "aten::mul_": _repeated,
    "aten::slice": _slice,
    "aten::len": len,
    "aten::list": list,
    "aten::copy": lambda container: container.copy(),
    "aten::keys": lambda container: list(container.keys()),
    "aten::values": lambda container: list(container.values()),
    "aten::items": lambda container: list(container.items()),
    "aten::get": lambda container, key, default=None: container.get(key, default),
    "aten::setdefault": lambda container, key, default: container.setdefault(key, default),
    "aten::update": lambda container, more: container.update(more),
    "aten::dict": lambda given=(): dict(given),
    "prim::TupleIndex": _get,
}
# Ops on lists of numbers or texts alone: Python compares numbers, and so guards what is symbolic.
OF_NUMBERS: dict[str, Callable[..., Any]] = {
    "aten::__contains__": lambda items, item: item in items,
    "aten::eq": lambda a, b: a == b,
    "aten::ne": lambda a, b: a != b,
    "aten::sum": sum,
    "aten::index": lambda items, item: items.index(item),
    "aten::count": lambda items, item: items.count(item),
    "aten::remove": lambda items, item: items.remove(item),
    "aten::sort": lambda items, reverse=False: items.sort(reverse=reverse),
    "aten::sorted": sorted,
    "aten::Size": list,
    "aten::any": any,
    "aten::all": all,
}
# Ops on anything.
IDENTITY: dict[str, Callable[..., Any]] = {
    "aten::__is__": _is,
    "aten::__isnot__": lambda a, b: not _is(a, b),
    "aten::__not__": lambda a: not a,
    "prim::unchecked_cast": lambda a: a,
    "prim::unchecked_unwrap_optional": lambda a: a,
}


def on_container(kind: str, args: list[Any]) -> Callable[..., Any] | None:
    """The function for an op whose first argument is a list or dict; None where it is none, or not known."""
    if kind in IDENTITY:
        return IDENTITY[kind]
    if not args or not isinstance(args[0], (list, dict, tuple)):
        return None
    if kind in CONTAINERS:
        return CONTAINERS[kind]
    items = args[0] if isinstance(args[0], (list, tuple)) else list(args[0])
    if kind in OF_NUMBERS and not any(isinstance(v, (torch.Tensor, list, dict, tuple)) for v in items):
        return OF_NUMBERS[kind]
    return None
