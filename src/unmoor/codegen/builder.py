"""Writes LLVM IR as text: values, instructions, blocks, functions and modules, for any vector length.

A `Val` is an operand with its LLVM type. One lane is a scalar type (`float`), more are a vector (`<8 x float>`);
nothing else depends on the length. Booleans are `i1` (or vectors of it) while they are computed with and one byte,
0 or 1, in memory; small integers are `i32` and half floats `float` in registers, where they hold numbers of their
dtype: `load_elements` and `store_elements` convert.

Float `add`, `sub` and `mul` carry the `contract` flag, so that LLVM may fuse them; inside `exact()` they do not,
and no other fast-math flag is ever written.
"""

from __future__ import annotations

import itertools
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from typing import NamedTuple, TypeVar, Union

from unmoor.dtypes import ALL, DType, bf16, bool_, f16, f32, f64, i32, i64, u8

PTR = "ptr"
_REGISTER = {bool_: "i1", i32: "i32", i64: "i64", f32: "float", f64: "double"}
COMPUTE = {d: _REGISTER[d.compute] for d in ALL}  # of one element in a register
MEMORY = {d: COMPUTE[d] if d in (f32, f64) else f"i{8 * d.size}" for d in ALL}  # of one element in a buffer
BITS = {
    "i1": 1,
    "i8": 8,
    "i16": 16,
    "i32": 32,
    "i64": 64,
    "i128": 128,
    "i192": 192,
    "half": 16,
    "float": 32,
    "double": 64,
    "ptr": 64,
}
KERNEL_ATTRIBUTES = 'nounwind "no-builtins"'


class Val(NamedTuple):
    """An operand: `text` is a name (`%7`) or a constant, `type` its LLVM type."""

    text: str
    type: str

    @property
    def typed(self) -> str:
        return f"{self.type} {self.text}"


Operand = Union[Val, int, float, bool]
T = TypeVar("T")


@cache
def vec(elem: str, lanes: int) -> str:
    """The type of `lanes` elements: `elem` itself for one."""
    return elem if lanes == 1 else f"<{lanes} x {elem}>"


@cache
def element(type_: str) -> str:
    """The element type of a vector type; a scalar type itself."""
    return type_[1:-1].split(" x ")[1] if type_.startswith("<") else type_


@cache
def lanes_of(type_: str) -> int:
    return int(type_[1:].split(" ")[0]) if type_.startswith("<") else 1


@cache
def with_element(type_: str, elem: str) -> str:
    """A type of as many lanes as `type_`, of another element."""
    return vec(elem, lanes_of(type_))


def is_float(type_: str) -> bool:
    return element(type_) in ("float", "double")


@cache
def mangled(type_: str) -> str:
    """The type's part of an intrinsic's name: v16f32, i64, p0."""
    elem = element(type_)
    name = {"float": "f32", "double": "f64", "ptr": "p0"}.get(elem, elem)
    return name if type_ == elem else f"v{lanes_of(type_)}{name}"


def _scalar_literal(elem: str, value: float) -> str:
    if elem == "i1":
        return "true" if value else "false"
    if elem == "float":  # LLVM writes a float constant as the double of the same value
        value = struct.unpack("f", struct.pack("f", value))[0]
    if elem in ("float", "double"):
        return f"0x{struct.unpack('<Q', struct.pack('<d', value))[0]:016X}"
    bits = BITS[elem]
    whole = int(value) & ((1 << bits) - 1)
    return str(whole - (1 << bits) if whole >> (bits - 1) else whole)


def const(type_: str, value: float) -> Val:
    """A number in every lane: floats exact to the bit, rounded to the type once; ints wrapped."""
    elem = element(type_)
    text = _scalar_literal(elem, value)
    return Val(text if elem == type_ else f"splat ({elem} {text})", type_)


def const_lanes(elem: str, values: Sequence[float]) -> Val:
    """A vector constant of one number per lane."""
    body = ", ".join(f"{elem} {_scalar_literal(elem, v)}" for v in values)
    return Val(f"<{body}>", vec(elem, len(values)))


