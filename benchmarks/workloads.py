"""The programs that are measured, each with its inputs. Seeded, float32, eval mode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F


@dataclass(frozen=True)
class Workload:
    """A module and its inputs. `bytes` and `flops` say what a call must move and compute at least."""

    module: nn.Module
    inputs: tuple[torch.Tensor, ...]
    bytes: int = 0
    flops: int = 0


class Empty(nn.Module):
    """Least work that still makes an output: one number."""

    def forward(self, x):
        return x + 1


class Affine(nn.Module):
    def __init__(self):
        super().__init__()
        self.m1, self.m2 = nn.Parameter(torch.tensor(1.5)), nn.Parameter(torch.tensor(0.5))

    def forward(self, x):
        return torch.relu(x * self.m1 + self.m2)


class Chain(nn.Module):
    """Eight pointwise operations."""

    def forward(self, x):
        y = torch.tanh(x * 0.7 + 0.1)
        return torch.sigmoid(y * y - x) * y + 2.0


class Softmax(nn.Module):
    def forward(self, x):
        return torch.softmax(x, -1)


class NormResidualGelu(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.norm = nn.LayerNorm(width)

    def forward(self, x, residual):
        return F.gelu(self.norm(x + residual))


class LinearGelu(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.linear = nn.Linear(inputs, outputs)

    def forward(self, x):
        return F.gelu(self.linear(x))


class Matmul(nn.Module):
    def forward(self, a, b):
        return a @ b


def article_model() -> nn.Module:
    """3-8-16-1 with two dropout layers."""
    layers = [
        nn.Linear(3, 8),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(8, 16),
        nn.ReLU(),
        nn.Dropout(0.2),
        nn.Linear(16, 1),
    ]
    return nn.Sequential(*layers)


def _rand(*shape: int) -> torch.Tensor:
    return torch.randn(*shape)


MAKERS: dict[str, Callable[[], Workload]] = {
    "empty": lambda: Workload(Empty(), (_rand(1),)),
    "article_b1": lambda: Workload(article_model(), (_rand(1, 3),)),
    "article_b1000": lambda: Workload(article_model(), (_rand(1000, 3),)),
    "affine_1e6": lambda: Workload(Affine(), (_rand(1_000_000),), bytes=8_000_000),
    "chain_1e6": lambda: Workload(Chain(), (_rand(1_000_000),), bytes=8_000_000),
    "softmax": lambda: Workload(Softmax(), (_rand(4096, 1024),), bytes=2 * 4 * 4096 * 1024),
    "norm_residual_gelu": lambda: Workload(NormResidualGelu(768), (_rand(4096, 768), _rand(4096, 768))),
    "linear_gelu_128": lambda: Workload(LinearGelu(768, 3072), (_rand(128, 768),), flops=2 * 128 * 768 * 3072),
    "matmul_1024": lambda: Workload(Matmul(), (_rand(1024, 1024), _rand(1024, 1024)), flops=2 * 1024**3),
}


def make(name: str) -> Workload:
    """The workload of that name, the same each time."""
    torch.manual_seed(0)
    workload = MAKERS[name]()
    workload.module.eval()
    return workload
