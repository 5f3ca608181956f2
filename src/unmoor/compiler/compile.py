"""Compiles a recording for one signature: specialise, passes, fusion, kernels, program."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from unmoor.compiler.pipeline import TYPED, UNUSED, WHOLE, Stage, run_passes
from unmoor.emit import Emitted, emit
from unmoor.errors import Unsupported
from unmoor.fusion import fuse, hoist
from unmoor.ir.dim import Dim, sym
from unmoor.ir.graph import Graph, Relation, Value, tensor_type
from unmoor.ir.named import Naming
from unmoor.ir.recording import ExampleTensor, Recording
from unmoor.ir.signature import Signature, TensorSpec
from unmoor.kernels import lower
from unmoor.ops import TABLE
from unmoor.options import Options
from unmoor.passes import dead_code, through_blocks
from unmoor.specialise import Pinned, Specialised, specialise


@dataclass(frozen=True, eq=False)
class Compiled:
    """A recording compiled for one signature, with what each stage left for people to look at."""

    signature: Signature
    stages: tuple[Stage, ...]  # ("specialise", typed graph), then one entry per pass
    graph: Graph  # grouped
    emitted: Emitted
    pinned: tuple[Pinned, ...] = ()  # named dims that the program fixes


def compile_recording(recording: Recording, example: tuple[ExampleTensor, ...], options: Options) -> Compiled:
    """The program for inputs like `example` (dtypes, ranks, and which sizes are equal or fixed).

    Raises NotTraced where a guard on sizes refuses the example, Unsupported and SignatureError with the user's line.
    """
    special = _specialised(recording.graph, example, options)
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
        (*typed.relations, *_bounds(outputs, special.most)),
        tuple(s.name for s in recording.states),
        recording.changed,
    )
    naming = Naming(special.names)
    told = tuple(replace(r, message=r.message or str(naming.relation(r))) for r in signature.relations)
    emitted = emit(grouped, calls, replace(signature, relations=told) if special.names else signature, special.reasons)
    signature = naming.signature(signature)
    emitted = replace(emitted, program=replace(emitted.program, signature=signature))
    shown = tuple((stage, naming.graph(graph)) for stage, graph in (("specialise", special.graph), *stages))
    return Compiled(signature, shown, naming.graph(grouped), emitted, special.pinned)


def _bounds(outputs: tuple[TensorSpec, ...], most: Mapping[str, Dim]) -> list[Relation]:
    """What the sizes of outputs that a call finds are at most: told, not tested."""
    shown = sorted({s for o in outputs for d in o.type.shape for s in d.symbols if s in most})
    return [Relation(sym(s), "<=", most[s]) for s in shown]


def _specialised(graph: Graph, example: tuple[ExampleTensor, ...], options: Options) -> Specialised:
    """The typed graph. An op whose result nothing uses still says which sizes fit, as it does in eager PyTorch."""
    whole, _ = run_passes(graph, WHOLE, options)
    used, _ = run_passes(whole, UNUSED, options)
    if _unused_of_inputs(whole, used):
        try:
            special = specialise(whole, example)
        except Unsupported:  # of what is not used, nothing need be compiled
            return specialise(used, example)
        return replace(special, graph=dead_code(special.graph))
    return specialise(used, example)


def _unused_of_inputs(whole: Graph, used: Graph) -> bool:
    """Whether `whole` has ops that `used` lacks, and that depend on inputs."""
    kept = {v for n in used.walk() for v in n.outputs}
    varying = set(whole.inputs)
    for node in whole.walk():
        if varying.isdisjoint(node.inputs):
            continue
        varying.update(node.outputs)
        if (node.op in TABLE or node.op == "prim::item") and kept.isdisjoint(node.outputs):
            return True
    return False


def _output_names(recording: Recording, count: int) -> list[str]:
    """Names for people: outputs are numbered where there are several; changed inputs keep their own names."""
    returned = count - len(recording.changed)
    names = [f"output{k}" if returned > 1 else "output" for k in range(returned)]
    return names + [recording.example[k].name for k in recording.changed]
