"""A ResNet on pictures of any size and batch: traced once at 64 x 64, saved, and run by the file alone.

python examples/resnet.py
"""

import torch
from torch import nn

import unmoor


class Block(nn.Module):
    """Two convolutions with a way around them."""

    def __init__(self, before: int, after: int, stride: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(before, after, 3, stride, 1, bias=False)
        self.second = nn.Conv2d(after, after, 3, 1, 1, bias=False)
        self.norms = nn.ModuleList(nn.BatchNorm2d(after) for _ in range(3))
        self.around = nn.Conv2d(before, after, 1, stride, bias=False) if before != after or stride != 1 else None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norms[1](self.second(torch.relu(self.norms[0](self.first(x)))))
        return torch.relu(y + (x if self.around is None else self.norms[2](self.around(x))))


class ResNet(nn.Module):
    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 7, 2, 3, bias=False), nn.BatchNorm2d(16), nn.ReLU())
        self.blocks = nn.Sequential(Block(16, 16, 1), Block(16, 32, 2), Block(32, 64, 2))
        self.head = nn.Linear(64, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.max_pool2d(self.stem(x), 3, 2, 1)
        return self.head(self.blocks(x).mean((2, 3)))


torch.manual_seed(0)
net = ResNet()
net(torch.randn(8, 3, 64, 64))  # in training mode: batch norm sees some pictures
net.eval()
with torch.no_grad():
    traced = unmoor.trace(net, torch.randn(1, 3, 64, 64))
    digest = unmoor.save(traced, "resnet.unmoor")
    model = unmoor.load("resnet.unmoor", trust=digest)
    print(model)
    for shape in ((1, 3, 64, 64), (4, 3, 64, 64), (2, 3, 97, 130), (1, 3, 224, 224)):
        pictures = torch.randn(shape)
        ours, eager = model(pictures), net(pictures)
        torch.testing.assert_close(ours, eager, rtol=1e-4, atol=1e-4)
        print(f"{list(shape)}: class {int(ours[0].argmax())}, as eager PyTorch")
    print("without torch:", model(torch.ones(1, 3, 64, 64).numpy()).shape)  # NumPy in, NumPy out
