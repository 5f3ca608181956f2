"""Formulas: composites that one expression of other ops says; run on arrays, it is their reference too."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from unmoor.errors import NotTraced
from unmoor.ir.dim import Dim, DimLike, dim
from unmoor.ir.op import Builder, Facts, Op, Sample, Tolerance
from unmoor.ir.types import TensorType
from unmoor.ops.evaluation import concrete_type, dtypes_in, evaluate_op
from unmoor.ops.family import composite, number_type
from unmoor.ops.samples import Ints, Rand

NEAR = Tolerance(
    {"f32": 4e-6, "f64": 2e-14},
    {"f32": 4e-6, "f64": 2e-14},
    "a few roundings of its parts, sums in another order, FMA",
)
FAR = Tolerance(
    {"f32": 2e-5, "f64": 1e-11},
    {"f32": 1e-5, "f64": 1e-11},
    "another formula than PyTorch's; near zeros and ends of its domain the error is absolute",
)
WIDE = ("f32", "f64")


class Aten:
    """The ops of the table as methods: `aten.mul(x, y)` emits `aten::mul`. The rest is the builder's."""

    def __init__(self, builder: Builder) -> None:
        self.builder = builder
        self.facts = builder.facts

    def __getattr__(self, name: str) -> Callable[..., Any]:
        return lambda *args, **kwargs: self.builder.emit(f"aten::{name}", *args, **kwargs)

    def type_of(self, value: Any) -> TensorType:
        """The type of a tensor or number."""
        return self.builder.type_of(value)

    def rank(self, value: Any) -> int:
        """The number of axes."""
        return self.type_of(value).rank

    def shape(self, value: Any) -> tuple[Dim, ...]:
        """The sizes."""
        return self.type_of(value).shape

    def is_float(self, value: Any) -> bool:
        """Whether a tensor or number is floating."""
        return self.type_of(value).dtype.is_float

    def cast(self, value: Any, dtype: Any) -> Any:
        """A tensor in another dtype, or as it is."""
        return value if self.type_of(value).dtype is dtype else self.builder.emit("prim::cast", value, dtype)

    def number(self, value: Any, dtype: Any) -> Any:
        """A 0-dim tensor of a number."""
        return self.builder.emit("prim::full", (), value, dtype)


class ConcreteFacts:
    """Facts about sizes that are all known."""

    def equal(self, a: DimLike, b: DimLike) -> bool:
        return dim(a) == dim(b)

    def at_most(self, a: DimLike, b: DimLike) -> bool:
        return dim(a).value <= dim(b).value

    def int_of(self, a: DimLike) -> int:
        return dim(a).value

    def found(self, most: Dim) -> Dim:
        raise AssertionError("on arrays nothing is inferred")

    def is_found(self, d: DimLike) -> bool:
        return False


class _Arrays:
    """A builder that computes at once, on NumPy arrays."""

    facts: Facts = ConcreteFacts()

    def emit(self, op: str, *args: Any, **kwargs: Any) -> Any:
        (only,) = self.emit_all(op, *args, **kwargs)
        return only

    def emit_all(self, op: str, *args: Any, **kwargs: Any) -> tuple[Any, ...]:
        from unmoor.ops import TABLE  # this module is one of the table's own parts

        entry = TABLE[op]
        full = (*args, *(kwargs.get(p.name, p.default) for p in entry.schema.params[len(args) :]))
        if entry.decompose is None or any(d.is_complex for d in dtypes_in(concrete_type(full))):
            made = evaluate_op(entry, tuple(_known(a) for a in full))
        else:
            made = entry.decompose(self, *full)
        return made if isinstance(made, tuple) else (made,)

    def type_of(self, value: Any) -> TensorType:
        found = concrete_type(value)
        return found if isinstance(found, TensorType) else number_type(value)

    def is_tensor(self, value: Any) -> bool:
        return isinstance(value, np.ndarray | np.generic)

    def parts(self, value: Any) -> tuple[Any, Any]:
        return value.real, value.imag

    def complex(self, re: Any, im: Any) -> Any:
        wide = np.complex64 if np.asarray(re).dtype == np.float32 else np.complex128
        made = np.empty(np.shape(re), wide)
        made.real, made.imag = re, im  # a product with 1j would make NaN of an infinity
        return made

    def places(self, mask: Any) -> Any:
        return np.flatnonzero(mask)

    def span(self, value: Any) -> None:
        """What an array's making tells of its elements: nothing."""
        return None

    def loop(
        self,
        turns: DimLike | None,
        initial: Sequence[Any],
        scanned: Sequence[Any],
        body: Callable[..., Any],
        condition: Any = None,
        backward: bool = False,
    ) -> tuple[Any, ...]:
        """Goes round: rows of no turns are of no known type, and so none."""
        carried, stacks = tuple(initial), []
        places = itertools.count() if turns is None else range(dim(turns).value)
        for place in reversed(places) if backward and isinstance(places, range) else places:
            if condition is not None and not bool(condition):
                break
            condition, carried, rows = body(carried, tuple(s[place] for s in scanned))
            stacks.append(rows)
        return (*carried, *(np.stack(s) for s in zip(*(stacks[::-1] if backward else stacks), strict=True)))

    def guard(self, condition: Any, expected: bool, message: str) -> None:
        if bool(condition) is not expected:
            raise NotTraced(message)


ON_ARRAYS = _Arrays()


def _known(arg: Any) -> Any:
    if isinstance(arg, Dim):
        return arg.value
    return tuple(_known(a) for a in arg) if isinstance(arg, tuple | list) else arg


def formula(
    name: str,
    schema: str,
    meaning: Callable[..., Any],
    *samples: tuple[Any, ...],
    overloads: str = "default",
    dtypes: tuple[str, ...] = WIDE,
    tolerance: Tolerance = NEAR,
    stepwise: bool = False,
) -> Op:
    """A composite whose meaning is `meaning(aten, *args)`, args as the schema has them.

    Its reference is that meaning on arrays; what holds it to account is eager PyTorch. Samples are argument tuples; a
    tuple of sizes in the place of a tensor is a tensor of that shape.
    """
    return composite(
        f"aten::{name}",
        schema,
        overloads,
        lambda b, *args: meaning(Aten(b), *args),
        lambda *args: meaning(Aten(ON_ARRAYS), *(np.asarray(a) if isinstance(a, np.generic) else a for a in args)),
        lambda d: [Sample(s) for s in (samples or (_three(d),))],
        dtypes=dtypes,
        tolerance=tolerance,
        stepwise=stepwise,
    )


def _three(dtype: str) -> tuple[Any, ...]:
    return ((Rand if dtype in (*WIDE, "f16", "bf16") else Ints)(3, 5),)


def reduced(aten: Aten, x: Any, reduction: int) -> Any:
    """A loss's elements as its `reduction` says: 0 as they are, 1 their mean, 2 their sum."""
    return x if reduction == 0 else aten.mean(x) if reduction == 1 else aten.sum(x)
