"""Counted loops with values carried from turn to turn."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from unmoor.codegen.builder import Builder, Val, const


def counted(
    b: Builder,
    start: Val,
    end: Val,
    step: int,
    carried: Sequence[Val],
    body: Callable[[Val, list[Val]], Sequence[Val]],
) -> tuple[Val, list[Val]]:
    """`for (i = start; i + step <= end; i += step)`; `body` gives the carried values of the next turn.

    Returns the first i that was not done, and the carried values after the loop.
    """
    head, inside, done = b.new_label("loop"), b.new_label("body"), b.new_label("done")
    before = b.label
    b.br(head)
    b.start(head)
    i = b.phi("i64", (start, before))
    phis = [b.phi(c.type, (c, before)) for c in carried]
    reach = i if step == 1 else b.op("add nsw", i, const("i64", step - 1))
    b.cond_br(b.icmp("slt", reach, end), inside, done)
    b.start(inside)
    following = body(i, phis)
    after = b.op("add nsw", i, const("i64", step))
    b.add_incoming(i, after, b.label)
    for phi, value in zip(phis, following, strict=True):
        b.add_incoming(phi, value, b.label)
    b.br(head)
    b.start(done)
    return i, phis


def evenly(b: Builder, begin: Val, end: Val, most: int, body: Callable[[Val, Val], None]) -> None:
    """Cuts begin .. end-1 into as few parts of at most `most` as there can be, all nearly equal: body(first, count)."""
    count = b.sub(end, begin)
    parts = b.udiv(b.add(count, most - 1), const("i64", most))

    def part(t: Val, carried: list[Val]) -> list[Val]:
        (first,) = carried
        following = b.udiv(b.mul(b.add(t, 1), count), parts)
        body(b.add(begin, first), b.sub(following, first))
        return [following]

    counted(b, const("i64", 0), parts, 1, [const("i64", 0)], part)


def when(b: Builder, condition: Val, carried: Sequence[Val], body: Callable[[], Sequence[Val]]) -> list[Val]:
    """Does `body` where the condition holds; the values it gives then stand for `carried`."""
    inside, done = b.new_label("then"), b.new_label("endif")
    before = b.label
    b.cond_br(condition, inside, done)
    b.start(inside)
    changed = list(body())
    last = b.label
    b.br(done)
    b.start(done)
    return [b.phi(c.type, (c, before), (x, last)) for c, x in zip(carried, changed, strict=True)]
