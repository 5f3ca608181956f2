"""Element types beside each other: promotion, Python numbers, 0-dim tensors and casts, against eager PyTorch."""

from __future__ import annotations

from typing import Any

import pytest
import torch

import unmoor

STORED = [torch.uint8, torch.int8, torch.int16, torch.float16, torch.bfloat16]
ALL = [*STORED, torch.bool, torch.int32, torch.int64, torch.float32, torch.float64]
ULP = {torch.float16: 2**-10, torch.bfloat16: 2**-7, torch.float32: 1e-5, torch.float64: 1e-12}


def tensor(dtype: torch.dtype, *shape: int) -> torch.Tensor:
    """Random elements; of integers as many as the type holds, so that sums wrap."""
    if dtype is torch.bool:
        return torch.rand(shape) > 0.5
    if dtype.is_floating_point:
        return (torch.randn(shape) * 3).to(dtype)
    limits = torch.iinfo(dtype)
    return torch.randint(max(limits.min, -1000), min(limits.max, 1000) + 1, shape).to(dtype)


def check(fn: Any, *args: torch.Tensor) -> None:
    want, got = fn(*args), unmoor.trace(fn, *args)(*args)
    assert len(got) == len(want)
    for k, (g, w) in enumerate(zip(got, want, strict=True)):
        assert (g.dtype, g.shape) == (w.dtype, w.shape), f"result {k}: {g.dtype}{[*g.shape]}, not {w.dtype}"
        rtol = ULP.get(w.dtype, 0)
        same = torch.allclose(g.double(), w.double(), rtol=rtol, atol=1e-6 if rtol else 0, equal_nan=True)
        assert same, f"result {k} of {w.dtype}: {g}, not {w}"


@pytest.mark.parametrize("dtype", STORED, ids=str)
def test_two_tensors(dtype: torch.dtype) -> None:
    def fn(a: torch.Tensor, others: list[torch.Tensor], points: list[torch.Tensor]) -> list[torch.Tensor]:
        out = []
        for b in (*others, *points):
            out += [a + b, a * b, b * a, a > b, torch.maximum(a, b), torch.where(a > 0, a, b), a / (b * b + 1)]
            if b.dtype is not torch.bool:
                out.append(a - b)
        return out

    torch.manual_seed(0)
    check(fn, tensor(dtype, 3, 4), [tensor(d, 4) for d in ALL], [tensor(d) for d in ALL])


@pytest.mark.parametrize("dtype", STORED, ids=str)
def test_numbers_casts_and_folds(dtype: torch.dtype) -> None:
    def fn(a: torch.Tensor) -> list[torch.Tensor]:
        out = [a + 3, a * 200, 1 - a, a * 0.1, a + 0.1, a / 3, a > 0.1, a >= 3, a == 2.5, a.clamp(1, 2), a // 3, a % 3]
        out += [-a, a.abs(), a.sign(), a.sum(), a.sum(0), a.amax(-1), a.argmax(-1), a.any(), a.all(0), a.float().mean()]
        out += [
            torch.cat([a, a[:1]]),
            a[:, [0, 2]],
            a.masked_fill(a > 2, 1),
            torch.full_like(a, 7),
            a.cumsum(0),
            a.tril(),
        ]
        out += [a.float().clamp(-100, 100).to(d) for d in (torch.int8, torch.int16, torch.float16, torch.bfloat16)]
        out += [a.to(d) for d in (torch.bool, torch.int32, torch.int64, torch.float32, torch.float64)]
        out += [a * a.max().item(), a.sum(dtype=torch.float32)]
        return out

    torch.manual_seed(1)
    check(fn, tensor(dtype, 3, 4))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16], ids=str)
def test_a_half_float_model_is_bit_equal_and_keeps_its_weights_small(dtype: torch.dtype, tmp_path: Any) -> None:
    torch.manual_seed(0)
    net = torch.nn.Sequential(
        torch.nn.Embedding(50, 64), torch.nn.LayerNorm(64), torch.nn.Linear(64, 512), torch.nn.ReLU(),
        torch.nn.Linear(512, 64), torch.nn.Softmax(-1),
    )  # fmt: skip
    net = net.to(dtype).eval().requires_grad_(False)
    ids = torch.randint(0, 50, (4, 7))
    path = tmp_path / "net.unmoor"
    digest = unmoor.save(unmoor.trace(net, ids), path)
    got = unmoor.load(path, trust=digest)(ids)
    torch.testing.assert_close(got, net(ids), rtol=ULP[dtype], atol=1e-6)
    assert path.stat().st_size < 1.6 * sum(p.numel() * 2 for p in net.parameters())


def test_operands_that_eager_refuses_are_refused() -> None:
    net = torch.nn.Linear(3, 2).requires_grad_(False)
    with pytest.raises(unmoor.UnmoorError, match="dtypes differ"):
        unmoor.trace(net, torch.ones(2, 3))(torch.ones(2, 3, dtype=torch.float16))
