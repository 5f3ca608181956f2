"""A weight stands once in a file, in the order in which kernels read it; the recorded graph puts it back in order."""

from __future__ import annotations

import io
import math
from collections.abc import Callable

import pytest
import torch
from torch import nn
from torch.nn import functional as F

import unmoor
from unmoor import archive
from unmoor.ir.parser import parse_graph
from unmoor.reference import run_graph

SMALL = 1024  # bytes: what batch norms were folded into


class Crossed(nn.Module):
    """Attention of one sequence to another: one weight for query, key and value, read in pieces."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(32, 2, batch_first=True)

    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return self.attention(x, y, y, need_weights=False)[0]


class Tied(nn.Module):
    """A table that is looked up, and multiplied with at the end."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(300, 48)

    def forward(self, tokens: torch.Tensor) -> torch.Tensor:
        return F.linear(torch.tanh(self.table(tokens)), self.table.weight)


class Last(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(24, 32, num_layers=2, bidirectional=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.lstm(x)[0]


def images(channels: int, rank: int = 2) -> Callable[[int], tuple[torch.Tensor, ...]]:
    return lambda batch: (torch.randn(batch, channels, *(9, 8, 7)[:rank]),)


Inputs = Callable[[int], tuple[torch.Tensor, ...]]
CASES: dict[str, tuple[Callable[[], nn.Module], Inputs]] = {
    "convolution": (lambda: nn.Sequential(nn.Conv2d(16, 48, 3), nn.BatchNorm2d(48)), images(16)),
    "1 x 1": (lambda: nn.Conv2d(32, 96, 1), images(32)),
    "one column": (lambda: nn.Conv2d(32, 1, 3), images(32)),
    "grouped": (lambda: nn.Conv2d(32, 64, 3, groups=2), images(32)),
    "depthwise": (lambda: nn.Conv2d(64, 128, 5, groups=64, padding=2), images(64)),
    "transposed": (lambda: nn.ConvTranspose2d(32, 48, 3, 2, 1, 1), images(32)),
    "transposed side by side": (lambda: nn.ConvTranspose2d(32, 48, 2, 2), images(32)),
    "transposed groups": (lambda: nn.ConvTranspose2d(32, 64, 3, groups=2), images(32)),
    "one dim": (lambda: nn.Conv1d(32, 64, 3, dilation=2), images(32, 1)),
    "three dims": (lambda: nn.Conv3d(8, 32, 3), images(8, 3)),
    "linear": (lambda: nn.Linear(32, 96).double(), lambda batch: (torch.randn(batch, 32).double(),)),
    "half": (lambda: nn.Conv2d(16, 48, 3).half(), lambda batch: (torch.randn(batch, 16, 9, 8).half(),)),
    "attention": (Crossed, lambda batch: (torch.randn(batch, 5, 32), torch.randn(batch, 7, 32))),
    "tied": (Tied, lambda batch: (torch.randint(0, 300, (batch, 5)),)),
    "lstm": (Last, lambda batch: (torch.randn(6, batch, 24),)),
}


@pytest.mark.parametrize("name", CASES)
def test_a_weight_stands_once(name: str) -> None:
    make, inputs = CASES[name]
    torch.manual_seed(0)
    net = make().eval()
    with torch.no_grad():
        traced = unmoor.trace(net, *inputs(3))
        file = io.BytesIO()
        digest = unmoor.save(traced, file, check=False, examples=False)
        image = archive.read(file.getvalue())

        weights = {t.data_ptr(): t.nbytes for t in (*net.parameters(), *net.buffers())}
        stored = sum(math.prod(w.shape) * w.dtype.size for w in image.weights)  # as if no panel were filled up
        assert stored <= sum(weights.values()) + SMALL

        given = inputs(2)
        (method,) = image.methods
        graph = parse_graph(method.graph, {n: archive.unpack(image.weights[k]) for n, k in method.constants})
        made, want = (
            run_graph(graph, [x.numpy() for x in given]),
            run_graph(traced._recording.graph, [x.numpy() for x in given]),
        )
        for a, b in zip(made, want, strict=True):
            assert a.tobytes() == b.tobytes()

        del image, graph
        model = unmoor.load(io.BytesIO(file.getvalue()), trust=digest)
        assert torch.equal(model(*given), traced(*given))


@pytest.mark.parametrize("name", ["1 x 1", "depthwise", "transposed", "grouped"])
def test_what_is_compiled_from_a_file_gives_the_same_bits(name: str) -> None:
    make, inputs = CASES[name]
    torch.manual_seed(0)
    net = make().eval()
    with torch.no_grad():
        traced = unmoor.trace(net, *inputs(3))
        file = io.BytesIO()
        digest = unmoor.save(traced, file, check=False, examples=False)
        model = unmoor.load(io.BytesIO(file.getvalue()), trust=digest)
        (alone,) = (x[0] for x in inputs(2))  # another rank: the file has no program for it
        assert torch.equal(model(alone), traced(alone))


def test_a_second_signature_reads_the_same_weights() -> None:
    net = nn.Conv2d(16, 48, 3).eval()
    with torch.no_grad():
        traced = unmoor.trace(net, torch.randn(2, 16, 9, 8))
        before = [w.data.nbytes for w in traced.image(()).weights]
        traced.add_example(torch.randn(16, 9, 8))
        assert [w.data.nbytes for w in traced.image(()).weights] == before
