"""Nested arguments to flat tensors, and flat outputs to nested results, by the structures that a file holds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping as AbstractMapping
from typing import Any

from unmoor.errors import SignatureError
from unmoor.ir.signature import INT_KEYS, Leaf, Mapping, Sequence, Structure


def flatten(arguments: Structure, args: tuple[Any, ...], kwargs: dict[str, Any], names: tuple[str, ...]) -> list[Any]:
    """The tensors of a call in the order of the structure's leaves.

    `names` are those of the positional parameters, "" where unknown; arguments given by name are put in their places.
    Raises SignatureError where the call has another structure or another constant than the trace.
    """
    assert isinstance(arguments, Sequence) and len(arguments.items) == 2
    positional, keyword = arguments.items
    assert isinstance(positional, Sequence) and isinstance(keyword, Mapping)
    args, kwargs = _bind(positional, keyword, args, dict(kwargs), names)
    found: dict[int, Any] = {}
    for number, (wanted, given) in enumerate(zip(positional.items, args, strict=True)):
        _collect(wanted, given, names[number] or f"argument {number}", found)
    for name, wanted in zip(keyword.keys, keyword.items, strict=True):
        _collect(wanted, kwargs[name], name, found)
    return [found[k] for k in sorted(found)]


def _bind(
    positional: Sequence, keyword: Mapping, args: tuple[Any, ...], kwargs: dict[str, Any], names: tuple[str, ...]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Arguments in the form of the trace: those given by name but traced by position, moved, and the reverse."""
    count = len(positional.items)
    placed = list(args)
    for name in names[len(args) : count]:
        if name and name in kwargs and name not in keyword.keys:
            placed.append(kwargs.pop(name))
        else:
            break
    for name in keyword.keys:  # traced by name, given by position
        if name not in kwargs and len(placed) > count:
            kwargs[name] = placed.pop(count)
    problems = []
    missing = [n or f"argument {k}" for k, n in enumerate(names[:count]) if k >= len(placed)]
    missing += [k for k in keyword.keys if k not in kwargs]
    if missing:
        problems.append(f"lacks {_listed(missing)}")
    extra = [f"positional argument {k}" for k in range(count, len(placed))]
    extra += [k for k in kwargs if k not in keyword.keys]
    if extra:
        problems.append(f"has {_listed(extra)} too many")
    if problems:
        raise SignatureError(f"the call {' and '.join(problems)}: it takes {_parameters(names, keyword)}")
    return tuple(placed), kwargs


def _listed(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"


def _parameters(names: tuple[str, ...], keyword: Mapping) -> str:
    told = [n or f"argument {k}" for k, n in enumerate(names)] + [f"{k}=" for k in keyword.keys]
    return f"({', '.join(told)})"


def _collect(wanted: Structure, given: Any, where: str, found: dict[int, Any]) -> None:
    """Puts the tensors of `given` into `found` by leaf number."""
    if isinstance(wanted, Leaf):
        found[wanted.index] = given
    elif isinstance(wanted, Sequence):
        if not isinstance(given, (tuple, list)) or len(given) != len(wanted.items):
            raise SignatureError(f"{where} was a {wanted.kind} of {len(wanted.items)} in the trace; {_is(given)}")
        for number, (w, g) in enumerate(zip(wanted.items, given, strict=True)):
            _collect(w, g, f"{where}[{number}]", found)
    elif isinstance(wanted, Mapping):
        fields = _fields(given)
        if fields is None or set(fields) != set(wanted.keys):
            what = wanted.type_name or "dict"
            raise SignatureError(f"{where} was a {what} with {', '.join(wanted.keys)} in the trace; {_is(given)}")
        stands_for_object = wanted.type_name and type(given) is dict  # whose parts were asked for by name
        if isinstance(given, AbstractMapping) and tuple(fields) != wanted.keys and not stands_for_object:
            raise SignatureError(
                f"{where} had its keys in the order {', '.join(wanted.keys)} in the trace; {_is(given)}. "
                "A program may go through them in order: pass them in the order of the trace"
            )
        for key, w in zip(wanted.keys, wanted.items, strict=True):
            _collect(w, fields[key], f"{where}.{key}" if wanted.type_name else f"{where}[{key!r}]", found)
    elif not _same(wanted, given):
        raise SignatureError(
            f"{where} was {wanted!r} in the trace, which is part of the program; {_is(given)}. "
            f"Pass {wanted!r}, or trace a function that takes it as a tensor"
        )


def _fields(given: Any) -> AbstractMapping[str, Any] | None:
    """The named parts of an argument, as tracing takes one apart."""
    if isinstance(given, AbstractMapping):
        return {str(k) if type(k) is int else k: v for k, v in given.items()}
    if dataclasses.is_dataclass(given) and not isinstance(given, type):
        return {f.name: getattr(given, f.name) for f in dataclasses.fields(given)}
    if isinstance(given, tuple) and hasattr(given, "_asdict"):
        fields: dict[str, Any] = given._asdict()
        return fields
    if isinstance(given, type):
        return {"name": f"{given.__module__}.{given.__qualname__}"}
    if f"{type(given).__module__}.{type(given).__qualname__}" in ("torch.dtype", "torch.device"):
        return {"name": str(given)}
    if isinstance(given, (tuple, list)) or type(given).__module__ == "builtins":
        return None
    return getattr(given, "__dict__", None)


def _same(wanted: bool | int | float | str | None, given: Any) -> bool:
    if isinstance(wanted, float) and isinstance(given, float) and wanted != wanted and given != given:
        return True  # both are nan
    return type(wanted) is type(given) and wanted == given


def _is(given: Any) -> str:
    if given is None or isinstance(given, (bool, int, float, str)):
        return f"here it is {given!r}"
    if isinstance(given, (tuple, list)):
        return f"here it is a {type(given).__name__} of {len(given)}"
    fields = _fields(given)
    if fields is not None:
        return f"here it is a {type(given).__name__} with {', '.join(map(str, fields)) or 'nothing'}"
    return f"here it is a {type(given).__name__}"


def rebuild(result: Structure, outputs: tuple[Any, ...]) -> Any:
    """The returned value: outputs in the places of the structure's leaves. Objects come back as dicts."""
    if isinstance(result, Leaf):
        return outputs[result.index].item() if result.number else outputs[result.index]
    if isinstance(result, Sequence):
        items = (rebuild(i, outputs) for i in result.items)
        return tuple(items) if result.kind == "tuple" else list(items)
    if isinstance(result, Mapping):
        keys = (int(k) for k in result.keys) if result.type_name == INT_KEYS else result.keys
        return {k: rebuild(i, outputs) for k, i in zip(keys, result.items, strict=True)}
    return result
