"""What the program holds is looked at without running code of it."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch

import unmoor


class Lazy(OrderedDict[str, int]):
    """As transformers' tables of models: asked for its items, it makes them all."""

    made = 0

    def items(self) -> Any:
        Lazy.made += 1
        return super().items()


TABLE = Lazy(a=1)


def reads_a_table(x: torch.Tensor) -> torch.Tensor:
    return x * TABLE["a"] if x.sum() > 0 else x


def test_a_dict_of_a_class_of_its_own_is_not_asked_for_its_items() -> None:
    traced = unmoor.trace(reads_a_table, torch.ones(3))
    traced.add_example(-torch.ones(3))
    assert traced(-torch.ones(2)).tolist() == [-1, -1]
    assert Lazy.made == 0
