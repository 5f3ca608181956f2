"""Small models in the machine code of every target, also of one that this processor lacks, against eager PyTorch.

The native runtime runs the best target alone, so here the program's interpreter calls the kernels.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from machine import Machine, runnable
from torch import nn

import unmoor
from unmoor.codegen import generate
from unmoor.ir.kernel import Kernel
from unmoor.ir.target import ALL, Target
from unmoor.reference import program as interpreter


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(64, 4, 96, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x)


def networks() -> dict[str, tuple[nn.Module, tuple[torch.Tensor, ...]]]:
    torch.manual_seed(0)
    convolutions = nn.Sequential(
        nn.Conv2d(3, 20, 3, padding=1),
        nn.BatchNorm2d(20),
        nn.ReLU(),
        nn.Conv2d(20, 20, 3, stride=2, padding=1, groups=20),
        nn.Conv2d(20, 34, 1),
        nn.SiLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(34, 5),
    )
    return {
        "perceptron": (nn.Sequential(nn.Linear(7, 50), nn.GELU(), nn.Linear(50, 3)), (torch.randn(13, 7),)),
        "attention": (Attention(), (torch.randn(2, 19, 64),)),
        "convolutions": (convolutions, (torch.randn(2, 3, 11, 14),)),
        "norms": (nn.Sequential(nn.LayerNorm(37), nn.Softmax(-1), nn.Linear(37, 37)), (torch.randn(5, 37),)),
    }


@pytest.mark.parametrize("target", runnable(), ids=lambda t: t.name)
@pytest.mark.parametrize("name", networks())
def test_model_on_target(name: str, target: Target, monkeypatch: pytest.MonkeyPatch) -> None:
    net, args = networks()[name]
    net.eval()
    image = unmoor.trace(net, *args).image(ALL[:1])
    code = Machine(generate(list(image.kernels), target))

    def run(kernel: Kernel, buffers: Any, ints: Any, begin: int, end: int) -> None:
        code.call(kernel.name, buffers, ints, begin, end)

    monkeypatch.setattr(interpreter, "run_kernel", run)
    program = image.methods[0].programs[0]
    inputs = [a.numpy() for a in args]
    (got,) = interpreter.run_program(program, image.kernels, image.weights, inputs)
    with torch.no_grad():
        want = net(*args).numpy()
    np.testing.assert_allclose(got.reshape(want.shape), want, rtol=1e-4, atol=1e-5)
