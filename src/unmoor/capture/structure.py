"""Nested Python values of tensors, taken apart into a structure with its tensors, and put together again."""

from __future__ import annotations

import dataclasses
import enum
from collections import UserDict
from collections.abc import Callable, Iterator, Sequence
from types import FunctionType, ModuleType
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import torch

from unmoor.errors import Unsupported
from unmoor.ir.signature import INT_KEYS, MAX_DEPTH, Leaf, Mapping, Structure
from unmoor.ir.signature import Sequence as SequenceOf

# Structures are data and name classes only; these are the classes that this process has flattened.
_CLASSES: WeakValueDictionary[str, type] = WeakValueDictionary()

IsLeaf = Callable[[object], bool]


def is_tensor(value: object) -> bool:
    return isinstance(value, (torch.Tensor, np.ndarray))


def needs_grad(tensors: Sequence[Any]) -> bool:
    """Whether autograd would record a call on these tensors."""
    return torch.is_grad_enabled() and any(isinstance(t, torch.Tensor) and t.requires_grad for t in tensors)


def flatten(value: object, where: str, is_leaf: IsLeaf = is_tensor) -> tuple[Structure, list[Any]]:
    """The structure of a value, and its leaves in order. `where` names the value in errors.

    Raises Unsupported for values of classes that a file could not describe.
    """
    leaves: list[Any] = []
    return _flatten(value, where, is_leaf, leaves), leaves


def _flatten(value: object, where: str, is_leaf: IsLeaf, leaves: list[Any], depth: int = 0) -> Structure:
    if is_leaf(value):
        leaves.append(value)
        return Leaf(len(leaves) - 1, isinstance(value, (int, float)))
    if value is None or type(value) in (bool, int, float, str):
        return value  # type: ignore[return-value]
    if depth > MAX_DEPTH:
        raise Unsupported(f"{where.partition('.')[0]} holds itself, or is nested more than {MAX_DEPTH} deep")
    fields = fields_of(value)
    if fields is not None:
        keys = tuple(fields)
        items = tuple(_flatten(fields[k], f"{where}.{k}", is_leaf, leaves, depth + 1) for k in keys)
        return Mapping(keys, items, _class_name(value))
    if isinstance(value, (tuple, list)):
        items = tuple(_flatten(v, f"{where}[{i}]", is_leaf, leaves, depth + 1) for i, v in enumerate(value))
        return SequenceOf("list" if isinstance(value, list) else "tuple", items)
    way_out = "use tensors, numbers, strings, None, and tuples, lists, dicts and objects of them"
    if "cache" in where or "past_key_values" in where:
        way_out += "; a transformers model gives no cache where it is called with use_cache=False"
    raise Unsupported(
        f"{where} holds a {type(value).__module__}.{type(value).__qualname__}, which a trace cannot keep; {way_out}"
    )


