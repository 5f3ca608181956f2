"""Families of ops: the shared parts of declarations, so that most ops take a few lines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from unmoor.dtypes import DEFAULT_FLOAT, DType, bf16, bf16_words, bool_, f16, f32, i64, numbers_of, result_type
from unmoor.errors import SignatureError, Unsupported
from unmoor.ir.dim import Dim, DimLike, dim
from unmoor.ir.op import Effect, Facts, Kind, Op, Sample, Tolerance
from unmoor.ir.types import TensorType
from unmoor.ops.samples import Ints, Rand
from unmoor.ops.schema import parse_schema

EXACT = Tolerance(reason="the same IEEE operation")
CLOSE = Tolerance({"f32": 2e-6, "f64": 1e-14}, {"f32": 1e-6, "f64": 1e-14}, "own polynomial within 2 ulp, FMA")
COMPUTED = ("f32", "f64", "i64", "i32")  # what core ops compute in: `DType.compute` of every number
INTS = ("i64", "i32", "i16", "i8", "u8")
FLOATS = ("f32", "f64", "f16", "bf16")
NUMBERS = (*FLOATS, *INTS)
EVERY = (*NUMBERS, "bool")


class NumberType(TensorType):
    """The type of a Python number: 0-dim, and weak in promotion."""


def number_type(value: object) -> NumberType:
    """The type of a Python number or size."""
    dtype = bool_ if isinstance(value, bool) else f32 if isinstance(value, float) else i64
    return NumberType(dtype, ())


def type_of_operand(value: Any) -> TensorType:
    """The type of an elementwise operand: a tensor's own, or that of a number."""
    return value if isinstance(value, TensorType) else number_type(value)


def _weak(type_: NumberType, numbers_only: bool) -> DType:
    """The dtype that a number has beside tensors: a float has the default one, whatever its own precision."""
    return DEFAULT_FLOAT if type_.dtype.is_float and not numbers_only else type_.dtype


def compute_dtype(promote: str, operands: Sequence[TensorType]) -> DType:
    """The dtype in which an elementwise op of this promotion computes on such operands."""
    numbers_only = promote != "where" and all(isinstance(t, NumberType) for t in operands)
    ranked = [
        (_weak(t, numbers_only), 2) if isinstance(t, NumberType) else (t.dtype, int(not t.shape)) for t in operands
    ]
    common = result_type(ranked)
    return DEFAULT_FLOAT if promote == "float" and not common.is_float else common


def broadcast(facts: Facts, shapes: Sequence[tuple[Dim, ...]]) -> tuple[Dim, ...]:
    """The shape that operands are broadcast to. SignatureError where they cannot be."""
    rank = max((len(s) for s in shapes), default=0)
    out: list[Dim] = []
    for axis in range(-rank, 0):
        extent = dim(1)
        for shape in shapes:
            if len(shape) < -axis:
                continue
            d = shape[axis]
            if d == 1 or d == extent:
                continue
            if extent == 1:
                extent = d
            elif facts.is_found(extent) != facts.is_found(d):  # whether the known one is 1 is told by the example
                known, found = (d, extent) if facts.is_found(extent) else (extent, d)
                if facts.equal(known, 1) or facts.equal(known, found):
                    extent = found
                elif facts.equal(found, 1):
                    extent = known
                else:
                    raise SignatureError(f"sizes {extent} and {d} do not broadcast")
            elif not facts.equal(extent, d):
                if facts.equal(d, 1):
                    continue
                if not facts.equal(extent, 1):
                    raise SignatureError(f"sizes {extent} and {d} do not broadcast")
                extent = d
        out.append(extent)
    return tuple(out)


def operands(op_params: Sequence[Any], args: Sequence[Any]) -> list[Any]:
    """The elementwise operands among an op's arguments."""
    return [
        a for p, a in zip(op_params, args, strict=True) if p.type.rstrip("?") in ("Tensor", "Scalar") and a is not None
    ]


