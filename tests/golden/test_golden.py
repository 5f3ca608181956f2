"""Golden files: what each stage makes of a text, as text, held against the interpreters before and after.

A file is a comment that says what it shows, the stage's input, a line `---`, and its output, which `pytest --bless`
writes. Each text must read back as it stands and pass its verifier. The folder names the stage:

    graph/<pass>      a graph; the graph after the pass of that name, or after `fuse`
    graph/specialise  a recorded graph, with `# inputs: f32[2, 3], i64[4]`; the typed graph
    kernel/<pass>     a kernel; the kernel after that loop pass
    kernel/lower      a grouped graph; its kernels
    program/emit      a grouped graph; its program
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from unmoor import ops, passes
from unmoor.archive.rules import check_program
from unmoor.compiler.link import pack
from unmoor.dtypes import BY_NAME
from unmoor.emit import Emitted, emit
from unmoor.errors import NotTraced
from unmoor.fusion import fuse
from unmoor.ir.graph import Graph, Value, tensor_type
from unmoor.ir.kernel import Kernel
from unmoor.ir.parser import parse_graph, parse_kernel, parse_program
from unmoor.ir.printer import print_graph, print_kernel, print_program
from unmoor.ir.program import Opcode, Place, Weight
from unmoor.ir.recording import ExampleTensor
from unmoor.ir.signature import Sequence as SequenceOf
from unmoor.ir.signature import Signature, TensorSpec
from unmoor.ir.verify import verify_graph, verify_kernel
from unmoor.kernels import lower
from unmoor.kernels.canonical import canonical
from unmoor.kernels.collapse_loops import collapse_loops
from unmoor.reference import run_graph, run_kernel, run_program
from unmoor.specialise import specialise

HERE = Path(__file__).parent
FILES = sorted(HERE.glob("*/*/*.txt"))
SIZES = (3, 2, 4, 1, 5)  # tried for the symbols of a text, until its relations hold
GRAPH_PASSES: dict[str, Callable[[Graph], Graph]] = {
    "fuse": fuse,
    **{name: getattr(passes, name) for name in passes.__all__ if name != "through_blocks"},
}
LOOP_PASSES: dict[str, Callable[[Kernel], Kernel]] = {
    "collapse_loops": collapse_loops,
    "canonical": lambda k: canonical(k)[0],
}


@dataclass(frozen=True)
class Golden:
    """The parts of a file."""

    path: Path
    comment: str
    given: str
    wanted: str

    @staticmethod
    def read(path: Path) -> Golden:
        head, _, rest = path.read_text("utf-8").partition("\n\n")
        given, _, wanted = rest.partition("---\n")
        assert all(line.startswith("#") for line in head.splitlines()), f"{path} does not say what it shows"
        return Golden(path, head, given, wanted)

    @property
    def stage(self) -> str:
        return f"{self.path.parent.parent.name}/{self.path.parent.name}"

    def compare(self, made: str, bless: bool) -> None:
        if bless:
            self.path.write_text(f"{self.comment}\n\n{self.given}---\n{made}", "utf-8")
        else:
            assert made == self.wanted, f"{self.path.name}: see the difference; `pytest --bless` accepts it"


def constants_of(text: str) -> dict[str, np.ndarray]:
    """Data for the constants of a graph's text: the number that it shows, else random ones."""
    data: dict[str, np.ndarray] = {}
    pattern = r"^ *const %(\S+) : (?:Tensor )?(\w+)\[([^\]]*)\](?: = (\S+))?"
    for name, dtype, shape, number in re.findall(pattern, text, re.MULTILINE):
        sizes = tuple(int(n) for n in shape.split(",") if n.strip())
        made = random(sizes, dtype, len(data))
        if number:
            made = np.asarray({"true": True, "false": False}.get(number, number)).astype(made.dtype)
        data[name] = made
    return data


