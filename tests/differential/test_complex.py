"""Programs with complex numbers and Fourier transforms: at other sizes, and from a file, the same as eager PyTorch."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import unmoor
from unmoor.errors import SignatureError, Unsupported
from unmoor.ops import TABLE
from unmoor.ops.complex_rules import RULES, THROUGH


def rand(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def as_real(z: torch.Tensor) -> torch.Tensor:
    return torch.view_as_real(z.resolve_conj()) if z.is_complex() else z


class Rotary(nn.Module):
    """Rotary embeddings as the original Llama code has them."""

    def __init__(self) -> None:
        super().__init__()
        angles = torch.outer(torch.arange(40), 1.0 / 10000 ** (torch.arange(0, 16, 2).float() / 16))
        self.register_buffer("turns", torch.polar(torch.ones_like(angles), angles), persistent=False)

    def forward(self, q: torch.Tensor) -> torch.Tensor:
        pairs = torch.view_as_complex(q.float().reshape(*q.shape[:-1], -1, 2))
        turns = self.turns[: q.shape[1]].view(1, q.shape[1], 1, -1)
        return torch.view_as_real(pairs * turns).flatten(3).type_as(q)


class Spectral(nn.Module):
    """A layer of a Fourier neural operator: complex weights for the lowest frequencies."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.1 * torch.complex(rand(4, 5, 6), rand(4, 5, 6)))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found = torch.fft.rfft(x)
        out = torch.zeros(x.shape[0], 5, x.shape[-1] // 2 + 1, dtype=torch.cfloat)
        out[:, :, :6] = torch.einsum("bix,iox->box", found[:, :, :6], self.weight)
        return torch.fft.irfft(out, n=x.shape[-1])


WINDOW = torch.hann_window(64)


def log_mel(x: torch.Tensor) -> torch.Tensor:
    power = torch.stft(x, 64, hop_length=16, window=WINDOW, return_complex=True)[..., :-1].abs() ** 2
    return power.clamp(min=1e-10).log10()


def denoised(x: torch.Tensor) -> torch.Tensor:
    spectrum = torch.stft(x, 64, hop_length=16, window=WINDOW, return_complex=True)
    mask = spectrum.abs() > 1.0
    return torch.istft(spectrum * mask, 64, hop_length=16, window=WINDOW)


def filtered(x: torch.Tensor) -> torch.Tensor:
    spectrum = torch.fft.rfft(x)
    spectrum[:, 0] = 0
    spectrum[:, 1:3] *= 2
    return torch.fft.irfft(spectrum, n=x.shape[-1])


def arithmetic(x: torch.Tensor, y: torch.Tensor) -> tuple[torch.Tensor, ...]:
    a, b = torch.complex(x, y), torch.complex(y, x)
    made = (
        a + b, a - b, a * b, a / b, 1 / b, a * 2.5, 2 - a, a * (1 + 2j), a + 3j, a * x, x / a,
        a**2, a**0.3, a.sqrt(), a.log(), a.exp(), a.sin(), a.cos(), a.sinh(), a.cosh(), a.sgn(), torch.exp(-1j * x),
        a.mH @ b, a @ b.T, torch.einsum("ij,kj->ik", a, b), a.sum(0), a.mean(), a.cumsum(1), torch.vdot(a[0], b[0]),
        torch.where(x > 0, a, b), torch.cat([a, b], 1), torch.stack([a, b]), a[1:, ::2], a.conj().T,
        a.to(torch.cdouble), torch.zeros_like(a) + a, x + torch.tensor(1j, dtype=torch.cdouble),
    )  # fmt: skip
    tests = (a == b, a != b, a.abs(), a.angle(), torch.angle(x), a.isnan(), a.isfinite(), a.norm(), a.real + a.imag)
    return (*map(as_real, made), *tests)


def every_transform(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
    z = torch.complex(x, x.flip(-1))
    made = [getattr(torch.fft, name)(z) for name in ("fft", "ifft", "irfft", "hfft", "fft2", "ifftn", "irfft2")]
    made += [getattr(torch.fft, name)(x, norm="ortho") for name in ("fft", "rfft", "ihfft", "rfftn", "ihfft2")]
    made += [torch.fft.fft(z, dim=0), torch.fft.rfft(x, n=12), torch.fft.fftn(z, s=(5, 9)), torch.fft.fftshift(z)]
    return tuple(map(as_real, made))


PROGRAMS: list[tuple[Callable[..., Any], list[tuple[torch.Tensor, ...]]]] = [
    (Rotary(), [(rand(2, 8, 3, 16),), (rand(1, 13, 3, 16),)]),
    (Spectral(), [(rand(2, 4, 32),), (rand(3, 4, 37),)]),
    (log_mel, [(rand(2, 400),), (rand(1, 1000),)]),
    (denoised, [(rand(2, 400),), (rand(3, 1000),)]),
    (filtered, [(rand(3, 16),), (rand(5, 74),), (rand(2, 202),)]),
    (arithmetic, [(rand(3, 4), rand(3, 4) + 0.1), (rand(5, 6), rand(5, 6) + 0.1)]),
    (every_transform, [(rand(3, 8),), (rand(7, 101),), (rand(74, 6),)]),
]


@pytest.mark.parametrize(("program", "calls"), PROGRAMS)
def test_a_program(program: Callable[..., Any], calls: list[tuple[torch.Tensor, ...]], tmp_path: Path) -> None:
    traced = unmoor.trace(program, *calls[0])
    for args in calls:
        with torch.no_grad():
            agree(traced(*args), program(*args))
    unmoor.save(traced, tmp_path / "program.unmoor")
    loaded = unmoor.load(tmp_path / "program.unmoor", trust=True)
    for args in calls:
        with torch.no_grad():
            agree(loaded(*(a.numpy() for a in args)), program(*args))


def agree(got: Any, want: Any) -> None:
    pairs = zip(*(x if isinstance(x, tuple) else (x,) for x in (got, want)), strict=True)
    for g, w in pairs:
        g, w = np.asarray(g), w.numpy()
        assert g.dtype == w.dtype and g.shape == w.shape
        scale = np.abs(w[np.isfinite(w)]).max(initial=1e-3) if w.dtype.kind == "f" else 0.0
        np.testing.assert_allclose(g, w, rtol=1e-4, atol=4e-6 * scale)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 31, 32, 37, 64, 74, 127, 360, 509, 1000, 1021, 4096, 8191])
