"""The micro-kernel: tiles of rows x columns of a contraction, added up in registers. All kernels of a module share it.

Its function multiplies `rows` rows of the left operand, `row_step` elements apart, with the columns of one panel, over
`outer` turns of `depth` steps, and leaves the sums in a small buffer on the caller's stack: SUMS_STEP elements from row
to row. With `keep` it adds to what the buffer holds; without, and no terms, it fills it with zeros. What follows the
sums is the caller's. While the tiles run they ask the caches for what lies at `fetch`, the next block of the right
operand: each tile for its part of it, `fetch_step` bytes further at each turn. Requests that come all at once would
hold up the loads beside them.
Each element is the sum of its terms in order, whatever rows stand beside it.

Rows may also lie anywhere. A `table` then says where: how many elements behind `left` each row begins, and, TABLE
places further, how many elements behind `sums` its sums are.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from unmoor.codegen.builder import (
    COMPUTE,
    KERNEL_ATTRIBUTES,
    MEMORY,
    Builder,
    Module,
    Val,
    const,
    const_lanes,
    vec,
)
from unmoor.codegen.counted import counted, evenly
from unmoor.dtypes import DType
from unmoor.ir.kernel import PANEL_WIDTH

SUMS_STEP = PANEL_WIDTH
UNROLL = 4  # steps of k per turn
CACHE_LINE = 64
TABLE = 144  # rows that a table has place for
ALONE = 0  # in place of a number of rows: one row that is all there is, which may be added up in several sums

PARAMS = (
    ("i64", "rows"),
    ("i64", "width"),
    ("ptr noalias readonly", "left"),
    ("i64", "row_step"),
    ("i64", "left_step"),
    ("ptr noalias readonly", "right"),
    ("i64", "depth_step"),
    ("i64", "right_step"),
    ("i64", "outer"),
    ("i64", "depth"),
    ("ptr", "fetch"),
    ("i64", "fetch_step"),
    ("ptr noalias", "sums"),
    ("i1", "keep"),
)
TABLED = (*PARAMS, ("ptr noalias readonly", "table"))
ATTRIBUTES = f'{KERNEL_ATTRIBUTES} noinline "no-jump-tables"="true"'


@dataclass(frozen=True)
class _Call:
    """The arguments of a micro-kernel, as PARAMS names them."""

    rows: Val
    width: Val
    left: Val
    row_step: Val
    left_step: Val
    right: Val
    depth_step: Val
    right_step: Val
    outer: Val
    depth: Val
    fetch: Val
    fetch_step: Val
    sums: Val
    keep: Val
    table: Val | None = None

    def args(self) -> list[Val]:
        return [getattr(self, name) for _, name in (TABLED if self.table else PARAMS)]


@dataclass(frozen=True)
class MicroKernel:
    """The micro-kernels of one dtype; `right` may be stored as half floats. `masked` reads `width` columns and no more,
    where the right operand lies in no panels. With `table` the rows lie where a table says."""

    module: Module
    dtype: DType
    right: DType
    masked: bool
    table: bool = False

    @property
    def params(self) -> tuple[tuple[str, str], ...]:
        return TABLED if self.table else PARAMS

    @property
    def lanes(self) -> int:
        return (64 if self.module.avx512 else 32) // self.dtype.size

    @property
    def most_rows(self) -> int:
        """Rows of the highest tile: with `most_vectors` it fills the registers, 32 of 64 bytes or 16 of 32."""
        return 8 if self.module.avx512 else 6

    @property
    def most_vectors(self) -> int:
        """Registers of a row. Narrow ones are a cache line of a panel's row: half a line more would fetch both halves
        for every tile."""
        return 3 if self.module.avx512 else 2

    @property
    def width(self) -> int:
        """Columns of the widest tile."""
        return self.lanes * self.most_vectors

    def fetches(self, rows: int) -> int:
        """Cache lines that a tile asks for at a turn: few rows pass over a block in few turns."""
        return 2 if rows > self.most_rows // 2 else 4

    def fetch_step(self, b: Builder, nbytes: Val, rows: Val, depth: Val, outer: Val) -> Val:
        """The `fetch_step` with which the tiles of so many rows and a panel's columns ask for `nbytes`."""
        slices = -(-PANEL_WIDTH // self.width)
        turns = b.add(b.mul(b.mul(rows, slices), b.lshr(b.mul(depth, outer), UNROLL.bit_length() - 1)), 1)
        return b.add(b.udiv(b.mul(nbytes, self.most_rows), turns), 1)

    def function(self) -> str:
        """The name of the function with the parameters PARAMS."""
        name = f"micro_{self.dtype.name}_{self.right.name}{'_masked' if self.masked else ''}"
        name += "_table" if self.table else ""
        return self.module.unit(name, lambda: self._dispatch(name))

    @property
    def vectors_alone(self) -> int:
        """Registers of a row that is alone: a panel's row, so that its memory is read as it lies."""
        return min(PANEL_WIDTH // self.lanes, 6)

    def _dispatch(self, name: str) -> None:
        """Cuts the columns into as many registers as a tile has, and under each of these the rows into tiles."""
        b = Builder(self.module, name, self.params, internal=True, attributes=ATTRIBUTES)
        call = _Call(*b.params)
        if not self.table:
            single, several = b.new_label("alone"), b.new_label("several")
            b.cond_br(b.icmp("eq", call.rows, ALONE), single, several)
            b.start(single)
            self._columns(b, name, call, self.vectors_alone, [ALONE])
            b.ret()
            b.start(several)
        self._columns(b, name, call, self.most_vectors, range(1, self.most_rows + 1))
        b.ret()
        b.finish()

    def _columns(self, b: Builder, name: str, call: _Call, most: int, heights: Sequence[int]) -> None:
        step = self.lanes * most
        turns = b.lshr(b.mul(call.outer, call.depth), UNROLL.bit_length() - 1)
        part = b.mul(turns, call.fetch_step)  # of what is fetched: a highest tile's
        whole = b.udiv(b.mul(call.rows, part), const("i64", self.most_rows))

        def columns(first: Val, _: list[Val]) -> list[Val]:
            left_over = b.sub(call.width, first)
            vectors = b.intrinsic("smin", [b.sdiv(b.add(left_over, self.lanes - 1), self.lanes), const("i64", most)])
            here = replace(
                call,
                width=left_over,
                right=b.offset(call.right, MEMORY[self.right], first),
                sums=b.offset(call.sums, COMPUTE[self.dtype], first),
                fetch=b.offset(call.fetch, "i8", b.mul(b.udiv(first, const("i64", step)), whole)),
            )
            if ALONE in heights:
                self._pick(b, name, here, vectors, most, heights)
            else:
                evenly(b, const("i64", 0), call.rows, self.most_rows, lambda row, n: tile(here, vectors, row, n))
            return []

        def tile(here: _Call, vectors: Val, row: Val, count: Val) -> None:
            left, sums = here.left, here.sums
            if here.table:
                here = replace(here, table=b.offset(here.table, "i64", row))
            else:
                left = b.offset(left, MEMORY[self.dtype], b.mul(row, here.row_step))
                sums = b.offset(sums, COMPUTE[self.dtype], b.mul(row, SUMS_STEP))
            fetch = b.offset(here.fetch, "i8", b.udiv(b.mul(row, part), const("i64", self.most_rows)))
            self._pick(b, name, replace(here, rows=count, left=left, fetch=fetch, sums=sums), vectors, most, heights)

        reach = b.add(call.width, step - 1)  # a narrower tile at the end counts as one more turn
        counted(b, const("i64", 0), reach, step, [], columns)

    def _pick(self, b: Builder, name: str, call: _Call, vectors: Val, most: int, heights: Sequence[int]) -> None:
        """Calls the function for so many rows and registers."""
        stride = self.most_rows + 1
        tiles = [(v, r, b.new_label("tile")) for v in range(1, most + 1) for r in heights]
        done = b.new_label("done")
        cases = " ".join(f"i64 {v * stride + r}, label %{label}" for v, r, label in tiles)
        b.line(f"switch {b.add(b.mul(vectors, stride), call.rows).typed}, label %{done} [ {cases} ]")
        for v, r, label in tiles:
            b.start(label)
            own = f"{name}_{r}x{v}"
            b.call(self.module.unit(own, lambda r=r, v=v, own=own: self._tile(own, r, v)), "void", call.args())  # type: ignore[misc]
            b.br(done)
        b.start(done)

    def _tile(self, name: str, rows: int, vectors: int) -> None:
        b = Builder(self.module, name, self.params, internal=True, attributes=ATTRIBUTES)
        _Tile(self, b, rows, vectors).emit()


class _Tile:
    """The function of one number of rows and of registers per row."""

    def __init__(self, kind: MicroKernel, b: Builder, rows: int, vectors: int) -> None:
        self.kind, self.b, self.vectors = kind, b, vectors
        self.alone, self.rows = rows == ALONE, max(rows, 1)
        self.vector = vec(COMPUTE[kind.dtype], kind.lanes)
        _, width, self.left, self.row_step, self.left_step, self.right, *rest = b.params
        self.depth_step, self.right_step, self.outer, self.depth, self.fetch, self.fetch_step, *rest = rest
        self.sums, self.keep, *table = rest
        self.places = [self._read(table[0], r) for r in range(self.rows)] if table else []
        self.masks = [self._mask(width, v) if kind.masked else None for v in range(vectors)]

    def _mask(self, width: Val, v: int) -> Val:
        live = self.b.sub(width, v * self.kind.lanes)
        return self.b.icmp("slt", const_lanes("i64", range(self.kind.lanes)), self.b.broadcast(live, self.kind.lanes))

    def _read(self, table: Val, r: int) -> tuple[Val, Val]:
        """Of a row in a table, where it begins and where its sums are."""
        b = self.b
        return b.load(b.offset(table, "i64", r), "i64"), b.load(b.offset(table, "i64", TABLE + r), "i64")

    def emit(self) -> None:
        b, elem = self.b, COMPUTE[self.kind.dtype]
        rows = [
            b.offset(self.sums, elem, self.places[r][1] if self.places else r * SUMS_STEP) for r in range(self.rows)
        ]
        places = [b.offset(row, elem, v * self.kind.lanes) for row in rows for v in range(self.vectors)]
        kept, start, first = b.new_label("kept"), b.new_label("start"), b.label
        b.cond_br(self.keep, kept, start)
        b.start(kept)
        held = [b.load(p, self.vector) for p in places]
        b.br(start)
        b.start(start)
        zero = const(self.vector, 0)
        acc = [b.phi(self.vector, (zero, first), (h, kept)) for h in held]
        steps = [self.depth_step, *(b.mul(self.depth_step, u) for u in range(2, UNROLL + 1))]

        def turn(_: Val, carried: list[Val]) -> list[Val]:
            left, right, fetch, *sums = carried
            fetch, *sums = self._along(left, right, fetch, sums, steps)
            return [
                b.offset(left, MEMORY[self.kind.dtype], self.left_step),
                b.offset(right, MEMORY[self.kind.right], self.right_step),
                fetch,
                *sums,
            ]

        carried = [self.left, self.right, self.fetch, *acc]
        _, (_, _, _, *acc) = counted(b, const("i64", 0), self.outer, 1, carried, turn)
        for place, total in zip(places, acc, strict=True):
            b.store(total, place)
        b.ret()
        b.finish()

    def _along(self, left: Val, right: Val, fetch: Val, acc: list[Val], steps: Sequence[Val]) -> list[Val]:
        """`depth` steps, UNROLL at a time, and where to fetch next. A row alone adds up in several sets of sums, which
        hide the latency of an FMA."""
        b, elem = self.b, MEMORY[self.kind.right]
        steps_down = [at for at, _ in self.places] or [b.mul(self.row_step, r) for r in range(self.rows)]
        starts = [b.offset(left, MEMORY[self.kind.dtype], step) for step in steps_down]
        count = len(acc)
        sets = 1 if not self.alone else UNROLL if count <= 3 else 2

        def several(k: Val, carried: list[Val]) -> list[Val]:
            place, fetch, *sums = carried
            if not self.alone:
                for line in range(self.kind.fetches(self.rows)):
                    b.prefetch(b.offset(fetch, "i8", line * CACHE_LINE))
                fetch = b.offset(fetch, "i8", self.fetch_step)
            for u in range(UNROLL):
                own = slice((u % sets) * count, (u % sets + 1) * count)
                here = b.offset(place, elem, steps[u - 1]) if u else place
                sums[own] = self._step(starts, b.add(k, u) if u else k, here, sums[own])
            return [b.offset(place, elem, steps[UNROLL - 1]), fetch, *sums]

        def single(k: Val, carried: list[Val]) -> list[Val]:
            place, *sums = carried
            return [b.offset(place, elem, steps[0]), *self._step(starts, k, place, sums)]

        none = [const(self.vector, 0)] * (count * (sets - 1))
        k, (right, fetch, *sums) = counted(b, const("i64", 0), self.depth, UNROLL, [right, fetch, *acc, *none], several)
        while len(sums) > count:
            half = len(sums) // 2
            sums = [b.add(x, y) for x, y in zip(sums[:half], sums[half:], strict=True)]
        return [fetch, *counted(b, k, self.depth, 1, [right, *sums], single)[1][1:]]

    def _step(self, starts: Sequence[Val], k: Val, place: Val, acc: Sequence[Val]) -> list[Val]:
        """One step of k: a row of the right operand times one element of each row of the left one."""
        b, kind = self.b, self.kind
        right = [
            b.load_elements(b.offset(place, MEMORY[kind.right], v * kind.lanes), kind.right, kind.lanes, self.masks[v])
            for v in range(self.vectors)
        ]
        out: list[Val] = []
        for r, start in enumerate(starts):
            x = b.load(b.offset(start, MEMORY[kind.dtype], k), COMPUTE[kind.dtype])
            wide = b.broadcast(x, kind.lanes)
            out += [b.fma(wide, right[v], acc[r * self.vectors + v]) for v in range(self.vectors)]
        return out


def stack_of_sums(b: Builder, dtype: DType, rows: int) -> Val:
    """The buffer that a micro-kernel leaves its sums in."""
    return b.local(COMPUTE[dtype], rows * SUMS_STEP)