def random(shape: Sequence[int], dtype: str, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    kind = BY_NAME[dtype]
    made = rng.standard_normal(shape) if kind.is_float else rng.integers(0, 2, shape)
    return np.asarray(made).astype(kind.numpy)


def graph_of(text: str) -> Graph:
    graph = parse_graph(text, constants_of(text))
    verify_graph(graph, ops.TABLE)
    assert print_graph(graph) == text
    return graph


def typed_inputs(graph: Graph) -> list[np.ndarray]:
    """Random inputs of sizes that the graph's relations allow."""
    symbols = sorted({s for v in graph.inputs for d in tensor_type(v).shape for s in d.symbols})
    for sizes in itertools.product(SIZES, repeat=len(symbols)):
        env = dict(zip(symbols, sizes, strict=True))
        if all(r.holds(env) for r in graph.relations):
            types = [tensor_type(v) for v in graph.inputs]
            return [random([d.evaluate(env) for d in t.shape], t.dtype.name, k) for k, t in enumerate(types)]
    raise AssertionError("no sizes fit the graph")


def outcome(graph: Graph, inputs: Sequence[np.ndarray]) -> Any:
    try:
        return run_graph(graph, inputs)
    except NotTraced as refused:
        return str(refused)


def same(before: Any, after: Any) -> None:
    if isinstance(before, str) or isinstance(after, str):
        assert before == after
        return
    for a, b in zip(before, after, strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-6)
        assert np.asarray(a).dtype == np.asarray(b).dtype


def calls_of(graph: Graph) -> dict[Any, Any]:
    return {n: lower(n) for n in graph.walk() if n.op.startswith("fusion::")}


def emitted_of(graph: Graph) -> Emitted:
    inputs = tuple(TensorSpec(v.name, tensor_type(v)) for v in graph.inputs)
    outputs = tuple(
        TensorSpec(f"output{k}", tensor_type(v)) for k, v in enumerate(graph.outputs) if isinstance(v, Value)
    )
    arguments = SequenceOf("tuple", (None,) * len(inputs))
    signature = Signature(inputs, outputs, arguments, None, graph.relations)
    return emit(graph, calls_of(graph), signature)


def weights_of(emitted: Emitted) -> tuple[Weight, ...]:
    """The constants as a file holds them: in panels where a kernel reads panels."""
    program, panels = emitted.program, {}
    for i in program.code:
        buffers = emitted.kernels[i.kernel].buffers if i.opcode is Opcode.CALL else ()
        for buffer, register in zip(buffers, i.tensors, strict=bool(buffers)):
            if program.tensors[register].place is Place.WEIGHT:
                panels[program.tensors[register].index] = buffer.panels
    found = []
    for number, c in enumerate(emitted.constants):
        layout = panels.get(number)
        data = pack(c.data) if layout else c.data
        sizes = tuple(d.value for d in tensor_type(c.value).shape)
        found.append(Weight(c.value.name, tensor_type(c.value).dtype, sizes, memoryview(data.tobytes()), layout))
    return tuple(found)


def buffers_of(kernel: Kernel, env: dict[str, int]) -> list[np.ndarray]:
    shapes = [(b.storage.evaluate(env), b.dtype.name) for b in kernel.buffers]
    return [random((n,), dtype, k) for k, (n, dtype) in enumerate(shapes)]


def run_once(kernel: Kernel, env: dict[str, int]) -> list[np.ndarray]:
    buffers = buffers_of(kernel, env)
    run_kernel(kernel, buffers, [env[s] for s in kernel.ints], 0, kernel.body.extent.evaluate(env))
    return [b for b, layout in zip(buffers, kernel.buffers, strict=True) if layout.role == "out"]


def check_graph_pass(golden: Golden, transform: Callable[[Graph], Graph], bless: bool) -> None:
    graph = graph_of(golden.given)
    made = passes.through_blocks(transform, graph)
    text = print_graph(made)
    verify_graph(made, ops.TABLE)
    again = parse_graph(text, {c.value.name: c.data for c in made.constants})
    assert print_graph(again) == text
    golden.compare(text, bless)
    if all(hasattr(v.type, "shape") for v in graph.inputs):
        inputs = typed_inputs(graph)
    else:
        inputs = [random((2, 3), "f32", k) for k, _ in enumerate(graph.inputs)]
    same(outcome(graph, inputs), outcome(made, inputs))


def check_specialise(golden: Golden, bless: bool) -> None:
    graph = graph_of(golden.given)
    (listed,) = re.findall(r"^# inputs: (.*)$", golden.comment, re.MULTILINE)
    examples = [
        ExampleTensor(v.name, BY_NAME[dtype], tuple(int(n) for n in sizes.split(",") if n.strip()))
        for v, (dtype, sizes) in zip(graph.inputs, re.findall(r"(\w+)\[([^\]]*)\]", listed), strict=True)
    ]
    made = specialise(graph, tuple(examples)).graph
    text = print_graph(made)
    verify_graph(made, ops.TABLE)
    golden.compare(text, bless)
    inputs = [random(e.shape, e.dtype.name, k) for k, e in enumerate(examples)]
    same(outcome(graph, inputs), outcome(made, inputs))


def check_loop_pass(golden: Golden, transform: Callable[[Kernel], Kernel], bless: bool) -> None:
    kernel = parse_kernel(golden.given)
    verify_kernel(kernel)
    assert print_kernel(kernel) == golden.given
    made = transform(kernel)
    verify_kernel(made)
    golden.compare(print_kernel(made), bless)
    env = dict(zip(kernel.ints, SIZES, strict=False))
    renamed = dict(zip(made.ints, SIZES, strict=False)) if len(made.ints) == len(kernel.ints) else env
    if made.ints != kernel.ints:  # canonical order may differ from the given one: then all sizes are equal
        env, renamed = dict.fromkeys(kernel.ints, 3), dict.fromkeys(made.ints, 3)
    same(run_once(kernel, env), run_once(made, renamed))


def check_lower(golden: Golden, bless: bool) -> None:
    graph = graph_of(golden.given)
    calls = calls_of(graph)
    kernels = list(dict.fromkeys(c.kernel for c in calls.values()))
    for kernel in kernels:
        verify_kernel(kernel)
        assert print_kernel(parse_kernel(print_kernel(kernel))) == print_kernel(kernel)
    golden.compare("\n".join(map(print_kernel, kernels)), bless)
    check_against_program(graph)


def check_emit(golden: Golden, bless: bool) -> None:
    graph = graph_of(golden.given)
    golden.compare(check_against_program(graph), bless)


def check_against_program(graph: Graph) -> str:
    """The text of the graph's program, whose interpreter agrees with the graph's."""
    emitted = emitted_of(graph)
    weights = weights_of(emitted)
    text = print_program(emitted.program, emitted.kernels)
    program = parse_program(text, emitted.program.signature, emitted.kernels)
    assert print_program(program, emitted.kernels) == text
    check_program(program, emitted.kernels, weights, "the program")
    inputs = typed_inputs(graph)
    want = outcome(graph, inputs)
    try:
        got: Any = run_program(program, emitted.kernels, weights, inputs)
    except NotTraced as refused:
        assert isinstance(want, str) and want == str(refused)
        return text
    same(want, [np.asarray(g).reshape(np.shape(w)) for g, w in zip(got, want, strict=True)])
    return text


@pytest.mark.parametrize("path", FILES, ids=lambda p: "/".join(p.with_suffix("").parts[-3:]))
def test_golden(path: Path, request: pytest.FixtureRequest) -> None:
    bless = bool(request.config.getoption("--bless"))
    golden = Golden.read(path)
    level, stage = golden.stage.split("/")
    if golden.stage == "graph/specialise":
        check_specialise(golden, bless)
    elif level == "graph":
        check_graph_pass(golden, GRAPH_PASSES[stage], bless)
    elif golden.stage == "kernel/lower":
        check_lower(golden, bless)
    elif level == "kernel":
        check_loop_pass(golden, LOOP_PASSES[stage], bless)
    else:
        check_emit(golden, bless)


def test_every_pass_has_a_golden_file() -> None:
    """Each pass of the pipeline shows what it does."""
    shown = {p.parent.name for p in FILES}
    assert {*GRAPH_PASSES, *LOOP_PASSES, "specialise", "lower", "emit"} <= shown
