"""Dim against plain integers: every operation, simplification and substitution keeps the value."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unmoor.ir.dim import Dim, bounded_divide, call, const, dmax, dmin, nonnegative, round_up, sym

S, T, I, J = map(sym, ("s", "t", "i", "j"))
ENV = st.fixed_dictionaries({"s": st.integers(1, 40), "t": st.integers(1, 40)})


@st.composite
def dims(draw: st.DrawFn, depth: int = 3) -> tuple[Dim, object]:
    """A Dim, and the same expression as a function of the environment."""
    if depth == 0 or draw(st.booleans()):
        if draw(st.booleans()):
            n = draw(st.integers(-6, 12))
            return const(n), lambda env: n
        name = draw(st.sampled_from("st"))
        return sym(name), lambda env: env[name]
    a, fa = draw(dims(depth=depth - 1))
    b, fb = draw(dims(depth=depth - 1))
    op = draw(st.sampled_from(["+", "-", "*", "//", "%", "min", "max"]))
    if op in ("//", "%"):
        n = draw(st.integers(1, 9))
        d = a // n if op == "//" else a % n
        return d, (lambda env: fa(env) // n) if op == "//" else (lambda env: fa(env) % n)
    if op == "min":
        return dmin(a, b), lambda env: min(fa(env), fb(env))
    if op == "max":
        return dmax(a, b), lambda env: max(fa(env), fb(env))
    table = {
        "+": (a + b, lambda env: fa(env) + fb(env)),
        "-": (a - b, lambda env: fa(env) - fb(env)),
        "*": (a * b, lambda env: fa(env) * fb(env)),
    }
    return table[op]


@given(dims(), ENV)
def test_evaluates_as_integers_do(made, env):
    d, f = made
    assert d.evaluate(env) == f(env)
    assert d.substitute({k: const(v) for k, v in env.items()}) == f(env)


@given(dims(), dims(), ENV)
def test_equal_dims_have_equal_values_and_hashes(a, b, env):
    if a[0] == b[0]:
        assert hash(a[0]) == hash(b[0])
        assert a[1](env) == b[1](env)


@given(dims(), ENV)
def test_nonnegative_is_never_wrong(made, env):
    if nonnegative(made[0]):
        assert made[1](env) >= 0


@given(st.integers(1, 7), st.integers(1, 7), st.integers(1, 7))
def test_symbolic_divisors(s, t, k):
    env = {"s": s, "t": t}
    for a in (S * T * k, S * k + T, S * S + S * T, (S + T) * k):
        for b in (S, T, S + T, S * T):
            assert (a // b).evaluate(env) == a.evaluate(env) // b.evaluate(env)
            assert (a % b).evaluate(env) == a.evaluate(env) % b.evaluate(env)


def test_a_constant_is_its_int():
    assert const(5) == 5 and hash(const(5)) == hash(5)
    with pytest.raises(ValueError, match="not a constant"):
        _ = S.value
    with pytest.raises(ZeroDivisionError):
        _ = S // 0


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (S * 8 + 1, "8*s + 1"),
        ((S * 8) // 8, "s"),
        ((S * 6) // 4, "s + (s//2)"),
        ((S + 1) // 2, "(s + 1)//2"),
        (dmin(S, 4), "min(4, s)"),
        (-S, "-s"),
        (const(0), "0"),
        (round_up(S * 4, 64), "64*((4*s + 63)//64)"),
    ],
)
def test_text(made, text):
    assert str(made) == text


def test_flat_indices_come_apart_again():
    extents = {"i": S, "j": T}
    assert bounded_divide(I * T + J, T, extents) == (I, J)
    assert bounded_divide(I * 768 + J, const(768), {"i": S, "j": const(768)}) == (I, J)
    q, r = bounded_divide(I * 12 + J * 4 + T, const(4), {"i": S, "j": const(3), "t": const(4)})
    assert (q, r) == (I * 3 + J, T)


def test_coefficients():
    index = I * T * 3 + J + 5
    assert index.coefficient("i") == T * 3
    assert index.coefficient("j") == 1
    assert index.coefficient("s") == 0
    assert (I * I).coefficient("i") is None
    assert call("mod", I, 7).coefficient("i") is None
