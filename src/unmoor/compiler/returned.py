"""The net below the passes: what is compiled for the example returns the dtypes and sizes that the call gave."""

from __future__ import annotations

from unmoor.compiler.compile import Compiled
from unmoor.errors import VerifyError
from unmoor.ir.graph import Graph, Value
from unmoor.ir.recording import Recording


def check_returned(recording: Recording, compiled: Compiled) -> None:
    """VerifyError, which names the op and its line, where a result of the example would be of another type."""
    sizes: dict[str, int] = {}
    for spec, example in zip(compiled.signature.inputs, recording.example, strict=True):
        for size, known in zip(spec.type.shape, example.shape, strict=True):
            if size.symbol is not None:
                sizes[size.symbol] = known
    tensors = [output for output in compiled.graph.outputs if isinstance(output, Value)]
    if len(tensors) != len(recording.returned):
        return  # numbers among the results: the graph has them inline
    specs = zip(compiled.signature.outputs, recording.returned, recording.graph.outputs, strict=True)
    for spec, returned, made in specs:
        if returned is None or not all(d.symbols <= sizes.keys() for d in spec.type.shape):
            continue
        shape = tuple(d.evaluate(sizes) for d in spec.type.shape)
        if (spec.type.dtype, shape) != (returned.dtype, returned.shape):
            raise VerifyError(
                f"{returned.name}, which {_maker(recording.graph, made)} gives, would be {spec.type.dtype.torch_name}"
                f"{list(shape)} and was {returned.dtype.torch_name}{list(returned.shape)} while it was traced; "
                "a bug of Unmoor: please report it with this text"
            )


def _maker(graph: Graph, output: object) -> str:
    for node in graph.nodes:
        if output in node.outputs:
            return f"{node.op} ({node.source.led})" if node.source.file else node.op
    return "an input or a constant"
