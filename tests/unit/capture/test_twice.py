"""A result that depends on Python state which the call changes is refused; keeping or logging things is fine."""

from __future__ import annotations

import itertools
import random

import numpy as np
import pytest
import torch
from torch import nn

from unmoor.capture import record
from unmoor.errors import Unsupported

calls = 0


class Counter(nn.Module):
    def __init__(self):
        super().__init__()
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        return x * self.calls


class First(Counter):
    def forward(self, x):
        self.calls += 1
        assert self.calls == 1
        return x


class Memo(nn.Module):
    mask: torch.Tensor | None = None

    def forward(self, x):
        if self.mask is None:
            self.mask = torch.ones(x.shape[0])
        self.rows = x.shape[0]
        return x * self.mask


class KeepsFirst(nn.Module):
    mean: torch.Tensor | None = None

    def forward(self, x):
        if self.mean is None:
            self.mean = x.mean(0)
        return x - self.mean


def global_counter(x):
    global calls
    calls += 1
    return x * calls


def closed_over():
    history = [1.0]

    def f(x):
        history[0] += 1
        return x * history[0]

    return f


class History(nn.Module):
    def __init__(self):
        super().__init__()
        self.seen = []

    def forward(self, x):
        self.seen.append(x)
        return x * len(self.seen)


class Nested(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = History()

    def forward(self, x):
        return self.inner(x)


class Logging(History):
    def forward(self, x):
        self.seen.append(tuple(x.shape))
        return x + 1


def own_attribute(x):
    own_attribute.calls = getattr(own_attribute, "calls", 0) + 1
    return x * own_attribute.calls


class OwnGenerator(nn.Module):
    def __init__(self):
        super().__init__()
        self.generator = np.random.default_rng(1)

    def forward(self, x):
        return x + float(self.generator.random())


def drawing(source, draw):
    return lambda x: x + float(draw(source))


@pytest.mark.parametrize(
    ("name", "fn"),
    [
        ("calls", Counter()),
        ("calls", First()),
        ("mean", KeepsFirst()),
        ("calls", global_counter),
        ("history", closed_over()),
        ("seen", History()),
        ("inner.seen", Nested()),
        ("own_attribute.calls", own_attribute),
        ("generator", OwnGenerator()),
        ("source", drawing(np.random.RandomState(3), lambda s: s.rand())),
        ("source", drawing(random.Random(3), lambda s: s.random())),
        ("source", drawing(itertools.count(3), next)),
        ("source", drawing(iter([1, 2, 3]), next)),
    ],
)
def test_counted_calls_are_refused(name, fn):
    with pytest.raises(Unsupported, match=f"changes {name} in Python"):
        record(fn, (torch.rand(3),))


def test_what_is_only_kept_or_logged_is_fine(replay):
    replay(Memo(), torch.rand(3)).agrees(torch.rand(3))
    logging = Logging()
    replay(logging, torch.rand(3)).agrees(torch.rand(5))
    log = []

    def logs(x):
        log.append(tuple(x.shape))
        return x + 1

    replay(logs, torch.rand(3))
    assert len(log) == 1
