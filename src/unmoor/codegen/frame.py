"""The frame of a kernel's function: where its buffers, sizes and scalar values are, and how they are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from unmoor.codegen import math
from unmoor.codegen.builder import COMPUTE, MEMORY, Builder, Val, const, const_lanes, lanes_of
from unmoor.dtypes import bool_, numbers_of
from unmoor.ir.dim import Call, Dim
from unmoor.ir.kernel import PANEL_WIDTH, Kernel, Panels
from unmoor.ir.scalar import Apply, Expr, IndexValue, Load, Number, Ref
from unmoor.ir.walk import extents_of, indices_of
from unmoor.ops.family import in_dtype


@dataclass(frozen=True)
class Lanes:
    """The vector axis in force: lane l stands for loop index `var` + l. `mask` is None where all lanes count; `live` is
    else how many do. `even`: lane 0 stands for a multiple of `count`."""

    var: str
    count: int
    mask: Val | None = None
    live: Val | None = None
    even: bool = False


class Frame:
    """Reads sizes, elements and expressions of one kernel while its function is built."""

    def __init__(self, b: Builder, kernel: Kernel, buffers: dict[str, Val], sizes: dict[str, Val]) -> None:
        self.b = b
        self.kernel = kernel
        self.buffers = buffers
        self.sizes = sizes  # symbols and loop indices -> i64
        self.values: dict[str, Val] = {}
        self.late: dict[str, Expr] = {}  # Lets that are computed where they are used
        self.spread: dict[str, Val] = {}  # indices made of data that differ from lane to lane
        self.given: dict[Load, Val] = {}  # what loads of the part in force give, where it is there already
        self.lanes: Lanes | None = None
        self.layout = {x.name: x for x in kernel.buffers}
        self.fixed: dict[Call, Val] = {}
        for d in (*extents_of((kernel.body,)), *indices_of((kernel.body,))):
            self._fix(d)

    def _fix(self, d: Dim) -> None:
        """Computes the parts of a Dim that are the same in all loops here, once and before them."""
        for atom in (a for monomial, _ in d.terms for a, _ in monomial if isinstance(a, Call)):
            self._fix(atom.a)
            self._fix(atom.b)
            defined = atom.fn in ("min", "max") or (atom.b.is_const and atom.b.value != 0)
            if defined and atom not in self.fixed and (atom.a + atom.b).symbols <= set(self.kernel.ints):
                self.fixed[atom] = self._call(atom)

    @contextmanager
    def vector(self, lanes: Lanes) -> Iterator[None]:
        """A part of the function in which `lanes` is the vector axis."""
        before, self.lanes = self.lanes, lanes
        values, late, spread = dict(self.values), dict(self.late), dict(self.spread)
        try:
            yield
        finally:
            self.lanes, self.values, self.late, self.spread = before, values, late, spread

    # -- sizes --------------------------------------------------------------------------------
    def size(self, d: Dim) -> Val:
        """An i64 with the value of a Dim at the current loop indices (of lane 0)."""
        total: Val | None = None
        for monomial, coefficient in d.terms:
            term: Val | None = None
            for atom, power in monomial:
                factor = self.sizes[atom] if isinstance(atom, str) else self._call(atom)
                for _ in range(power):
                    term = factor if term is None else self.b.op("mul nsw", term, factor)
            if term is None:
                term = const("i64", coefficient)
            elif coefficient != 1:
                term = self.b.op("mul nsw", term, const("i64", coefficient))
            total = term if total is None else self.b.op("add nsw", total, term)
        return const("i64", 0) if total is None else total

    def _call(self, atom: Call) -> Val:
        if atom in self.fixed:
            return self.fixed[atom]
        a, c = self.size(atom.a), self.size(atom.b)
        if atom.fn in ("min", "max"):
            return self.b.intrinsic(f"s{atom.fn}", [a, c])
        quotient = self.floor_divide(a, c)
        return quotient if atom.fn == "floordiv" else self.b.sub(a, self.b.mul(quotient, c))

    def floor_divide(self, a: Val, c: Val) -> Val:
        """a / c rounded down."""
        quotient = self.b.sdiv(a, c)
        rest = self.b.sub(a, self.b.mul(quotient, c))
        other_sign = self.b.icmp("slt", self.b.xor(rest, c), 0)
        adjust = self.b.and_(self.b.icmp("ne", rest, 0), other_sign)
        return self.b.sub(quotient, self.b.convert("zext", adjust, "i64"))

    @contextmanager
    def at(self, **places: Val) -> Iterator[None]:
        """A part of the function in which loop indices have these values."""
        before = dict(self.sizes)
        self.sizes.update(places)
        try:
            yield
        finally:
            self.sizes.clear()
            self.sizes.update(before)

    # -- expressions --------------------------------------------------------------------------
    def expr(self, e: Expr) -> Val:
        """The value of an expression: one lane where it is the same in all, else a vector."""
        if isinstance(e, Number):
            return const(COMPUTE[e.dtype], numbers_of(in_dtype(e.value, e.dtype)).item())
        if isinstance(e, Ref):
            if e.name not in self.values:
                self.values[e.name] = self.expr(self.late[e.name])
            return self.values[e.name]
        if isinstance(e, IndexValue):
            return self._index_value(e.index)
        if isinstance(e, Load):
            return self.load(e)
        assert isinstance(e, Apply)
        operands = self.together([self.expr(a) for a in e.args])
        if e.fn == "cast":
            return math.cast(self.b, operands[0], e.dtype)
        return math.expand(self.b, e.fn, e.args[-1].dtype, operands)

    def together(self, operands: Sequence[Val]) -> list[Val]:
        """Operands with equal lanes."""
        lanes = max(lanes_of(o.type) for o in operands)
        return [o if lanes_of(o.type) == lanes else self.b.broadcast(o, lanes) for o in operands]

    def full(self, x: Val) -> Val:
        """A value in every lane of the vector axis."""
        lanes = self.lanes.count if self.lanes else 1
        return x if lanes_of(x.type) == lanes else self.b.broadcast(x, lanes)

    def _index_value(self, d: Dim) -> Val:
        lanes = self.lanes
        if lanes is None or not self.varies(d):
            return self.size(d)
        step = None if d.symbols & self.spread.keys() else d.coefficient(lanes.var)
        if step is None:
            return self.per_lane(lambda: self.size(d))
        ids = const_lanes("i64", range(lanes.count))
        spread = ids if step == 1 else self.b.mul(ids, self.b.broadcast(self.size(step), lanes.count))
        return self.b.add(self.b.broadcast(self.size(d), lanes.count), spread)

    def per_lane(self, value: Callable[[], Val], apart: int = 1) -> Val:
        """`value` computed for the loop index of each lane, or each `apart` lanes, in turn. Dead lanes repeat the last
        live one."""
        lanes = self.lanes
        assert lanes is not None
        first = self.sizes[lanes.var]
        out: Val | None = None
        for lane in range(lanes.count // apart):
            place: Val = const("i64", lane * apart)
            if lanes.live is not None:
                place = self.b.intrinsic("smin", [place, self.b.sub(lanes.live, 1)])
            with self.at(**{lanes.var: self.b.add(first, place)}):
                self.lanes = None
                self.sizes.update({name: self.b.extract(i, place) for name, i in self.spread.items()})
                x = value()
                self.lanes = lanes
            if out is None:
                out = Val("poison", f"<{lanes.count // apart} x {x.type}>")
            out = self.b.insert(out, x, lane)
        assert out is not None
        return out

    # -- indices made of data -----------------------------------------------------------------
    def varies(self, d: Dim) -> bool:
        """Whether a Dim differs from lane to lane."""
        return self.lanes is not None and (self.lanes.var in d.symbols or not self.spread.keys().isdisjoint(d.symbols))

    def name_index(self, name: str, value: Val, extent: Dim) -> None:
        """Names an i64, or one per lane, as an index, clamped into 0 .. extent-1."""
        lanes = lanes_of(value.type)
        last = self.b.sub(self.size(extent), 1)
        low = self.b.intrinsic("smin", [value, last if lanes == 1 else self.b.broadcast(last, lanes)])
        index = self.b.intrinsic("smax", [low, const(value.type, 0)])
        if lanes == 1:
            self.sizes[name] = index
            self.spread.pop(name, None)
        else:
            self.spread[name] = index

    def places(self, d: Dim) -> Val:
        """A Dim that differs from lane to lane, one i64 per lane."""
        lanes = self.lanes
        assert lanes is not None
        if any(isinstance(atom, Call) and self.varies(atom.a + atom.b) for m, _ in d.terms for atom, _ in m):
            return self.per_lane(lambda: self.size(d))
        total: Val | None = None
        for monomial, coefficient in d.terms:
            varying = [(a, p) for a, p in monomial if isinstance(a, str) and (a == lanes.var or a in self.spread)]
            common = Dim({tuple(ap for ap in monomial if ap not in varying): coefficient})
            term = self.b.broadcast(self.size(common), lanes.count)
            for atom, power in varying:
                for _ in range(power):
                    term = self.b.mul(term, self._lane_indices(str(atom)))
            total = term if total is None else self.b.add(total, term)
        assert total is not None
        return total

    def _lane_indices(self, name: str) -> Val:
        """A loop index or an index made of data, one i64 per lane. Dead lanes repeat a live one's loop index."""
        lanes = self.lanes
        assert lanes is not None
        if name in self.spread:
            return self.spread[name]
        steps = const_lanes("i64", range(lanes.count))
        if lanes.live is not None:
            last = self.b.broadcast(self.b.sub(lanes.live, 1), lanes.count)
            steps = self.b.intrinsic("smin", [steps, last])
        return self.b.add(self.b.broadcast(self.sizes[name], lanes.count), steps)

    # -- memory -------------------------------------------------------------------------------
    def load(self, e: Load) -> Val:
        """An element, or one per lane."""
        lanes = self.lanes
        if e in self.given:
            return self.given[e]
        if lanes is not None and not self.spread.keys().isdisjoint(e.index.symbols):
            return self._gather(e)
        step = e.index.coefficient(lanes.var) if lanes else Dim({})
        if lanes is None or step == 0:
            return self.b.load_elements(self.address(e.buffer, e.index), e.dtype, 1)
        if step == 1:
            return self.b.load_elements(self.address(e.buffer, e.index), e.dtype, lanes.count, lanes.mask)
        repeat = repeated(e.index, lanes.var) if step is None and lanes.even else None
        if repeat is not None and max(repeat[0], lanes.count) % min(repeat[0], lanes.count) == 0:
            return self._repeated(e, *repeat)
        return self.per_lane(lambda: self.b.load_elements(self.address(e.buffer, e.index), e.dtype, 1))

    def _repeated(self, e: Load, times: int, step: int) -> Val:
        """Elements `step` apart, each in `times` lanes beside each other. Where it is known which one of each `step`
        they are, all are read: others of them may be wanted next."""
        b, lanes, layout = self.b, self.lanes, self.layout[e.buffer]
        assert lanes is not None
        if lanes.count <= times:
            return b.load_elements(self.address(e.buffer, e.index), e.dtype, 1)
        count = lanes.count // times
        known = all(c % step == 0 for monomial, c in e.index.terms if monomial)
        first = sum(c for monomial, c in e.index.terms if not monomial) % step
        if not known or layout.panels is not None or any(c % step for _, c in layout.numel.terms):
            each = self.per_lane(lambda: b.load_elements(self.address(e.buffer, e.index), e.dtype, 1), times)
            return b.shuffle(each, None, [lane // times for lane in range(lanes.count)])
        mask = None
        if lanes.live is not None:
            ids = const_lanes("i64", range(count * step))
            mask = b.icmp(
                "slt", b.op("mul nsw", ids, const(ids.type, times)), b.broadcast(b.mul(lanes.live, step), count * step)
            )
        whole = b.load_elements(self.address(e.buffer, e.index - first), e.dtype, count * step, mask)
        return b.shuffle(whole, None, [lane // times * step + first for lane in range(lanes.count)])

    def _gather(self, e: Load) -> Val:
        """Elements from a place of its own for each lane."""
        lanes, layout = self.lanes, self.layout[e.buffer]
        assert lanes is not None
        if layout.panels is not None:
            return self.per_lane(lambda: self.b.load_elements(self.address(e.buffer, e.index), e.dtype, 1))
        return self.b.gather_elements(self.buffers[e.buffer], self.places(e.index), e.dtype)

    def store(self, buffer: str, index: Dim, value: Val) -> None:
        """Writes an element, or one per lane; lanes lie side by side."""
        lanes, dtype = self.lanes, self.layout[buffer].dtype
        x = self.full(value)
        self.b.store_elements(x, self.address(buffer, index), dtype, lanes.mask if lanes else None)

    def address(self, buffer: str, index: Dim) -> Val:
        """The address of an element of a buffer."""
        layout = self.layout[buffer]
        place = self.size(index) if layout.panels is None else self._panel_place(layout.panels, index)
        return self.b.offset(self.buffers[buffer], MEMORY[layout.dtype], place)

    def _panel_place(self, p: Panels, index: Dim) -> Val:
        """Where a logical offset [batch, row, column] lies in panels."""
        b, offset, k, n = self.b, self.size(index), self.size(p.k), self.size(p.n)
        matrix = b.udiv(offset, b.mul(k, n))
        rest = b.urem(offset, b.mul(k, n))
        row, column = b.udiv(rest, n), b.urem(rest, n)
        start, width, inside = self.panel(p, column)
        base = b.add(b.mul(matrix, b.mul(k, self.size(p.padded_n))), b.mul(start, k))
        return b.add(base, b.add(b.mul(row, width), inside))

    def panel(self, p: Panels, column: Val) -> tuple[Val, Val, Val]:
        """Of a column: the first column of its panel, the panel's width, and its place inside."""
        b = self.b
        start = b.mul(b.udiv(column, PANEL_WIDTH), PANEL_WIDTH)
        width = b.intrinsic("smin", [const("i64", PANEL_WIDTH), b.sub(self.size(p.padded_n), start)])
        return start, width, b.sub(column, start)


def repeated(index: Dim, var: str) -> tuple[int, int] | None:
    """(times, step) where an index is `step * (var // times)` and something without `var`; None where it is not."""
    found = [
        (atom, c, len(monomial))
        for monomial, c in index.terms
        for atom, _ in monomial
        if (var in (atom.a + atom.b).symbols if isinstance(atom, Call) else atom == var)
    ]
    if len(found) != 1:
        return None
    atom, step, factors = found[0]
    if (
        not isinstance(atom, Call)
        or factors != 1
        or atom.fn != "floordiv"
        or atom.a.symbol != var
        or not atom.b.is_const
    ):
        return None
    return (atom.b.value, step) if step > 0 else None


def lane_count(kernel: Kernel, vector_bytes: int) -> int:
    """Lanes for a kernel: as many of its narrowest numbers, in registers, as fill one (bools ride along)."""
    sizes = [x.dtype.compute.size for x in kernel.buffers if x.dtype is not bool_]
    return vector_bytes // min(sizes, default=4)