def pointwise(
    name: str,
    schema: str,
    overloads: str,
    lower: Callable[..., Any],
    reference: Callable[..., Any],
    *,
    promote: str = "common",
    result: DType | None = None,
    dtypes: tuple[str, ...] = NUMBERS,
    tolerance: Tolerance = EXACT,
    samples: Callable[[str], Sequence[Sample]] | None = None,
    doc: str = "",
) -> Op:
    """An elementwise op. `overloads` are the words behind the dot of torch's overloads, space-separated.

    `lower` and `reference` get the Tensor and Scalar operands in the compute dtype, other arguments as they are.
    """
    parsed = parse_schema(schema)
    float_only = promote == "common" and result is None and not set(dtypes) & {"bool", "i32", "i64"}

    def infer(facts: Facts, *args: Any) -> TensorType:
        types = [type_of_operand(a) for a in operands(parsed.params, args)]
        if float_only and not compute_dtype(promote, types).is_float:
            raise Unsupported(f"{name} of {types[0].dtype.torch_name} is not supported: convert with .float() first")
        dtype = result or (types[0].dtype if promote == "none" else compute_dtype(promote, types))
        return TensorType(dtype, broadcast(facts, [t.shape for t in types]))

    count = sum(p.type == "Tensor" for p in parsed.params)

    def default_samples(dtype: str) -> Sequence[Sample]:
        make = Rand if dtype in FLOATS else Ints
        shapes = [(), (3,), (2, 3, 17), (0, 4)]
        plain = [Sample(tuple(make(*shape) for _ in range(count))) for shape in shapes]
        return [*plain, Sample((make(3, 1), make(4)))] if count == 2 else plain

    base = name.split("::")[1]
    return Op(
        name=name,
        schema=parsed,
        kind=Kind.MAP,
        infer=infer,
        reference=reference,
        overloads=tuple(f"{base}.{o}" for o in overloads.split()),
        samples=samples or default_samples,
        tolerance=tolerance,
        lower=lower,
        promote=promote,
        dtypes=dtypes,
        doc=doc,
    )


def composite(
    name: str,
    schema: str,
    overloads: str,
    decompose: Callable[..., Any],
    reference: Callable[..., Any],
    samples: Callable[[str], Sequence[Sample]],
    *,
    dtypes: tuple[str, ...] = FLOATS,
    tolerance: Tolerance = CLOSE,
    effects: Effect = Effect.NONE,
    doc: str = "",
    stepwise: bool = False,
) -> Op:
    """An op that is taken apart at specialisation."""
    base = name.split("::")[1]
    return Op(
        name,
        parse_schema(schema),
        Kind.COMPOSITE,
        None,
        reference,
        tuple(o if "." in o else f"{base}.{o}" for o in overloads.split()),
        samples,
        tolerance,
        decompose=decompose,
        dtypes=dtypes,
        effects=effects,
        doc=doc,
        stepwise=stepwise,
    )


def axis_of(axis: int, rank: int) -> int:
    """A dim counted from the front. SignatureError where it is out of range; a 0-dim tensor has dims 0 and -1."""
    size = max(rank, 1)
    if not -size <= axis < size:
        raise SignatureError(f"dim {axis} is out of range for a tensor of rank {rank}")
    return axis % size


def axes_of(dims: Sequence[int] | int | None, rank: int) -> tuple[int, ...]:
    """Dims counted from the front, sorted; all of them for None or none. SignatureError for a repeated one."""
    if dims is None or dims == ():
        return tuple(range(rank))
    given = (dims,) if isinstance(dims, int) else tuple(dims)
    axes = sorted(axis_of(d, rank) for d in given)
    if len(set(axes)) < len(axes):
        raise SignatureError(f"a dim stands twice in {list(given)}")
    return tuple(a for a in axes if a < rank)


def plain(value: DimLike) -> int:
    """A constant size as an int."""
    return dim(value).value


def in_dtype(array: Any, dtype: DType) -> np.ndarray:
    """An array of any dtype of the table, or a number, converted as PyTorch converts it on a CPU.

    Half floats are rounded from float32; a float that becomes a small integer is truncated to i32, which then wraps.
    """
    data = numbers_of(np.asarray(array))
    if dtype is bool_:
        return np.asarray(data != 0)
    with np.errstate(all="ignore"):
        if dtype is bf16:
            return bf16_words(data)
        if dtype is f16 or (dtype is not dtype.compute and data.dtype.kind == "f"):
            data = data.astype(dtype.compute.numpy)
        return np.asarray(data.astype(dtype.numpy))
