"""Workloads with a loop along time."""

from __future__ import annotations

import torch
from torch import nn


class Outputs(nn.Module):
    """The outputs of an LSTM along time."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(128, 256, batch_first=True)

    def forward(self, x):
        return self.lstm(x)[0]


MAKERS = {"lstm": lambda: (Outputs(), (torch.randn(1, 64, 128),))}
