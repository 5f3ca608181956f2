"""The programs that are measured, each with its inputs. Seeded, float32, eval mode."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import convolutional
import dense
import elementwise
import recurrent
import torch
import transformer_models
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

Made = tuple[nn.Module, tuple[torch.Tensor, ...]]
FAMILIES = (elementwise, dense, transformer_models, convolutional, recurrent)
MAKERS: dict[str, Callable[[], Made]] = {name: make for family in FAMILIES for name, make in family.MAKERS.items()}


@dataclass(frozen=True)
class Workload:
    """A module and its inputs, and what a call must read, write and compute at least."""

    module: nn.Module
    inputs: tuple[torch.Tensor, ...]
    read: int  # bytes
    written: int
    flops: int  # of contractions; the pointwise rest is not counted


def make(name: str) -> Workload:
    """The workload of that name, the same each time."""
    torch.manual_seed(0)
    module, inputs = MAKERS[name]()
    module.eval().requires_grad_(False)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        result = module(*inputs)
    outputs = result if isinstance(result, tuple) else (result,)
    return Workload(module, inputs, _bytes(inputs) + _weights(module), _bytes(outputs), int(counter.get_total_flops()))


def _bytes(tensors: tuple[torch.Tensor, ...]) -> int:
    return sum(t.numel() * t.element_size() for t in tensors)


def _weights(module: nn.Module) -> int:
    """Bytes of the weights that a call must read whole: all but tables of which it looks up a few rows."""
    looked_up = {id(m.weight) for m in module.modules() if isinstance(m, nn.Embedding)}
    multiplied = {id(m.weight) for m in module.modules() if isinstance(m, nn.Linear)}
    return sum(p.numel() * p.element_size() for p in module.parameters() if id(p) not in looked_up - multiplied)
