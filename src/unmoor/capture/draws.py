"""Random draws: torch's random ops, recorded as draws from the session's generator."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch

from unmoor.dtypes import BY_TORCH_NAME, DType, bool_, f32, f64
from unmoor.ir.graph import Arg, Value
from unmoor.ir.recording import Froze

if TYPE_CHECKING:
    from unmoor.capture.recorder import Recorder

Bound = dict[str, Any]
Draw = Callable[["Recorder", Bound, DType], Value]


def _emit(r: Recorder, op: str, *args: Arg) -> Value:
    return r.tape.emit(op, args)[0]


def _bits(r: Recorder, size: Any) -> Value:
    state, draw = r.next_draw()
    return _emit(r, "unmoor::random_bits", state, draw, r.argument(tuple(size)))


def _bits_like(r: Recorder, tensor: torch.Tensor) -> Value:
    state, draw = r.next_draw()
    return _emit(r, "unmoor::random_bits_like", state, draw, r.argument(tensor))


def _of(made: str) -> tuple[Draw, Draw]:
    """uniform or normal numbers, of a given size and like a tensor."""
    return (
        lambda r, a, dtype: _emit(r, made, _bits(r, a["size"]), dtype),
        lambda r, a, dtype: _emit(r, made, _bits_like(r, a["self"]), dtype),
    )


def _integers(r: Recorder, a: Bound, dtype: DType) -> Value:
    bits = _bits(r, a["size"]) if "size" in a else _bits_like(r, a["self"])
    return _emit(r, "unmoor::integer", bits, r.argument(a.get("low", 0)), r.argument(a["high"]), dtype)


def _permutation(r: Recorder, a: Bound, dtype: DType) -> Value:
    return _emit(r, "aten::to", _emit(r, "unmoor::order", _bits(r, (a["n"],))), dtype)


def _bernoulli(r: Recorder, a: Bound, dtype: DType) -> Value:
    """1 where a uniform number is below the probability: `p`, else the tensor's own elements."""
    p = a.get("p", a["self"])
    wide = isinstance(p, torch.Tensor) and p.dtype is torch.float64
    uniform = _emit(r, "unmoor::uniform", _bits_like(r, a["self"]), f64 if wide else f32)
    return _emit(r, "aten::to", _emit(r, "aten::lt", uniform, r.argument(p)), dtype)


def _scaled(r: Recorder, made: Value, scale: Any, shift: Any) -> Value:
    return _emit(r, "aten::add", _emit(r, "aten::mul", made, r.argument(scale)), r.argument(shift), 1)


def _uniform_in_place(r: Recorder, a: Bound, dtype: DType) -> Value:
    made = _emit(r, "unmoor::uniform", _bits_like(r, a["self"]), dtype)
    return _scaled(r, made, a["to"] - a["from"], a["from"])


def _normal_in_place(r: Recorder, a: Bound, dtype: DType) -> Value:
    return _scaled(r, _emit(r, "unmoor::normal", _bits_like(r, a["self"]), dtype), a["std"], a["mean"])


def _normal_of(r: Recorder, a: Bound, dtype: DType) -> Value:
    """torch.normal(mean, std): at least one is a tensor, and both broadcast."""
    shape = a["mean"] if isinstance(a["mean"], torch.Tensor) else a["std"]
    return _scaled(r, _emit(r, "unmoor::normal", _bits_like(r, shape), dtype), a["std"], a["mean"])


def _exponential(r: Recorder, a: Bound, dtype: DType) -> Value:
    uniform = _emit(r, "unmoor::uniform", _bits_like(r, a["self"]), dtype)
    logarithm = _emit(r, "aten::log", _emit(r, "aten::sub", 1.0, uniform, 1))
    return _emit(r, "aten::div", logarithm, r.argument(-a["lambd"]))


def _dropout(r: Recorder, a: Bound, dtype: DType) -> Value:
    x = a["input"] if "input" in a else a["self"]
    return _emit(r, "unmoor::dropped", r.argument(x), _bits_like(r, x), r.argument(a["p"]))


def _bits_of_channels(r: Recorder, x: torch.Tensor) -> Value:
    """Bits for whole channels, which are axis 1."""
    rank = r.rank(x, x.dim())
    return _bits(r, [r.size(x, axis, x.size(axis)) if axis < 2 else 1 for axis in range(rank)])


def _feature_dropout(r: Recorder, a: Bound, dtype: DType) -> Value:
    x = a["input"] if "input" in a else a["self"]
    return _emit(r, "unmoor::dropped", r.argument(x), _bits_of_channels(r, x), r.argument(a["p"]))


