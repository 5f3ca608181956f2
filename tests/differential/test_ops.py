"""Every op of the table x dtype x sample: eager PyTorch against the op's reference, the typed graph and its kernels.

`make op OP=softmax` runs the tests of one op.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
import torch
from machine import Machine, runnable

from unmoor.capture.signs import WITH_SIGNS
from unmoor.codegen import generate
from unmoor.dtypes import BY_NAME, BY_NUMPY, DType, bf16, numbers_of
from unmoor.emit.builtins import builtin_use, is_builtin
from unmoor.errors import SignatureError
from unmoor.fusion import fuse, hoist
from unmoor.ir.dim import dim
from unmoor.ir.graph import Constant, Graph, Node, Value, loop_parts
from unmoor.ir.kernel import Kernel
from unmoor.ir.op import Kind, Op
from unmoor.ir.recording import ExampleTensor
from unmoor.ir.target import ALL, Target
from unmoor.kernels import lower
from unmoor.ops import FAMILIES, TABLE, evaluate
from unmoor.ops.family import in_dtype
from unmoor.ops.found import found_by
from unmoor.ops.samples import materialise
from unmoor.passes import dead_code, through_blocks
from unmoor.reference import run_graph, run_kernel
from unmoor.reference.builtin import run_builtin
from unmoor.specialise import specialise


def stored(dtype: str) -> bool:
    """Whether elements are converted to another dtype for arithmetic: one sample shows that."""
    return BY_NAME[dtype] is not BY_NAME[dtype].compute


CASES = [
    pytest.param(op, dtype, number, id=f"{op.name}-{dtype}-{number}")
    for op in TABLE.values()
    for dtype in op.dtypes
    for number in range(1 if stored(dtype) else len(op.samples(dtype)))
]


def arguments(op: Op, dtype: str, number: int) -> tuple[Any, ...]:
    """The sample's arguments with tensors made, completed from the schema's defaults."""
    rng = np.random.default_rng(zlib.crc32(f"{op.name} {dtype} {number}".encode()))
    wanted = BY_NAME[dtype]
    args = materialise(op.samples(dtype)[number].args, rng, wanted.compute.numpy)
    args = tuple(converted(a, wanted) for a in args)
    return (*args, *(p.default for p in op.schema.params[len(args) :]))


def converted(value: Any, dtype: DType) -> Any:
    """A sample's tensors in the dtype that is tested."""
    if isinstance(value, tuple):
        return tuple(converted(v, dtype) for v in value)
    if not isinstance(value, np.ndarray):
        return value
    fits = value.dtype.kind == "f" if dtype.is_float else value.dtype == dtype.compute.numpy
    return in_dtype(value, dtype) if fits else value