class Module:
    """A module's text under construction. `avx512` lets functions use AVX-512's own intrinsics."""

    def __init__(self, *, avx512: bool = False) -> None:
        self.avx512 = avx512
        self._declared: dict[str, str] = {}
        self._globals: dict[str, str] = {}
        self._functions: list[str] = []
        self._made: set[str] = set()

    def declare(self, name: str, result: str, params: Iterable[str]) -> None:
        """An external function; only LLVM intrinsics are, since object code must call nothing."""
        if name not in self._declared:
            self._declared[name] = f"declare {result} @{name}({', '.join(params)})"

    def table(self, name: str, elem: str, values: Sequence[float]) -> Val:
        """A private, read-only array of numbers, aligned to 64 bytes; its address. One per name."""
        if name not in self._globals:
            body = ", ".join(f"{elem} {_scalar_literal(elem, v)}" for v in values)
            self._globals[name] = f"@{name} = private unnamed_addr constant [{len(values)} x {elem}] [{body}], align 64"
        return Val(f"@{name}", PTR)

    def unit(self, name: str, make: Callable[[], None]) -> str:
        """Runs `make`, which defines the internal function `name`, the first time that name is asked for."""
        if name not in self._made:
            self._made.add(name)
            make()
        return name

    def add_function(self, text: str) -> None:
        self._functions.append(text)

    def text(self) -> str:
        parts = [*self._globals.values(), *sorted(self._declared.values()), *self._functions]
        return "\n".join(parts) + "\n"


