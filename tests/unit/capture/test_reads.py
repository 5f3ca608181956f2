"""No read of a tensor leaves the trace in silence, whatever name the program has for it."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from dataclasses import replace
from math import sqrt
from typing import Any

import pytest
import torch
from torch import is_floating_point, numel, tensor

import unmoor
from unmoor.capture import record
from unmoor.capture.reads import NEUTRAL
from unmoor.compiler import check_returned, compile_recording
from unmoor.errors import Unsupported, VerifyError
from unmoor.options import Options

# No reads, though they take a tensor and give something else; or they tell nothing about it.
NO_READS = frozenset(
    (
        "__class__", "__init__", "__new__", "__subclasshook__", "__init_subclass__", "__getattribute__", "__setattr__",
        "__delattr__", "__dir__", "__sizeof__", "__reduce__", "_make_subclass", "_use_count", "vmap", "_overload",
        "classproperty", "_disable_dynamo", "_is_functional_tensor", "compile", "export", "seed", "to_dlpack",
    )
)  # fmt: skip
size, shape, stride, dtype, device = (
    torch.Tensor.size, torch.Tensor.shape, torch.Tensor.stride, torch.Tensor.dtype, torch.Tensor.device,
)  # fmt: skip
to_dlpack = torch.to_dlpack


def _readers() -> Iterator[tuple[str, Callable[[torch.Tensor], Any]]]:
    """Everything of torch, bound now and so before any trace, that turns a tensor into something else."""
    example = torch.rand(3, 4)
    for owner in (torch.Tensor, torch):
        for name in dir(owner):
            switch = owner is torch and name.startswith(("_", "set_", "autocast", "enable", "use_"))
            member = None if name in NO_READS or switch else inspect.getattr_static(owner, name, None)
            if member is None or inspect.isclass(member) or inspect.ismodule(member):
                continue
            member = getattr(owner, name)
            if type(member).__name__ in ("getset_descriptor", "property"):
                read = member.__get__
            elif inspect.isbuiltin(member) or inspect.ismethoddescriptor(member) or inspect.isfunction(member):
                read = member
            else:
                continue
            try:
                result = read(example.clone())
            except Exception:
                continue
            if not _tells_nothing(result):
                yield f"{owner.__name__}.{name}", read


def _tells_nothing(result: object) -> bool:
    if isinstance(result, (list, tuple)):
        return any(_tells_nothing(r) for r in result)
    return result is None or result is NotImplemented or isinstance(result, torch.Tensor)


@pytest.mark.filterwarnings("ignore")
def test_every_read_is_told_guarded_or_refused():
    silent = []
    readers = list(_readers())
    for name, read in readers:
        results: list[Any] = []

        def program(x: torch.Tensor, read: Any = read, results: list[Any] = results) -> torch.Tensor:
            results.append(read(x))
            return x + 1

        try:
            recording = record(program, (torch.rand(3, 4),))
        except Exception:
            continue
        told = bool(recording.assumptions) or any(isinstance(r, torch.SymInt) for r in results)
        if not told and name.partition(".")[2] not in NEUTRAL:
            silent.append(name)
    assert len(readers) > 60
    assert silent == []


def test_sizes_read_by_names_from_before_the_trace_stay_sizes(replay):
    for program in (
        lambda x: x * size(x, 0),
        lambda x: x * shape.__get__(x)[1],
        lambda x: x * tensor(x.shape)[0],
        lambda x: x * numel(x),
        lambda x, count=torch.Tensor.numel: x / count(x),
        lambda x, index=torch.Tensor.__getitem__: index(x, 0) * 2,
    ):
        traced = replay(program, torch.rand(3, 4))
        traced.agrees(torch.rand(5, 7))


def test_what_they_freeze_is_guarded(replay):
    replay(lambda x: x * sqrt(x.shape[0]), torch.rand(3, 4)).refuses(torch.rand(5, 4), match=r"`sqrt\(x.shape\[0\]\)`")
    replay(lambda x: x + 1 if is_floating_point(x) else x, torch.rand(3)).refuses(torch.ones(3, dtype=torch.int64))


def test_the_dtype_read_by_its_descriptor(replay):
    recording = record(lambda x: x + 1 if dtype.__get__(x) == torch.float32 else x, (torch.rand(3),))
    assert any(a.checked and "dtype" in a.text for a in recording.assumptions)


@pytest.mark.parametrize(
    ("said", "program"),
    [
        ("device of a tensor was read", lambda x: x + 1 if device.__get__(x).type == "cpu" else x),
        ("requires_grad", lambda x: x + 1 if x.requires_grad else x),
        ("gradients are on", lambda x: x + 1 if torch.is_grad_enabled() else x),
        ("seed", lambda x: x + torch.initial_seed() % 3),
        ("default dtype", lambda x: x + (torch.get_default_dtype() == torch.float32)),
    ],
)
def test_what_is_not_checked_is_said(said, program):
    assert any(said in a.text and not a.checked for a in record(program, (torch.rand(3, 4),)).assumptions)


@pytest.mark.parametrize(
    "program",
    [
        lambda x, numpy=torch.Tensor.numpy: torch.from_numpy(numpy(x)) + 1,
        lambda x: torch.from_dlpack(to_dlpack(x)) + 1,
        lambda x, untyped=torch.Tensor.untyped_storage: x + untyped(x)[0],
        lambda x: x * torch.ops.aten.sym_size.int(x, 0),
        lambda x: x * torch.ops.aten.numel.default(x),
    ],
)
def test_values_that_would_leave_are_refused(program):
    with pytest.raises(Unsupported):
        record(program, (torch.rand(3, 4),))


def test_a_deep_copy_is_a_clone(replay):
    def program(x):
        y = copy.deepcopy(x)
        y += 1
        return x, y

    replay(program, torch.rand(3)).agrees(torch.rand(4))


def test_sizes_are_ints_to_isinstance_and_values_are_floats(replay):
    def program(x):
        scale = 2.0 if isinstance(x.shape[0], int) and isinstance(x.sum().item(), float) else 3.0
        return x * scale + (10 if isinstance(x.shape[0], float) else 0)

    replay(program, torch.rand(3)).agrees(torch.rand(4))


def test_results_of_another_type_than_the_example_gave_are_an_error_with_the_op():
    recording = record(lambda x: x.sum(0), (torch.rand(3, 4),))
    compiled = compile_recording(recording, recording.example, Options())
    check_returned(recording, compiled)
    (returned,) = recording.returned
    assert returned is not None and returned.shape == (4,)
    broken = replace(recording, returned=(replace(returned, shape=(3,)),))
    with pytest.raises(
        VerifyError, match=r"aten::sum \(.*test_reads.py:\d+\) gives, would be float32\[4\] and was float32\[3\]"
    ):
        check_returned(broken, compiled)


def test_a_traced_function_is_checked_when_it_is_made():
    traced = unmoor.trace(lambda x: (x.sum(0), {"a": x > 0}), torch.rand(3, 4))
    assert traced(torch.rand(5, 4))[1]["a"].shape == (5, 4)
