"""Checks kernels.

- Buffer, loop and scalar names are unique; every name is defined before its use, in a loop around it.
- `in` buffers are only read; every dim uses only the kernel's ints and the loop indices around it.
- Operands have the arity, categories and common dtype that `ir.scalar.FUNCTIONS` asks for; stores fit their buffer.
- The value of an Index is an i64; its name is known in what follows inside the same loop.
- A Contract stands in a column loop inside a row loop, on floats of one dtype; its bounds are linear in one axis.
- An index whose terms are all non-negative stays below its buffer's element count at the last turn of every loop, where
  that can be told from the form of the sizes.
"""

from __future__ import annotations

from unmoor.dtypes import DType, bool_, i64
from unmoor.errors import VerifyError
from unmoor.ir.dim import Dim, const, nonnegative
from unmoor.ir.kernel import FOLDS, Contract, Fold, Index, Kernel, Let, Loop, Stmt, Store
from unmoor.ir.printer.kernel import print_expr
from unmoor.ir.scalar import FUNCTIONS, Apply, Expr, IndexValue, Load, Number, Ref

LETTERS = ("b", "i", "f")


def verify_kernel(kernel: Kernel) -> None:
    """Raises VerifyError, naming the expression, where the kernel breaks a rule."""
    _Verifier(kernel).run()


