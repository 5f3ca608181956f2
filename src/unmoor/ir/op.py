"""The record that declares an op. The table itself is `unmoor.ops`; everything else derives from it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Protocol

from unmoor.dtypes import DType, bf16, f16
from unmoor.ir.dim import Dim, DimLike
from unmoor.ir.types import TensorType

if TYPE_CHECKING:
    from unmoor.ir.graph import Arg, Value


class Kind(Enum):
    """What an op does to elements; all that fusion and lowering need to know about it."""

    MAP = "map"  # each output element from the elements at its (broadcast) place
    REDUCE = "reduce"  # axes folded by an associative function
    VIEW = "view"  # elements only change place: an index map, never a computation
    PAD = "pad"  # a constant around the elements of a source
    CONTRACT = "contract"  # sums of products of two operands: matmul, convolution
    CREATE = "create"  # elements from their index and constants alone
    INDEX = "index"  # elements of the first operand, at places along some axes that integer tensors name
    SCAN = "scan"  # along one axis, each element from the one before it and the operand's
    SCATTER = "scatter"  # a copy with elements written at places that integer tensors name, one after the other
    JOIN = "join"  # several tensors side by side along one axis: cat
    PACK = "pack"  # a copy into the panel layout that contractions read
    COMPOSITE = "composite"  # taken apart into the above by `decompose`, at specialisation
    BUILTIN = "builtin"  # a function of the native runtime


class Effect(Enum):
    NONE = "none"
    GUARD = "guard"  # may end the call: not dropped, not moved before another guard
    RANDOM = "random"
    STATE = "state"


@dataclass(frozen=True)
class Param:
    """One parameter of a schema. `type` is Tensor, int, float, bool, Scalar, str, dtype, with ? and [] added."""

    name: str
    type: str
    default: Any = None
    has_default: bool = False
    keyword_only: bool = False


@dataclass(frozen=True)
class Schema:
    """A parsed schema string, `(Tensor self, int[] dim=[], *, bool keepdim=False) -> Tensor`."""

    params: tuple[Param, ...]
    results: tuple[str, ...]
    text: str


class Facts(Protocol):
    """What a type rule may ask about sizes. An answer that needs the example becomes a relation of the signature."""

    def equal(self, a: DimLike, b: DimLike) -> bool:
        """Whether a == b: proven, else decided by the example's sizes and recorded."""

    def at_most(self, a: DimLike, b: DimLike) -> bool:
        """Whether a <= b, likewise."""

    def int_of(self, a: DimLike) -> int:
        """The int of a Dim that the rule needs as a number; records `a == int` where it is symbolic."""

    def found(self, most: Dim) -> Dim:
        """A new size that a call finds in data, between 0 and `most`."""

    def is_found(self, d: DimLike) -> bool:
        """Whether a size depends on what a call finds: a question about it becomes a guard of the program."""


class Builder(Protocol):
    """What a decomposition may do: emit typed nodes, read types, ask facts."""

    facts: Facts

    def emit(self, op: str, *args: Arg, **kwargs: Arg) -> Value:
        """Append `op` (its type rule applied; other composites are taken apart in turn) and return its output."""

    def emit_all(self, op: str, *args: Arg, **kwargs: Arg) -> tuple[Value, ...]:
        """The same for an op with several outputs."""

    def type_of(self, value: Arg) -> TensorType:
        """The type of a tensor value; a Python number as the 0-dim tensor of its kind."""

    def is_tensor(self, value: Arg) -> bool:
        """Whether an argument is a tensor."""

    def parts(self, value: Any) -> tuple[Any, Any]:
        """The real and the imaginary part of a complex tensor or number."""

    def complex(self, re: Any, im: Any) -> Any:
        """The complex tensor of two parts of one shape and dtype."""

    def places(self, mask: Value) -> Value:
        """Where a 1-D mask holds; the same mask is gone through once."""

    def span(self, value: Arg) -> tuple[Dim, Dim] | None:
        """Bounds of an integer tensor's elements, the upper one excluded; None where its making does not tell."""

    def loop(
        self,
        turns: DimLike | None,
        initial: Sequence[Value],
        scanned: Sequence[Value],
        body: Callable[
            [tuple[Value, ...], tuple[Value, ...]], tuple[Value | None, tuple[Value, ...], tuple[Value, ...]]
        ],
        condition: Value | None = None,
        backward: bool = False,
    ) -> tuple[Value, ...]:
        """Append a `prim::Loop` and return its outputs.

        From what is carried and the rows of a turn, `body` makes the next condition (None where turns are counted),
        what is carried on, and further rows.
        """

    def guard(self, condition: Value, expected: bool, message: str) -> None:
        """Append a guard on a 0-dim bool tensor: NotTraced(message) unless it is as expected."""


