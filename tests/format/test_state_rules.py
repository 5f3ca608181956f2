"""Files with state: what their rows promise is checked when they are opened, by both readers alike."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache

import pytest
import torch
from torch import nn

import unmoor
from unmoor import archive, runtime
from unmoor.ir.program import Image, State
from unmoor.ir.signature import Signature


class Counts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("calls", torch.zeros((), dtype=torch.int64))
        self.register_buffer("total", torch.zeros(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        self.total += x.sum(0)
        x.add_(self.total)
        return x * self.calls


@cache
def counted() -> Image:
    """A file with two states and a changed input."""
    return unmoor.trace(Counts(), torch.ones(2, 3)).image()


def with_signature(change: Callable[[Signature], Signature]) -> Image:
    image = counted()
    (method,) = image.methods
    program = replace(method.programs[0], signature=change(method.programs[0].signature))
    return replace(image, methods=(replace(method, programs=(program,)),))


def test_it_is_read_as_it_was_written() -> None:
    image = counted()
    signature = archive.read(archive.write(image)).methods[0].programs[0].signature
    assert signature == image.methods[0].programs[0].signature
    assert set(signature.states) == {"calls", "total"} and len(signature.changed) == 3


@pytest.mark.parametrize(
    "broken",
    [
        lambda: with_signature(lambda s: replace(s, changed=(s.changed[0], *s.changed[:2]))),  # one written twice
        lambda: with_signature(lambda s: replace(s, changed=s.changed[::-1])),  # into another type
        lambda: with_signature(lambda s: replace(s, changed=(*s.changed[:2], 99))),  # into none
        lambda: with_signature(lambda s: replace(s, states=s.states[::-1])),  # another state's type
        lambda: with_signature(lambda s: replace(s, states=(s.states[0], s.states[0]))),  # one state twice
        lambda: replace(counted(), states=tuple(State(s.name, 1 - s.weight) for s in counted().states)),
    ],
)
def test_what_breaks_the_rules_is_refused(broken: Callable[[], Image]) -> None:
    data = archive.write(broken())
    with pytest.raises(unmoor.ArchiveError):
        archive.read(data)
    with pytest.raises(unmoor.ArchiveError):
        runtime.open(data, trust=True)