class Builder:
    """One function's body. Instructions go to the end of the current block; `finish` hands the text to the module.

    Operands that are Python numbers take the type of the Val beside them. `params` are the arguments' Vals.
    """

    def __init__(
        self,
        module: Module,
        name: str,
        params: Sequence[tuple[str, str]],
        result: str = "void",
        *,
        internal: bool = False,
        attributes: str = KERNEL_ATTRIBUTES,
    ) -> None:
        """`params` are (type with parameter attributes such as "ptr noalias", name)."""
        linkage = "internal " if internal else ""
        listed = ", ".join(f"{t} %{n}" for t, n in params)
        self.module = module
        self.name = name
        self.params = [Val(f"%{n}", t if t.startswith("<") else t.split(" ")[0]) for t, n in params]
        self.label = "entry"
        self._lines = [f"define {linkage}{result} @{name}({listed}) {attributes} {{", "entry:"]
        self._count = 0
        self._contract = "contract "
        self._phis: dict[str, tuple[int, list[tuple[Val, str]]]] = {}
        self._locals: list[str] = []

    # -- values -------------------------------------------------------------------------------
    def _name(self) -> str:
        self._count += 1
        return f"%t{self._count}"

    def emit(self, type_: str, text: str) -> Val:
        """One instruction of the given result type."""
        name = self._name()
        self._lines.append(f"  {name} = {text}")
        return Val(name, type_)

    def const(self, type_: str, value: float) -> Val:
        return const(type_, value)

    def like(self, x: Val, value: Operand) -> Val:
        """`value` as an operand of x's type: a number in every lane, a Val as itself."""
        return value if isinstance(value, Val) else const(x.type, value)

    def _pair(self, a: Operand, b: Operand) -> tuple[Val, Val]:
        if isinstance(a, Val):
            b = self.like(a, b)
        elif isinstance(b, Val):
            a = self.like(b, a)
        else:
            raise TypeError(f"{a!r} and {b!r}: one operand must be a value")
        if a.type != b.type:
            raise TypeError(f"operands of {a.type} and {b.type} in @{self.name}")
        return a, b

    def op(self, name: str, a: Operand, b: Operand) -> Val:
        """A binary instruction by LLVM's name, flags included."""
        left, right = self._pair(a, b)
        return self.emit(left.type, f"{name} {left.type} {left.text}, {right.text}")

    # -- arithmetic ---------------------------------------------------------------------------
    @contextmanager
    def exact(self) -> Iterator[None]:
        """Float add, sub and mul written in this block are never fused."""
        before, self._contract = self._contract, ""
        try:
            yield
        finally:
            self._contract = before

    def _arith(self, name: str, a: Operand, b: Operand) -> Val:
        typed = a if isinstance(a, Val) else b
        if isinstance(typed, Val) and is_float(typed.type):
            name = f"f{name} {self._contract}".rstrip()
        return self.op(name, a, b)

    def add(self, a: Operand, b: Operand) -> Val:
        return self._arith("add", a, b)

    def sub(self, a: Operand, b: Operand) -> Val:
        return self._arith("sub", a, b)

    def mul(self, a: Operand, b: Operand) -> Val:
        return self._arith("mul", a, b)

    def fdiv(self, a: Operand, b: Operand) -> Val:
        return self.op("fdiv", a, b)

    def sdiv(self, a: Operand, b: Operand) -> Val:
        return self.op("sdiv", a, b)

    def srem(self, a: Operand, b: Operand) -> Val:
        return self.op("srem", a, b)

    def udiv(self, a: Operand, b: Operand) -> Val:
        return self.op("udiv", a, b)

    def urem(self, a: Operand, b: Operand) -> Val:
        return self.op("urem", a, b)

    def neg(self, x: Val) -> Val:
        """Minus x; of a float its sign bit flipped."""
        return self.emit(x.type, f"fneg {x.typed}") if is_float(x.type) else self.sub(0, x)

    def fma(self, a: Operand, b: Operand, c: Operand) -> Val:
        """a*b + c rounded once."""
        typed = next(o for o in (a, b, c) if isinstance(o, Val))
        return self.intrinsic("fma", [self.like(typed, o) for o in (a, b, c)])

    # -- bits ---------------------------------------------------------------------------------
    def and_(self, a: Operand, b: Operand) -> Val:
        return self.op("and", a, b)

    def or_(self, a: Operand, b: Operand) -> Val:
        return self.op("or", a, b)

    def xor(self, a: Operand, b: Operand) -> Val:
        return self.op("xor", a, b)

    def not_(self, x: Val) -> Val:
        return self.op("xor", x, True if element(x.type) == "i1" else -1)

    def shl(self, a: Operand, b: Operand) -> Val:
        return self.op("shl", a, b)

    def lshr(self, a: Operand, b: Operand) -> Val:
        return self.op("lshr", a, b)

    def ashr(self, a: Operand, b: Operand) -> Val:
        return self.op("ashr", a, b)

    # -- comparison ---------------------------------------------------------------------------
    def fcmp(self, predicate: str, a: Operand, b: Operand) -> Val:
        """`predicate`: oeq une olt ole ogt oge ord uno and LLVM's others."""
        left, right = self._pair(a, b)
        return self.emit(with_element(left.type, "i1"), f"fcmp {predicate} {left.type} {left.text}, {right.text}")

    def icmp(self, predicate: str, a: Operand, b: Operand) -> Val:
        """`predicate`: eq ne slt sle sgt sge ult ule ugt uge."""
        left, right = self._pair(a, b)
        return self.emit(with_element(left.type, "i1"), f"icmp {predicate} {left.type} {left.text}, {right.text}")

    def select(self, condition: Val, a: Operand, b: Operand) -> Val:
        """a in the lanes where the i1 `condition` (of as many lanes, or a scalar) holds, else b."""
        left, right = self._pair(a, b)
        return self.emit(left.type, f"select {condition.typed}, {left.typed}, {right.typed}")

    # -- conversion ---------------------------------------------------------------------------
    def convert(self, instruction: str, x: Val, elem: str) -> Val:
        """sitofp uitofp fptosi fpext fptrunc sext zext trunc, to as many lanes of `elem`."""
        type_ = with_element(x.type, elem)
        return self.emit(type_, f"{instruction} {x.typed} to {type_}")

    def bitcast(self, x: Val, type_: str) -> Val:
        return x if x.type == type_ else self.emit(type_, f"bitcast {x.typed} to {type_}")

    def as_int(self, x: Val) -> Val:
        """A float's bits as an integer of its size."""
        return self.bitcast(x, with_element(x.type, f"i{BITS[element(x.type)]}"))

    def as_float(self, x: Val) -> Val:
        """An i32's or i64's bits as a float or double."""
        return self.bitcast(x, with_element(x.type, {"i32": "float", "i64": "double"}[element(x.type)]))

    def freeze(self, x: Val) -> Val:
        return self.emit(x.type, f"freeze {x.typed}")

    # -- lanes --------------------------------------------------------------------------------
    def broadcast(self, x: Val, lanes: int) -> Val:
        """A scalar in every lane."""
        if lanes == 1:
            return x
        type_ = vec(x.type, lanes)
        first = self.emit(type_, f"insertelement {type_} poison, {x.typed}, i64 0")
        return self.emit(type_, f"shufflevector {first.typed}, {type_} poison, <{lanes} x i32> zeroinitializer")

    def extract(self, x: Val, lane: int | Val) -> Val:
        if lanes_of(x.type) == 1:
            return x
        index = lane.typed if isinstance(lane, Val) else f"i64 {lane}"
        return self.emit(element(x.type), f"extractelement {x.typed}, {index}")

    def insert(self, x: Val, scalar: Val, lane: int | Val) -> Val:
        if lanes_of(x.type) == 1:
            return scalar
        index = lane.typed if isinstance(lane, Val) else f"i64 {lane}"
        return self.emit(x.type, f"insertelement {x.typed}, {scalar.typed}, {index}")

    def shuffle(self, a: Val, b: Val | None, lanes: Sequence[int]) -> Val:
        """Lanes of a followed by b, picked by position; b None where only a's are."""
        second = b or Val("poison", a.type)
        mask = ", ".join(f"i32 {i}" for i in lanes)
        type_ = vec(element(a.type), len(lanes))
        if len(lanes) == 1:
            return self.extract(a, lanes[0]) if lanes[0] < lanes_of(a.type) else self.extract(second, lanes[0])
        return self.emit(type_, f"shufflevector {a.typed}, {second.typed}, <{len(lanes)} x i32> <{mask}>")

    def map_lanes(self, fn: Callable[..., Val], *operands: Val) -> Val:
        """`fn` of the scalars of each lane in turn, put together again."""
        n = lanes_of(operands[0].type)
        results = [fn(*(self.extract(o, i) for o in operands)) for i in range(n)]
        if n == 1:
            return results[0]
        out = Val("poison", vec(results[0].type, n))
        for i, r in enumerate(results):
            out = self.insert(out, r, i)
        return out

    # -- memory -------------------------------------------------------------------------------
    def local(self, elem: str, count: int) -> Val:
        """`count` elements on the function's stack, aligned to 64 bytes. Their space is there from its start."""
        name = self._name()
        self._locals.append(f"  {name} = alloca [{count} x {elem}], align 64")
        return Val(name, PTR)

    def prefetch(self, pointer: Val, *, soon: bool = False) -> None:
        """Asks for the cache line at an address, which need not be one of ours: into the second cache, or `soon` needed
        into the first."""
        hints = [const("i32", 0), const("i32", 3 if soon else 2), const("i32", 1)]
        self.call("llvm.prefetch.p0", "void", [pointer, *hints], intrinsic=True)

    def offset(self, pointer: Val, elem: str, index: Val | int) -> Val:
        """The address `index` elements of `elem` behind `pointer`."""
        i = index.typed if isinstance(index, Val) else f"i64 {index}"
        return self.emit(PTR, f"getelementptr inbounds {elem}, ptr {pointer.text}, {i}")

    def load(self, pointer: Val, type_: str, align: int | None = None) -> Val:
        """`align` in bytes; an element's size by default."""
        return self.emit(type_, f"load {type_}, ptr {pointer.text}, align {align or _align(type_)}")

    def store(self, x: Val, pointer: Val, align: int | None = None) -> None:
        self.line(f"store {x.typed}, ptr {pointer.text}, align {align or _align(x.type)}")

    def masked_load(self, pointer: Val, type_: str, mask: Val, align: int | None = None) -> Val:
        """The lanes where `mask` holds; 0 in the others, whose memory is not touched."""
        zero = Val("zeroinitializer", type_)
        args = [pointer, const("i32", align or _align(type_)), mask, zero]
        return self.call(f"llvm.masked.load.{mangled(type_)}.p0", type_, args, intrinsic=True)

    def masked_store(self, x: Val, pointer: Val, mask: Val, align: int | None = None) -> None:
        args = [x, pointer, const("i32", align or _align(x.type)), mask]
        self.call(f"llvm.masked.store.{mangled(x.type)}.p0", "void", args, intrinsic=True)

    def load_elements(self, pointer: Val, dtype: DType, lanes: int, mask: Val | None = None) -> Val:
        """Elements of a buffer in the form that is computed with."""
        type_ = vec(MEMORY[dtype], lanes)
        return self._in_register(self.masked_load(pointer, type_, mask) if mask else self.load(pointer, type_), dtype)

    def gather_elements(self, pointer: Val, places: Val, dtype: DType) -> Val:
        """One element per lane, each at a place of its own, counted in elements behind `pointer`."""
        lanes, elem = lanes_of(places.type), MEMORY[dtype]
        addresses = self.emit(f"<{lanes} x ptr>", f"getelementptr inbounds {elem}, ptr {pointer.text}, {places.typed}")
        type_ = vec(elem, lanes)
        args = [addresses, const("i32", _align(type_)), const(vec("i1", lanes), 1), Val("zeroinitializer", type_)]
        name = f"llvm.masked.gather.{mangled(type_)}.v{lanes}p0"
        return self._in_register(self.call(name, type_, args, intrinsic=True), dtype)

    def store_elements(self, x: Val, pointer: Val, dtype: DType, mask: Val | None = None) -> None:
        """Elements into a buffer; a bool becomes a byte of 0 or 1."""
        x = self._in_memory(x, dtype)
        if mask:
            self.masked_store(x, pointer, mask)
        else:
            self.store(x, pointer)

    def _in_register(self, x: Val, dtype: DType) -> Val:
        """Elements as a buffer holds them, in the form that is computed with."""
        if dtype is bool_:
            return self.icmp("ne", x, 0)
        if dtype is f16:
            return self.convert("fpext", self.bitcast(x, with_element(x.type, "half")), "float")
        if dtype is bf16:
            return self.as_float(self.shl(self.convert("zext", x, "i32"), 16))
        return x if dtype.compute is dtype else self.convert("zext" if dtype is u8 else "sext", x, "i32")

    def _in_memory(self, x: Val, dtype: DType) -> Val:
        """Elements that are computed with, as a buffer holds them."""
        if dtype is bool_:
            return self.convert("zext", x, "i8")
        if dtype is f16:
            return self.bitcast(self.convert("fptrunc", x, "half"), with_element(x.type, "i16"))
        if dtype is bf16:
            return self.convert("trunc", self.lshr(self.as_int(x), 16), "i16")
        return x if dtype.compute is dtype else self.convert("trunc", x, MEMORY[dtype])

    # -- calls --------------------------------------------------------------------------------
    def call(self, name: str, result: str, args: Sequence[Val], *, intrinsic: bool = False) -> Val:
        """A call of a function of this module, or of an LLVM intrinsic, which is then declared."""
        if intrinsic:
            self.module.declare(name, result, (a.type for a in args))
        text = f"call {result} @{name}({', '.join(a.typed for a in args)})"
        if result == "void":
            self.line(text)
            return Val("", "void")
        return self.emit(result, text)

    def intrinsic(self, name: str, args: Sequence[Val], immediates: Sequence[Val] = ()) -> Val:
        """llvm.<name>.<type of the operands>, its result of the first operand's type."""
        type_ = args[0].type
        return self.call(f"llvm.{name}.{mangled(type_)}", type_, [*args, *immediates], intrinsic=True)

    # -- control ------------------------------------------------------------------------------
    def line(self, text: str) -> None:
        """An instruction without a result."""
        self._lines.append(f"  {text}")

    def interleaved(self, parts: Sequence[Callable[[], T]]) -> list[T]:
        """What independent parts give, their instructions in turn: one waits for the one before it in its part, and a
        processor looks only so far ahead for others. Parts that open blocks stay one behind the other."""
        label, results, chains = self.label, [], []
        for part in parts:
            start = len(self._lines)
            results.append(part())
            chains.append(self._lines[start:])
        if self.label == label:
            whole = sum(map(len, chains))
            turns = itertools.chain.from_iterable(itertools.zip_longest(*chains))
            self._lines[len(self._lines) - whole :] = [line for line in turns if line is not None]
        return results

    def new_label(self, hint: str = "block") -> str:
        """A label that is not used yet."""
        self._count += 1
        return f"{hint}.{self._count}"

    def start(self, label: str) -> None:
        """Begins the block; the one before must have ended with a branch or a return."""
        self._lines.append(f"{label}:")
        self.label = label

    def br(self, label: str) -> None:
        self.line(f"br label %{label}")

    def cond_br(self, condition: Val, yes: str, no: str, *, likely: bool | None = None) -> None:
        """`likely` tells the layout which side is the usual one."""
        odds = (2000, 1) if likely else (1, 2000)
        weights = "" if likely is None else f', !prof !{{!"branch_weights", i32 {odds[0]}, i32 {odds[1]}}}'
        self.line(f"br i1 {condition.text}, label %{yes}, label %{no}{weights}")

    def phi(self, type_: str, *incoming: tuple[Val, str]) -> Val:
        """A phi; more (value, label) pairs may be added until `finish`."""
        value = self.emit(type_, "")
        self._phis[value.text] = (len(self._lines) - 1, list(incoming))
        return value

    def add_incoming(self, phi: Val, value: Operand, label: str) -> None:
        self._phis[phi.text][1].append((self.like(phi, value), label))

    def ret(self, x: Val | None = None) -> None:
        self.line(f"ret {x.typed}" if x else "ret void")

    def finish(self) -> None:
        """Ends the function."""
        for name, (position, incoming) in self._phis.items():
            pairs = ", ".join(f"[ {v.text}, %{label} ]" for v, label in incoming)
            self._lines[position] = f"  {name} = phi {incoming[0][0].type} {pairs}"
        self._lines[2:2] = self._locals  # behind the entry's label, whatever block asked for them
        self.module.add_function("\n".join(self._lines) + "\n}\n")


def _align(type_: str) -> int:
    return max(1, BITS[element(type_)] // 8)
