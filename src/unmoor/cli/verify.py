"""Checks a file: its form, its digests, its programs, kernels and graphs, and its results against the reference."""

from __future__ import annotations

import argparse

import numpy as np

from unmoor import archive, ops, runtime
from unmoor.cli.arguments import trust_of
from unmoor.compiler import differentiated
from unmoor.dtypes import numbers_of
from unmoor.errors import NotTraced, VerifyError
from unmoor.ir.graph import Graph
from unmoor.ir.parser import parse_graph
from unmoor.ir.program import Image, Method, Program
from unmoor.ir.verify import verify_graph, verify_kernel
from unmoor.jit.fitting import fitting
from unmoor.jit.recompile import compiling_target, made_again
from unmoor.ops.family import in_dtype
from unmoor.reference import run_graph

TOLERANCE = 1e-3  # of the largest result: a wrong program is off by far more, and rounding by far less
HALF_TOLERANCE = 3e-2  # the same of half floats, which are rounded after each op


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="the .unmoor file")
    parser.add_argument("--trust", default="no", metavar="yes|no|sha256:...", help="run the file's own machine code")


def execute(asked: argparse.Namespace) -> int:
    trust = trust_of(asked.trust)
    image = archive.read(asked.file)
    print(f"ok       format, digests and meaning of {len(archive.sections(asked.file))} sections")
    opened = runtime.open(asked.file)
    print("ok       the native runtime's own checks agree")
    for kernel in image.kernels:
        verify_kernel(kernel)
    print(f"ok       {len(image.kernels)} kernels")
    graphs = {m.name: _graph(image, m) for m in image.methods if m.graph}
    for graph in graphs.values():
        verify_graph(graph, ops.TABLE)
    print(f"ok       {len(graphs)} recorded graphs")
    target = compiling_target()
    if not trust and target is None:
        print(f"skipped  results: the code is not trusted (--trust {opened.digest}), and llvmlite is not installed")
        return 0
    made = made_again(asked.file, target) if not trust and target is not None else asked.file
    model = runtime.open(made, trust=trust or True, outputs="numpy")
    whose = "the file's machine code" if trust else "code made from the file's kernels"
    failed = 0
    for method in image.methods:
        if method.name in graphs:
            for program in method.programs:
                model.reset_state()
                failed += not _results(model, method.name, program, graphs[method.name], whose)
    return 1 if failed + (not _examples(model)) else 0


def _examples(model: runtime.Model) -> bool:
    """Runs the file's examples; says what came."""
    try:
        print(model.verify().replace("ok: ", "ok       "))
    except VerifyError as error:
        print(f"WRONG    {error}")
        return False
    return True


def _graph(image: Image, method: Method) -> Graph:
    return parse_graph(method.graph, {name: archive.unpack(image.weights[k]) for name, k in method.constants})


def _results(model: runtime.Model, name: str, program: Program, graph: Graph, whose: str) -> bool:
    """Runs a program on small random inputs, and compares with the recorded graph's interpreter; says what came.

    Results are compared, then the inputs and states that the program changes.
    """
    signature = program.signature
    sizes = next(fitting(signature), None)
    if sizes is None:
        print(f"skipped  {signature}: no small sizes fit its relations")
        return True
    rng = np.random.default_rng(0)
    inputs = []
    for spec in signature.given:
        shape = [d.evaluate(sizes) for d in spec.type.shape]
        random = rng.standard_normal(shape) if spec.type.dtype.is_float else rng.integers(0, 2, shape)
        inputs.append(in_dtype(random, spec.type.dtype))
    states = model.state()
    given = [*(x.copy() for x in inputs), *(states[s] for s in signature.states)]
    status, got = model.methods[name].run(*inputs)
    after = [*inputs, *(model.state()[s] for s in signature.states)]
    try:
        want = run_graph(differentiated(graph, given, len(signature.states)), given)
        made = [*_arrays(got), *(after[k] for k in signature.changed)]
        same = status == 0 and len(made) == len(want) and all(map(_close, made, want))
    except NotTraced:
        same = status != 0
    print(f"{'ok      ' if same else 'WRONG   '} {signature}: {whose} against the reference, at {sizes or 'its sizes'}")
    return same


def _arrays(value: object) -> list[np.ndarray]:
    """The tensors of a returned value, in order."""
    if isinstance(value, np.ndarray):
        return [value]
    if isinstance(value, dict):
        return [a for part in value.values() for a in _arrays(part)]
    if isinstance(value, (list, tuple)):
        return [a for part in value for a in _arrays(part)]
    return []


def _close(got: np.ndarray, want: object) -> bool:
    expected = numbers_of(np.asarray(want))
    allowed = HALF_TOLERANCE if got.itemsize == 2 else TOLERANCE
    got = numbers_of(got)
    if got.shape != expected.shape:
        return False
    if got.dtype.kind != "f":
        return bool(np.array_equal(got, expected))
    largest = np.nanmax(np.abs(expected), initial=1.0, where=np.isfinite(expected))
    return bool(np.allclose(got, expected, rtol=0, atol=allowed * largest, equal_nan=True))
