"""Programs that index by data: fused with their neighbours, and refused where eager PyTorch refuses."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import unmoor
from unmoor.errors import UnmoorError


class Reader(nn.Module):
    """Word and position embeddings, normalised, and a choice among what came of it."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.words, self.places = nn.Embedding(50, 37, padding_idx=0), nn.Embedding(20, 37)
        self.norm, self.out = nn.LayerNorm(37), nn.Linear(37, 50)

    def forward(self, ids):
        h = self.norm(self.words(ids) + self.places(torch.arange(ids.shape[1])[None]))
        scores = self.out(h)
        best = scores.argmax(-1, keepdim=True)
        return scores.gather(-1, best), h[torch.arange(ids.shape[0]), ids.argmax(-1)], h[:, [0, -1]]


@pytest.fixture(scope="module")
def reader():
    net = Reader().eval()
    return net, unmoor.trace(net, torch.randint(0, 50, (3, 7)))


@pytest.mark.parametrize("shape", [(3, 7), (1, 1), (2, 20)])
def test_a_reader_of_words(reader, shape):
    net, traced = reader
    ids = torch.randint(0, 50, shape)
    with torch.no_grad():
        for got, want in zip(traced(ids), net(ids), strict=True):
            torch.testing.assert_close(got, want)


@pytest.mark.parametrize("ids", [[[1, 50]], [[1, -1]], [[1] * 21]])
def test_what_is_out_of_range_is_refused(reader, ids):
    net, traced = reader
    with torch.no_grad():
        with pytest.raises(IndexError, match="index out of range in self"):
            net(torch.tensor(ids))
        with pytest.raises(UnmoorError, match=r"test_indexing.py:\d+.* index out of range in self"):
            traced(torch.tensor(ids))


def writes(x, i):
    y = x.clone()
    y[i] += 1.0
    y[~(x > 0)] = -1
    y[..., None, 1] = 0
    y[[0, 1], 2:] = 7
    y[1:3][:, ::2] = y[0, :1]
    y[-1].mul_(2)
    y.select(1, 0).add_(3)
    y.narrow(0, 1, 2).fill_(0.5)
    y[i[0], i[1]] = 9
    first, *_ = y.unbind(1)
    first.sub_(1)
    z = torch.zeros_like(x).index_put_((i,), x[i], accumulate=True)
    w = torch.zeros_like(x).scatter_add(0, i.unsqueeze(1).expand(-1, 5), x[i])
    v = torch.zeros(x.shape[0], dtype=torch.long).scatter_(0, i, i)
    return y, z, w, v, x.cumsum(0), x.cummax(1).indices, x.index_fill(0, i[:2], 0).masked_scatter(x > 0, x.flatten())


@pytest.mark.parametrize("rows", [4, 6, 33])
def test_writes_to_parts(rows, tmp_path):
    x, i = torch.randn(5, 5), torch.tensor([0, 3, 3, 1])
    traced = unmoor.trace(writes, x, i)
    torch.manual_seed(rows)
    x, i = torch.randn(rows, 5), torch.randint(0, 4, (7,))
    for got, want in zip(traced(x, i), writes(x, i), strict=True):
        torch.testing.assert_close(got, want)
    digest = unmoor.save(traced, tmp_path / "w.unmoor")
    for got, want in zip(unmoor.load(tmp_path / "w.unmoor", trust=digest)(x, i), writes(x, i), strict=True):
        torch.testing.assert_close(got, want)
    with pytest.raises(IndexError):
        writes(x, torch.tensor([0, rows, 1]))
    with pytest.raises(UnmoorError, match="out of bounds"):
        traced(x, torch.tensor([0, rows, 1]))
