"""Runs graphs, recorded, typed or grouped, node by node on NumPy arrays."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from unmoor.dtypes import BY_NUMPY
from unmoor.errors import NotTraced, Unsupported
from unmoor.ir.dim import Dim
from unmoor.ir.graph import Arg, Graph, Node, Source, Value, tensor_type
from unmoor.ir.number import ARITHMETIC, COMPARISONS
from unmoor.ir.recording import ANOTHER
from unmoor.ir.signature import contiguity
from unmoor.ir.types import TensorType
from unmoor.ops import TABLE, evaluate
from unmoor.ops.found import found_by

Watch = Callable[[Node, Sequence[Any]], None]


def run_graph(graph: Graph, inputs: Sequence[np.ndarray], watch: Watch | None = None) -> tuple[Any, ...]:
    """The graph's outputs for input arrays. Raises NotTraced where a guard or a relation refuses them.

    `watch` is told each node that has run, with its values.
    """
    env: dict[Value, Any] = {c.value: c.data for c in graph.constants}
    sizes: dict[str, int] = {}
    for number, (value, array) in enumerate(zip(graph.inputs, inputs, strict=True)):
        env[value] = array
        sizes[contiguity(number)] = int(np.asarray(array).flags.c_contiguous)
        if isinstance(value.type, TensorType):
            _bind(tensor_type(value), np.asarray(array), sizes, value.name)
    for relation in graph.relations:
        if not relation.holds(sizes):
            raise NotTraced(relation.message or f"the sizes do not satisfy {relation}")
    _run(graph.nodes, env, sizes, watch or _nobody)
    return tuple(_resolve(o, env, sizes) for o in graph.outputs)


def _bind(type_: TensorType, array: np.ndarray, sizes: dict[str, int], name: str) -> None:
    if BY_NUMPY[array.dtype] is not type_.dtype or array.ndim != type_.rank:
        raise NotTraced(f"input {name} is {array.dtype}{list(array.shape)}, not {type_}")
    for d, n in zip(type_.shape, array.shape, strict=True):
        if d.symbol is not None:
            sizes.setdefault(d.symbol, n)
    for d, n in zip(type_.shape, array.shape, strict=True):
        if d.evaluate(sizes) != n:
            raise NotTraced(f"input {name} has size {n} where {d} is {d.evaluate(sizes)}")


def _resolve(arg: Arg, env: Mapping[Value, Any], sizes: Mapping[str, int]) -> Any:
    if isinstance(arg, Value):
        return env[arg]
    if isinstance(arg, Dim):
        return arg.evaluate(sizes)
    return tuple(_resolve(a, env, sizes) for a in arg) if isinstance(arg, tuple) else arg


def _nobody(node: Node, values: Sequence[Any]) -> None:
    pass


def _run(nodes: tuple[Node, ...], env: dict[Value, Any], sizes: dict[str, int], watch: Watch) -> None:
    for node in nodes:
        args = tuple(_resolve(a, env, sizes) for a in node.args)
        if node.op.startswith("fusion::"):
            (block,) = node.blocks
            env.update(zip(block.params, args, strict=True))
            _run(block.nodes, env, sizes, watch)
            results: tuple[Any, ...] = tuple(_resolve(r, env, sizes) for r in block.results)
        elif node.op == "prim::If":
            block = node.blocks[0 if bool(np.asarray(args[0]).item()) else 1]
            _run(block.nodes, env, sizes, watch)
            results = tuple(_resolve(r, env, sizes) for r in block.results)
        elif node.op == "prim::Loop":
            results = _loop(node, args, env, sizes, watch)
        elif node.op in TABLE:
            made = evaluate(node.op, args)
            results = made if isinstance(made, tuple) else (made,)
        elif node.op == "prim::dims":
            results = _dims(args[0].shape, str(args[1]), args[2], sizes)
        else:
            results = _structural(node, args)
        env.update(zip(node.outputs, results, strict=True))
        watch(node, results)
        for name in found_by(node):
            sizes[name] = len(results[0])


def _loop(
    node: Node, args: tuple[Any, ...], env: dict[Value, Any], sizes: dict[str, int], watch: Watch
) -> tuple[Any, ...]:
    """The values carried out of a loop, then the rows of all turns."""
    turns, condition, backward, carried, scanned = args
    (block,) = node.blocks
    count = len(carried)
    stacks: list[list[Any]] = [[] for _ in node.outputs[count:]]
    left = itertools.repeat(None) if turns is None else iter(range(turns)[::-1] if backward else range(turns))
    for place in left:
        if place is None and not np.asarray(condition).item():
            break
        env.update(zip(block.params, (*carried, *(s[place] for s in scanned)), strict=True))
        _run(block.nodes, env, sizes, watch)
        results = tuple(_resolve(r, env, sizes) for r in block.results)
        if place is None:
            condition, results = results[0], results[1:]
        carried = results[:count]
        for stack, row in zip(stacks, results[count:], strict=True):
            stack.append(np.asarray(row))
    rows = [_stacked(s[::-1] if backward else s, v, sizes) for s, v in zip(stacks, node.outputs[count:], strict=True)]
    return (*carried, *rows)


def _stacked(rows: list[Any], value: Value, sizes: Mapping[str, int]) -> Any:
    """The rows of all turns; of no turns, an empty tensor of the type that a typed graph knows."""
    if rows:
        return np.stack(rows)
    if not isinstance(value.type, TensorType):
        raise Unsupported("a recorded loop of no turns has rows of unknown type")
    return np.zeros([d.evaluate(sizes) for d in value.type.shape], value.type.dtype.numpy)


def _structural(node: Node, args: tuple[Any, ...]) -> tuple[Any, ...]:
    name = node.op.removeprefix("prim::")
    if name.startswith(("int_", "float_")):
        return (ARITHMETIC[name.partition("_")[2]](*args),)
    match name:
        case "size":
            return (args[0].shape[args[1]],)
        case "rank":
            return (args[0].ndim,)
        case "is_contiguous":
            return (bool(args[0].flags.c_contiguous),)
        case "is_dtype":
            return (BY_NUMPY[args[0].dtype] is args[1],)
        case "compare":
            return (COMPARISONS[args[2]](args[0], args[1]),)
        case "not":
            return (not args[0],)
        case "item":
            return (np.asarray(args[0]).item(),)
        case "complex":
            return (complex(*args),)
        case "truth":
            return (bool(np.asarray(args[0]).item()),)
        case "guard":
            _refuse_unless(bool(np.asarray(args[0]).item()) is bool(args[1]), node.source, args[2], *args[3:])
        case "raise":
            _refuse_unless(False, node.source, *args)
        case "rank_guard":
            _refuse_unless(args[0].ndim == args[1], node.source, args[2])
        case "dtype_guard":
            _refuse_unless(BY_NUMPY[args[0].dtype] is args[1], node.source, args[2])
        case _:
            raise Unsupported(f"the reference cannot run {node.op}")
    return ()


def _dims(shape: tuple[int, ...], name: str, said: tuple[Any, ...], sizes: dict[str, int]) -> tuple[Any, ...]:
    """prim::dims. Named sizes stand among the sizes by name: a recorded graph has no symbols."""
    if len(shape) != len(said):
        raise NotTraced(f"{name} has {len(shape)} dims here, and {len(said)} as `dims` of the trace says")
    for axis, (size, entry) in enumerate(zip(shape, said, strict=True)):
        label, least, most = entry if isinstance(entry, tuple) else ("", entry or 0, entry)
        wanted = sizes.setdefault(label, size) if label else size
        if size != wanted or size < least or (most is not None and size > most):
            raise NotTraced(f"dim {axis} of {name} is {size} here, which is not what `dims` of the trace says")
    return ()


def _refuse_unless(holds: bool, source: Source, message: str, value: Any = None) -> None:
    if not holds:
        if value is not None:
            message = message.replace(ANOTHER, f"is {np.asarray(value).item()!r}")
        raise NotTraced(f"{source.file}:{source.line} {message}")