def test_accuracy_at_any_length(n: int) -> None:
    traced = unmoor.trace(lambda x, y: torch.view_as_real(torch.fft.fft(torch.complex(x, y))), rand(1, 8), rand(1, 8))
    for dtype, allowed in ((torch.float32, 4e-7), (torch.float64, 1e-15)):
        x, y = rand(2, n).to(dtype), rand(2, n + 1)[:, 1:].to(dtype)
        exact = torch.fft.fft(torch.complex(x.double(), y.double()))
        off = torch.view_as_complex(traced(x, y).double()) - exact
        assert off.norm() <= allowed * (1 + np.log2(n)) * exact.norm()


def test_infinities_are_as_in_eager() -> None:
    z = torch.tensor([[1.0, float("inf")], [float("-inf"), 2.0], [float("nan"), 1.0], [-0.0, 0.0]])

    def program(x: torch.Tensor) -> tuple[torch.Tensor, ...]:
        a = torch.view_as_complex(x)
        made = (a * 2.0, a * a, a + 1.0, a.conj(), a * x[:, 0])
        return (*map(as_real, made), a.abs(), a.isinf(), a.isnan())

    traced = unmoor.trace(program, z)
    for got, want in zip(traced(z), program(z), strict=True):
        np.testing.assert_array_equal(got.numpy(), want.numpy())


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (lambda x: torch.fft.fft(x), "result is complex64.*view_as_real"),
        (lambda x: as_real(torch.complex(x, x).cumprod(0)), "cumprod of complex tensors is not supported"),
        (lambda x: torch.complex(x, x).var(), "var of complex tensors is not supported"),
        (lambda x: as_real(torch.complex(x, x) ** x), "power"),
    ],
)
def test_what_is_refused(program: Callable[..., Any], words: str) -> None:
    with pytest.raises(Unsupported, match=words):
        unmoor.trace(program, rand(3, 4))


def test_complex_arguments_and_state_are_refused_with_the_way_out() -> None:
    with pytest.raises(Unsupported, match=r"view_as_complex\(z\)"):
        unmoor.trace(lambda z: z.real, torch.ones(2, dtype=torch.cfloat))
    traced = unmoor.trace(lambda z: torch.view_as_complex(z).abs(), rand(3, 2))
    with pytest.raises(unmoor.UnmoorError, match="complex64"):
        traced(torch.ones(3, 2, dtype=torch.cfloat))
    kept = torch.zeros(2, dtype=torch.cfloat)

    def count(x: torch.Tensor) -> torch.Tensor:
        kept.add_(1)
        return x * kept.real

    with pytest.raises(Unsupported, match="complex tensor"):
        unmoor.trace(count, rand(2))


def test_every_rule_is_of_an_op() -> None:
    assert {*RULES, *THROUGH} <= TABLE.keys()


def test_no_points_are_refused_as_in_eager() -> None:
    traced = unmoor.trace(lambda x: torch.fft.rfft(x).abs(), rand(2, 8))
    with pytest.raises(SignatureError, match="one at least"):
        traced(rand(2, 0))
