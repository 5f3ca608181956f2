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
