"""Workloads that memory or cheap arithmetic bounds: the cost of a call, pointwise chains, rows."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class Empty(nn.Module):
    """Least work that still makes an output: one number."""

    def forward(self, x):
        return x + 1


class Tiny(nn.Module):
    """Four operations on a 5 x 5 matrix, as the first example of a tracing tutorial has them."""

    def __init__(self):
        super().__init__()
        self.register_buffer("unit", torch.eye(5))
        self.register_buffer("ramp", torch.linspace(0, 24, 25).view(5, 5))

    def forward(self, x):
        return (x * self.unit + self.ramp).relu() @ self.unit


class Affine(nn.Module):
    """A scale and a shift per column, and a relu."""

    def __init__(self, columns):
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.randn(columns)), nn.Parameter(torch.randn(columns))

    def forward(self, x):
        return F.relu(x * self.scale + self.shift)


class Chain(Affine):
    """Eight pointwise operations, three of them transcendental."""

    def forward(self, x):
        y = super().forward(x)
        return F.gelu(y, approximate="tanh") + y.tanh() * x.sigmoid()


class Softmax(nn.Module):
    def forward(self, x):
        return x.softmax(-1)


class NormResidualGelu(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, x, residual):
        return F.gelu(self.norm(x + residual), approximate="tanh")


MAKERS = {
    "empty": lambda: (Empty(), (torch.randn(1),)),
    "tiny5": lambda: (Tiny(), (torch.randn(5, 5),)),
    "affine_1e6": lambda: (Affine(1000), (torch.randn(1000, 1000),)),
    "affine_16e6": lambda: (Affine(4000), (torch.randn(4000, 4000),)),
    "chain_1e6": lambda: (Chain(1000), (torch.randn(1000, 1000),)),
    "chain_16e6": lambda: (Chain(4000), (torch.randn(4000, 4000),)),
    "softmax": lambda: (Softmax(), (torch.randn(4096, 1024),)),
    "ln_res_gelu": lambda: (NormResidualGelu(768), (torch.randn(4096, 768), torch.randn(4096, 768))),
}