def _alpha_dropout(bits_of: Callable[[Recorder, torch.Tensor], Value]) -> Draw:
    """Dropped elements get SELU's least value, and all are moved so that mean and variance stay
    (Klambauer et al. 2017)."""

    def drop(r: Recorder, a: Bound, dtype: DType) -> Value:
        x = a["input"] if "input" in a else a["self"]
        p = float(a["p"])
        if p == 1:
            return _emit(r, "aten::mul", r.argument(x), 0.0)
        least = 1.7580993408473766
        scale = 1 / math.sqrt((least * least * p + 1) * (1 - p))
        kept = _emit(r, "aten::ge", _emit(r, "unmoor::uniform", bits_of(r, x), f32), p)
        kept = _emit(r, "aten::to", kept, dtype)
        shift = _scaled(r, _emit(r, "aten::sub", kept, 1, 1), least * scale, least * scale * p)
        return _emit(r, "aten::add", _emit(r, "aten::mul", r.argument(x), _emit(r, "aten::mul", kept, scale)), shift, 1)

    return drop


def _random_slopes(r: Recorder, a: Bound, dtype: DType) -> Value:
    """rrelu in training mode: a slope for each element that is not above zero."""
    x = r.argument(a["self"])
    uniform = _emit(r, "unmoor::uniform", _bits_like(r, a["self"]), dtype)
    sloped = _emit(r, "aten::mul", x, _scaled(r, uniform, a["upper"] - a["lower"], a["lower"]))
    return _emit(r, "aten::where", _emit(r, "aten::le", x, 0), sloped, x)


_UNIFORM, _NORMAL = _of("unmoor::uniform"), _of("unmoor::normal")
DRAWS: dict[str, Draw] = {
    "rand.default": _UNIFORM[0],
    "rand_like.default": _UNIFORM[1],
    "randn.default": _NORMAL[0],
    "randn_like.default": _NORMAL[1],
    "randint.default": _integers,
    "randint.low": _integers,
    "randint_like.default": _integers,
    "randint_like.low_dtype": _integers,
    "randperm.default": _permutation,
    "bernoulli.default": _bernoulli,
    "bernoulli.p": _bernoulli,
    "bernoulli_.float": _bernoulli,
    "bernoulli_.Tensor": _bernoulli,
    "uniform_.default": _uniform_in_place,
    "normal_.default": _normal_in_place,
    "normal.Tensor_float": _normal_of,
    "normal.float_Tensor": _normal_of,
    "exponential_.default": _exponential,
    "dropout.default": _dropout,
    "dropout_.default": _dropout,
    "feature_dropout.default": _feature_dropout,
    "feature_dropout_.default": _feature_dropout,
    "alpha_dropout.default": _alpha_dropout(_bits_like),
    "alpha_dropout_.default": _alpha_dropout(_bits_like),
    "feature_alpha_dropout.default": _alpha_dropout(_bits_of_channels),
    "feature_alpha_dropout_.default": _alpha_dropout(_bits_of_channels),
    "rrelu.default": _random_slopes,
    "rrelu_.default": _random_slopes,
}
# Dropouts that are not at work hand on what they are given.
DROPOUTS = frozenset(
    f"aten::{name}" for name in ("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout")
)
LIKE = ("rand_like.default", "randn_like.default", "randint_like.default", "randint_like.low_dtype")


def draws(overload: str, bound: Bound) -> bool:
    """Whether a call is a draw that we record."""
    if overload not in DRAWS:
        return False
    if "training" in bound:
        return bool(bound["training"])
    return "dropout" not in overload or bool(bound["train"] and bound["p"] != 0)


def record_draw(r: Recorder, func: Any, overload: str, bound: Bound, run: Callable[[], Any]) -> Any:
    """Runs a random op, and records it. `run` calls torch."""
    if bound.get("generator") is not None:
        raise r.refusal(
            f"{overload} draws from a generator of its own, which a trace does not keep",
            "draw from the default generator, or pass the random tensor in as an argument",
        )
    target = bound["self"] if overload.partition(".")[0].endswith("_") and "self" in bound else None
    if "dropout_." in overload:
        target = bound.get("self", bound.get("input"))
    if target is not None:
        r.tracks.check_writable(r.tracks.of(target), f"the in-place op {overload.partition('.')[0]}")
    for name in ("self", "mean", "std") if bound.get("dtype") is None else ():
        if isinstance(bound.get(name), torch.Tensor):
            r.dtype(bound[name])
    r.check_random_state()
    result = run()
    r.random_state = torch.get_rng_state()
    r.tape.assume(Froze.RANDOM, f"{overload.partition('.')[0]} draws from the session's own generator", True)
    dtype = BY_TORCH_NAME[str(result.dtype).removeprefix("torch.")]
    assert dtype is not bool_ or overload.startswith("bernoulli")
    value = DRAWS[overload](r, bound, dtype)
    if target is not None:
        r.tracks.write(r.tracks.of(target), value)
    else:
        r.tracks.add(result, value, "computed")
    return result
