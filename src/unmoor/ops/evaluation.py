"""Evaluates one op on NumPy arrays: PyTorch's promotion first, then the op's reference."""

from __future__ import annotations

from typing import Any

import numpy as np

from unmoor.dtypes import BY_NUMPY, DEFAULT_FLOAT, DType
from unmoor.ir.dim import dim
from unmoor.ir.op import Kind, Op
from unmoor.ir.types import TensorType
from unmoor.ops.family import compute_dtype, in_dtype, type_of_operand

OPERAND = ("Tensor", "Scalar")


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
    return compute_dtype("common" if op.promote == "where" else op.promote, [type_of_operand(t) for t in chosen])


def evaluate_op(op: Op, args: tuple[Any, ...]) -> Any:
    """The op's result on arrays; arguments that are left out take the schema's defaults."""
    args = (*args, *(p.default for p in op.schema.params[len(args) :]))
    if op.kind is not Kind.MAP:
        return _as_arrays(op.reference(*args))
    is_operand = [p.type.rstrip("?") in OPERAND and a is not None for p, a in zip(op.schema.params, args, strict=True)]
    types = [concrete_type(a) for a, yes in zip(args, is_operand, strict=True) if yes]
    dtype = operand_dtype(op, types)
    if dtype is not None:
        start = 1 if op.promote == "where" else 0
        args = tuple(
            in_dtype(a, dtype) if yes and k >= start else a
            for k, (a, yes) in enumerate(zip(args, is_operand, strict=True))
        )
    with np.errstate(all="ignore"):
        made = np.asarray(op.reference(*args))
    if made.dtype.kind == "f" and dtype is not None and not dtype.is_float:
        return made.astype(DEFAULT_FLOAT.numpy)
    return made if dtype is None or made.dtype == np.bool_ else made.astype(dtype.numpy)


def _as_arrays(result: Any) -> Any:
    return tuple(np.asarray(r) for r in result) if isinstance(result, tuple | list) else np.asarray(result)
