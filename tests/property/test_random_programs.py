"""Random programs with branches, views, in-place writes, state and sizes: every level gives eager PyTorch's answer.

Hypothesis draws their seeds: a program of a seed is the same everywhere. `tools/random_programs.py` runs many more.
"""

from __future__ import annotations

import math
import random
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import unmoor
from unmoor.capture import record
from unmoor.jit import specialisations
from unmoor.reference import run_graph

sys.path.insert(0, str(Path(__file__).parent))
import agreement
from programs import program


@pytest.fixture(autouse=True)
def shared_code(monkeypatch):
    monkeypatch.setattr(specialisations, "Linker", agreement.SharedLinker)


@settings(
    max_examples=120,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(st.integers(0, 2**32 - 1), st.sampled_from([None, None, *agreement.passes()]))
def test_random_programs(seed, skip):
    made = program(random.Random(seed), longest=4)
    outcome = agreement.check(made, random.Random(0), skip)
    assert outcome.verdict != "wrong", f"seed {seed}: {outcome.why}\n{made.source}"


# Found by the long run.
def repeated_and_turned(x):
    v = x.repeat(2, 2)
    return v.index_select(1, torch.arange(v.shape[1] - 1, -1, -1)), v.flatten(0, 1), v.mean().mT


def through_a_view_of_what_a_factory_made(x):
    v = torch.ones(x.shape)
    v[..., 1:].mul_(2)
    return v


def of_a_count(x):
    v = torch.arange(x.shape[-1])
    v[:1].add_(7)
    return v + x


def axes_of_no_axis(x):
    s = x.sum()
    return s.flip(0), s.transpose(0, -1), s.movedim(0, 0)


def reshape_seen_by_a_branch_alone(x):
    w = x.unsqueeze(0)
    return w.sum() * 2 if x.sum() > 0 else (w.reshape(-1) + 1).sum()


def found_beside_more_work(x):
    v = x[x > 0]
    w = x.clone()
    w.view(-1)[1:] -= 1
    return v, w


def guard_on_an_element_of_a_bool(x):
    return x * 2 if (x > 0).reshape(-1)[-1].item() > 0.37 else x + 1


def three_halves_of_a_size(x):
    return torch.zeros(math.floor(x.shape[0] * 1.5)), torch.ones(math.ceil(0.25 * x.shape[-1]))


def test_a_size_times_a_plain_fraction_stays_an_expression():
    traced = unmoor.trace(three_halves_of_a_size, torch.ones(2, 3))
    for sizes in ((2, 3), (5, 8), (0, 1), (7, 9)):
        torch.testing.assert_close(traced(torch.ones(sizes)), three_halves_of_a_size(torch.ones(sizes)))
    assert "used a size" not in traced.assumptions


def element_tested_in_a_branch(x):
    return x * 2 if x.sum() > 0 and (x > 0).reshape(-1)[-1].item() else x + 1


def weights_on_one_path(x):
    return x.sum() * torch.tensor([1.0, 2.0, 3.0]) if x.shape[0] == 2 else x.sum() * torch.ones(3)


def chunks_of_nothing(x):
    return x.chunk(2)[-1] + 1, x.T.tensor_split(2)[1], x.split(x.shape[0] // 2)[0] * 2


def unflattened_beside_nothing(x):
    return x.unflatten(-1, (-1, 1)) + 1


@pytest.mark.parametrize("fn", [chunks_of_nothing, unflattened_beside_nothing])
def test_nothing_has_its_pieces(fn):
    traced = unmoor.trace(fn, torch.ones(0, 3))
    torch.testing.assert_close(traced(torch.ones(0, 3)), fn(torch.ones(0, 3)))


def diagonal_by_name(x):
    return torch.einsum("ii->i", x)


def split_off_one(x):
    return torch.split(x, [1, x.shape[0] - 1])[1] + 1


@pytest.mark.parametrize(("fn", "sizes"), [(diagonal_by_name, (3, 1)), (split_off_one, (0, 3))])
def test_what_eager_refuses_is_refused(fn, sizes):
    traced = unmoor.trace(fn, torch.ones(3, 3))
    with pytest.raises((unmoor.SignatureError, unmoor.NotTraced)):
        traced(torch.ones(sizes))


def test_state_that_one_path_alone_changes_is_refused():
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("n", torch.zeros(3))

        def forward(self, x):
            if x.sum() > 0:
                self.n += 1
            return x + 1

    traced = unmoor.trace(Net(), -torch.ones(2))
    with pytest.raises(unmoor.Unsupported, match="changes other state"):
        traced.add_example(torch.ones(2))


@pytest.mark.parametrize(
    "fn",
    [
        found_beside_more_work,
        guard_on_an_element_of_a_bool,
        element_tested_in_a_branch,
        weights_on_one_path,
        repeated_and_turned,
        through_a_view_of_what_a_factory_made,
        of_a_count,
        axes_of_no_axis,
        reshape_seen_by_a_branch_alone,
    ],
)
def test_what_was_found(fn):
    traced = unmoor.trace(fn, torch.ones(2, 3))
    traced.add_example(-torch.ones(4, 2))
    for x in (torch.ones(2, 3), -torch.ones(4, 2), torch.randn(3, 5)):
        torch.testing.assert_close(traced(x), fn(x), rtol=1e-5, atol=1e-6)


def test_repeating_nothing_gives_nothing():
    fn = repeated_and_turned
    traced = unmoor.trace(fn, torch.ones(2, 3))
    for sizes in ((0, 3), (2, 0), (0, 0)):
        torch.testing.assert_close(traced(torch.ones(sizes))[:2], fn(torch.ones(sizes))[:2])


def unused_sum(x, y):
    x + y
    return x * 2


def unused_narrow(x, y):
    x.narrow(0, 1, 1)
    return y + 1


def unused_item(x, y):
    y.item()
    return x * 2


def unused_item_added(x, y):
    y + y.item()
    return x * 2


def unused_view(x, y):
    y.view(y.shape[0], -1)
    return x * 2


def test_an_unused_result_in_a_branch_says_so_too():
    def fn(x, y):
        if x.sum() > 0:
            y.narrow(1, 0, 1)
        return x + 1

    traced = unmoor.trace(fn, torch.ones(2), torch.ones(2, 3))
    traced.add_example(-torch.ones(2), torch.ones(2, 3))
    with pytest.raises((unmoor.SignatureError, unmoor.NotTraced)):
        traced(torch.ones(2), torch.ones(2, 0))


@pytest.mark.parametrize("fn", [unused_item, unused_item_added])
def test_an_unused_item_is_of_one_element(fn):
    traced = unmoor.trace(fn, torch.ones(3), torch.ones(1, 1))
    torch.testing.assert_close(traced(torch.ones(4), torch.ones(1, 1)), torch.full((4,), 2.0))
    with pytest.raises(unmoor.SignatureError):
        traced(torch.ones(3), torch.ones(2, 2))


def test_state_takes_what_a_mask_finds_where_it_fits():
    class Net(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.register_buffer("s", torch.tensor([True, False, True]))

        def forward(self, x):
            self.s = x[x > 0].bool()
            return x * 2

    traced = unmoor.trace(Net(), torch.tensor([1, 2, -1, 3]))
    traced(torch.tensor([-1, 2, 1, 3, -7]))
    assert traced.state()["s"].tolist() == [True, True, True]
    with pytest.raises(unmoor.NotTraced):
        traced(torch.tensor([1, 2, 3, 4]))


def test_joined_dtypes_are_promoted_by_the_interpreter():
    def fn(x, y):
        return torch.cat([x, y], -1), torch.stack([x, y])

    x, y = torch.ones(2, 3), torch.ones(2, 3, dtype=torch.int64)
    got = run_graph(record(fn, (x, y)).graph, [x.numpy(), y.numpy()])
    assert [g.dtype for g in got] == [np.float32, np.float32]


@pytest.mark.parametrize("fn", [unused_sum, unused_narrow, unused_view])
def test_an_unused_result_still_says_which_sizes_fit(fn):
    traced = unmoor.trace(fn, torch.ones(3), torch.ones(3))
    torch.testing.assert_close(traced(torch.ones(4), torch.ones(4)), fn(torch.ones(4), torch.ones(4)))
    for sizes in ((2, 3), (0, 0)):
        x, y = map(torch.ones, sizes)
        try:
            want = fn(x, y)
        except Exception:
            with pytest.raises((unmoor.SignatureError, unmoor.NotTraced)):
                traced(x, y)
        else:
            torch.testing.assert_close(traced(x, y), want)
