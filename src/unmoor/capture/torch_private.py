"""Every private name of torch that capture leans on, in one place; tests pin what each of them does.

When a new torch release breaks capture, this file and its tests are where it shows.
"""

from __future__ import annotations

import re
import sys
from collections import namedtuple
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from types import FunctionType
from typing import Any

import torch
from torch._C import TensorBase
from torch._ops import OpOverload
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_unflatten

__all__ = [
    "DropoutBase",
    "NormBase",
    "OpOverload",
    "TensorBase",
    "TorchDispatchMode",
    "TorchFunctionMode",
    "address_of",
    "backward_engine",
    "bare_call",
    "below_autograd",
    "call_alone",
    "control_functions",
    "is_dispatched",
    "is_script_object",
    "named_tuple",
    "nested_transforms",
    "owner_of",
    "run_alone",
    "schema_of",
    "script_classes",
    "storage_of",
    "torch_tape",
    "tree_flatten",
    "tree_unflatten",
    "undispatched",
    "without_torch_compile",
]

DropoutBase, NormBase = _DropoutNd, _NormBase


def below_autograd() -> Any:
    """A context under which dispatch skips autograd: composite ops reach a dispatch mode whole."""
    return torch._C._AutoDispatchBelowAutograd()


_TAPE = ("AutogradFunctionality", "AutogradOther", "AutogradNestedTensor", "ADInplaceOrView")


def torch_tape(on: bool) -> Any:
    """A context in which torch's ops go on its autograd tape, or pass it by, views and all, as whole ops."""
    included, excluded = torch._C._dispatch_tls_local_include_set(), torch._C._dispatch_tls_local_exclude_set()
    for name in _TAPE:
        key = getattr(torch._C.DispatchKey, name)
        excluded = excluded.remove(key) if on else excluded.add(key)
    return torch._C._ForceDispatchKeyGuard(included, excluded)


def backward_engine() -> tuple[Any, str]:
    """(module, attribute) of the function through which backward() and grad() run torch's engine, by its name there."""
    return torch.autograd, "_engine_run_backward"


@contextmanager
def undispatched() -> Iterator[None]:
    """A context in which no dispatch mode sees what torch does."""
    guard = torch._C._DisableTorchDispatch()
    try:
        yield
    finally:
        del guard


def without_torch_compile() -> Any:
    """A context in which functions made by torch.compile run as they were written, if there can be any."""
    return torch.compiler.set_stance("force_eager") if "torch._dynamo" in sys.modules else nullcontext()


def schema_of(func: OpOverload) -> Any:
    """The schema of an overload: `name`, `overload_name`, `arguments` (name, default_value, alias_info), `returns`."""
    return func._schema


def storage_of(tensor: torch.Tensor) -> int:
    """A number that two tensors share exactly where they share memory (while one of them lives)."""
    return int(tensor.untyped_storage()._cdata)


def address_of(tensor: torch.Tensor) -> int:
    """Where a tensor's memory starts: equal also where two tensors share memory by way of another library."""
    return int(tensor.untyped_storage().data_ptr())


def script_classes() -> tuple[type, ...]:
    """Classes whose calls run TorchScript's own interpreter, which capture cannot see into."""
    return (torch._C.ScriptFunction, torch._C.ScriptMethod)


def nested_transforms() -> list[tuple[Any, str, str]]:
    """(module, attribute, user's name) of the functions through which every torch.func transform enters its level."""
    from torch._functorch import eager_transforms, vmap

    return [
        (vmap, "vmap_increment_nesting", "torch.func.vmap"),
        (eager_transforms, "grad_increment_nesting", "torch.func.grad or vjp"),
        (eager_transforms, "jvp_increment_nesting", "torch.func.jvp"),
        (eager_transforms, "_wrap_all_tensors_to_functional", "torch.func.functionalize"),
    ]


