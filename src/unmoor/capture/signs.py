"""Signs that are free: a program whose result depends on the signs of singular vectors or eigenvectors is refused.

Which of two opposite vectors a library gives follows from its algorithm, and ours is another one than LAPACK's. What
tells whether that matters is to run the program again with vectors turned around.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import torch

from unmoor.capture.refusals import refuse
from unmoor.capture.torch_private import TorchDispatchMode
from unmoor.capture.twice import Parts, same, taken_apart
from unmoor.errors import Unsupported
from unmoor.ir.graph import Source

WITH_SIGNS = frozenset(("aten::linalg_svd", "aten::svd", "aten::linalg_eigh"))
ALTERNATING = 2  # patterns that between them turn every vector alone from its neighbours; the others are random
PATTERNS = range(6)


def check_signs(
    fn: Callable[..., Any], call: tuple[tuple[Any, ...], dict[str, Any]], first: Parts, pattern: int, where: Source
) -> None:
    """Unsupported where the call does not give `first` again when vectors are turned around."""
    args, kwargs = copy.deepcopy(call)
    try:
        with _Turned(pattern):
            second = taken_apart(fn(*args, **kwargs))
    except Exception:  # a check of the program's own that the signs decide
        second = None
    if second is None or not same(first, second):
        raise _refusal(where)


def _refusal(where: Source) -> Unsupported:
    return refuse(
        where,
        "the result depends on the signs of these vectors, which are free: those of a file and of PyTorch may differ",
        "settle them, as in `v * v.gather(-2, v.abs().argmax(-2, keepdim=True)).sign()`, or compute what the signs do "
        "not change",
    )


class _Turned(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Multiplies the vectors that torch computes by signs, and mixes those that complete a basis."""

    def __init__(self, pattern: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.pattern, self.random = pattern, torch.Generator().manual_seed(pattern)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        if func is torch.ops.aten._linalg_eigh.default and made[1].numel():
            values, vectors = made
            return values, vectors * self._signs(values).unsqueeze(-2)
        if func is torch.ops.aten._linalg_svd.default and made[0].numel() and made[2].numel():
            u, s, vh = made
            signs = self._signs(s)
            return self._columns(u, signs), s, self._columns(vh.mT, signs).mT.contiguous()
        return made

    def _signs(self, values: torch.Tensor) -> torch.Tensor:
        if self.pattern < ALTERNATING:
            return (1 - 2 * ((torch.arange(values.shape[-1]) + self.pattern) % 2)).to(values.dtype).expand(values.shape)
        return (1 - 2 * torch.randint(0, 2, values.shape, generator=self.random)).to(values.dtype)

    def _columns(self, vectors: torch.Tensor, signs: torch.Tensor) -> torch.Tensor:
        count = signs.shape[-1]
        rest = vectors[..., count:]
        if rest.shape[-1]:  # mirrored at a random plane
            at = torch.randn(rest.shape[-1], generator=self.random).to(rest.dtype)
            rest = rest - 2 * (rest @ at)[..., None] * at / (at @ at)
        return torch.cat([vectors[..., :count] * signs.unsqueeze(-2), rest], -1)
