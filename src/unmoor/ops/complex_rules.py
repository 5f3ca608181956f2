"""What ops do with complex tensors, by their parts: an op without a rule here refuses them.

A rule is (builder, *args), args as the op's schema has them, and emits ops on real tensors. A real operand counts as
one with zeros as imaginary part, as in eager PyTorch, whose infinities make NaN there too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from unmoor.dtypes import DType, c64, i64
from unmoor.errors import SignatureError, Unsupported
from unmoor.ir.dim import Dim, dim
from unmoor.ir.op import Builder
from unmoor.ops.family import compute_dtype, type_of_operand

Rule = Callable[..., Any]


def is_complex(b: Builder, value: Any) -> bool:
    """Whether a tensor or number is complex."""
    return b.type_of(value).dtype.is_complex


def as_complex(b: Builder, x: Any, dtype: DType) -> tuple[Any, Any]:
    """The parts of a tensor or number in a complex dtype."""
    if is_complex(b, x):
        re, im = b.parts(x)
        return _cast(b, re, dtype.part), _cast(b, im, dtype.part)
    if not b.is_tensor(x):
        number = dim(x) if isinstance(x, Dim) else x
        if isinstance(number, Dim) and not number.is_const:
            return b.emit("prim::cast", b.emit("prim::full", (), number, i64), dtype.part), 0.0
        return float(number.value if isinstance(number, Dim) else number), 0.0
    re = _cast(b, x, dtype.part)
    return re, b.emit("prim::full", b.type_of(re).shape, 0.0, dtype.part)


def _cast(b: Builder, part: Any, dtype: DType) -> Any:
    return part if isinstance(part, float) or b.type_of(part).dtype is dtype else b.emit("prim::cast", part, dtype)


def together(b: Builder, *operands: Any) -> list[tuple[Any, Any]]:
    """The parts of operands, all in their common dtype."""
    dtype = compute_dtype("common", [type_of_operand(b.type_of(x)) for x in operands])
    return [as_complex(b, x, dtype) for x in operands]


# -- arithmetic -----------------------------------------------------------------------------------
def _sum_of(op: str) -> Rule:
    def rule(b: Builder, x: Any, y: Any, alpha: Any) -> Any:
        (xr, xi), (yr, yi) = together(b, x, y)
        if alpha != 1 and not isinstance(alpha, int | float):
            raise Unsupported("a complex alpha is not supported: multiply by it first")
        return b.complex(b.emit(op, xr, yr, alpha), b.emit(op, xi, yi, alpha))

    return rule


def mul(b: Builder, x: Any, y: Any) -> Any:
    """(xr yr - xi yi, xr yi + xi yr)."""
    (xr, xi), (yr, yi) = together(b, x, y)
    return b.complex(*_product(b, xr, xi, yr, yi))


def _product(b: Builder, xr: Any, xi: Any, yr: Any, yi: Any, op: str = "aten::mul") -> tuple[Any, Any]:
    re = b.emit("aten::sub", b.emit(op, xr, yr), b.emit(op, xi, yi))
    return re, b.emit("aten::add", b.emit(op, xr, yi), b.emit(op, xi, yr))


def div(b: Builder, x: Any, y: Any) -> Any:
    """x times conj(y) by |y|^2, both scaled by the larger part of y, so that nothing overflows on the way."""
    (xr, xi), (yr, yi) = together(b, x, y)
    if isinstance(yr, float):  # a number
        scale = max(abs(yr), abs(yi)) or 1.0
        yr, yi = yr / scale, yi / scale
        xr, xi = (b.emit("aten::div", p, scale) for p in (xr, xi))
        square: Any = yr * yr + yi * yi
    else:
        most = b.emit("aten::maximum", b.emit("aten::abs", yr), b.emit("aten::abs", yi))
        xr, xi, yr, yi = (b.emit("aten::div", p, most) for p in (xr, xi, yr, yi))
        square = b.emit("aten::add", b.emit("aten::mul", yr, yr), b.emit("aten::mul", yi, yi))
    minus = -yi if isinstance(yi, float) else b.emit("aten::neg", yi)
    return b.complex(*(b.emit("aten::div", p, square) for p in _product(b, xr, xi, yr, minus)))


def _each(op: str) -> Rule:
    """An op that works on the parts apart: what moves elements, and what is linear."""

    def rule(b: Builder, *args: Any) -> Any:
        dtypes = [a for a in args if isinstance(a, DType)]
        if dtypes:
            raise Unsupported(f"{op} of complex tensors with a dtype: convert with .to() first")
        made = [b.emit_all(op, *(_part(b, a, k) for a in args)) for k in (0, 1)]
        results = tuple(b.complex(re, im) for re, im in zip(*made, strict=True))
        return results if len(results) != 1 else results[0]

    return rule


def _part(b: Builder, arg: Any, which: int) -> Any:
    if isinstance(arg, tuple | list):
        return tuple(_part(b, a, which) for a in arg)
    return b.parts(arg)[which] if b.is_tensor(arg) and is_complex(b, arg) else arg


def _joined(op: str) -> Rule:
    """An op on a list of tensors, which come to one dtype."""

    def rule(b: Builder, tensors: Sequence[Any], *args: Any) -> Any:
        parts = together(b, *tensors)
        return b.complex(*(b.emit(op, tuple(p[k] for p in parts), *args) for k in (0, 1)))

    return rule


def _product_of(op: str) -> Rule:
    """A product of matrices."""

    def rule(b: Builder, x: Any, y: Any) -> Any:
        if b.type_of(x).dtype is not b.type_of(y).dtype:
            raise SignatureError(f"{op} of {b.type_of(x)} and {b.type_of(y)}: eager PyTorch wants one dtype")
        return b.complex(*_product(b, *b.parts(x), *b.parts(y), op=op))

    return rule


def linear(b: Builder, x: Any, weight: Any, bias: Any) -> Any:
    """x @ weight.T + bias."""
    made = b.emit("aten::matmul", x, b.emit("aten::t", weight))
    return made if bias is None else b.emit("aten::add", made, bias)


def _vdot(b: Builder, x: Any, y: Any) -> Any:
    return b.emit("aten::dot", b.emit("aten::_conj", x), y)


# -- parts ----------------------------------------------------------------------------------------
def _conj(b: Builder, z: Any) -> Any:
    re, im = b.parts(z)
    return b.complex(re, b.emit("aten::neg", im))


def _abs(b: Builder, z: Any) -> Any:
    return b.emit("aten::hypot", *b.parts(z))


def _angle(b: Builder, z: Any) -> Any:
    re, im = b.parts(z)
    return b.emit("aten::atan2", im, re)


def _view_as_real(b: Builder, z: Any) -> Any:
    return b.emit("aten::stack", b.parts(z), -1)


# -- functions ------------------------------------------------------------------------------------
def _turned(b: Builder, size: Any, angle: Any) -> Any:
    return b.complex(*(b.emit("aten::mul", size, b.emit(f"aten::{f}", angle)) for f in ("cos", "sin")))


def _exp(b: Builder, z: Any) -> Any:
    re, im = b.parts(z)
    return _turned(b, b.emit("aten::exp", re), im)


def _log(b: Builder, z: Any) -> Any:
    return b.complex(b.emit("aten::log", _abs(b, z)), _angle(b, z))


def _sqrt(b: Builder, z: Any) -> Any:
    """The root in the right half plane, by the sum that does not cancel."""
    re, im = b.parts(z)
    half = b.emit("aten::mul", b.emit("aten::add", b.emit("aten::abs", re), _abs(b, z)), 0.5)
    long = b.emit("aten::sqrt", half)
    zero = b.emit("aten::eq", long, 0.0)
    short = b.emit("aten::div", b.emit("aten::abs", im), b.emit("aten::mul", long, 2.0))
    short = b.emit("aten::where", zero, 0.0, short)
    right = b.emit("aten::ge", re, 0.0)
    made = b.emit("aten::where", right, long, short)
    return b.complex(made, b.emit("aten::copysign", b.emit("aten::where", right, short, long), im))


def _pow(b: Builder, z: Any, exponent: Any) -> Any:
    if not is_complex(b, z) or not isinstance(exponent, int | float):
        raise Unsupported("a power with a tensor or a complex number as exponent: write it as exp(w * log(z))")
    if exponent == int(exponent) and 1 <= exponent <= 8:
        made, square, n = None, z, int(exponent)
        while n:
            if n & 1:
                made = square if made is None else mul(b, made, square)
            n >>= 1
            square = mul(b, square, square) if n else square
        return made
    if exponent == -1:
        return div(b, 1, z)
    if exponent == 0.5:
        return _sqrt(b, z)
    size = b.emit("aten::pow", _abs(b, z), float(exponent))
    return _turned(b, size, b.emit("aten::mul", _angle(b, z), float(exponent)))


def _of_circle(first: tuple[str, str], second: tuple[str, str], sign: int) -> Rule:
    """sin, cos, sinh, cosh: each part is a function of the one times a function of the other."""

    def rule(b: Builder, z: Any) -> Any:
        re, im = b.parts(z)
        made = [b.emit("aten::mul", b.emit(f"aten::{f}", re), b.emit(f"aten::{g}", im)) for f, g in (first, second)]
        return b.complex(made[0], b.emit("aten::neg", made[1]) if sign < 0 else made[1])

    return rule


def _sgn(b: Builder, z: Any) -> Any:
    size = _abs(b, z)
    zero = b.emit("aten::eq", size, 0.0)
    return b.complex(*(b.emit("aten::where", zero, 0.0, b.emit("aten::div", p, size)) for p in b.parts(z)))


# -- conditions -----------------------------------------------------------------------------------
def _tested(op: str, how: str) -> Rule:
    def rule(b: Builder, z: Any) -> Any:
        re, im = b.parts(z)
        return b.emit(how, b.emit(op, re), b.emit(op, im))

    return rule


def _compared(op: str, how: str) -> Rule:
    def rule(b: Builder, x: Any, y: Any) -> Any:
        (xr, xi), (yr, yi) = together(b, x, y)
        return b.emit(how, b.emit(op, xr, yr), b.emit(op, xi, yi))

    return rule


def _where(b: Builder, condition: Any, x: Any, y: Any) -> Any:
    parts = together(b, x, y)
    return b.complex(*(b.emit("aten::where", condition, parts[0][k], parts[1][k]) for k in (0, 1)))


# -- making and writing ---------------------------------------------------------------------------
def _filled(op: str, values: int) -> Rule:
    """A tensor of one value: zeros, ones, full and their like-forms. `values` arguments stand before the dtype."""

    def rule(b: Builder, *args: Any) -> Any:
        like = b.is_tensor(args[0])
        own = b.type_of(args[0]).dtype if like else None
        dtype = args[values] if args[values] is not None else own
        value = args[1] if values == 2 else None
        if dtype is None or not dtype.is_complex:
            complex_value = value is not None and is_complex(b, value)
            if dtype is not None and complex_value:
                raise SignatureError("a complex number does not fill a real tensor")
            dtype = dtype or c64
        target = dtype.part
        if not dtype.is_complex:  # a real tensor like a complex one
            return b.emit(op, b.parts(args[0])[0], *args[1:values], target)
        base = b.parts(args[0])[0] if like and is_complex(b, args[0]) else args[0]
        shape = b.type_of(base).shape if like else tuple(base)
        parts = as_complex(b, value, dtype) if values == 2 else (1.0 if "ones" in op else 0.0, 0.0)
        made = [
            b.emit("prim::full", shape, p, target) if isinstance(p, float) else b.emit("aten::expand", p, shape)
            for p in parts
        ]
        return b.complex(*made)

    return rule


def to(b: Builder, x: Any, dtype: DType | None) -> Any:
    """A copy in another dtype; of a complex tensor as a real one, its real part."""
    if dtype is None or not dtype.is_complex:
        if dtype is None:
            return x
        return _cast(b, b.parts(x)[0], dtype)
    return b.complex(*as_complex(b, x, dtype))


def _put(op: str) -> Rule:
    """A tensor with values of another one, or a number, at places in it."""

    def rule(b: Builder, x: Any, where: Any, value: Any, *rest: Any) -> Any:
        dtype = b.type_of(x).dtype
        if not dtype.is_complex:
            raise SignatureError("a complex value does not go into a real tensor: eager PyTorch refuses it")
        parts = zip(b.parts(x), as_complex(b, value, dtype), strict=True)
        return b.complex(*(b.emit(op, p, where, v, *rest) for p, v in parts))

    return rule


def _like_other(op: str) -> Rule:
    """The other tensor says the shape alone."""

    def rule(b: Builder, x: Any, other: Any) -> Any:
        shaped = b.parts(other)[0] if is_complex(b, other) else other
        if not is_complex(b, x):
            return b.emit(op, x, shaped)
        return b.complex(*(b.emit(op, p, shaped) for p in b.parts(x)))

    return rule


def _norm(op: str) -> Rule:
    return lambda b, z, *args: b.emit(op, _abs(b, z), *args)


def _sum(op: str) -> Rule:
    """A sum, whose dtype, where it is given, is the last argument."""

    def rule(b: Builder, z: Any, *args: Any) -> Any:
        if args and isinstance(args[-1], DType):
            z, args = to(b, z, args[-1]), (*args[:-1], None)
        return b.complex(*(b.emit(op, p, *args) for p in b.parts(z)))

    return rule


MOVING = (
    "clone contiguous detach alias lift_fresh lift_fresh_copy reshape view permute transpose t numpy_T mT expand "
    "unsqueeze squeeze flatten unflatten slice select narrow flip movedim chunk split split_with_sizes roll unbind "
    "repeat tile gather index_select take_along_dim diagonal tril triu unfold dropout rot90 swapaxes swapdims "
    "fft_fftshift fft_ifftshift index repeat_interleave diag_embed broadcast_to atleast_1d atleast_2d atleast_3d "
    "tensor_split hsplit vsplit dsplit ravel fliplr flipud masked_select neg positive"
)

RULES: dict[str, Rule] = {
    **{f"aten::{name}": _each(f"aten::{name}") for name in MOVING.split()},
    **{
        f"prim::{name}": _each(f"prim::{name}") for name in ("reshape", "permute", "expand", "slice", "flip", "strided")
    },
    **{f"aten::{name}": _joined(f"aten::{name}") for name in ("cat", "stack", "hstack", "vstack", "dstack")},
    **{f"aten::{name}": _product_of(f"aten::{name}") for name in ("matmul", "mm", "bmm", "mv", "dot")},
    **{f"aten::{name}": _sum(f"aten::{name}") for name in ("sum", "mean", "cumsum")},
    **{f"aten::{name}": _norm(f"aten::{name}") for name in ("linalg_vector_norm", "norm")},
    **{f"aten::{name}": _like_other(f"aten::{name}") for name in ("expand_as", "view_as")},
    "unmoor::getitem": _each("unmoor::getitem"),
    "unmoor::setitem": _put("unmoor::setitem"),
    "aten::masked_fill": _put("aten::masked_fill"),
    "aten::add": _sum_of("aten::add"),
    "aten::sub": _sum_of("aten::sub"),
    "aten::rsub": _sum_of("aten::rsub"),
    "aten::mul": mul,
    "aten::div": div,
    "aten::square": lambda b, z: mul(b, z, z),
    "aten::reciprocal": lambda b, z: div(b, 1, z),
    "aten::linear": linear,
    "aten::vdot": _vdot,
    "aten::_conj": _conj,
    "aten::conj_physical": _conj,
    "aten::abs": _abs,
    "aten::angle": _angle,
    "aten::real": lambda b, z: b.parts(z)[0],
    "aten::imag": lambda b, z: b.parts(z)[1],
    "aten::view_as_real": _view_as_real,
    "aten::mH": lambda b, z: _conj(b, b.emit("aten::mT", z)),
    "aten::exp": _exp,
    "aten::log": _log,
    "aten::sqrt": _sqrt,
    "aten::pow": _pow,
    "aten::sin": _of_circle(("sin", "cosh"), ("cos", "sinh"), 1),
    "aten::cos": _of_circle(("cos", "cosh"), ("sin", "sinh"), -1),
    "aten::sinh": _of_circle(("sinh", "cos"), ("cosh", "sin"), 1),
    "aten::cosh": _of_circle(("cosh", "cos"), ("sinh", "sin"), 1),
    "aten::sgn": _sgn,
    "aten::eq": _compared("aten::eq", "aten::logical_and"),
    "aten::ne": _compared("aten::ne", "aten::logical_or"),
    "aten::isnan": _tested("aten::isnan", "aten::logical_or"),
    "aten::isinf": _tested("aten::isinf", "aten::logical_or"),
    "aten::isfinite": _tested("aten::isfinite", "aten::logical_and"),
    "aten::where": _where,
    "aten::to": to,
    "aten::zeros": _filled("aten::zeros", 1),
    "aten::ones": _filled("aten::ones", 1),
    "aten::full": _filled("aten::full", 2),
    "aten::zeros_like": _filled("aten::zeros_like", 1),
    "aten::ones_like": _filled("aten::ones_like", 1),
    "aten::full_like": _filled("aten::full_like", 2),
}
# Composites that are right on complex tensors as they are written: their parts have rules.
THROUGH = frozenset(f"aten::{name}" for name in ("einsum", "tensordot", "outer", "inner", "kron", "broadcast_tensors"))


def rule_of(op: str) -> Rule | None:
    """What an op does with complex tensors; None where it is taken apart as for real ones."""
    if op in RULES:
        return RULES[op]
    if op in THROUGH or op.startswith("aten::fft_") or op in ("aten::stft", "aten::istft"):
        return None
    raise Unsupported(
        f"{op} of complex tensors is not supported: compute with z.real and z.imag, or with torch.view_as_real(z)"
    )
