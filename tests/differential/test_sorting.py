"""Programs that order their data, at other sizes than the traced ones and from a file: the same as eager PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import unmoor


def rand(*shape: int) -> torch.Tensor:
    return torch.rand(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def detect(boxes: torch.Tensor, scores: torch.Tensor) -> tuple[torch.Tensor, ...]:
    best, places = scores.topk(3)
    return boxes[places], best, boxes.gather(0, places[:, None].expand(-1, 4)).sum(1)


def nucleus(logits: torch.Tensor) -> torch.Tensor:
    ordered, places = torch.sort(logits, descending=True, dim=-1)
    keep = ordered.softmax(-1).cumsum(-1) < 0.9
    return logits.masked_fill(~keep.scatter(-1, places, keep), -1e9)


PROGRAMS: list[tuple[Callable[..., Any], list[tuple[torch.Tensor, ...]]]] = [
    (lambda x: tuple(torch.sort(x, -1, True)), [(rand(5, 7),), (rand(3, 100),), (rand(2, 0),), (rand(4),)]),
    (lambda x: tuple(x.topk(x.shape[-1] // 2, largest=False)), [(rand(5, 8),), (rand(2, 51),)]),
    (lambda x: tuple(x.median(1)), [(rand(5, 7),), (rand(4, 50),)]),
    (lambda x, y: torch.bucketize(y, x.sort()[0], right=True), [(rand(9), rand(4, 4)), (rand(1), rand(2, 40))]),
    (detect, [(rand(20, 4), rand(20)), (rand(200, 4), rand(200))]),
    (nucleus, [(rand(2, 50) * 9,), (rand(3, 300) * 9,)]),
]


@pytest.mark.parametrize(("program", "calls"), PROGRAMS)
def test_a_program_that_sorts(
    program: Callable[..., Any], calls: list[tuple[torch.Tensor, ...]], tmp_path: Path
) -> None:
    traced = unmoor.trace(program, *calls[0])
    for args in calls:
        compare(traced(*args), program(*args))
    loaded = unmoor.load(str(tmp_path / "f.unmoor"), trust=unmoor.save(traced, str(tmp_path / "f.unmoor")))
    for args in calls:
        compare(loaded(*args), program(*args))


def compare(got: Any, want: Any) -> None:
    for g, w in zip(*(v if isinstance(v, tuple) else (v,) for v in (got, want)), strict=True):
        torch.testing.assert_close(torch.as_tensor(g), w, rtol=1e-6, atol=1e-6)
