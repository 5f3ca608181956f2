"""Plans: how the arguments of a torch overload become those of our op, worked out once per overload."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import torch

from unmoor import ops
from unmoor.capture.torch_private import OpOverload, schema_of
from unmoor.ir.op import Op

# Parameters of torch that say nothing about values; the recorder looks at what they hold.
PLACEMENT = frozenset(
    ("device", "layout", "memory_format", "pin_memory", "non_blocking", "copy", "generator", "implicit")
)
# Overloads that hand back their argument: the tensor itself stays what it was.
IDENTITIES = frozenset(
    ("lift_fresh.default", "detach_.default", "resolve_conj.default", "resolve_neg.default", "lift.default")
)
# Overloads that read a value out of a tensor, from C++ code that we do not intercept.
READS = frozenset(("item.default", "_local_scalar_dense.default", "is_nonzero.default"))
# In-place ops that overwrite all elements, by the op that gives the new ones.
OVERWRITES = {"copy_.default": "copy", "fill_.Scalar": "fill", "fill_.Tensor": "fill", "zero_.default": "zero"}


# Overloads with other words for an op that the table has under its general overload.
_AS = {
    "_is_all_true.default": "all.default",  # which torch._check_tensor_all asks
    "_is_any_true.default": "any.default",
    "empty.memory_format": "zeros.default",  # any values will do
    "empty_like.default": "zeros_like.default",
    "new_empty.default": "new_zeros.default",
    "var.default": "var.correction",
    "var.dim": "var.correction",
    "std.default": "std.correction",
    "std.dim": "std.correction",
    "max.other": "maximum.default",
    "min.other": "minimum.default",
    **{
        f"__{i}{word}__.{kind}": f"bitwise_{word}.{kind}"
        for i in ("", "i")
        for word in ("and", "or", "xor")
        for kind in ("Tensor", "Scalar")
    },
    **{
        f"__{i}{side[0]}shift__.{kind}": f"bitwise_{side}_shift.{own}"
        for i in ("", "i")
        for side in ("left", "right")
        for kind, own in (("Tensor", "Tensor"), ("Scalar", "Tensor_Scalar"))
    },
}


# Second names of ops: the overloads behind the dot are those of the first.
_WORDS = {
    "absolute": "abs",
    "arccos": "acos",
    "arccosh": "acosh",
    "arcsin": "asin",
    "arcsinh": "asinh",
    "arctan": "atan",
    "arctan2": "atan2",
    "arctanh": "atanh",
    "clip": "clamp",
    "concat": "cat",
    "concatenate": "cat",
    "divide": "div",
    "fix": "trunc",
    "greater": "gt",
    "greater_equal": "ge",
    "less": "lt",
    "less_equal": "le",
    "linalg_matmul": "matmul",
    "multiply": "mul",
    "negative": "neg",
    "not_equal": "ne",
    "special_erf": "erf",
    "special_exp2": "exp2",
    "special_expit": "sigmoid",
    "special_expm1": "expm1",
    "special_log1p": "log1p",
    "special_log_softmax": "log_softmax",
    "special_round": "round",
    "special_softmax": "softmax",
    "subtract": "sub",
    "true_divide": "div",
}


def _first_name(overload: str) -> str:
    """The overload under the name that the table has."""
    known = _AS.get(overload, overload)
    name, _, kind = known.partition(".")
    word = _WORDS.get(name) or (f"{_WORDS[name[:-1]]}_" if name.endswith("_") and name[:-1] in _WORDS else name)
    return f"{word}.{kind}"


@dataclass(frozen=True)
class Plan:
    """One torch overload.

    overload  "add_.Tensor"
    op        the op it records as, of the functional form for an in-place one; None where the table has none
    names     torch's parameter names, with their defaults
    places    for each of our parameters, whether torch's overload has it
    extra     torch's parameters that ours lacks, placement aside
    inplace   writes its first argument; `out` says that it writes an argument given as out=
    aliases   torch's schema says that a result may share memory with the first argument
    random    draws random numbers
    """

    overload: str
    op: Op | None
    names: tuple[tuple[str, Any], ...]
    places: tuple[bool, ...]
    extra: tuple[str, ...]
    inplace: bool
    out: bool
    aliases: bool
    random: bool


def _default(argument: Any) -> Any:
    """A parameter's default; that of a dtype is in torch's schemas the number of int64, where there is one."""
    if not argument.has_default_value():
        return None
    default = argument.default_value
    return torch.int64 if argument.name == "dtype" and default == 4 else default


@cache
def plan(func: OpOverload) -> Plan:
    schema = schema_of(func)
    name = schema.name.partition("::")[2]
    overload = f"{name}.{schema.overload_name or 'default'}"
    written = [k for k, a in enumerate(schema.arguments) if a.alias_info is not None and a.alias_info.is_write]
    out = any(schema.arguments[k].is_out for k in written)
    inplace = bool(written) and not out
    first = _first_name(overload)
    op = ops.OVERLOADS.get(first)
    if op is None and inplace and first.partition(".")[0].endswith("_"):
        first = first.replace("_.", ".", 1)
        op = ops.OVERLOADS.get(first)
    if first in ("div.Tensor_mode", "div.Scalar_mode"):
        op = ops.TABLE.get("aten::div_mode")
    if not schema.name.startswith("aten::"):  # an op of another library
        op, overload = None, f"{schema.name}.{schema.overload_name or 'default'}"
    names = tuple((a.name, _default(a)) for a in schema.arguments)
    ours = () if op is None else tuple(p.name for p in op.schema.params)
    if inplace and ours and names[0][0] == "self":  # what is written may be `input` in the functional form
        names = ((ours[0], names[0][1]), *names[1:])
    torch_names = {n for n, _ in names}
    return Plan(
        overload,
        op,
        names,
        tuple(n in torch_names for n in ours),
        tuple(n for n, _ in names if n not in ours and n not in PLACEMENT),
        inplace,
        out,
        any(r.alias_info is not None for r in schema.returns),
        torch.Tag.nondeterministic_seeded in func.tags,
    )


def bind(p: Plan, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
    """All arguments of a call by torch's parameter names, defaults filled in."""
    bound = dict(p.names)
    bound.update(zip(bound, args, strict=False))
    bound.update(kwargs)
    return bound
