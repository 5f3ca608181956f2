"""Compiles a recording for one signature: specialise, passes, fusion, kernels, program."""

from __future__ import annotations

from dataclasses import dataclass

from unmoor.compiler.pipeline import TYPED, Stage, first_passes, run_passes
from unmoor.emit import Emitted, emit
from unmoor.fusion import fuse, hoist
from unmoor.ir.graph import Graph, Value, tensor_type
from unmoor.ir.recording import ExampleTensor, Recording
from unmoor.ir.signature import Signature, TensorSpec
from unmoor.kernels import lower
from unmoor.options import Options
from unmoor.passes import through_blocks
from unmoor.specialise import specialise


@dataclass(frozen=True, eq=False)
class Compiled:
    """A recording compiled for one signature, with what each stage left for people to look at."""

    signature: Signature
    stages: tuple[Stage, ...]  # ("specialise", typed graph), then one entry per pass
    graph: Graph  # grouped
    emitted: Emitted


def compile_recording(recording: Recording, example: tuple[ExampleTensor, ...], options: Options) -> Compiled:
    """The program for inputs like `example` (dtypes, ranks, and which sizes are equal or fixed).

    Raises NotTraced where a guard on sizes refuses the example, Unsupported and SignatureError with the user's line.
    """
    recorded = first_passes(recording.graph, options)
    special = specialise(recorded, example)
    typed, stages = run_passes(special.graph, TYPED, options)
    grouped = hoist(through_blocks(fuse, typed))
    calls = {n: lower(n) for n in grouped.walk() if n.op.startswith("fusion::")}
    outputs = tuple(
        TensorSpec(name, tensor_type(v))
        for name, v in zip(_output_names(recording, len(grouped.outputs)), grouped.outputs, strict=True)
        if isinstance(v, Value)
    )
    signature = Signature(
        special.inputs,
        outputs,
        recording.arguments,
        recording.result,
        typed.relations,
        tuple(s.name for s in recording.states),
        recording.changed,
    )
    emitted = emit(grouped, calls, signature)
    return Compiled(signature, (("specialise", special.graph), *stages), grouped, emitted)


def _output_names(recording: Recording, count: int) -> list[str]:
    """Names for people: outputs are numbered where there are several; changed inputs keep their own names."""
    returned = count - len(recording.changed)
    names = [f"output{k}" if returned > 1 else "output" for k in range(returned)]
    return names + [recording.example[k].name for k in recording.changed]