class _Verifier:
    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel
        self.buffers = {b.name: b for b in kernel.buffers}
        self.extents: dict[str, Dim] = {}
        self.values: dict[str, DType] = {}
        self.loops: list[str] = []
        self.bounded = False  # whether only places inside stated bounds are read

    def run(self) -> None:
        if len(self.buffers) < len(self.kernel.buffers):
            raise self._error("two buffers have one name")
        for b in self.kernel.buffers:
            self._dim(b.storage)
        self._loop(self.kernel.body)

    def _error(self, text: str) -> VerifyError:
        return VerifyError(f"kernel {self.kernel.name}: {text}")

    def _dim(self, d: Dim) -> None:
        unknown = d.symbols - set(self.kernel.ints) - self.extents.keys()
        if unknown:
            raise self._error(f"{d} uses {sorted(unknown)[0]}, which is no size and no loop index here")

    def _loop(self, loop: Loop) -> None:
        self._dim(loop.extent)
        with_loop = self._enter(((loop.var, loop.extent),))
        self.loops.append(loop.var)
        self._body(loop.body)
        self.loops.pop()
        self._leave(with_loop)

    def _enter(self, axes: tuple[tuple[str, Dim], ...]) -> tuple[dict[str, Dim], dict[str, DType]]:
        before = (dict(self.extents), dict(self.values))
        for var, extent in axes:
            if var in self.extents or var in self.kernel.ints:
                raise self._error(f"the loop index {var} has another meaning already")
            self._dim(extent)
            self.extents[var] = extent
        return before

    def _leave(self, before: tuple[dict[str, Dim], dict[str, DType]]) -> None:
        self.extents, self.values = before

    def _define(self, name: str, dtype: DType) -> None:
        if name in self.values or name in self.buffers:
            raise self._error(f"{name} is defined twice")
        self.values[name] = dtype

    def _body(self, body: tuple[Stmt, ...]) -> None:
        for stmt in body:
            if isinstance(stmt, Let):
                self._define(stmt.name, self._expr(stmt.value))
            elif isinstance(stmt, Index):
                self._named_index(stmt)
            elif isinstance(stmt, Store):
                self._store(stmt)
            elif isinstance(stmt, Loop):
                self._loop(stmt)
            elif isinstance(stmt, Fold):
                self._fold(stmt)
            else:
                self._contract(stmt)

    def _named_index(self, stmt: Index) -> None:
        if self._expr(stmt.value) is not i64:
            raise self._error(f"the index {stmt.name} is made of {print_expr(stmt.value)}, which is no i64")
        if stmt.name in self.values or stmt.name in self.buffers:
            raise self._error(f"{stmt.name} is defined twice")
        self._enter(((stmt.name, stmt.extent),))

    def _store(self, stmt: Store) -> None:
        buffer = self.buffers.get(stmt.buffer)
        if buffer is None or buffer.role == "in":
            raise self._error(f"{stmt.buffer}[{stmt.index}] is stored to, and is no output or local buffer")
        if self._expr(stmt.value) is not buffer.dtype:
            raise self._error(f"{stmt.buffer} holds {buffer.dtype}, not what {print_expr(stmt.value)} gives")
        self._index(stmt.buffer, stmt.index)

    def _fold(self, stmt: Fold) -> None:
        if stmt.fn not in FOLDS:
            raise self._error(f"there is no fold {stmt.fn}")
        before = self._enter(stmt.axes)
        self._bounds(stmt)
        around, self.bounded = self.bounded, self.bounded or bool(stmt.inside)
        self._body(stmt.body)
        dtype = self._expr(stmt.value)
        self.bounded = around
        self._leave(before)
        self._define(stmt.name, i64 if stmt.fn.startswith("arg") else dtype)

    def _contract(self, stmt: Contract) -> None:
        if len(self.loops) < 2:
            raise self._error(f"the contraction {stmt.name} needs a row and a column loop around it")
        before = self._enter(stmt.axes)
        self._bounds(stmt)
        self.bounded = bool(stmt.inside)
        left = self._expr(stmt.left)
        self.bounded = False
        right = self._expr(stmt.right)
        self._leave(before)
        if left is not right.compute or not left.is_float:
            raise self._error(f"the contraction {stmt.name} is of {left} and {right}")
        self._define(stmt.name, left)

    def _bounds(self, stmt: Fold | Contract) -> None:
        """Each position moves on along one axis by a constant step; in a contraction one at most along the rows."""
        if stmt.inside and isinstance(stmt, Fold) and stmt.fn.startswith("arg"):
            raise self._error(f"{stmt.fn} counts all places, and has no bounds")
        row = self.loops[-2] if isinstance(stmt, Contract) else None
        along_rows = 0
        for position, extent in stmt.inside:
            self._dim(position)
            self._dim(extent)
            steps = [position.coefficient(v) for v, _ in stmt.axes]
            down = position.coefficient(row) if row else const(0)
            if not all(s is not None and s.is_const and s.value >= 0 for s in (*steps, down)) or steps.count(
                const(0)
            ) != (len(stmt.axes) - 1):
                raise self._error(f"{stmt.name} is bounded by {position}, not linear in one axis")
            along_rows += down != 0
        if along_rows > 1:
            raise self._error(f"the contraction {stmt.name} has two bounds that depend on the row {row}")

    def _expr(self, e: Expr) -> DType:
        if isinstance(e, Number):
            return e.dtype
        if isinstance(e, Load):
            self._load(e)
        elif isinstance(e, Ref):
            if self.values.get(e.name) is not e.dtype:
                raise self._error(f"{e.name} is not a {e.dtype} here")
        elif isinstance(e, IndexValue):
            self._dim(e.index)
        elif isinstance(e, Apply):
            self._apply(e)
        return e.dtype

    def _load(self, e: Load) -> None:
        if e.buffer not in self.buffers or self.buffers[e.buffer].dtype is not e.dtype:
            raise self._error(f"there is no {e.dtype} buffer {e.buffer}")
        self._index(e.buffer, e.index)

    def _apply(self, e: Apply) -> None:
        row = FUNCTIONS.get(e.fn)
        dtypes = [self._expr(a) for a in e.args]
        if row is None or len(dtypes) != row.arity:
            raise self._error(f"{print_expr(e)}: no such function of {len(dtypes)} operands")
        if e.fn == "select" and dtypes.pop(0) is not bool_:
            raise self._error(f"{print_expr(e)}: the condition is no bool")
        if len(set(dtypes)) != 1 or LETTERS[dtypes[0].category] not in row.takes:
            raise self._error(f"{print_expr(e)}: operands of {', '.join(map(str, dtypes))}")
        wanted = {"same": dtypes[0], "bool": bool_}.get(row.result, e.dtype)
        if e.dtype is not wanted:
            raise self._error(f"{print_expr(e)} gives {wanted}, not {e.dtype}")

    def _index(self, buffer: str, index: Dim) -> None:
        self._dim(index)
        if self.bounded or not nonnegative(index):
            return  # bounded by a relation of the signature; the reference checks each access
        highest = index.substitute({v: e - 1 for v, e in reversed(self.extents.items())})
        beyond = highest - self.buffers[buffer].numel
        if nonnegative(beyond) and not beyond.symbols:
            raise self._error(f"{buffer}[{index}] reaches {highest}, and {buffer} has {self.buffers[buffer].numel}")
