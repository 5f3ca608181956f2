"""Images made by hand, small enough to know every byte of, rich enough to use every part of the format."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from unmoor.dtypes import bool_, f32, f64, i64
from unmoor.ir.dim import const, sym
from unmoor.ir.graph import Relation, Source
from unmoor.ir.kernel import Buffer, Kernel, Loop, Panels, Store
from unmoor.ir.object_code import ObjectCode
from unmoor.ir.parser import parse_program
from unmoor.ir.program import (
    Check,
    CheckOp,
    Example,
    ExampleArray,
    Formula,
    FormulaOp,
    Image,
    Instruction,
    Message,
    Method,
    Opcode,
    Place,
    Program,
    TensorRegister,
    Weight,
)
from unmoor.ir.scalar import Load
from unmoor.ir.signature import Leaf, Mapping, Sequence, Signature, Structure, TensorSpec
from unmoor.ir.target import X86_64_V3, X86_64_V4
from unmoor.ir.types import TensorType

LINE = Source("model.py", 12, "    return x + w", "net.l1")


def add_kernel() -> Kernel:
    """out[i] = x[i] + w[i % 3], for i < s0."""
    i = sym("i")
    body = Loop("i", sym("s0"), (Store("out", i, Load("x", i, f32) + Load("w", i % 3, f32)),))
    buffers = (
        Buffer("x", f32, sym("s0"), "in"),
        Buffer("w", f32, const(3), "in"),
        Buffer("out", f32, sym("s0"), "out"),
    )
    return Kernel("k0_add", buffers, ("s0",), body)


def weights() -> tuple[Weight, ...]:
    """A plain vector, its equal under another name, a [50, 2] matrix packed as its transpose, and an empty one."""
    w = np.array([1, 10, 100], np.float32)
    packed = np.arange(2 * 64, dtype=np.float32)
    return (
        Weight("parameter w", f32, (3,), w.data),
        Weight("parameter w2", f32, (3,), w.copy().data),
        Weight("parameter l.weight", f32, (50, 2), packed.data, Panels(const(1), const(2), const(50)), True),
        Weight("empty", i64, (0, 4), np.zeros(0, np.int64).data),
    )


def add_program(fixed: int | None = None) -> Program:
    """x + w for a vector x whose length is a multiple of 3, or is `fixed`."""
    n = sym("s0") if fixed is None else const(fixed)
    vector = TensorType(f32, (n,))
    relations = (Relation(n % 3, "==", const(0), "the length is a multiple of 3"),) if fixed is None else ()
    arguments = Sequence("tuple", (Sequence("tuple", (Leaf(0),)), Mapping((), ())))
    signature = Signature((TensorSpec("x", vector),), (TensorSpec("output", vector),), arguments, Leaf(0), relations)
    formulas = (
        Formula(FormulaOp.DIM, 0, 0),
        Formula(FormulaOp.CONST, 4),
        Formula(FormulaOp.MUL, 0, 1),
        Formula(FormulaOp.CONST, 3),
        Formula(FormulaOp.MOD, 0, 3),
        Formula(FormulaOp.CONST, 0),
        Formula(FormulaOp.CONST, 12),
    )
    tensors = (
        TensorRegister(Place.INPUT, 0, f32, (0,), 2),
        TensorRegister(Place.OUTPUT, 0, f32, (0,), 2),
        TensorRegister(Place.WEIGHT, 0, f32, (3,), 6),
    )
    code = (Instruction(Opcode.CALL, 0, 0, (0, 2, 1), (0,), source=1), Instruction(Opcode.RETURN))
    checks = (Check(CheckOp.EQ, 4, 5, 0),)
    messages = (Message("the length is a multiple of 3", LINE),)
    return Program(signature, formulas, checks, tensors, code, messages, (Source(), LINE), 5, 0, 2)


def image(code: tuple[ObjectCode, ...] | None = None) -> Image:
    """Two methods over `add_kernel`: one stripped, one with a recorded graph, and machine code that is no code."""
    if code is None:
        code = tuple(ObjectCode(t, bytes(range(100)), {"k0_add": 64}) for t in (X86_64_V3, X86_64_V4))
    forward = Method(
        "forward",
        "graph f(%x) {\n  return %x\n}\n",
        (("w", 0),),
        ("x",),
        "- länge: ok",
        (add_program(), add_program(9)),
    )
    return Image((forward, Method("again", "", (), ("x",), "", (add_program(),))), (add_kernel(),), weights(), code)


def with_examples(held: Image) -> Image:
    """The image with examples of its methods: a vector of 3 with w added, and one without elements."""
    x, y = np.array([1, 2, 3], np.float32), np.array([2, 12, 103], np.float32)
    some = ExampleArray(f32, (3,), x.tobytes()), ExampleArray(f32, (3,), y.tobytes(), 1e-3)
    none = ExampleArray(f32, (0,), b""), ExampleArray(f32, (0,), b"", 0.5)
    return replace(held, examples=(Example(0, some), Example(1, none), Example(0, some)))


def copying(
    inputs: tuple[tuple[str, TensorType], ...],
    outputs: tuple[int, ...],
    arguments: Structure | None = None,
    result: Structure | None = None,
) -> Program:
    """A program without kernels: output k is a copy of input outputs[k]. By default it is called flat, and returns a
    tensor or a tuple."""
    symbols = dict.fromkeys(d.symbol for _, t in inputs for d in t.shape if d.symbol)
    where = {s: (k, a) for k, (_, t) in enumerate(inputs) for a, d in enumerate(t.shape) if (s := d.symbol) in symbols}
    formulas: list[Formula] = []

    def row(*formula: int) -> int:
        formulas.append(Formula(FormulaOp(formula[0]), *formula[1:]))
        return len(formulas) - 1

    def register(place: Place, index: int, of: TensorType) -> TensorRegister:
        size = row(FormulaOp.CONST, of.dtype.size)
        dims = []
        for d in of.shape:
            dims.append(row(FormulaOp.DIM, *where[d.symbol]) if d.symbol else row(FormulaOp.CONST, d.value))
            size = row(FormulaOp.MUL, size, dims[-1])
        return TensorRegister(place, index, of.dtype, tuple(dims), size)

    tensors = [register(Place.INPUT, k, t) for k, (_, t) in enumerate(inputs)]
    tensors += [register(Place.OUTPUT, k, inputs[i][1]) for k, i in enumerate(outputs)]
    code = [Instruction(Opcode.COPY, tensors=(len(inputs) + k, i)) for k, i in enumerate(outputs)]
    if arguments is None:
        arguments = Sequence("tuple", (Sequence("tuple", tuple(map(Leaf, range(len(inputs))))), Mapping((), ())))
    if result is None:
        result = Leaf(0) if len(outputs) == 1 else Sequence("tuple", tuple(map(Leaf, range(len(outputs)))))
    specs = tuple(TensorSpec(f"output{k}", inputs[i][1]) for k, i in enumerate(outputs))
    signature = Signature(tuple(TensorSpec(*i) for i in inputs), specs, arguments, result)
    zero = row(FormulaOp.CONST, 0)
    done = (*code, Instruction(Opcode.RETURN))
    return Program(signature, tuple(formulas), (), tuple(tensors), done, (), (Source(),), zero, zero, zero)


def copies(*programs: Program, name: str = "forward") -> Image:
    """An image of one method that needs no machine code."""
    return Image((Method(name, "", (), (), "", programs),), (), (), ())


def finding() -> Program:
    """Where a mask holds, and a row sorted: two builtins, of which one finds a size that a copy then has."""
    mask, row, found = TensorType(bool_, (sym("s0"),)), TensorType(f32, (sym("s1"),)), TensorType(i64, (sym("u0"),))
    specs = tuple(TensorSpec(*s) for s in (("found", found), ("again", found), ("values", row)))
    arguments = Sequence("tuple", (Sequence("tuple", (Leaf(0), Leaf(1))), Mapping((), ())))
    result = Sequence("tuple", tuple(map(Leaf, range(3))))
    signature = Signature((TensorSpec("mask", mask), TensorSpec("row", row)), specs, arguments, result)
    formulas = [
        Formula(FormulaOp.DIM, 0, 0),
        Formula(FormulaOp.DIM, 1, 0),
        Formula(FormulaOp.CONST, 8),
        Formula(FormulaOp.MUL, 0, 2),  # r3: bytes of the places
        Formula(FormulaOp.CONST, 4),
        Formula(FormulaOp.MUL, 1, 4),  # r5: bytes of the row
        Formula(FormulaOp.MUL, 1, 2),  # r6: bytes of the order
        Formula(FormulaOp.CONST, 0),
        Formula(FormulaOp.CONST, 64),
        Formula(FormulaOp.MUL, 1, 8),  # r9: offsets in the arena, generously
        Formula(FormulaOp.ADD, 9, 9),
        Formula(FormulaOp.ADD, 10, 9),
        Formula(FormulaOp.CONST, 1),
        Formula(FormulaOp.GIVEN, 0),  # r13: set by the first instruction, as is
        Formula(FormulaOp.ADD, 13, 12),
    ]
    tensors = (
        TensorRegister(Place.INPUT, 0, bool_, (0,), 0),
        TensorRegister(Place.INPUT, 1, f32, (1,), 5),
        TensorRegister(Place.OUTPUT, 0, i64, (13,), 3),
        TensorRegister(Place.OUTPUT, 1, i64, (13,), 3),
        TensorRegister(Place.OUTPUT, 2, f32, (1,), 5),
        TensorRegister(Place.ARENA, 7, i64, (1,), 6),
        TensorRegister(Place.ARENA, 9, f32, (1,), 5),
        TensorRegister(Place.ARENA, 10, i64, (1,), 6),
    )
    code = (
        Instruction(Opcode.BUILTIN, tensors=(0, 2), ints=(0,), builtin="nonzero", first=13, count=2),
        Instruction(Opcode.COPY, tensors=(3, 2)),
        Instruction(Opcode.BUILTIN, tensors=(1, 4, 5, 6, 7), ints=(12, 1, 12), builtin="sort", source=1),
        Instruction(Opcode.RETURN),
    )
    return Program(signature, tuple(formulas), (), tensors, code, (), (Source(), LINE), 11, 7, 3)


LOOPING = """program (x: f32[s0, 2], first: f32[2], go: bool[], flags: bool[s1]) -> (f32[s0, 2], f32[2]) {
  r0 = dim 0 0
  r1 = dim 3 0
  r2 = 2
  r3 = 1
  r4 = 8
  r5 = r0 * r4
  r6 = 0
  r7 = 64
  t0 = input 0 : f32[r0, r2] bytes r5
  t1 = input 1 : f32[r2] bytes r4
  t2 = input 2 : bool[] bytes r3
  t3 = input 3 : bool[r1] bytes r1
  t4 = output 0 : f32[r0, r2] bytes r5
  t5 = output 1 : f32[r2] bytes r4
  t6 = arena 6 : bool[] bytes r3
  t7 = row 0 : f32[r2] bytes r4
  t8 = row 4 : f32[r2] bytes r4
  t9 = row 3 : bool[] bytes r3
  copy t5, t1
  @1:
  loop r0 [t7, t8] @5
  copy t8, t5
  copy t5, t7
  next @1
  @5:
  copy t6, t2
  @6:
  while t6 @11
  @7:
  loop r1 [t9] backward @10
  copy t6, t9
  next @7
  @10:
  next t6 @6
  @11:
  return
  arena r7 flops r6 traffic r5
}
"""


def looping() -> Program:
    """Rows moved on by one, the first row before them; then a loop that goes on while the first flag is true."""
    x, row, flag = TensorType(f32, (sym("s0"), const(2))), TensorType(f32, (const(2),)), TensorType(bool_, ())
    inputs = (("x", x), ("first", row), ("go", flag), ("flags", TensorType(bool_, (sym("s1"),))))
    specs = tuple(TensorSpec(*i) for i in inputs), (TensorSpec("moved", x), TensorSpec("last", row))
    arguments = Sequence("tuple", (Sequence("tuple", tuple(map(Leaf, range(4)))), Mapping((), ())))
    return parse_program(LOOPING, Signature(*specs, arguments, Sequence("tuple", (Leaf(0), Leaf(1)))), ())


TELLING = """program (held: bool[], real: f64[], whole: i64[]) -> (bool[]) {
  r0 = 1
  r1 = 8
  r2 = 0
  r3 = 64
  t0 = input 0 : bool[] bytes r0
  t1 = input 1 : f64[] bytes r1
  t2 = input 2 : i64[] bytes r1
  t3 = output 0 : bool[] bytes r0
  t4 = arena 2 : i64[] bytes r1
  copy t3, t0
  copy t4, t2
  guard t0 is 1 else "froze 2.0; here it is another" of t1  # model.py:3
  jump_unless t0 @5
  jump @6
  @5:
  raise "looped 3 times; here it is another" of t4  # model.py:4
  @6:
  guard t0 is 1 else "froze True; here it is another" of t3  # model.py:5
  return
  arena r3 flops r2 traffic r2
}
"""


def telling(text: str = TELLING) -> Program:
    """Refusals that tell numbers."""
    given = (("held", bool_), ("real", f64), ("whole", i64))
    inputs = tuple(TensorSpec(name, TensorType(dtype, ())) for name, dtype in given)
    arguments = Sequence("tuple", (Sequence("tuple", tuple(map(Leaf, range(3)))), Mapping((), ())))
    return parse_program(text, Signature(inputs, (TensorSpec("held", TensorType(bool_, ())),), arguments, Leaf(0)), ())
