"""The worked example of docs/format.md: the smallest file that runs, a method that returns its input's copy."""

from __future__ import annotations

from unmoor import archive
from unmoor.dtypes import f32
from unmoor.ir.dim import sym
from unmoor.ir.graph import Source
from unmoor.ir.program import (
    Formula,
    FormulaOp,
    Image,
    Instruction,
    Method,
    Opcode,
    Place,
    Program,
    TensorRegister,
)
from unmoor.ir.signature import Leaf, Mapping, Sequence, Signature, TensorSpec
from unmoor.ir.types import TensorType


def smallest_image() -> Image:
    """`lambda x: x.clone()` of a vector of any length, stripped."""
    vector = TensorType(f32, (sym("s0"),))
    arguments = Sequence("tuple", (Sequence("tuple", (Leaf(0),)), Mapping((), ())))
    program = Program(
        signature=Signature((TensorSpec("x", vector),), (TensorSpec("output", vector),), arguments, Leaf(0)),
        formulas=(
            Formula(FormulaOp.DIM, 0, 0),
            Formula(FormulaOp.CONST, 4),
            Formula(FormulaOp.MUL, 0, 1),
            Formula(FormulaOp.CONST, 0),
        ),
        checks=(),
        tensors=(TensorRegister(Place.INPUT, 0, f32, (0,), 2), TensorRegister(Place.OUTPUT, 0, f32, (0,), 2)),
        code=(Instruction(Opcode.COPY, tensors=(1, 0)), Instruction(Opcode.RETURN)),
        messages=(),
        sources=(Source(),),
        arena=3,
        flops=3,
        traffic=2,
    )
    return Image((Method("forward", "", (), ("x",), "", (program,)),), (), (), ())


def smallest_file() -> bytes:
    """The file of `smallest_image`."""
    return archive.write(smallest_image())
