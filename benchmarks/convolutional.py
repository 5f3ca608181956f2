"""Workloads of convolutions: whole networks for images, and single blocks of other kinds of them."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F

IMAGE = 224
STAGES = ((64, 3, 1), (128, 4, 2), (256, 6, 2), (512, 3, 2))  # of ResNet-50: width, blocks, stride of the first
INVERTED = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


def settled(network: nn.Module, size: int) -> nn.Module:
    """The network with batch norms that know what comes: as after training, no layer makes its input vanish or grow."""
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    for norm in norms:
        nn.init.uniform_(norm.weight, 0.5, 1.0)
        nn.init.normal_(norm.bias, std=0.1)
        norm.momentum = 1.0
    with torch.no_grad():
        network.train()(torch.randn(2, 3, size, size))
    return network.eval()


def convolved(channels: int, outputs: int, size: int, stride: int = 1, groups: int = 1, act: bool = True) -> nn.Module:
    """Convolution, batch norm and ReLU6."""
    convolution = nn.Conv2d(channels, outputs, size, stride, size // 2, groups=groups, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(outputs), *([nn.ReLU6()] if act else []))


class Residual(nn.Module):
    """ResNet's bottleneck; with `groups`, ResNeXt's."""

    def __init__(self, channels: int, width: int, outputs: int, stride: int, groups: int = 1) -> None:
        super().__init__()
        self.narrow, self.norm1 = nn.Conv2d(channels, width, 1, bias=False), nn.BatchNorm2d(width)
        self.middle = nn.Conv2d(width, width, 3, stride, 1, groups=groups, bias=False)
        self.norm2 = nn.BatchNorm2d(width)
        self.wide, self.norm3 = nn.Conv2d(width, outputs, 1, bias=False), nn.BatchNorm2d(outputs)
        self.short = None
        if channels != outputs or stride != 1:
            self.short = nn.Sequential(nn.Conv2d(channels, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x):
        y = F.relu(self.norm1(self.narrow(x)))
        y = self.norm3(self.wide(F.relu(self.norm2(self.middle(y)))))
        return F.relu(y + (x if self.short is None else self.short(x)))


def resnet50() -> nn.Module:
    layers = [nn.Conv2d(3, 64, 7, 2, 3, bias=False), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(3, 2, 1)]
    channels = 64
    for width, count, stride in STAGES:
        for k in range(count):
            layers.append(Residual(channels, width, 4 * width, stride if k == 0 else 1))
            channels = 4 * width
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 1000))


class Inverted(nn.Module):
    """MobileNetV2's block: wider, each channel on its own, narrower again."""

    def __init__(self, channels: int, outputs: int, stride: int, times: int) -> None:
        super().__init__()
        wide = channels * times
        layers = [convolved(channels, wide, 1)] if times > 1 else []
        layers += [convolved(wide, wide, 3, stride, groups=wide), convolved(wide, outputs, 1, act=False)]
        self.layers, self.adds = nn.Sequential(*layers), stride == 1 and channels == outputs

    def forward(self, x):
        return x + self.layers(x) if self.adds else self.layers(x)


def mobilenetv2() -> nn.Module:
    layers, channels = [convolved(3, 32, 3, 2)], 32
    for times, outputs, count, stride in INVERTED:
        for k in range(count):
            layers.append(Inverted(channels, outputs, stride if k == 0 else 1, times))
            channels = outputs
    layers += [convolved(channels, 1280, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(1280, 1000)]
    return nn.Sequential(*layers)


class ConvNeXt(nn.Module):
    """ConvNeXt's block: windows of 7 x 7 for each channel, then a layer norm and two linear layers at each place."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.spread = nn.Conv2d(channels, channels, 7, padding=3, groups=channels)
        self.norm = nn.LayerNorm(channels, eps=1e-6)
        self.wide, self.narrow = nn.Linear(channels, 4 * channels), nn.Linear(4 * channels, channels)
        self.scale = nn.Parameter(torch.full((channels,), 0.1))

    def forward(self, x):
        y = self.norm(self.spread(x).movedim(1, -1))
        return x + (self.scale * self.narrow(F.gelu(self.wide(y)))).movedim(-1, 1)


class UNet(nn.Module):
    """Two halvings and two doublings, each level joined with the one it came from."""

    def __init__(self) -> None:
        super().__init__()

        def twice(channels: int, outputs: int) -> nn.Module:
            first, second = nn.Conv2d(channels, outputs, 3, padding=1), nn.Conv2d(outputs, outputs, 3, padding=1)
            return nn.Sequential(first, nn.ReLU(), second, nn.ReLU())

        self.down = nn.ModuleList([twice(3, 32), twice(32, 64), twice(64, 128)])
        self.wider = nn.ModuleList([nn.ConvTranspose2d(128, 64, 2, 2), nn.ConvTranspose2d(64, 32, 2, 2)])
        self.up, self.last = nn.ModuleList([twice(128, 64), twice(64, 32)]), nn.Conv2d(32, 2, 1)

    def forward(self, x):
        first = self.down[0](x)
        second = self.down[1](F.max_pool2d(first, 2))
        x = self.wider[0](self.down[2](F.max_pool2d(second, 2)))
        x = self.wider[1](self.up[0](torch.cat((second, x), 1)))
        return self.last(self.up[1](torch.cat((first, x), 1)))


class Squeezed(nn.Module):
    """MobileNetV3's block: windows of 5 x 5 for each channel, weighed by what the whole image holds of it."""

    def __init__(self, channels: int, wide: int) -> None:
        super().__init__()
        self.widen = nn.Sequential(nn.Conv2d(channels, wide, 1), nn.Hardswish())
        self.spread = nn.Sequential(nn.Conv2d(wide, wide, 5, padding=2, groups=wide), nn.Hardswish())
        self.fewer, self.more = nn.Conv2d(wide, wide // 4, 1), nn.Conv2d(wide // 4, wide, 1)
        self.narrow = nn.Conv2d(wide, channels, 1)

    def forward(self, x):
        y = self.spread(self.widen(x))
        weight = F.hardsigmoid(self.more(F.relu(self.fewer(F.adaptive_avg_pool2d(y, 1)))))
        return x + self.narrow(y * weight)


MAKERS = {
    "resnet50": lambda: (settled(resnet50(), IMAGE), (torch.randn(1, 3, IMAGE, IMAGE),)),
    "mobilenetv2": lambda: (settled(mobilenetv2(), IMAGE), (torch.randn(1, 3, IMAGE, IMAGE),)),
    "convnext_block": lambda: (ConvNeXt(96), (torch.randn(1, 96, 56, 56),)),
    "unet_small": lambda: (UNet(), (torch.randn(1, 3, 128, 128),)),
    "squeeze_block": lambda: (Squeezed(40, 240), (torch.randn(1, 40, 28, 28),)),
    "resnext_block": lambda: (Residual(256, 128, 256, 1, groups=32).eval(), (torch.randn(1, 256, 56, 56),)),
}
