"""The model of the demo: its definition, its data and its training. Plain PyTorch; nothing here knows of Unmoor."""

from __future__ import annotations

import sys

import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

EPOCHS = 10


class Net(nn.Module):
    """3-8-16-1 with two dropout layers."""

    def __init__(self):
        super().__init__()
        self.l1 = nn.Linear(3, 8)
        self.l2 = nn.Linear(8, 16)
        self.l3 = nn.Linear(16, 1)
        self.d1 = nn.Dropout(0.2)
        self.d2 = nn.Dropout(0.2)

    def forward(self, x):
        x = self.d1(torch.relu(self.l1(x)))
        x = self.d2(torch.relu(self.l2(x)))
        return self.l3(x)


class ToyDataset(Dataset):
    """y = 0.2 x1 - 1.3 x2 - 0.5 x3 + noise."""

    def __init__(self, n):
        self.x = torch.randn(n, 3)
        self.y = self.x @ torch.tensor([[0.2], [-1.3], [-0.5]]) + torch.randn(n, 1)

    def __getitem__(self, i):
        return self.x[i], self.y[i]

    def __len__(self):
        return len(self.x)


def train_batch(model, optimizer, x, y):
    optimizer.zero_grad()
    loss = nn.functional.mse_loss(model(x), y)
    loss.backward()
    optimizer.step()
    return loss.item()


def progress(epoch, done, total):
    """A progress bar on a terminal; nothing where the output goes to a file."""
    if sys.stdout.isatty():
        filled = 30 * done // total
        print(f"\repoch {epoch:2d} |{'#' * filled}{'.' * (30 - filled)}| {done}/{total}", end="", flush=True)


def train(seed=0, n=1000):
    torch.manual_seed(seed)
    loader = DataLoader(ToyDataset(n), shuffle=True)
    model = Net()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
    for epoch in range(1, EPOCHS + 1):
        losses = []
        for x, y in loader:
            losses.append(train_batch(model, optimizer, x, y))
            if len(losses) % 20 == 0:
                progress(epoch, len(losses), len(loader))
        start = "\r\033[K" if sys.stdout.isatty() else ""
        print(f"{start}Epoch: {epoch}, loss: {sum(losses) / len(losses):.4f}", flush=True)
    return model
