"""The program level: what the machine runs, run by its slow interpreter, against eager PyTorch; on whole models and on
the exhibits of the hall of silent traces."""

from __future__ import annotations

import sys
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import unmoor
from unmoor.archive.rules import check_program
from unmoor.errors import NotTraced, SignatureError, UnmoorError, VerifyError
from unmoor.ir.parser import parse_program
from unmoor.ir.printer import print_program
from unmoor.ir.target import ALL
from unmoor.reference import run_program
from unmoor.runtime.structures import flatten

sys.path.insert(0, str(Path(__file__).parent.parent / "hall"))
from exhibits import EXHIBITS


def _network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.LayerNorm(8), nn.Linear(8, 2)).eval()


def _layer() -> nn.Module:
    torch.manual_seed(0)
    return nn.TransformerEncoderLayer(4, 2, 8, batch_first=True).eval()


def interpreted(traced: Any, args: tuple[Any, ...]) -> tuple[np.ndarray, ...]:
    """The outputs that the file's first fitting program gives, in the reference interpreter."""
    image = traced.image(ALL[:1])
    method = image.methods[0]
    arguments = method.programs[0].signature.arguments
    tensors = [t.detach().numpy() for t in flatten(arguments, args, {}, ("",) * len(args))]
    inputs = [*tensors, *(traced.state()[s.name] for s in image.states)]
    last: Exception | None = None
    for program in method.programs:
        specs = program.signature.inputs
        if [(s.type.dtype.numpy, s.type.rank) for s in specs] == [(i.dtype, i.ndim) for i in inputs]:
            try:
                return run_program(program, image.kernels, image.weights, inputs)
            except SignatureError as error:
                last = error
    raise last or SignatureError("no program fits")


def reads_back(traced: Any) -> None:
    """The text of each program parses to a program that is the same but for its tables, and prints as it did."""
    image = traced.image(ALL[:1])
    for program in image.methods[0].programs:
        text = print_program(program, image.kernels)
        again = parse_program(text, program.signature, image.kernels)
        assert print_program(again, image.kernels) == text
        for part in ("formulas", "tensors", "arena", "flops", "traffic"):
            assert getattr(again, part) == getattr(program, part), part
        assert [replace(i, message=0, source=0) for i in again.code] == [
            replace(i, message=0, source=0) for i in program.code
        ]
        check_program(again, image.kernels, image.weights, "the program that was read back")


def agrees(fn: Any, traced: Any, args: tuple[Any, ...]) -> None:
    outputs = interpreted(traced, args)
    with torch.no_grad():
        wanted = [t for t in torch.utils._pytree.tree_leaves(fn(*args)) if isinstance(t, torch.Tensor)]
    for want, got in zip(wanted, outputs, strict=False):  # further outputs are what the call changes
        np.testing.assert_allclose(got, want.numpy(), rtol=1e-4, atol=1e-5)
        assert got.dtype == want.numpy().dtype and got.shape == tuple(want.shape)


@pytest.mark.parametrize(
    ("make", "shapes"), [(_network, [(5, 3), (1, 3), (0, 3)]), (_layer, [(2, 3, 4), (1, 1, 4)])], ids=["net", "layer"]
)
def test_models(make, shapes):
    net = make()
    traced = unmoor.trace(net, torch.randn(shapes[0]))
    for shape in shapes:
        agrees(net, traced, (torch.randn(shape),))
    reads_back(traced)


@pytest.mark.parametrize("name", [e.name for e in EXHIBITS])
def test_exhibits(name):
    exhibit = next(e for e in EXHIBITS if e.name == name)
    first, *others = exhibit.calls()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            traced = unmoor.trace(exhibit.make(), *first)
        except UnmoorError:
            pytest.skip("refused: tests/hall says why")
    reads_back(traced)
    if exhibit.is_random:
        return
    try:
        agrees(exhibit.make(), traced, exhibit.calls()[0])
    except NotTraced:  # a guard on a sum of floats, which another order of adding breaks
        assert any(b is not None for b in traced.image(ALL[:1]).methods[0].programs[0].messages)
    for call in others:
        try:
            agrees(exhibit.make(), traced, call)
        except (NotTraced, SignatureError):
            continue


def test_a_guard_says_its_line():
    traced = unmoor.trace(lambda x: x * 2 if x.sum() > 0 else x, torch.ones(3))
    with pytest.raises(NotTraced, match=r"test_programs.py:\d+ took the branch `x.sum\(\) > 0`"):
        interpreted(traced, (-torch.ones(3),))


def test_a_check_refuses_sizes():
    traced = unmoor.trace(lambda x, y: x @ y, torch.ones(2, 3), torch.ones(3, 2))
    with pytest.raises(SignatureError):
        interpreted(traced, (torch.ones(2, 3), torch.ones(4, 2)))


@pytest.mark.parametrize(("old", "new"), [("r0 = ", "r7 = "), ("return", "go home"), ("call k0", "call q")])
def test_a_text_that_is_no_program_is_refused_with_its_line(old, new):
    image = unmoor.trace(lambda x: x + 1, torch.ones(3)).image(ALL[:1])
    program = image.methods[0].programs[0]
    text = print_program(program, image.kernels)
    with pytest.raises(VerifyError, match="line "):
        parse_program(text.replace(old, new, 1), program.signature, image.kernels)
