"""Signatures: what a call must look like, and how its outputs are put together again.

A *structure* is a nested tree of tuples, lists, dicts and leaves that mirrors the call's Python
arguments or the returned value; `Leaf(i)` is the i-th tensor, any other leaf a plain constant.
A structure is data (it is stored in the file), so it holds no classes: a dataclass, a named tuple or
another object is kept as a dict of its parts with its type's name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Union

from unmoor.ir.graph import Relation, Source
from unmoor.ir.types import TensorType


@dataclass(frozen=True)
class Leaf:
    """The place of the `index`-th tensor in a structure; `number`: the result has its one element, as a number."""

    index: int
    number: bool = False


@dataclass(frozen=True)
class Sequence:
    """A tuple or a list of structures."""

    kind: str  # "tuple" or "list"
    items: tuple[Structure, ...]


@dataclass(frozen=True)
class Mapping:
    """A dict with string keys; `type_name` names the class of the object that it was, else "".

    A dict with integer keys has them as texts, and the type INT_KEYS. A class, a torch.dtype and a torch.device are the
    one key "name".
    """

    keys: tuple[str, ...]
    items: tuple[Structure, ...]
    type_name: str = ""


INT_KEYS = "dict[int]"
MAX_DEPTH = 100  # of nesting


def contiguity(number: int) -> str:
    """The symbol in relations that is 1 where input `number` lies contiguously in memory, else 0."""
    return f"contiguous{number}"


Structure = Union[Leaf, Sequence, Mapping, None, bool, int, float, str]


# What a signature demands: a relation, or that the dim (input, axis) is fixed, or equal to an earlier one.
Demand = Union[Relation, tuple[int, int]]
Reason = tuple[str, Source]  # the guard that it comes from: its message, and the user's line


@dataclass(frozen=True)
class TensorSpec:
    """One tensor of a signature: its name for people (`x`, `batch.ids`, `output`) and its type.

    In an input, each dim is a constant (fixed) or a symbol; in an output it is any Dim of those symbols.
    """

    name: str
    type: TensorType

    def __str__(self) -> str:
        return f"{self.name}: {self.type}"


@dataclass(frozen=True)
class Signature:
    """One accepted form of a call. `inputs` are in the order of the structure's leaves.

    `arguments` is the structure of (args, kwargs) as a 2-tuple; `result` that of the returned value.

    The last `len(states)` inputs are state: the session gives them, under these names. The last `len(changed)` outputs
    are written back once the call has succeeded: each into the input of that number, a state or a tensor of the caller.
    """

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    arguments: Structure
    result: Structure
    relations: tuple[Relation, ...] = field(default=())
    states: tuple[str, ...] = field(default=())
    changed: tuple[int, ...] = field(default=())

    @property
    def given(self) -> tuple[TensorSpec, ...]:
        """The inputs that the caller gives."""
        return self.inputs[: len(self.inputs) - len(self.states)]

    @property
    def returned(self) -> tuple[TensorSpec, ...]:
        """The outputs that the caller gets."""
        return self.outputs[: len(self.outputs) - len(self.changed)]

    def __str__(self) -> str:
        ins = ", ".join(map(str, self.given))
        outs = ", ".join(str(o.type) for o in self.returned)
        where = " where " + ", ".join(map(str, self.relations)) if self.relations else ""
        return f"({ins}) -> ({outs}){where}{self._effects()}"

    def _effects(self) -> str:
        changes = [self.inputs[k].name for k in self.changed if k < len(self.given)]
        kept = [f"{name}: {spec.type}" for name, spec in zip(self.states, self.inputs[len(self.given) :], strict=True)]
        text = f"; changes {', '.join(changes)} in place" if changes else ""
        return text + (f"; state {', '.join(kept)}" if kept else "")
