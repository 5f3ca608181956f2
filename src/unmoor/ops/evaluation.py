"""Evaluates one op on NumPy arrays: PyTorch's promotion first, then the op's reference.

Small integers and half floats are stored, not computed with: as in eager PyTorch's own kernels, an op works in
`DType.compute` and its result is converted back once. What moves elements alone leaves them as they are.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from unmoor.dtypes import BY_NUMPY, DEFAULT_FLOAT, DType, c64, numbers_of
from unmoor.errors import Unsupported
from unmoor.ir.dim import dim
from unmoor.ir.op import Kind, Op
from unmoor.ir.types import TensorType
from unmoor.ops.family import compute_dtype, in_dtype, type_of_operand

OPERAND = ("Tensor", "Scalar")
MOVING = (Kind.VIEW, Kind.CREATE, Kind.INDEX, Kind.JOIN, Kind.PACK, Kind.BUILTIN, Kind.COMPOSITE)
CASTS = ("prim::cast", "aten::where")  # elementwise, and yet no arithmetic
SCALED = ("aten::add", "aten::sub", "aten::rsub")  # their second operand is multiplied by `alpha`
UNROUNDED = ("aten::mul", "aten::div", "aten::div_mode", "aten::floor_divide")


def concrete_type(value: Any) -> Any:
    """An array as its type, lists likewise; anything else as it is."""
    if isinstance(value, np.ndarray | np.generic):
        return TensorType(BY_NUMPY[np.asarray(value).dtype], tuple(dim(int(n)) for n in np.shape(value)))
    if isinstance(value, tuple):
        return tuple(concrete_type(v) for v in value)
    return value


def operand_dtype(op: Op, types: list[Any]) -> DType | None:
    """The dtype to bring an elementwise op's operands to; None where they stay as they are."""
    if op.promote == "none":
        return None
    chosen = types[1:] if op.promote == "where" else types
    return compute_dtype(op.promote, [type_of_operand(t) for t in chosen])


def computes(op: Op) -> bool:
    """Whether a core op does arithmetic, so that its operands must be in a dtype that is computed with."""
    return op.kind not in MOVING and op.name not in CASTS


def dtypes_in(types: Any) -> list[DType]:
    """The dtypes of the tensors among argument types, in order."""
    if isinstance(types, tuple):
        return [d for t in types for d in dtypes_in(t)]
    if isinstance(types, complex):
        return [c64]
    if isinstance(types, DType):
        return [types] if types.is_complex else []
    return [types.dtype] if isinstance(types, TensorType) else []


def half_result(op: Op, types: tuple[Any, ...]) -> DType | None:
    """The dtype of the floats that a composite makes of half floats; None without such, or where it only moves them.

    None also where eager rounds after each part. A dtype among the arguments, else the operands' own; a norm keeps that
    of the tensor it normalises. Where operands of other ops differ in dtype, the parts promote or refuse them.
    """
    if op.stepwise or not _has_half(dtypes_in(types)) or not (op.tolerance.rtol or op.tolerance.atol):
        return None
    floats = {t.dtype for t in _tensors(types) if t.dtype.is_float and t.shape}
    return None if len(floats) > 1 and not op.name.endswith("_norm") else _result_dtype(op, types)


def _has_half(found: list[DType]) -> bool:
    return any(d.is_float and d is not d.compute for d in found)


def _result_dtype(op: Op, types: tuple[Any, ...]) -> DType:
    given = [t for t in types if isinstance(t, DType)]
    tensors = _tensors(types)
    if given or not tensors:
        return given[0] if given else DEFAULT_FLOAT
    return tensors[0].dtype if op.name.endswith("_norm") else compute_dtype("common", tensors)


def _tensors(types: Any) -> list[TensorType]:
    if isinstance(types, tuple):
        return [t for x in types for t in _tensors(x)]
    return [types] if isinstance(types, TensorType) else []


def through(op: Op, dtype: DType, place: int, rank: int) -> bool:
    """Whether the operand at a place must be rounded to `dtype` before it is widened for the arithmetic.

    PyTorch's kernels do that, save those of products and quotients of half floats: they take a number or 0-dim tensor
    that is their second operand in float32.
    """
    if dtype is dtype.compute:
        return False
    return not (dtype.is_float and op.name in UNROUNDED and place == 1 and rank == 0)


