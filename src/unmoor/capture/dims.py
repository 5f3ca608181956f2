"""The dims that a user names and pins: what is said of each input, checked for sense, as a node of the recording."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from unmoor.ir.graph import Arg, Node, Value
from unmoor.ir.named import Dim
from unmoor.ir.recording import ExampleTensor

OURS = re.compile(r"[su]\d+|min|max|none|true|false")  # symbols of the compiler, and words of the text forms


def named_dims(said: object, values: Sequence[Value], example: Sequence[ExampleTensor]) -> list[Node]:
    """A node for each input that `said` tells of. ValueError or TypeError for what makes no sense.

    Whether the example's sizes are as it says is found where its signature is made, as for those of later calls.
    """
    if not said:
        return []
    if not isinstance(said, Mapping):
        raise TypeError(
            f"dims is {said!r}; it says of inputs what their dims are: dims={{'x': ('batch', None)}}. To hand an "
            "argument of that name to the traced function, wrap it: lambda x: f(x, dims=...)"
        )
    inputs = {e.name: (value, e) for value, e in zip(values, example, strict=True)}
    unknown = [name for name in said if name not in inputs]
    if unknown:
        raise ValueError(
            f"dims tells of {unknown[0]!r}, which is no input; the inputs are {', '.join(inputs) or 'none'}"
        )
    ranges: dict[str, Dim] = {}
    nodes = []
    for name, dims in said.items():
        value, tensor = inputs[name]
        if isinstance(dims, str) or not isinstance(dims, Sequence):
            raise TypeError(f"dims tells of {name} {dims!r}; a tuple with an entry for each of its dims is wanted")
        if len(dims) != len(tensor.shape):
            shown = f"{list(tensor.shape)} in the example"
            raise ValueError(f"dims tells of {len(dims)} dims of {name}, which has {len(tensor.shape)}: it is {shown}")
        for axis, entry in enumerate(dims):
            _collect(entry, f"dims tells of dim {axis} of {name}", ranges)
        nodes.append((value, name, dims))
    return [
        Node("prim::dims", (value, name, tuple(_entry(d, ranges) for d in dims)), ()) for value, name, dims in nodes
    ]


def _collect(entry: Any, where: str, ranges: dict[str, Dim]) -> None:
    """Checks one entry; a range that stands at one place of a name holds for all."""
    if entry is None:
        return
    if isinstance(entry, str):
        entry = Dim(entry)
    if isinstance(entry, int) and not isinstance(entry, bool):
        if entry < 0:
            raise ValueError(f"{where} that it is {entry}; a size is not negative")
        return
    if not isinstance(entry, Dim):
        raise TypeError(
            f"{where} {entry!r}; a name, a size, None (as the trace finds it) or unmoor.Dim(name, min=..., max=...) is "
            "wanted"
        )
    if not re.fullmatch(r"[A-Za-z_][A-Za-z_0-9]*", entry.name) or OURS.fullmatch(entry.name):
        raise ValueError(f"{where} the name {entry.name!r}; letters, digits and _ make a name, but s0, u0, min and max")
    if entry.min < 0 or (entry.max is not None and entry.max < entry.min):
        raise ValueError(f"{where} that {entry.name} is from {entry.min} to {entry.max}: no size is")
    known = ranges.get(entry.name, Dim(entry.name))
    if Dim(entry.name) not in (known, entry) and known != entry:
        raise ValueError(f"{where} another range of {entry.name} than before: {_range(entry)} and {_range(known)}")
    ranges[entry.name] = known if entry == Dim(entry.name) else entry


def _range(d: Dim) -> str:
    return f"from {d.min}" + ("" if d.max is None else f" to {d.max}")


def _entry(entry: Any, ranges: dict[str, Dim]) -> Arg:
    if entry is None or isinstance(entry, int):
        return entry
    d = ranges[entry if isinstance(entry, str) else entry.name]
    return (d.name, d.min, d.max)


def told(node: Node) -> str:
    """What a node says, for people: `batch (at most 64), any, 3`."""
    dims = node.args[2]
    assert isinstance(dims, tuple)
    return ", ".join(map(_shown, dims))


def _shown(entry: Arg) -> str:
    if not isinstance(entry, tuple):
        return "any" if entry is None else str(entry)
    name, least, most = entry
    bounds = ([f"at least {least}"] if least else []) + ([] if most is None else [f"at most {most}"])
    return f"{name} ({', '.join(bounds)})" if bounds else str(name)
