"""Programs whose results are as large as the data says: the same as eager PyTorch, also saved, for none and all."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import unmoor
from unmoor.capture import record
from unmoor.compiler import compile_recording
from unmoor.errors import NotTraced, Unsupported
from unmoor.options import Options
from unmoor.reference import run_graph


def masks(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    keep = x[:, 0] > 0
    return x[keep], x[keep].sum(0), x[x > 0.5], x[keep, 1]


def detect(boxes: torch.Tensor, scores: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    keep = scores > 0.3
    boxes, scores = boxes[keep], scores[keep]
    order = scores.argsort(descending=True)
    best = order[:5]
    return boxes[best], scores[best]


def overlaps(boxes: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
    """Suppression in one round: what overlaps a better one is dropped."""
    keep = scores > 0.3
    boxes, scores = boxes[keep], scores[keep]
    low = torch.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = torch.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    inside = (high - low).clamp(min=0).prod(-1)
    area = (boxes[:, 2:] - boxes[:, :2]).prod(-1)
    iou = inside / (area[:, None] + area[None, :] - inside + 1e-6)
    better = scores[None, :] > scores[:, None]
    return boxes[~((iou > 0.5) & better).any(1)]


def experts(x: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """A mixture of experts: rows go to the best two of them."""
    scores, chosen = (x @ weights[:, :, 0].T).softmax(-1).topk(2)
    out = torch.zeros_like(x)
    hit = torch.nn.functional.one_hot(chosen, num_classes=weights.shape[0]).permute(2, 1, 0)
    for e in range(weights.shape[0]):
        place, row = torch.where(hit[e])
        out.index_add_(0, row, (x[row] @ weights[e]) * scores[row, place, None])
    return out


def sized(x: torch.Tensor) -> tuple[Any, ...]:
    found = (x > 0).nonzero()
    n = found.shape[0]
    return found, torch.arange(n), torch.zeros(n, 2), x.sum() / n, torch.full((n + 1,), 2.0)


def written(x: torch.Tensor) -> torch.Tensor:
    keep = x > 0
    x = x.clone()
    x[keep] = x[keep] * 2 + 1
    return x


def joined(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
    a, b = x[x > 0], y[y > 0]
    both = torch.cat([a, b])
    return both, both.sort()[0], a[:3], a[1:], both.cumsum(0), torch.stack([a, a]).reshape(-1), a.softmax(0)


def distinct(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    values, which, counts = torch.unique((x * 3).round(), return_inverse=True, return_counts=True)
    runs, number = torch.unique_consecutive((x * 2).round(), return_inverse=True)
    return values, which, counts, values[which], runs, number, torch.unique(x > 0)


def rows(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    a, b = torch.where(x > 0)
    return a, b, x[a, b], torch.masked_select(x, x < 0), torch.argwhere(x > 1), (x > 0).nonzero(as_tuple=True)[1]


def rand(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def boxes(n: int, score: float = 1.0) -> tuple[torch.Tensor, torch.Tensor]:
    corner = rand(n, 2)
    return torch.cat([corner, corner + rand(n + 1, 2)[:n].abs()], 1), rand(n).sigmoid() * score


PROGRAMS: dict[str, tuple[Callable[..., Any], list[tuple[torch.Tensor, ...]]]] = {
    "masks": (masks, [(rand(5, 3),), (rand(9, 4),), (-torch.ones(4, 3),), (torch.ones(4, 3),), (rand(0, 3),)]),
    "detect": (detect, [boxes(20), boxes(200), boxes(7, 0.0), boxes(1), boxes(0)]),
    "overlaps": (overlaps, [boxes(20), boxes(100), boxes(7, 0.0), boxes(1)]),
    "experts": (experts, [(rand(6, 4), rand(3, 4, 4)), (rand(1, 4), rand(3, 4, 4)), (rand(50, 4), rand(3, 4, 4))]),
    "sized": (sized, [(rand(6),), (rand(40),), (torch.ones(3),), (torch.ones(1),)]),
    "written": (written, [(rand(6),), (rand(4, 5),), (torch.ones(3),), (-torch.ones(3),), (torch.tensor([1.0, -1]),)]),
    "joined": (joined, [(rand(6), rand(9)), (rand(40), torch.ones(4)), (torch.ones(1), -torch.ones(3))]),
    "distinct": (distinct, [(rand(9),), (rand(40),), (rand(3, 5),), (torch.zeros(4),), (torch.ones(1),)]),
    "rows": (rows, [(rand(4, 5),), (rand(1, 1),), (torch.ones(3, 2),), (-torch.ones(3, 2),), (rand(0, 4),)]),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_of_found_sizes(name: str, tmp_path: Path) -> None:
    program, calls = PROGRAMS[name]
    traced, recording = unmoor.trace(program, *calls[0]), record(program, calls[0])
    for args in calls:
        compare(traced(*args), program(*args))
        compare_arrays(run_graph(recording.graph, [a.numpy() for a in args]), program(*args))
    path = str(tmp_path / "f.unmoor")
    loaded = unmoor.load(path, trust=unmoor.save(traced, path))
    for args in calls:
        compare(loaded(*args), program(*args))


@pytest.mark.parametrize("name", PROGRAMS)
def test_without_a_pass(name: str) -> None:
    program, calls = PROGRAMS[name]
    for skip in ("common_subexpressions", "sink_reshapes", "algebra", "canonicalise_views", "dead_code"):
        recording = record(program, calls[0])
        compiled = compile_recording(recording, recording.example, Options(skip=frozenset((skip,))))
        got = run_graph(compiled.graph, [a.numpy() for a in calls[0]])
        compare_arrays(got, program(*calls[0]))


def compare(got: Any, want: Any) -> None:
    for g, w in zip(*(v if isinstance(v, tuple) else (v,) for v in (got, want)), strict=True):
        torch.testing.assert_close(torch.as_tensor(g), w, rtol=1e-5, atol=1e-6, equal_nan=True)


def compare_arrays(got: tuple[Any, ...], want: Any) -> None:
    for g, w in zip(got, want if isinstance(want, tuple) else (want,), strict=True):
        np.testing.assert_allclose(np.asarray(g), w.numpy(), rtol=1e-5, atol=1e-6)


def test_a_size_that_does_not_fit_refuses_the_call() -> None:
    traced = unmoor.trace(lambda x, y: x[x > 0] + y, torch.ones(3), torch.ones(3))
    compare(traced(torch.ones(5), torch.ones(5)), torch.ones(5) * 2)
    with pytest.raises(NotTraced, match=r"test_found_sizes.py:\d+ a size that comes out of data does not fit"):
        traced(torch.tensor([1.0, -1, 1, 1]), torch.ones(4))


def test_the_largest_of_none_refuses_the_call() -> None:
    traced = unmoor.trace(lambda x: x[x > 0].max(), torch.ones(3))
    compare(traced(torch.tensor([-1.0, 2])), torch.tensor(2.0))
    with pytest.raises(NotTraced, match="does not fit: 1 <= u0"):
        traced(-torch.ones(3))


def some(x: torch.Tensor) -> torch.Tensor:
    found = x[x > 0]
    if found.shape[0] == 0:
        return x * 0
    if len(found) > 3:
        return x + found.mean()
    return x + found.amax()


def test_branches_on_found_sizes() -> None:
    traced = unmoor.trace(some, torch.tensor([1.0, -2, 3]))
    with pytest.raises(NotTraced, match=r"found\.shape"):
        traced(-torch.ones(3))
    traced.add_example(-torch.ones(3))
    for x in (torch.tensor([1.0, -2, 3]), -torch.ones(5), torch.tensor([5.0, 1]), torch.arange(-2.0, 7)):
        compare(traced(x), some(x))  # the last takes the side that no example took, which has no effects


def test_a_found_size_that_leaves_a_branch_is_refused_or_right() -> None:
    def program(x: torch.Tensor) -> torch.Tensor:
        return (x[x > 0] if x.sum() > 0 else x[x < 0]) * 2

    traced = unmoor.trace(program, torch.ones(3))
    try:
        traced.add_example(-torch.ones(3))
        for x in (torch.ones(4), -torch.ones(4)):
            compare(traced(x), program(x))
    except Unsupported as error:
        assert "made on one side of a branch" in str(error)
