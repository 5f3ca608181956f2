"""Workloads of matrix products alone: the article's model, one linear layer, two operands that both are inputs."""

from __future__ import annotations

import torch
from torch import nn


def article_model() -> nn.Module:
    """3-8-16-1 with two dropout layers."""
    layers = [nn.Linear(3, 8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 16), nn.ReLU(), nn.Dropout(0.2)]
    return nn.Sequential(*layers, nn.Linear(16, 1))


def linear_gelu() -> nn.Module:
    return nn.Sequential(nn.Linear(768, 3072), nn.GELU())


class Matmul(nn.Module):
    def forward(self, a, b):
        return a @ b


MAKERS = {
    "mlp_b1": lambda: (article_model(), (torch.randn(1, 3),)),
    "mlp_b1000": lambda: (article_model(), (torch.randn(1000, 3),)),
    "linear_gelu_1": lambda: (linear_gelu(), (torch.randn(1, 768),)),
    "linear_gelu_128": lambda: (linear_gelu(), (torch.randn(128, 768),)),
    "matmul_1024": lambda: (Matmul(), (torch.randn(1024, 1024), torch.randn(1024, 1024))),
    "matmul_2048": lambda: (Matmul(), (torch.randn(2048, 2048), torch.randn(2048, 2048))),
}
