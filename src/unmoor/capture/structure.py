"""Nested Python values of tensors, taken apart into a structure with its tensors, and put together again."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from weakref import WeakValueDictionary

import numpy as np
import torch

from unmoor.errors import Unsupported
from unmoor.ir.signature import Leaf, Mapping, Structure
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


def _flatten(value: object, where: str, is_leaf: IsLeaf, leaves: list[Any]) -> Structure:
    if is_leaf(value):
        leaves.append(value)
        return Leaf(len(leaves) - 1)
    if value is None or type(value) in (bool, int, float, str):
        return value  # type: ignore[return-value]
    fields = fields_of(value)
    if fields is not None:
        keys = tuple(fields)
        items = tuple(_flatten(fields[k], f"{where}.{k}", is_leaf, leaves) for k in keys)
        return Mapping(keys, items, _class_name(type(value)))
    if isinstance(value, (tuple, list)):
        items = tuple(_flatten(v, f"{where}[{i}]", is_leaf, leaves) for i, v in enumerate(value))
        return SequenceOf("list" if isinstance(value, list) else "tuple", items)
    raise Unsupported(
        f"{where} holds a {type(value).__module__}.{type(value).__qualname__}, which a trace cannot keep; "
        "use tensors, numbers, strings, None, and tuples, lists, dicts, dataclasses and named tuples of them"
    )


def fields_of(value: object) -> dict[str, Any] | None:
    """The named parts of a dict, dataclass instance or named tuple; None for anything else."""
    if isinstance(value, dict):
        if not all(isinstance(k, str) for k in value):
            raise Unsupported("a dict with keys that are not strings cannot be part of a signature; use string keys")
        return dict(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return dict(zip(value._fields, value, strict=True))
    if isinstance(value, tuple) and hasattr(value, "n_sequence_fields"):  # torch.return_types.max and its like
        names = [n for n in dir(value) if not n.startswith(("_", "n_")) and n not in ("count", "index")]
        by_identity = {id(getattr(value, n)): n for n in names}
        return {by_identity[id(v)]: v for v in value}
    return None


def _class_name(cls: type) -> str:
    if cls is dict:
        return ""
    name = f"{cls.__module__}.{cls.__qualname__}"
    _CLASSES[name] = cls
    return name


def rebuild(structure: Structure, tensors: Sequence[Any]) -> Any:
    """The value of a structure with its leaves filled in. A dataclass whose class is not known becomes a dict."""
    if isinstance(structure, Leaf):
        return tensors[structure.index]
    if isinstance(structure, SequenceOf):
        items = [rebuild(s, tensors) for s in structure.items]
        return items if structure.kind == "list" else tuple(items)
    if isinstance(structure, Mapping):
        fields = {k: rebuild(s, tensors) for k, s in zip(structure.keys, structure.items, strict=True)}
        cls = _CLASSES.get(structure.type_name) if structure.type_name else None
        return fields if cls is None else _instance(cls, fields)
    return structure


def _instance(cls: type, fields: dict[str, Any]) -> Any:
    """An instance of a class that `fields_of` took apart."""
    if issubclass(cls, dict) and not dataclasses.is_dataclass(cls):
        made: Any = cls.__new__(cls)
        made.update(fields)
        return made
    if issubclass(cls, tuple) and hasattr(cls, "n_sequence_fields"):
        return cls(tuple(fields.values()))
    if dataclasses.is_dataclass(cls) and any(not f.init for f in dataclasses.fields(cls)):
        made = object.__new__(cls)
        for name, value in fields.items():
            object.__setattr__(made, name, value)
        return made
    return cls(**fields)


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
