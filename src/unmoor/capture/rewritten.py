"""Calls of torch that are recorded as other calls: lists of tensors one by one, and results written into tensors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from unmoor.capture.refusals import unknown_op
from unmoor.capture.schemas import Plan
from unmoor.capture.torch_private import OpOverload

if TYPE_CHECKING:
    from unmoor.capture.recorder import Recorder

_NAMES = {"norm": "linalg_vector_norm"}
_KINDS = {"List": "Tensor", "ScalarList": "Scalar", "ScalarAndTensor": "Scalar"}


def each(r: Recorder, func: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`torch._foreach_add(xs, ys)`, as optimisers use them: the op of each pair."""
    name, kind = func.overloadpacket.__name__.removeprefix("_foreach_"), func._overloadname
    op = _overload(r, _NAMES.get(name, name), _KINDS.get(kind, kind), "default")
    made = []
    for k in range(len(next(a for a in args if isinstance(a, (list, tuple))))):
        one = tuple(a[k] if isinstance(a, (list, tuple)) else a for a in args)
        named = {key: a[k] if isinstance(a, (list, tuple)) else a for key, a in kwargs.items()}
        made.append(r.dispatch(op, one, {key: a for key, a in named.items() if a is not None}))
    return None if name.endswith("_") else made


def written(r: Recorder, func: OpOverload, p: Plan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`torch.maximum(x, y, out=z)`: the result, copied into a tensor of its dtype and sizes."""
    out = kwargs["out"]
    op = _overload(r, func.overloadpacket.__name__, "default", "Tensor")
    made = r.dispatch(op, args, {k: v for k, v in kwargs.items() if k != "out"})
    if made.shape != out.shape or made.dtype != out.dtype:
        raise r.refusal(
            f"{p.overload} writes into an out= argument of another shape or dtype than its result",
            "use the result it returns instead",
        )
    r.dispatch(torch.ops.aten.copy_.default, (out, made), {})
    return out


def _overload(r: Recorder, name: str, *kinds: str) -> OpOverload:
    """The first of these overloads that torch has."""
    packet = getattr(torch.ops.aten, name, None)
    for kind in kinds:
        found: OpOverload | None = getattr(packet, kind, None)
        if found is not None:
            return found
    raise unknown_op(r.tape.where(), f"{name}.{kinds[0]}", ())