def fields_of(value: object) -> dict[str, Any] | None:
    """The named parts of a dict, dataclass instance, named tuple or plain object; None for anything else.

    What only has a name (a dtype, a device, a class) is a part of that name.
    """
    if isinstance(value, (dict, UserDict)):
        if _has_int_keys(value):
            return {str(k): v for k, v in value.items()}
        if not all(isinstance(k, str) for k in value):
            raise Unsupported(
                "a dict with keys that are neither strings nor integers cannot be part of a signature; use string keys"
            )
        return dict(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return dict(zip(value._fields, value, strict=True))
    if isinstance(value, tuple) and hasattr(value, "n_sequence_fields"):  # torch.return_types.max and its like
        names = [n for n in dir(value) if not n.startswith(("_", "n_")) and n not in ("count", "index")]
        by_identity = {id(getattr(value, n)): n for n in names}
        return {by_identity[id(v)]: v for v in value}
    if isinstance(value, (torch.dtype, torch.device)):
        return {"name": str(value)}
    if isinstance(value, type):
        return {"name": f"{value.__module__}.{value.__qualname__}"}
    if _is_plain_object(value):
        return dict(vars(value))
    return None


def _has_int_keys(value: dict[Any, Any] | UserDict[Any, Any]) -> bool:
    return bool(value) and all(type(k) is int for k in value)


_NOT_PLAIN = (torch.nn.Module, FunctionType, ModuleType, BaseException, enum.Enum, tuple, list)


def _is_plain_object(value: object) -> bool:
    """Whether an object is its attributes, and nothing else: a cache of keys and values, say."""
    cls = type(value)
    if isinstance(value, _NOT_PLAIN) or not hasattr(value, "__dict__") or cls.__module__ == "builtins":
        return False
    return all(vars(c).get("__slots__", ()) == () for c in cls.__mro__) and cls.__new__ is object.__new__


def _class_name(value: object) -> str:
    cls = value if isinstance(value, type) else type(value)
    if cls is dict:
        return INT_KEYS if _has_int_keys(value) else ""  # type: ignore[arg-type]
    name = f"{cls.__module__}.{cls.__qualname__}"
    _CLASSES[name] = cls
    return "type" if isinstance(value, type) else name


def rebuild(structure: Structure, tensors: Sequence[Any]) -> Any:
    """The value of a structure with its leaves filled in. A dataclass whose class is not known becomes a dict."""
    if isinstance(structure, Leaf):
        return tensors[structure.index].item() if structure.number else tensors[structure.index]
    if isinstance(structure, SequenceOf):
        items = [rebuild(s, tensors) for s in structure.items]
        return items if structure.kind == "list" else tuple(items)
    if isinstance(structure, Mapping):
        fields = {k: rebuild(s, tensors) for k, s in zip(structure.keys, structure.items, strict=True)}
        if structure.type_name == INT_KEYS:
            return {int(k): v for k, v in fields.items()}
        if structure.type_name == "type":
            return _CLASSES.get(fields["name"])
        cls = _CLASSES.get(structure.type_name) if structure.type_name else None
        return fields if cls is None else _instance(cls, fields)
    return structure


def _instance(cls: type, fields: dict[str, Any]) -> Any:
    """An instance of a class that `fields_of` took apart."""
    if cls in (torch.dtype, torch.device):
        name = fields["name"]
        return torch.device(name) if cls is torch.device else getattr(torch, name.removeprefix("torch."))
    if issubclass(cls, UserDict):
        return cls(fields)
    if issubclass(cls, dict) and not dataclasses.is_dataclass(cls):
        made: Any = cls.__new__(cls)
        made.update(fields)
        return made
    if issubclass(cls, tuple) and hasattr(cls, "n_sequence_fields"):
        return cls(tuple(fields.values()))
    by_init = dataclasses.is_dataclass(cls) and all(f.init for f in dataclasses.fields(cls))
    if by_init or issubclass(cls, tuple):
        return cls(**fields)
    made = object.__new__(cls)
    for name, value in fields.items():
        object.__setattr__(made, name, value)
    return made


def is_still(structure: Structure, value: object, leaves: Sequence[Any]) -> bool:
    """Whether a value rebuilt from a structure is as it was: the same parts, with the same tensors in their places."""
    if isinstance(structure, Leaf):
        return value is leaves[structure.index]
    if isinstance(structure, SequenceOf):
        assert isinstance(value, (tuple, list))
        pairs = zip(structure.items, value, strict=False)
        return len(value) == len(structure.items) and all(is_still(s, v, leaves) for s, v in pairs)
    if isinstance(structure, Mapping):
        fields = fields_of(value) or {}
        if len(fields) != len(structure.keys) or not all(k in fields for k in structure.keys):
            return False
        return all(is_still(s, fields[k], leaves) for k, s in zip(structure.keys, structure.items, strict=True))
    return type(value) is type(structure) and (value == structure or value != value)


def paths(structure: Structure, prefix: str) -> Iterator[str]:
    """The name of each leaf for people, in leaf order: `batch.ids`, `xs.0`."""
    if isinstance(structure, Leaf):
        yield prefix
    elif isinstance(structure, SequenceOf):
        for i, item in enumerate(structure.items):
            yield from paths(item, f"{prefix}.{i}" if prefix else str(i))
    elif isinstance(structure, Mapping):
        for key, item in zip(structure.keys, structure.items, strict=True):
            yield from paths(item, f"{prefix}.{key}" if prefix else key)


def pinned(structure: Structure, prefix: str) -> Iterator[tuple[str, object]]:
    """(name, value) of each part of a structure that is not a tensor."""
    if isinstance(structure, SequenceOf):
        for i, item in enumerate(structure.items):
            yield from pinned(item, f"{prefix}.{i}" if prefix else str(i))
    elif isinstance(structure, Mapping):
        for key, item in zip(structure.keys, structure.items, strict=True):
            yield from pinned(item, f"{prefix}.{key}" if prefix else key)
    elif not isinstance(structure, Leaf):
        yield prefix, structure
