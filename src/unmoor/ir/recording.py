"""What capture hands on: the recorded graph of one call, with everything the trace froze."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

import numpy as np

from unmoor.dtypes import DType
from unmoor.ir.graph import NOWHERE, Graph, Node, Source, Value
from unmoor.ir.signature import Structure


@dataclass(frozen=True, eq=False)
class Held:
    """What the program held at a guard. Two runs with equal forms there go on alike, whichever way they came.

    `form` has everything but the tensors, nested; `values` are those, at their places in order. `sharing` says which of
    them are one object, an argument, or a view, whose bases have the values `bases`: it matters to a program that
    writes in place, or, where `told`, asks whether two tensors are one object. `inputs` are the values that the graph's
    inputs have by then.
    """

    form: tuple[object, ...]
    values: tuple[Value, ...]
    sharing: tuple[object, ...]
    bases: tuple[Value, ...]
    told: bool
    inputs: tuple[Value, ...]


EVERY = "in every example"  # in a guard's message: when there are others, the examples that came to it are meant
ANOTHER = "is another"  # in a guard's message: who knows what it is puts that in place of these words


class Froze(Enum):
    """What kind of thing a trace froze, most important first: the order of `assumptions`."""

    BRANCH_ON_DATA = "branch on data"
    VALUE = "value read from a tensor"
    LOOP = "loop count"
    BRANCH_ON_SIZE = "branch on a size"
    SIZE = "size"
    RANK = "rank"
    DTYPE = "dtype"
    LAYOUT = "stride or contiguity"
    MODE = "training flag"
    RANDOM = "random numbers"
    STATE = "buffer or in-place change"
    OUTSIDE = "tensor or value from outside"
    ARGUMENT = "argument that is not a tensor"
    DEVICE = "device"


@dataclass(frozen=True)
class Assumption:
    """One thing the trace froze: a sentence for the user, and whether a guard tests it at run time.

    `caller` is the user's own line that led there, where `source` is a library's. `message` is the guard's.
    """

    froze: Froze
    text: str
    source: Source
    checked: bool
    caller: Source = NOWHERE
    message: str = ""


@dataclass(frozen=True)
class ExampleTensor:
    """An example input as specialisation needs it: name, dtype, concrete sizes, and whether it lies contiguously in
    memory; `fixed`: no other sizes are possible."""

    name: str
    dtype: DType
    shape: tuple[int, ...]
    fixed: bool = False
    contiguous: bool = True


@dataclass(frozen=True, eq=False)
class RecordedState:
    """A tensor that calls change and keep: its name, its read-only value at the trace, and where it came from."""

    name: str
    data: np.ndarray
    origin: str = ""


@dataclass(frozen=True)
class Recording:
    """One captured call: graph inputs are the tensors of `arguments` (a structure of the 2-tuple (args, kwargs)),
    in leaf order; `example` describes them. `result` is the structure of the graph's outputs.

    `returned` describes the tensors among the results as the call gave them (None for a number): what is compiled for
    the example must give the same. A recording read from a file has none.
    `parameters` names the positional parameters of the callable, for messages and the signature. `states` are the last
    inputs, which no argument gives: name and first value of what a session keeps. The last `len(changed)` outputs are
    no part of the result: they are the new values of the inputs of these numbers. `caller` is the line that asked for
    the recording, which ops have that no line of the user's own made.

    `path` has the graph's nodes, and the guards that repeat earlier ones, which the graph leaves out. `held` says, for
    guards by their place in it, what the program held there, where that could be told; `writes` are the places after
    which the program wrote in place.
    """

    graph: Graph
    arguments: Structure
    result: Structure
    example: tuple[ExampleTensor, ...]
    assumptions: tuple[Assumption, ...] = field(default=())
    parameters: tuple[str, ...] = field(default=())
    returned: tuple[ExampleTensor | None, ...] = field(default=())
    states: tuple[RecordedState, ...] = field(default=())
    changed: tuple[int, ...] = field(default=())
    caller: Source = NOWHERE
    path: tuple[Node, ...] = field(default=())
    held: Mapping[int, Held] = field(default_factory=dict)
    writes: frozenset[int] = field(default=frozenset())
