"""Programs that factor matrices and solve systems: at other sizes and from a file, the same as eager PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import linalg

import unmoor


def rand(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def spd(*shape: int) -> torch.Tensor:
    x = rand(*shape)
    return x @ x.mT + shape[-1] * torch.eye(shape[-1])


def gaussian(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
    """The mean of a Gaussian process at its own points."""
    kernel = torch.exp(-((x[:, None] - x[None, :]) ** 2).sum(-1)) + 0.1 * torch.eye(x.shape[0])
    return kernel @ torch.cholesky_solve(y[:, None], linalg.cholesky(kernel))


PROGRAMS: list[tuple[Callable[..., Any], list[tuple[torch.Tensor, ...]]]] = [
    (lambda a: (a.inverse(), linalg.inv(a), linalg.det(a), *linalg.slogdet(a)), [(spd(2, 4, 4),), (spd(3, 9, 9),)]),
    (linalg.solve, [(spd(4, 4), rand(4)), (spd(1, 1), rand(1))]),
    (lambda a, b: linalg.solve(a, b, left=False), [(spd(2, 4, 4), rand(3, 4)), (spd(3, 7, 7), rand(2, 7))]),
    (
        lambda a, b: (
            linalg.solve_triangular(a, b, upper=True),
            linalg.solve_triangular(a, b.mT, upper=False, left=False),
            linalg.lu_solve(*linalg.lu_factor(a), b),
        ),
        [(spd(2, 4, 4), rand(2, 4, 3)), (spd(1, 6, 6), rand(1, 6, 2))],
    ),
    (lambda a: (linalg.cholesky(a), linalg.cholesky(a, upper=True)), [(spd(2, 4, 4),), (spd(1, 30, 30),)]),
    (gaussian, [(rand(5, 2), rand(5)), (rand(20, 2), rand(20))]),
    (lambda a: (*linalg.qr(a), *linalg.qr(a.mT, mode="complete")), [(rand(2, 5, 3),), (rand(1, 30, 20),)]),
    (lambda a: (linalg.svdvals(a), linalg.pinv(a), linalg.matrix_rank(a)), [(rand(2, 5, 3),), (rand(1, 30, 20),)]),
    (lambda a: (linalg.eigvalsh(a), linalg.cond(a), linalg.norm(a, 2, (0, 1))), [(spd(5, 5),), (spd(12, 12),)]),
    (lambda a: (linalg.matrix_power(a, -2), linalg.matrix_norm(a, "nuc")), [(spd(3, 3),), (spd(2, 4, 4),)]),
]


@pytest.mark.parametrize(("program", "calls"), PROGRAMS)
def test_a_program(program: Callable[..., Any], calls: list[tuple[torch.Tensor, ...]], tmp_path: Path) -> None:
    traced = unmoor.trace(program, *calls[0])
    unmoor.save(traced, tmp_path / "program.unmoor")
    loaded = unmoor.load(tmp_path / "program.unmoor", trust=True)
    for args in calls:
        want = program(*args)
        if [a.dim() for a in args] != [a.dim() for a in calls[0]]:
            agree(traced(*args), want)
            continue
        agree(traced(*args), want)
        agree(loaded(*(a.numpy() for a in args)), want)


def agree(got: Any, want: Any) -> None:
    pairs = zip(*(x if isinstance(x, tuple) else (x,) for x in (got, want)), strict=True)
    for g, w in pairs:
        g, w = np.asarray(g), w.numpy()
        assert g.dtype == w.dtype and g.shape == w.shape
        np.testing.assert_allclose(g, w, rtol=2e-4, atol=2e-5 * max(1.0, np.abs(w).max(initial=0)))


SINGULAR: list[tuple[Callable[..., Any], torch.Tensor, str]] = [
    (linalg.inv, torch.zeros(3, 3), "singular"),
    (lambda a: linalg.solve(a, a), torch.ones(2, 2), "singular"),
    (linalg.cholesky, -torch.eye(4), "not positive definite"),
]


@pytest.mark.parametrize(("program", "matrix", "words"), SINGULAR)
def test_what_eager_raises_refuses_the_call(
    program: Callable[..., Any], matrix: torch.Tensor, words: str, tmp_path: Path
) -> None:
    traced = unmoor.trace(program, spd(3, 3))
    unmoor.save(traced, tmp_path / "program.unmoor")
    loaded = unmoor.load(tmp_path / "program.unmoor", trust=True)
    with pytest.raises(linalg.LinAlgError):
        program(matrix)
    for call in (lambda: traced(matrix), lambda: loaded(matrix.numpy())):
        with pytest.raises(unmoor.NotTraced, match=rf"py:\d+.*{words}"):
            call()


def test_a_singular_matrix_has_a_determinant() -> None:
    traced = unmoor.trace(lambda a: (linalg.det(a), *linalg.slogdet(a)), spd(3, 3))
    assert [float(v) for v in traced(torch.ones(2, 2))] == [0.0, 0.0, float("-inf")]
    assert float(unmoor.trace(lambda a: linalg.det(a), spd(3, 3))(torch.zeros(0, 0))) == 1.0


def test_vectors_of_free_sign_are_refused() -> None:
    for program, vectors in ((linalg.svd, 0), (linalg.eigh, 1)):
        with pytest.raises(unmoor.Unsupported, match="signs of these vectors"):
            unmoor.trace(lambda a, f=program, i=vectors: f(a)[i], spd(3, 3))
