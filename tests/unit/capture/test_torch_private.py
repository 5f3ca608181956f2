"""Pins what capture expects of torch's private parts; when a new torch breaks capture, these say where."""

from __future__ import annotations

import subprocess
import sys

import torch

from unmoor.capture.torch_private import (
    DropoutBase,
    NormBase,
    TensorBase,
    TorchDispatchMode,
    below_autograd,
    nested_transforms,
    schema_of,
    script_classes,
    storage_of,
    undispatched,
)


class Listing(TorchDispatchMode):
    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.seen.append((str(func), args))
        plain = [int(a.node.hint) if isinstance(a, torch.SymInt) else a for a in args]
        plain = [
            [int(getattr(getattr(i, "node", None), "hint", i)) for i in a] if type(a) is list else a for a in plain
        ]
        return func(*plain, **(kwargs or {}))


def seen(fn):
    mode = Listing()
    with below_autograd(), mode:
        fn()
    return mode.seen


def test_composite_ops_arrive_whole_below_autograd():
    x, w = torch.randn(2, 3), torch.randn(4, 3, requires_grad=True)
    names = [
        n
        for n, _ in seen(
            lambda: (
                torch.nn.functional.linear(x, w),
                torch.nn.functional.layer_norm(x, (3,)),
                x.reshape(-1),
                x.softmax(-1),
            )
        )
    ]
    assert names == [f"aten.{n}" for n in ("linear.default", "layer_norm.default", "reshape.default", "softmax.int")]


def test_results_below_autograd_are_ordinary_tensors():
    w = torch.randn(3, requires_grad=True)
    with below_autograd():
        y = w * 2
    assert not y.requires_grad and not y.is_inference()


def test_symbolic_numbers_reach_dispatch_untouched():
    from unmoor.capture.guards import Guards
    from unmoor.capture.numbers import Int, Number
    from unmoor.capture.tape import Tape
    from unmoor.ir.graph import NOWHERE

    guards = Guards(Tape(lambda: NOWHERE))
    two = Int(Number(guards, 2, "prim::size", (), data=False))
    x = torch.randn(2, 3)
    for call in (lambda: x.view(two, -1), lambda: x.reshape(torch.Size((two, 3))), lambda: torch.zeros(two, 3)):
        ((_, args),) = [s for s in seen(call) if "detach" not in s[0]]
        sizes = args[-1]
        assert isinstance(sizes[0], torch.SymInt) and sizes[0].node is two.node
    ((_, args),) = seen(lambda: x * two)
    assert args[1].node is two.node


def test_schemas_tell_writes_and_defaults():
    schema = schema_of(torch.ops.aten.add_.Tensor)
    assert schema.name == "aten::add_" and schema.overload_name == "Tensor"
    assert [a.name for a in schema.arguments] == ["self", "other", "alpha"]
    assert schema.arguments[0].alias_info.is_write and schema.arguments[2].default_value == 1
    assert schema_of(torch.ops.aten.add.out).arguments[3].is_out
    assert schema_of(torch.ops.aten.view.default).returns[0].alias_info is not None


def test_storages_are_known_by_identity():
    x = torch.ones(4)
    assert storage_of(x) == storage_of(x.view(2, 2)) != storage_of(x.clone())


def test_classes_and_functions_are_where_they_were():
    assert issubclass(torch.Tensor, TensorBase)
    assert issubclass(torch.nn.Dropout2d, DropoutBase) and not issubclass(torch.nn.ReLU, DropoutBase)
    assert issubclass(torch.nn.BatchNorm2d, NormBase) and issubclass(torch.nn.InstanceNorm1d, NormBase)
    assert all(callable(getattr(module, name)) for module, name, _ in nested_transforms())
    assert all("__call__" in vars(cls) for cls in script_classes())


def test_a_contiguous_tensor_is_handed_back_undispatched():
    x = torch.ones(2)
    assert seen(lambda: x.contiguous()) == [] and x.contiguous() is x


def test_recording_does_not_load_torchs_compiler():
    code = (
        "import sys, torch; from unmoor.capture import record; record(torch.nn.Linear(2, 2), (torch.ones(2),)); "
        "assert 'torch._dynamo' not in sys.modules and 'sympy' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_an_undispatched_op_is_seen_by_no_mode():
    words = torch.ones(2, dtype=torch.bfloat16)

    def fn():
        with undispatched():
            words.view(torch.uint16)
        words.neg()

    assert [name for name, _ in seen(fn)] == ["aten.neg.default"]
