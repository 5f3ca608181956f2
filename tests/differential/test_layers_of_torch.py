"""Modules of torch.nn that are easily left out: eager PyTorch's numbers at the traced sizes, at others, and saved."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest
import torch
from torch import nn

import unmoor
from unmoor.errors import NotTraced

CASES: dict[str, tuple[Callable[[], nn.Module], tuple[tuple[int, ...], ...]]] = {
    "dropout of rows": (lambda: nn.Sequential(nn.Dropout1d(0.4), nn.Linear(5, 3)), ((2, 4, 5), (3, 2, 5))),
    "dropout of pictures": (lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Dropout2d(0.4)), ((2, 3, 5, 5), (1, 3, 6, 7))),
    "dropout of volumes": (lambda: nn.Dropout3d(0.4), ((2, 3, 2, 3, 4), (1, 2, 3, 3, 3))),
    "dropout in place": (
        lambda: nn.Sequential(nn.Linear(3, 3), nn.Dropout2d(0.4, inplace=True)),
        ((2, 4, 3), (3, 1, 3)),
    ),
    "dropout for selu": (lambda: nn.Sequential(nn.SELU(), nn.AlphaDropout(0.2)), ((2, 3), (4, 5))),
    "channels for selu": (lambda: nn.FeatureAlphaDropout(0.2), ((2, 3, 4), (4, 5, 2))),
    "random slopes": (lambda: nn.RReLU(0.1, 0.3), ((2, 3), (4, 5))),
    "hard shrinking": (lambda: nn.Hardshrink(0.3), ((2, 3), (4, 5))),
    "running instance norm": (
        lambda: nn.Sequential(nn.InstanceNorm1d(4, affine=True, track_running_stats=True)),
        ((2, 4, 5), (3, 4, 2)),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_modules(name: str) -> None:
    torch.manual_seed(0)
    make, (example, *others) = CASES[name]
    module = make().eval()
    for buffer in module.buffers():
        buffer.add_(torch.rand_like(buffer, dtype=torch.float32).to(buffer.dtype))
    with torch.no_grad():
        traced = unmoor.trace(module, torch.randn(example))
        loaded = unmoor.load(traced.to_bytes(), trust=True)
        for called in (traced, loaded):
            x = torch.randn(example)
            torch.testing.assert_close(called(x.clone()), module(x.clone()), rtol=1e-5, atol=1e-5)
        for shape in others:
            x = torch.randn(shape)
            torch.testing.assert_close(traced(x.clone()), module(x.clone()), rtol=1e-5, atol=1e-5)


@pytest.mark.filterwarnings("ignore:traced in training mode")
@pytest.mark.parametrize("drop", [nn.AlphaDropout(0.3), nn.FeatureAlphaDropout(0.3)], ids=["elements", "channels"])
def test_dropout_for_selu_keeps_mean_and_variance(drop: nn.Module) -> None:
    with torch.no_grad():
        x = torch.randn(40, 50, 20)
        got = unmoor.trace(copy.deepcopy(drop).train(), x)(x)
        want = drop.train()(x)
    for of in (torch.mean, torch.std, torch.amin):
        torch.testing.assert_close(of(got), of(want), rtol=0.1, atol=0.1)
    changed = (got != got[:, :, :1]).any(-1)
    assert (got != x).any() and changed.any()


@pytest.mark.filterwarnings("ignore:traced in training mode")
def test_random_slopes_lie_in_their_range() -> None:
    with torch.no_grad():
        x = torch.randn(2000)
        got = unmoor.trace(nn.RReLU(0.1, 0.3).train(), x)(x)
    assert torch.equal(got[x > 0], x[x > 0])
    slopes = (got / x)[x < 0]
    assert slopes.min() >= 0.1 - 1e-6 and slopes.max() <= 0.3 + 1e-6 and abs(slopes.mean() - 0.2) < 0.01


@pytest.mark.parametrize("norm", [None, nn.LayerNorm(8)], ids=["bare", "norm"])
def test_padding_in_an_encoder_is_what_its_fast_path_gives(norm: nn.Module | None) -> None:
    encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2, norm).eval()

    def padding(*lengths: int) -> torch.Tensor:
        return torch.arange(max(lengths)) >= torch.tensor(lengths)[:, None]

    def program(x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return encoder(x, src_key_padding_mask=mask)

    with torch.no_grad():
        traced = unmoor.trace(program, torch.randn(2, 5, 8), padding(5, 3))
        for mask in (padding(4, 5), padding(7, 2, 6)):
            x = torch.randn(*mask.shape, 8)
            torch.testing.assert_close(traced(x, mask), program(x, mask), rtol=1e-5, atol=1e-5)
        with pytest.raises(NotTraced):  # padding in front, which eager computes
            traced(torch.randn(2, 5, 8), padding(5, 3).flip(1))
    own = unmoor.trace(program, torch.randn(2, 5, 8), padding(5, 3))
    x, mask = torch.randn(2, 5, 8), padding(2, 5)
    want = program(x, mask).detach()
    with torch.no_grad():
        torch.testing.assert_close(own(x, mask), want, rtol=1e-5, atol=1e-5)


def test_sequences_of_any_lengths_are_padded() -> None:
    def program(a: torch.Tensor, b: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        return nn.utils.rnn.pad_sequence([a, b, c], batch_first=True, padding_value=-1.0)

    traced = unmoor.trace(program, *(torch.randn(n, 3) for n in (4, 6, 5)))
    for lengths in ((4, 6, 5), (7, 2, 3), (3, 3, 3), (1, 4, 9)):
        xs = [torch.randn(n, 3) for n in lengths]
        torch.testing.assert_close(traced(*xs), program(*xs))