def control_functions() -> dict[str, FunctionType]:
    """Torch's functions that take functions of the user's and run them as branches and loops, by name.

    In eager mode they hand these to torch's compiler.
    """
    from torch._higher_order_ops import cond, map, scan, while_loop

    found = {"cond": cond, "while_loop": while_loop, "scan": scan, "map": map}
    return {name: function for name, function in found.items() if isinstance(function, FunctionType)}


def set_version(tensor: torch.Tensor, version: int) -> None:
    """Sets the counter by which autograd knows that a tensor was written: for one that is put back as it was."""
    torch._C._autograd._unsafe_set_version_counter((tensor,), (version,))


# -- TorchScript ----------------------------------------------------------------------------------
def owner_of(method: Any) -> Any:
    """The module of a method of TorchScript."""
    from torch.jit._recursive import wrap_cpp_module

    return wrap_cpp_module(method.owner)  # type: ignore[no-untyped-call]


def call_alone(node: Any) -> Any:
    """A graph that does what a node does which calls a function or the method of a class, with the calls inlined.

    It takes the node's inputs, each once, without the function.
    """
    graph: Any = torch._C.Graph()
    made = {}
    for value in node.inputs():
        if value.node().kind() == "prim::Constant" and str(value.type().kind()) == "FunctionType":
            constant = graph.createClone(value.node(), lambda v: v)
            graph.insertNode(constant)
            made[value.unique()] = constant.output()
        elif value.unique() not in made:
            made[value.unique()] = graph.addInput()
            made[value.unique()].setType(value.type())
    call = graph.createClone(node, lambda v: made[v.unique()])
    graph.insertNode(call)
    for value in call.outputs():
        graph.registerOutput(value)
    torch._C._jit_pass_inline(graph)
    return graph


def bare_call(overload: OpOverload) -> Any:
    """The C function of an overload: a call of it goes to the dispatcher without a frame of Python."""
    return overload._op


def is_dispatched(name: str) -> bool:
    """Whether an overload, "aten::add.Tensor", is known to torch's dispatcher; TorchScript alone knows others."""
    return name in _dispatched()


@cache
def _dispatched() -> frozenset[str]:
    return frozenset(torch._C._dispatch_get_all_op_names())


def named_tuple(type_: Any, items: tuple[Any, ...]) -> Any:
    """The items of a named tuple's type as a named tuple of Python."""
    fields = tuple(re.findall(r"(\w+) : ", type_.str().partition("(")[2]))
    return _named_tuple_class(type_.annotation_str, fields[: len(items)])(*items)


@cache
def _named_tuple_class(name: str, fields: tuple[str, ...]) -> Any:
    module, _, own = name.rpartition(".")
    return namedtuple(own, fields, module=module)


def is_script_object(value: Any) -> bool:
    """Whether a value is a handle of a module or of another object of TorchScript."""
    return isinstance(value, (torch._C.ScriptObject, torch._C.ScriptModule))


def run_alone(node: Any) -> Any:
    """A function that does what a node does, of plain values: the node's inputs, each once."""
    graph: Any = torch._C.Graph()
    made = {}
    for value in node.inputs():
        if value.unique() not in made:
            made[value.unique()] = graph.addInput()
            made[value.unique()].setType(value.type())
    copy = graph.createClone(node, lambda v: made[v.unique()])
    graph.insertNode(copy)
    results = list(copy.outputs())
    if len(results) != 1:
        pack = graph.create("prim::TupleConstruct", results, 1)
        pack.output().setType(torch._C.TupleType([value.type() for value in results]))
        graph.insertNode(pack)
        results = [pack.output()]
    graph.registerOutput(results[0])
    return torch._C._create_function_from_graph("alone", graph)


def script_parameters(fn: Any) -> tuple[str, ...] | None:
    """The parameters of a function or method of TorchScript; None for anything else."""
    if not isinstance(fn, script_classes()):
        return None
    schema: Any = fn.schema  # type: ignore[attr-defined]
    names = tuple(a.name for a in schema.arguments)
    return names[1:] if isinstance(fn, torch._C.ScriptMethod) else names
