"""Gradients of matrix products, convolutions and maximum pools."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from unmoor.ir.dim import product
from unmoor.ops.formula import Aten

Made = tuple[Any, ...]


def _swapped(aten: Aten, v: Any) -> Any:
    return aten.transpose(v, -1, -2)


def _matmul(aten: Aten, g: Any, y: Any, a: Any, b: Any) -> Made:
    emit = aten.builder.emit
    return lambda: emit("prim::matmul", g, _swapped(aten, b)), lambda: emit("prim::matmul", _swapped(aten, a), g)


# -- convolutions ---------------------------------------------------------------------------------
def _each(values: Any, rank: int) -> tuple[int, ...]:
    given = tuple(int(str(v)) for v in (values if isinstance(values, tuple) else (values,)))
    return given * rank if len(given) == 1 else given


class _Convolution:
    """[n, c, places...] by [outputs, c / groups, taps...]."""

    def __init__(self, aten: Aten, steps: Any, margin: Any, spread: Any, groups: int, weight: Any) -> None:
        self.aten, self.groups = aten, int(str(groups))
        self.rank = aten.rank(weight) - 2
        self.taps = tuple(aten.facts.int_of(d) for d in aten.shape(weight)[2:])
        self.steps, self.spread = _each(steps, self.rank), _each(spread, self.rank)
        if isinstance(margin, str):
            whole = tuple(d * (t - 1) if margin == "same" else 0 for d, t in zip(self.spread, self.taps, strict=True))
            self.before = tuple(w // 2 for w in whole)
            self.after = tuple(w - w // 2 for w in whole)
        else:
            self.before = self.after = _each(margin, self.rank)

    def batched(self, v: Any) -> Any:
        return v if self.aten.rank(v) == self.rank + 2 else self.aten.unsqueeze(v, 0)

    def like(self, v: Any, x: Any) -> Any:
        """As x, which may be one of a batch."""
        return v if self.aten.rank(x) == self.rank + 2 else self.aten.reshape(v, self.aten.shape(x))

    def of_input(self, g: Any, weight: Any, x: Any) -> Any:
        """The transposed convolution of the gradient: of all places that windows reach, those of the input."""
        aten, rank = self.aten, self.rank
        none, ones = (0,) * rank, self.steps
        full = aten.convolution(self.batched(g), weight, None, ones, none, self.spread, True, none, self.groups)
        beyond = tuple(s - 1 for s in self.steps)
        if any(beyond):
            full = aten.builder.emit("prim::pad", full, (0,) * (rank + 2), (0, 0, *beyond), 0.0)
        sizes = aten.shape(x)[-rank:]
        for a in range(rank):
            full = aten.builder.emit("prim::slice", full, a + 2, self.before[a], 1, sizes[a])
        return self.like(full, x)

    def of_weight(self, g: Any, x: Any, weight: Any) -> Any:
        """Products of the gradient with what each tap has seen, summed over batch and places."""
        aten, rank, groups, emit = self.aten, self.rank, self.groups, self.aten.builder.emit
        g, x = self.batched(g), self.batched(x)
        seen = x
        if any((*self.before, *self.after)):
            seen = emit("prim::pad", x, (0, 0, *self.before), (0, 0, *self.after), 0.0)
        places = aten.shape(g)[2:]
        for a in range(rank):
            seen = emit("prim::windows", seen, a + 2, self.taps[a], self.steps[a], self.spread[a])
            if aten.shape(seen)[a + 2] != places[a]:
                seen = emit("prim::slice", seen, a + 2, 0, 1, places[a])
        batch, channels = aten.shape(seen)[:2]
        outputs, count = aten.shape(g)[1], product((aten.shape(g)[0], *places))
        split = emit("prim::reshape", seen, (batch, groups, channels // groups, *places, *self.taps))
        order = (1, 0, *range(3, rank + 3), 2, *range(rank + 3, 2 * rank + 3))
        depth = channels // groups * product(self.taps)
        columns = emit("prim::reshape", emit("prim::permute", split, order), (groups, count, depth))
        back = emit("prim::reshape", g, (batch, groups, outputs // groups, *places))
        back = emit("prim::permute", back, (1, 2, 0, *range(3, rank + 3)))
        back = emit("prim::reshape", back, (groups, outputs // groups, count))
        return emit("prim::reshape", emit("prim::matmul", back, columns), aten.shape(weight))

    def of_bias(self, g: Any) -> Any:
        g = self.batched(g)
        return self.aten.sum(g, tuple(a for a in range(self.rank + 2) if a != 1))


def _conv(
    aten: Aten, g: Any, y: Any, x: Any, weight: Any, bias: Any, steps: Any, margin: Any, spread: Any, groups: Any
) -> Made:
    c = _Convolution(aten, steps, margin, spread, groups, weight)
    rest = (None,) * 4
    return lambda: c.of_input(g, weight, x), lambda: c.of_weight(g, x, weight), lambda: c.of_bias(g), *rest


def _transposed(
    aten: Aten, g: Any, y: Any, x: Any, weight: Any, bias: Any, steps: Any, margin: Any, extra: Any, groups: Any,
    spread: Any,
) -> Made:  # fmt: skip
    c = _Convolution(aten, steps, margin, spread, groups, weight)
    none = (0,) * c.rank

    def of_input() -> Any:
        back = aten.convolution(c.batched(g), weight, None, c.steps, c.before, c.spread, False, none, c.groups)
        return c.like(_fitted(aten, back, c.batched(x)), x)

    return of_input, lambda: c.of_weight(x, g, weight), lambda: c.of_bias(g), *(None,) * 5


def _fitted(aten: Aten, v: Any, x: Any) -> Any:
    """Cut to the sizes of x, behind which an output padding lies."""
    for a, (own, wanted) in enumerate(zip(aten.shape(v), aten.shape(x), strict=True)):
        if own != wanted:
            v = aten.builder.emit("prim::slice", v, a, 0, 1, wanted)
    return v


def _convolution(
    aten: Aten, g: Any, y: Any, x: Any, weight: Any, bias: Any, steps: Any, margin: Any, spread: Any,
    transposed: bool, extra: Any, groups: Any,
) -> Made:  # fmt: skip
    rule = (
        _transposed(aten, g, y, x, weight, bias, steps, margin, extra, groups, spread)
        if transposed
        else _conv(aten, g, y, x, weight, bias, steps, margin, spread, groups)
    )
    return *rule[:3], *(None,) * 6


# -- pools ----------------------------------------------------------------------------------------
def _max_pool(rank: int, several: bool) -> Callable[..., Made]:
    """The gradient goes to the first largest element of each window."""

    def rule(aten: Aten, g: Any, y: Any, x: Any, taps: Any, steps: Any, margin: Any, spread: Any, ceil: bool) -> Made:
        def of_x() -> Any:
            back, b = g[0] if several else g, aten.builder
            name = f"aten::max_pool{rank}d_with_indices"
            places = y[1] if several else b.emit_all(name, x, taps, steps, margin, spread, ceil)[1]
            head, sizes, seen = aten.shape(x)[:-rank], aten.shape(x)[-rank:], aten.shape(back)[-rank:]
            zeros = b.emit("prim::full", (*head, product(sizes)), 0.0, aten.type_of(x).dtype)
            rows = [b.emit("prim::reshape", v, (*head, product(seen))) for v in (places, back)]
            return b.emit("prim::reshape", aten.scatter_add(zeros, len(head), *rows), aten.shape(x))

        return of_x, *(None,) * 5

    return rule


def _pools() -> dict[str, Callable[..., Made]]:
    kinds: Sequence[tuple[str, bool]] = (("", False), ("_with_indices", True))
    return {f"aten::max_pool{r}d{word}": _max_pool(r, several) for r in (1, 2, 3) for word, several in kinds}


CONTRACTIONS: dict[str, Callable[..., Made]] = {
    "prim::matmul": _matmul,
    "aten::convolution": _convolution,
    **{f"aten::conv{r}d{word}": _conv for r in (1, 2, 3) for word in ("", "_padding")},
    **{f"aten::conv_transpose{r}d": _transposed for r in (1, 2, 3)},
    **_pools(),
}
