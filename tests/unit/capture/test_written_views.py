"""A write to what an op gave shows in its argument exactly where eager PyTorch's two share memory, at every size."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import unmoor
from unmoor.capture import record
from unmoor.reference import run_graph

GIVEN = {
    "ravel": lambda x: x.T.ravel(),
    "reshape_as": lambda x: x.T.reshape_as(x.flatten()),
    "view_as": lambda x: x.view_as(x),
    "type_as": lambda x: x.type_as(torch.ones(1)),
    "real": torch.real,
    "positive": torch.positive,
    "adjoint": torch.adjoint,
    "atleast_3d": torch.atleast_3d,
    "broadcast_tensors": lambda x: torch.broadcast_tensors(x, x + 1)[0],
    "einsum turned": lambda x: torch.einsum("ij->ji", x),
    "einsum summed": lambda x: torch.einsum("ij->i", x),
    "tensor_split by number": lambda x: x.tensor_split(2)[1],
    "tensor_split by places": lambda x: x.tensor_split([1], -1)[1],
    "hsplit": lambda x: x.hsplit([1])[0],
    "dsplit": lambda x: x[:, :, None].dsplit(1)[0],
    "linalg.diagonal": torch.linalg.diagonal,
    "windows apart": lambda x: x.unfold(0, 2, 2),
    "windows of one": lambda x: x.unfold(1, 1, 1),
    "indexed by a number": lambda x: x[x.sum().long() % 2],
    "indexed by a number and a slice": lambda x: x[x.sum().long() % 2, 1:],
    "indexed by numbers": lambda x: x[x.long()[0] % 2],
    "indexed by a mask of one": lambda x: x[x.sum() > 3],
    "repeated by expand": lambda x: x.expand(x.shape),
    "pixel_shuffle by 1": lambda x: torch.pixel_shuffle(x[:, None], 1),
    "repeat": lambda x: x.repeat(1, 1),
}


def numbers(*sizes):
    return torch.arange(1.0, 1 + torch.Size(sizes).numel()).reshape(sizes)


def replayed(recording, *given):
    """What the recording gives, by its interpreter, and what its arguments hold afterwards."""
    made = run_graph(recording.graph, [t.numpy().copy() for t in given])
    count = len(made) - len(recording.changed)
    after = list(given)
    for place, value in zip(recording.changed, made[count:], strict=True):
        after[place] = torch.from_numpy(np.array(value))
    return [torch.from_numpy(np.array(v)) for v in made[:count]], after


def agrees(fn, recording, *given):
    got, after = replayed(recording, *given)
    mine = [t.clone() for t in given]
    want = fn(*mine)
    for w, g in zip((*(want if isinstance(want, tuple) else (want,)), *mine), (*got, *after), strict=True):
        torch.testing.assert_close(g, w, rtol=0, atol=0)


@pytest.mark.parametrize("own", [False, True], ids=["an argument", "a tensor of its own"])
@pytest.mark.parametrize("give", GIVEN.values(), ids=GIVEN)
def test_shows_where_memory_is_shared(give, own):
    def fn(x):
        x = x * 1 if own else x
        y = give(x)
        y.add_(1)
        z = x * 2
        x.mul_(3)
        return z, y * 1

    for example in ((2, 3), (2, 1)):
        try:
            fn(numbers(*example))
        except RuntimeError:
            continue
        recording = record(fn, (numbers(*example),))
        for sizes in ((2, 3), (2, 1), (1, 3), (3, 3), (1, 1)):
            try:
                fn(numbers(*sizes))
            except (RuntimeError, IndexError):
                continue
            try:
                agrees(fn, recording, numbers(*sizes))
            except unmoor.NotTraced:
                assert sizes != example


def test_an_index_that_may_be_one_number_says_which_it_was():
    def fn(x, i):
        y = x[i]
        y.add_(1)
        return x * 2

    one, some, mask = torch.tensor(1), torch.tensor([1, 0]), torch.tensor(True)
    for example, other in ((one, some), (some, one), (one, mask), (mask, one)):
        recording = record(fn, (numbers(2, 3), example))
        agrees(fn, recording, numbers(2, 3), example)
        with pytest.raises(unmoor.NotTraced, match=r"y.add_\(1\)"):
            replayed(recording, numbers(2, 3), other)


def test_windows_that_overlap():
    def fn(x):
        x.unfold(0, 2, 1).add_(1)
        return x * 2

    with pytest.raises(unmoor.Unsupported, match=r"windows of a tensor that overlap.* PyTorch leaves open"):
        record(fn, (numbers(4),))
    recording = record(fn, (numbers(2),))
    agrees(fn, recording, numbers(2))
    with pytest.raises(unmoor.NotTraced, match="overlap"):
        replayed(recording, numbers(3))


def test_what_hangs_on_whether_a_sum_sums_is_refused():
    def fn(x):
        x.sum_to_size(1, 3).add_(1)
        return x * 2

    with pytest.raises(unmoor.Unsupported, match="may or may not share memory"):
        record(fn, (numbers(2, 3),))