def check_factor(op: Op, dtype: DType, args: tuple[Any, ...]) -> None:
    """Unsupported for a factor `alpha` whose product with half floats eager rounds in some places only."""
    if (
        op.name in SCALED
        and dtype.is_float
        and dtype is not dtype.compute
        and abs(math.frexp(args[2])[0]) not in (0, 0.5)
    ):
        raise Unsupported(
            f"{op.name} of half floats with alpha={args[2]:g}: eager rounds the product where its vectors end; write "
            "the product as an operation of its own"
        )


def cut_quotient(op: Op, dtype: DType | None, args: tuple[Any, ...]) -> bool:
    """Whether this is a quotient of half floats that is cut off: eager rounds it before."""
    half = dtype is not None and dtype.is_float and dtype is not dtype.compute
    return half and op.name == "aten::div_mode" and args[2] == "trunc"


def evaluate_op(op: Op, args: tuple[Any, ...]) -> Any:
    """The op's result on arrays; arguments that are left out take the schema's defaults."""
    args = (*args, *(p.default for p in op.schema.params[len(args) :]))
    if any(d.is_complex for d in dtypes_in(concrete_type(args))):
        return _of_complex(op, args)
    if op.kind is not Kind.MAP:
        return _in_compute(op, args)
    is_operand = [p.type.rstrip("?") in OPERAND and a is not None for p, a in zip(op.schema.params, args, strict=True)]
    types = [concrete_type(a) for a, yes in zip(args, is_operand, strict=True) if yes]
    dtype = operand_dtype(op, types)
    wide = dtype
    if cut_quotient(op, dtype, args):
        from unmoor.ops import TABLE  # this module is one of the table's own parts

        return evaluate_op(TABLE["aten::trunc"], (evaluate_op(TABLE["aten::div"], args[:2]),))
    if dtype is not None:
        wide = dtype.compute if computes(op) else dtype
        start = 1 if op.promote == "where" else 0
        args = tuple(
            in_dtype(in_dtype(a, dtype) if through(op, dtype, k, np.ndim(a)) else a, wide) if yes and k >= start else a
            for k, (a, yes) in enumerate(zip(args, is_operand, strict=True))
        )
    with np.errstate(all="ignore"):
        made = np.asarray(op.reference(*args))
    if made.dtype.kind == "f" and dtype is not None and not dtype.is_float:
        return made.astype(DEFAULT_FLOAT.numpy)
    return made if dtype is None or made.dtype == np.bool_ else in_dtype(made, dtype)


def _of_complex(op: Op, args: tuple[Any, ...]) -> Any:
    """An op on complex arrays, by its rule; that of a composite without one is its reference."""
    from unmoor.ops.complex_rules import rule_of  # this module is below the families
    from unmoor.ops.formula import ON_ARRAYS

    rule = rule_of(op.name)
    return _as_arrays(op.reference(*args) if rule is None else rule(ON_ARRAYS, *args))


def _in_compute(op: Op, args: tuple[Any, ...]) -> Any:
    """The reference of an op that is not elementwise, half floats as float32 and back."""
    types = tuple(a if isinstance(a, DType) else concrete_type(a) for a in args)
    if op.stepwise or not _has_half(dtypes_in(types) + [t for t in types if isinstance(t, DType)]):
        return _as_arrays(op.reference(*args))
    target = _result_dtype(op, types)
    made = _as_arrays(op.reference(*(_without_halves(a) for a in args)))
    results = tuple(
        in_dtype(r, target) if r.dtype == target.compute.numpy else r
        for r in (made if isinstance(made, tuple) else (made,))
    )
    return results if isinstance(made, tuple) else results[0]


def _without_halves(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_without_halves(v) for v in value)
    if isinstance(value, DType):
        return value.compute if value.is_float else value
    if not isinstance(value, np.ndarray | np.generic):
        return value
    data = numbers_of(np.asarray(value))
    return data.astype(np.float32) if data.dtype == np.float16 else data


def _as_arrays(result: Any) -> Any:
    return tuple(np.asarray(r) for r in result) if isinstance(result, tuple | list) else np.asarray(result)