def to_torch(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        made = torch.from_numpy(np.ascontiguousarray(value).reshape(value.shape))
        return made.view(torch.bfloat16) if value.dtype == bf16.numpy else made
    if isinstance(value, DType):
        return getattr(torch, value.torch_name)
    return [to_torch(v) for v in value] if isinstance(value, tuple) else value


def eager(op: Op, args: tuple[Any, ...]) -> tuple[np.ndarray, ...]:
    """What PyTorch computes."""
    tensors = [to_torch(a) for a in args]
    if op.name == "unmoor::setitem":
        made = tensors[0].clone()
        made[tuple(_item(i) for i in tensors[1])] = tensors[2]
    elif op.name == "unmoor::getitem":
        made = tensors[0][tuple(_item(i) for i in tensors[1])]
    elif not op.overloads:  # what torch has no word for
        made = torch.from_numpy(np.asarray(op.reference(*args)))
    else:
        overload = next(iter(op.overloads))
        name = overload.partition(".")[0]
        if name.endswith("_"):  # torch has it in place only
            tensors[0] = tensors[0].clone()
        packet = getattr(torch.ops.aten, name)
        params = op.schema.params
        plain = [a for a, p in zip(tensors, params, strict=True) if not p.keyword_only]
        given = [(p, a) for a, p in zip(tensors, params, strict=True) if p.keyword_only and a is not None]
        named = {p.name: a for p, a in given if a is not p.default}
        while plain and plain[-1] is None and params[len(plain) - 1].has_default:
            plain.pop()
        made = _call(packet, plain, named, [p.name for p in params])
    results = made if isinstance(made, tuple | list) else (made,)
    results = [r.resolve_conj() for r in results]
    return tuple(r.contiguous().view(torch.uint16 if r.dtype is torch.bfloat16 else r.dtype).numpy() for r in results)


def _item(item: Any) -> Any:
    """One index of a recorded getitem as Python has it."""
    if not isinstance(item, list):
        return item
    return {"newaxis": None, "ellipsis": ...}.get(item[0]) if item[0] != "slice" else slice(*item[1:])


def _call(packet: Any, plain: list[Any], named: dict[str, Any], names: list[str]) -> Any:
    """Calls the overload that fits; some take by name what ours takes by place, or lists where we take numbers."""
    errors = []
    for overload in packet.overloads():
        if "out" in overload:
            continue
        fn = getattr(packet, overload)
        theirs = [a.name for a in fn._schema.arguments]
        given = {n: v for n, v in zip(names, plain, strict=False) if n in theirs}
        given |= {n: v for n, v in named.items() if n in theirs}
        if sum(v is not None for v in given.values()) < sum(v is not None for v in plain) + len(named):
            continue
        try:
            return fn(**given)
        except (RuntimeError, TypeError, ValueError) as error:
            errors.append(f"{overload}: {error}"[:200])
    if any("not implemented for" in e for e in errors):
        pytest.skip(f"PyTorch has no such kernel: {errors[0]}")
    raise AssertionError(f"no overload of {packet} takes {given if errors else plain}: {errors}")


def parts(array: Any) -> np.ndarray:
    """Complex numbers as typed graphs give them: their parts side by side."""
    made = np.asarray(array)
    return np.stack([made.real, made.imag], -1) if made.dtype.kind == "c" else made


def close(op: Op, got: Any, want: np.ndarray) -> None:
    got, want = parts(got), parts(want)
    assert got.dtype == want.dtype and got.shape == want.shape, f"{got.dtype}{got.shape} for {want.dtype}{want.shape}"
    rtol, atol = op.tolerance.of(BY_NUMPY[want.dtype])
    np.testing.assert_allclose(numbers_of(got), numbers_of(want), rtol=rtol, atol=atol, equal_nan=True)


def one_node(op: Op, args: tuple[Any, ...]) -> tuple[Graph, list[np.ndarray], tuple[ExampleTensor, ...]]:
    """A recorded graph of the op alone, its tensors as inputs."""
    inputs: list[Value] = []
    arrays: list[np.ndarray] = []
    nodes: list[Node] = []

    def lift(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            inputs.append(Value(f"x{len(inputs)}"))
            arrays.append(parts(value))
            if value.dtype.kind != "c":
                return inputs[-1]
            nodes.append(Node("aten::view_as_complex", (inputs[-1],), (Value(f"z{len(inputs)}"),)))
            return nodes[-1].output
        return tuple(lift(v) for v in value) if isinstance(value, tuple) else value

    lifted = tuple(lift(a) for a in args)
    count = op.schema.text.rpartition("->")[2].count("Tensor")
    if op.schema.results == ("Tensor[]",):
        count = len(evaluate(op.name, args))
    outputs = tuple(Value(f"y{k}") for k in range(count))
    example = tuple(ExampleTensor(v.name, BY_NUMPY[a.dtype], a.shape) for v, a in zip(inputs, arrays, strict=True))
    return Graph("f", tuple(inputs), (), (*nodes, Node(op.name, lifted, outputs)), outputs), arrays, example


TARGETS = runnable()


def targets_for(dtype: str, number: int) -> tuple[Target, ...]:
    """The processor's targets, of dtypes that are only stored one in turn, since their arithmetic is another's.

    The first sample of f32 also runs as split vectors: LLVM takes minutes over some others.
    """
    own = tuple(t for t in TARGETS if t in ALL)
    if (dtype, number) == ("f32", 0):
        return TARGETS
    return (own[BY_NAME[dtype].code % len(own)],) if stored(dtype) and own else own


def compiled(target: Target) -> Callable[..., None]:
    """Runs a kernel as machine code."""

    def run(kernel: Kernel, buffers: list[np.ndarray], ints: list[int], begin: int, end: int) -> None:
        Machine(generate([kernel], target)).call(kernel.name, buffers, ints, begin, end)

    return run


def run_kernels(graph: Graph, arrays: list[np.ndarray], run: Callable[..., None]) -> tuple[np.ndarray, ...]:
    """A grouped graph by its kernels."""
    sizes: dict[str, int] = {}
    memory: dict[Value, np.ndarray] = {c.value: _storage(c) for c in graph.constants}
    for value, array in zip(graph.inputs, arrays, strict=True):
        memory[value] = np.ascontiguousarray(array).reshape(-1)
        sizes |= {d.symbol: n for d, n in zip(value.type.shape, array.shape, strict=True) if d.symbol is not None}
    run_nodes(graph.nodes, memory, sizes, run)
    shapes = [[d.evaluate(sizes) for d in o.type.shape] for o in graph.outputs]
    return tuple(
        memory[o][: int(np.prod(shape))].reshape(shape) for o, shape in zip(graph.outputs, shapes, strict=True)
    )


def run_nodes(
    nodes: Sequence[Node], memory: dict[Value, np.ndarray], sizes: dict[str, int], run: Callable[..., None]
) -> None:
    for node in nodes:
        if node.op == "prim::reshape":
            memory[node.output] = memory[node.inputs[0]]
        elif is_builtin(node):
            use = builtin_use(node)
            found = found_by(node)
            sizes |= {name: memory[node.inputs[0]].size for name in found}  # as large as may be
            for value in node.outputs:
                memory[value] = np.full(value.type.numel.evaluate(sizes), 99, value.type.dtype.numpy)
            scratch = [np.full(size.evaluate(sizes), 99, dtype.numpy) for dtype, size in use.scratch]
            ints = [i.evaluate(sizes) for i in use.ints]
            given = run_builtin(use.name, [*(memory[v] for v in use.operands), *scratch], ints)
            sizes |= dict(zip(found, given, strict=True))
        elif node.op == "prim::Loop":
            run_loop(node, memory, sizes, run)
        elif node.op.startswith("fusion::"):
            call = lower(node)
            for operand, buffer, size in zip(call.operands, call.kernel.buffers, call.sizes, strict=True):
                if operand not in memory or operand is None:
                    memory[operand] = np.full(size.evaluate(sizes), 99, buffer.dtype.numpy)
            buffers = [
                np.full(size.evaluate(sizes), 99, b.dtype.numpy) if o is None else memory[o]
                for o, b, size in zip(call.operands, call.kernel.buffers, call.sizes, strict=True)
            ]
            run(call.kernel, buffers, [i.evaluate(sizes) for i in call.ints], 0, call.extent.evaluate(sizes))


def run_loop(node: Node, memory: dict[Value, np.ndarray], sizes: dict[str, int], run: Callable[..., None]) -> None:
    """A loop of counted turns."""
    p, (block,) = loop_parts(node), node.blocks
    turns = dim(p.turns).evaluate(sizes)
    carried = [memory[v] for v in p.initial]
    stacks = [np.full((turns, v.type.numel.evaluate(sizes)), 99, v.type.dtype.numpy) for v in p.next_rows]
    for turn in range(turns)[::-1] if p.backward else range(turns):
        inside = dict(memory)
        inside.update(zip(p.carried, carried, strict=True))
        for row, whole in zip(p.rows, p.scanned, strict=True):
            inside[row] = memory[whole][: whole.type.numel.evaluate(sizes)].reshape(turns, -1)[turn]
        run_nodes(block.nodes, inside, sizes, run)
        carried = [inside[v] for v in p.next_carried]
        for stack, row in zip(stacks, p.next_rows, strict=True):
            stack[turn] = inside[row][: stack.shape[1]]
    memory.update(zip(node.outputs, (*carried, *(s.reshape(-1) for s in stacks)), strict=True))


def _storage(constant: Constant) -> np.ndarray:
    """A constant as kernels read it; test graphs have no constants that are packed."""
    return constant.data.reshape(-1)


@pytest.mark.parametrize(("op", "dtype", "number"), CASES)
def test_op(op: Op, dtype: str, number: int) -> None:
    args = arguments(op, dtype, number)
    reference = evaluate(op.name, args)
    reference = reference if isinstance(reference, tuple) else (reference,)
    want = eager(op, args) if op.overloads or op.name.startswith("unmoor::") else reference
    for got, wanted in zip(reference, want, strict=True):
        close(op, got, wanted)
    graph, arrays, example = one_node(op, args)
    try:
        typed = specialise(graph, example).graph
    except SignatureError as error:
        pytest.fail(f"refused: {error}")
    for got, wanted in zip(run_graph(typed, arrays), want, strict=True):
        close(op, got, wanted)
    if op.kind is Kind.PACK or op.name in ("prim::matmul_panels", "prim::unpack"):
        return
    grouped = hoist(through_blocks(fuse, dead_code(typed)))
    for got, wanted in zip(run_kernels(grouped, arrays, run_kernel), want, strict=True):
        close(op, got, wanted)
    for target in targets_for(dtype, number):
        for got, wanted in zip(run_kernels(grouped, arrays, compiled(target)), want, strict=True):
            close(op, got, wanted)


def test_no_op_is_declared_twice() -> None:
    """A second declaration would silently take the place of the first."""
    declared = [op for family in FAMILIES.values() for op in family]
    assert len({op.name for op in declared}) == len(declared)
    overloads = [overload for op in declared for overload in op.overloads]
    assert len(set(overloads)) == len(overloads)


def test_each_op_has_exactly_one_way_down() -> None:
    for op in TABLE.values():
        ways = [op.lower is not None, op.decompose is not None, op.builtin is not None]
        assert sum(ways) == 1, op.name
        # what is free in sign has no one result to sample: tests/differential/test_linear_algebra.py compares products
        assert op.samples(op.dtypes[0]) or op.name in WITH_SIGNS, f"{op.name} has no samples"
        assert op.tolerance.reason, f"{op.name} gives no reason for its tolerance"