ULP = {f16: 2.0**-10, bf16: 2.0**-7}  # relative distance of neighbours, at most
TINY = {f16: 2.0**-24, bf16: 2.0**-133}  # the smallest positive number


@dataclass(frozen=True)
class Tolerance:
    """How far a result may be from eager PyTorch's, and why it may differ at all.

    |got - want| <= atol + rtol * |want|, per dtype name. 0 means bit-equal. Half floats that are not named are computed
    with in f32 and rounded once: where a result in f32 may differ at all, its rounding may fall to the neighbour, one
    ulp away.
    """

    rtol: dict[str, float] = field(default_factory=dict)
    atol: dict[str, float] = field(default_factory=dict)
    reason: str = ""

    def of(self, dtype: DType) -> tuple[float, float]:
        """rtol and atol of a dtype."""
        name = dtype.name if dtype.name in self.rtol else dtype.compute.name
        rtol, atol = self.rtol.get(name, 0.0), self.atol.get(name, 0.0)
        if name == dtype.name or not dtype.is_float or not (rtol or atol):
            return rtol, atol
        return max(rtol, ULP[dtype]), max(atol, TINY[dtype])


@dataclass(frozen=True)
class Sample:
    """One call for tests: arguments as plain data. Tensors are `Rand`, `Ints` or NumPy arrays in `args`."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class BuiltinCall:
    """How an op calls a builtin of the runtime: its name, and (*args) -> its ints, tensors given as their types.

    The builtin's buffers are the op's tensors, then its results, then scratch.
    """

    name: str
    ints: Callable[..., tuple[DimLike, ...]]


@dataclass(frozen=True)
class Op:
    """Everything Unmoor knows about an op. Exactly one of lower, decompose, builtin is given.

    name        the graph's word, `aten::add`
    infer       type rule: (facts, *args) -> TensorType or a tuple of them; args follow the schema, tensors
                given as their TensorType, sizes as int or Dim. None for a composite, whose parts tell
    reference   NumPy meaning: (*args) -> ndarray or a tuple of them, slow and obvious
    overloads   the torch overloads that record as this op, "add.Tensor"; the names of their schemas'
                parameters are matched to this schema's
    promote     which compute dtype the Tensor and Scalar operands of a MAP op are brought to before it, by casts
                that specialisation inserts: "none", "common" (PyTorch's result_type) or "float" (the same,
                integers to the default float); a typed graph thus holds only operands of one dtype
    lower       by kind: MAP    (*args) -> scalar expression; Tensor and Scalar params arrive as expressions of
                                the compute dtype, other params as they are
                         REDUCE the fold's name: add mul max min and or argmax argmin
                         VIEW   (index, extents, source type, result type, *args after the tensor) -> index into
                                the source, for an index into the result whose loop symbols lie below `extents`
                         PAD    (index, source type, result type, *args after the tensor) -> the condition that the
                                index lies inside, the index into the source (clamped into it), the constant outside
                         CREATE (index, result type, *args) -> scalar expression
                         CONTRACT, JOIN and INDEX ops (prim::matmul, prim::cat, prim::take) are known to the kernel
                         stage: True
                         SCATTER  by its `how`, what is written of what is there and what comes
                         SCAN   how the running value goes on (ops.scan.Combine)
    decompose   (builder, *args) -> Value or tuple of Values
    builtin     the runtime function, and how it is called
    dtypes      names of the element types it is tested for (of its first tensor)
    samples     (dtype) -> samples, run by the differential tests
    vjp         how a gradient flows back through the op (unmoor.ops.gradients); a core op without one has none, a
                composite without one lets it flow through its parts
    stepwise    eager rounds half floats after each part of a composite, not once at its end
    """

    name: str
    schema: Schema
    kind: Kind
    infer: Callable[..., Any] | None
    reference: Callable[..., Any]
    overloads: tuple[str, ...]
    samples: Callable[..., Sequence[Sample]]
    tolerance: Tolerance
    lower: Any = None
    promote: str = "none"
    decompose: Callable[..., Any] | None = None
    builtin: BuiltinCall | None = None
    effects: Effect = Effect.NONE
    dtypes: tuple[str, ...] = ("f32",)
    doc: str = ""
    stepwise: bool = False
    vjp: Callable[..., Any] | None = None


Index = tuple[Dim, ...]
