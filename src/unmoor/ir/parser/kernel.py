"""Reads the text of kernels."""

from __future__ import annotations

from unmoor.dtypes import BY_NAME, DType, bool_, i64
from unmoor.ir.dim import Dim
from unmoor.ir.kernel import FOLDS, Buffer, Contract, Fold, Index, Kernel, Let, Loop, Panels, Stmt, Store
from unmoor.ir.parser.dim import take_dim
from unmoor.ir.parser.tokens import Tokens
from unmoor.ir.scalar import FUNCTIONS, Apply, Expr, IndexValue, Load, Number, Ref


def parse_kernel(text: str) -> Kernel:
    """The kernel that a text stands for; VerifyError shows the line of what cannot be read."""
    return _Kernel(Tokens(text)).kernel()


class _Kernel:
    def __init__(self, tokens: Tokens) -> None:
        self.t = tokens
        self.buffers: dict[str, Buffer] = {}
        self.types: dict[str, DType] = {}

    def kernel(self) -> Kernel:
        t = self.t
        t.take("kernel")
        name = t.take("name").text
        t.take("(")
        more = not t.skip(")")
        while more:
            buffer = self._buffer()
            self.buffers[buffer.name] = buffer
            more = t.list(")")
        t.take("ints")
        t.take("(")
        ints: list[str] = []
        more = not t.skip(")")
        while more:
            ints.append(t.take("name").text)
            more = t.list(")")
        t.take("{")
        t.take("parallel")
        body = self._loop()
        t.take("}")
        t.take("end")
        return Kernel(name, tuple(self.buffers.values()), tuple(ints), body)

    def _buffer(self) -> Buffer:
        t = self.t
        role = t.take("in", "out", "local").text
        name = t.take("name").text
        t.take(":")
        dtype = self._dtype()
        t.take("[")
        numel = take_dim(t)
        t.take("]")
        panels = None
        if t.skip("panels"):
            t.take("(")
            parts = [take_dim(t)]
            while t.list(")"):
                parts.append(take_dim(t))
            if len(parts) != 3:
                raise t.error("panels are (batch, k, n)")
            panels = Panels(*parts)
        return Buffer(name, dtype, numel, role, panels)

    def _dtype(self) -> DType:
        return BY_NAME[self.t.take(*BY_NAME).text]

    def _loop(self) -> Loop:
        var, extent = self._axis()
        return Loop(var, extent, self._body())

    def _axis(self) -> tuple[str, Dim]:
        var = self.t.take("name").text
        self.t.take("<")
        return var, take_dim(self.t)

    def _axes(self) -> tuple[tuple[str, Dim], ...]:
        self.t.take("over")
        axes = [self._axis()]
        while self.t.skip(","):
            axes.append(self._axis())
        return tuple(axes)

    def _inside(self) -> tuple[tuple[Dim, Dim], ...]:
        """`where 0 <= position < extent, ...`, if it is there."""
        bounds: list[tuple[Dim, Dim]] = []
        more = self.t.skip("where")
        while more:
            self.t.take("0")
            self.t.take("<=")
            position = take_dim(self.t)
            self.t.take("<")
            bounds.append((position, take_dim(self.t)))
            more = self.t.skip(",")
        return tuple(bounds)

    def _body(self) -> tuple[Stmt, ...]:
        self.t.take("{")
        self.t.deeper()
        body: list[Stmt] = []
        while not self.t.skip("}"):
            body.append(self._stmt())
        self.t.depth -= 1
        return tuple(body)

    def _stmt(self) -> Stmt:
        t = self.t
        word = t.take("name").text
        if word == "let":
            name = t.take("name").text
            if t.skip("<"):
                extent = take_dim(t)
                t.take("=")
                return Index(name, self._expr(), extent)
            t.take("=")
            return Let(name, self._named(name, self._expr()))
        if word == "loop":
            return self._loop()
        if word == "fold":
            return self._fold()
        if word == "contract":
            return self._contract()
        t.take("[")
        index = take_dim(t)
        t.take("]")
        t.take("=")
        return Store(self._known(word).name, index, self._expr())

    def _named(self, name: str, value: Expr) -> Expr:
        self.types[name] = value.dtype
        return value

    def _known(self, name: str) -> Buffer:
        if name not in self.buffers:
            raise self.t.error(f"there is no buffer {name}")
        return self.buffers[name]

    def _fold(self) -> Fold:
        t = self.t
        name = t.take("name").text
        t.take("=")
        fn = t.take(*FOLDS).text
        axes = self._axes()
        inside = self._inside()
        t.take("{")
        t.deeper()
        body: list[Stmt] = []
        while self._is_statement():
            body.append(self._stmt())
        value = self._expr()
        t.take("}")
        t.depth -= 1
        self.types[name] = i64 if fn in ("argmax", "argmin") else value.dtype
        return Fold(name, fn, axes, tuple(body), value, inside)

    def _is_statement(self) -> bool:
        """Whether a statement comes, and not the value of a fold: both may begin with a buffer's name."""
        if self.t.next.text in ("let", "loop", "fold", "contract"):
            return True
        if self.t.next.text not in self.buffers:
            return False
        mark = self.t.mark()
        self.t.take()
        self.t.take("[")
        take_dim(self.t)
        self.t.take("]")
        found = self.t.next.text == "="
        self.t.rewind(mark)
        return found

    def _contract(self) -> Contract:
        name = self.t.take("name").text
        axes = self._axes()
        inside = self._inside()
        self.t.take("{")
        left = self._expr()
        self.t.take("*")
        right = self._expr()
        self.t.take("}")
        if not isinstance(left, Load) or not isinstance(right, Load):
            raise self.t.error("a contraction multiplies two loads")
        self.types[name] = left.dtype
        return Contract(name, axes, left, right, inside)

    def _expr(self) -> Expr:
        t = self.t
        t.deeper()
        word = t.take("name").text
        made = self._after(word)
        t.depth -= 1
        return made

    def _after(self, word: str) -> Expr:
        t = self.t
        if word in self.buffers:
            t.take("[")
            index = take_dim(t)
            t.take("]")
            return Load(word, index, self.buffers[word].dtype)
        if word in self.types:
            return Ref(word, self.types[word])
        if word in BY_NAME:
            return self._number(BY_NAME[word])
        if word == "index":
            t.take("(")
            made = IndexValue(take_dim(t))
            t.take(")")
            return made
        if word not in FUNCTIONS:
            raise t.error(f"there is no value or function {word}")
        return self._apply(word)

    def _apply(self, fn: str) -> Expr:
        t = self.t
        given: DType | None = None
        if fn == "cast":
            t.take("<")
            given = self._dtype()
            t.take(">")
        t.take("(")
        args = [self._expr()]
        while t.list(")"):
            args.append(self._expr())
        row = FUNCTIONS[fn]
        if len(args) != row.arity:
            raise t.error(f"{fn} takes {row.arity} operands, not {len(args)}")
        return Apply(fn, tuple(args), given or (bool_ if row.result == "bool" else args[-1].dtype))

    def _number(self, dtype: DType) -> Number:
        t = self.t
        t.take("(")
        sign = -1 if t.skip("-") else 1
        word = t.take("number", "true", "false", "inf", "nan").text
        t.take(")")
        if word in ("true", "false"):
            return Number(dtype, word == "true")
        value: int | float = int(word) if word.isdigit() else float(word)
        return Number(dtype, sign * value)
