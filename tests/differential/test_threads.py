"""The same bits at any number of threads: whole programs, with pieces so small that small sizes are cut."""

from __future__ import annotations

import io
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional as F

import unmoor
from unmoor.kernels import grain


def _attention(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return F.scaled_dot_product_attention(q, k, v)


def _causal(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
    return F.scaled_dot_product_attention(q, k, v, is_causal=True)


def _norm(x: torch.Tensor) -> torch.Tensor:
    return F.gelu(F.layer_norm(x + 1, x.shape[-1:])) * x.softmax(-1)


CASES: dict[str, tuple[Callable[[], Callable[..., Any]], tuple[tuple[int, ...], ...], tuple[tuple[int, ...], ...]]] = {
    "pointwise": (lambda: lambda x: torch.tanh(x * 0.7) * x.sigmoid() + 2, ((40,),), ((10007,),)),
    "broadcast": (lambda: lambda x, y: torch.relu(x * y + x.exp()), ((5, 1, 7), (4, 7)), ((65, 1, 33), (31, 33))),
    "rows": (lambda: _norm, ((6, 40),), ((257, 300),)),
    "columns": (lambda: lambda x: x.softmax(0) + x.sum(0), ((6, 40),), ((129, 70),)),
    "linear": (lambda: nn.Sequential(nn.Linear(33, 100), nn.GELU(), nn.Linear(100, 7)), ((5, 33),), ((301, 33),)),
    "one row": (lambda: nn.Sequential(nn.Linear(64, 500), nn.ReLU()), ((1, 64),), ((1, 64),)),
    "one row of many": (lambda: nn.Sequential(nn.Linear(600, 500), nn.ReLU()), ((5, 600),), ((1, 600),)),
    "matmul": (lambda: torch.matmul, ((5, 6), (6, 7)), ((130, 65), (65, 201))),
    "batched matmul": (lambda: torch.matmul, ((2, 3, 5, 6), (2, 3, 6, 7)), ((1, 6, 67, 33), (1, 6, 33, 50))),
    "attention": (lambda: _attention, ((2, 2, 5, 8),) * 3, ((1, 4, 70, 16),) * 3),
    "causal attention": (lambda: _causal, ((2, 2, 5, 8),) * 3, ((1, 2, 70, 16),) * 3),
    "convolution": (lambda: nn.Conv2d(3, 20, 3, padding=1), ((2, 3, 8, 8),), ((1, 3, 30, 31),)),
    "depthwise": (lambda: nn.Conv2d(6, 6, 3, padding=1, groups=6), ((2, 6, 8, 8),), ((2, 6, 30, 31),)),
    "pool": (lambda: nn.Sequential(nn.MaxPool2d(3, 2), nn.BatchNorm2d(4)), ((2, 4, 9, 9),), ((3, 4, 31, 33),)),
    "scan": (lambda: lambda x: x.cumsum(1), ((4, 5),), ((150, 60),)),
    "cat": (lambda: lambda x, y: torch.cat((x, y * 2), 1).transpose(0, 1), ((4, 5), (4, 2)), ((200, 30), (200, 41))),
    "sort": (lambda: lambda x: x.sort(-1)[0], ((4, 5),), ((90, 33),)),
}


def _saved(name: str, monkeypatch: pytest.MonkeyPatch) -> tuple[bytes, list[torch.Tensor], list[torch.Tensor]]:
    monkeypatch.setattr(grain, "PIECE", 2000)
    make, example, larger = CASES[name]
    torch.manual_seed(0)
    fn = make()
    if isinstance(fn, nn.Module):
        fn.eval()
    small, large = [torch.randn(s) for s in example], [torch.randn(s) for s in larger]
    with torch.no_grad():
        file = io.BytesIO()
        unmoor.save(unmoor.trace(fn, *small), file)
        return file.getvalue(), large, [fn(*large)]


@pytest.mark.parametrize("name", CASES)
def test_the_number_of_threads_changes_no_bit(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    file, inputs, (want,) = _saved(name, monkeypatch)
    results = [unmoor.load(file, trust=True, threads=n)(*inputs) for n in (1, 2, 3, 2)]
    torch.testing.assert_close(results[0], want, rtol=1e-4, atol=1e-5)
    for result in results[1:]:
        assert torch.equal(result, results[0])


def test_threads_of_python_share_the_threads_of_a_model(monkeypatch: pytest.MonkeyPatch) -> None:
    file, (x,), _ = _saved("rows", monkeypatch)
    model = unmoor.load(file, trust=True, threads=2)
    want = model(x).numpy()
    wrong: list[int] = []

    def work(number: int) -> None:
        for _ in range(20):
            if not np.array_equal(model(x.numpy()), want):
                wrong.append(number)

    callers = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


def test_calls_that_are_worth_it_are_cut_and_others_are_not() -> None:
    def grains(traced: unmoor.TracedFunction, *inputs: torch.Tensor) -> list[bool]:
        return [" by r" in line for line in traced.bytecode_for(*inputs).splitlines() if " call " in line]

    few, many = torch.randn(3, 4), torch.randn(3, 400_000)
    assert grains(unmoor.trace(lambda x: x.sum(), few), few) == [False]
    assert grains(unmoor.trace(lambda x: x + 1, many), many) == [True]
