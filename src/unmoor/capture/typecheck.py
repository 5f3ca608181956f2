"""The net below: the op table's shape and dtype rules, held against what torch really gave."""

from __future__ import annotations

from typing import Any

import torch

from unmoor import ops
from unmoor.dtypes import BY_TORCH_NAME
from unmoor.errors import SignatureError, VerifyError
from unmoor.ir.dim import const
from unmoor.ir.types import TensorType
from unmoor.ops.formula import ConcreteFacts

_FACTS = ConcreteFacts()
_DIMS = tuple(const(n) for n in range(4097))  # a Dim is dear to build, and sizes repeat


def type_of(tensor: torch.Tensor) -> TensorType:
    """A tensor's dtype and sizes."""
    shape = tuple(_DIMS[n] if n < len(_DIMS) else const(n) for n in torch.Tensor.size(tensor))
    return TensorType(BY_TORCH_NAME[str(tensor.dtype).removeprefix("torch.")], shape)


def _rule_argument(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return type_of(value)
    if isinstance(value, torch.dtype):
        return BY_TORCH_NAME[str(value).removeprefix("torch.")]
    if isinstance(value, (list, tuple)):
        return tuple(_rule_argument(v) for v in value)
    return value


def _has_complex(values: list[Any]) -> bool:
    """Whether a complex tensor is among them: the table's rules are those of real ones."""
    return any(
        _has_complex(list(v)) if isinstance(v, (list, tuple)) else isinstance(v, torch.Tensor) and v.is_complex()
        for v in values
    )


def check_type(name: str, args: list[Any], results: list[torch.Tensor]) -> None:
    """VerifyError where the table's rule for an op disagrees with torch.

    Composites have no rule of their own, and complex tensors are taken apart.
    """
    op = ops.TABLE[name]
    if op.infer is None or _has_complex([*args, *results]):
        return
    try:
        told = op.infer(_FACTS, *(_rule_argument(a) for a in args))
    except SignatureError as error:
        raise VerifyError(f"the type rule of {name} refuses what torch accepts: {error}; a bug of Unmoor") from error
    expected = told if isinstance(told, tuple) else (told,)
    real = tuple(type_of(t) for t in results)
    if [(t.dtype, t.shape) for t in expected] != [(t.dtype, t.shape) for t in real]:
        shown = ", ".join(map(str, expected)), ", ".join(map(str, real))
        raise VerifyError(f"the type rule of {name} says {shown[0]}, and torch gave {shown[1]}; a bug of Unmoor")
