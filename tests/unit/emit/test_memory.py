"""The memory plan: buffers that live at the same time never share a byte, at any size."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from unmoor.emit.memory import ALIGNMENT, Lifetime, plan
from unmoor.ir.dim import const, sym

S, T = sym("s"), sym("t")
SIZES = st.sampled_from([const(0), const(4), const(1000), S * 4, S * 8, S * T * 4, T * 12 + 4, S * 4 + T * 4])


@st.composite
def lives(draw: st.DrawFn) -> list[Lifetime]:
    out = []
    for k in range(draw(st.integers(0, 12))):
        first = draw(st.integers(0, 15))
        out.append(Lifetime(k, draw(SIZES), first, first + draw(st.integers(0, 6))))
    return out


@given(lives(), st.integers(0, 50), st.integers(0, 50))
def test_live_buffers_do_not_overlap(lifetimes, s, t):
    env = {"s": s, "t": t}
    offsets, total = plan(lifetimes)
    placed = [(x, offsets[x.key].evaluate(env), x.size.evaluate(env)) for x in lifetimes]
    for x, start, size in placed:
        assert start % ALIGNMENT == 0
        assert start + size <= total.evaluate(env)
        for y, other, length in placed:
            together = x.first <= y.last and y.first <= x.last
            if x is not y and together and size and length:
                assert start + size <= other or other + length <= start


def test_memory_is_used_again():
    chain = [Lifetime(k, S * 4, k, k + 1) for k in range(10)]
    _, total = plan(chain)
    assert total.evaluate({"s": 16}) == 2 * 64


def test_a_larger_buffer_grows_a_free_slot():
    _, total = plan([Lifetime("a", const(64), 0, 0), Lifetime("b", const(640), 1, 1)])
    assert total == 640
