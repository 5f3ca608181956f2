"""Values read out of tensors: comparisons where the program compares, stated equality elsewhere, never silence."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unmoor.capture import record
from unmoor.errors import Unsupported
from unmoor.ir.recording import Froze


class Limit:
    def __init__(self, high: float) -> None:
        self.high = high


LIMIT = Limit(2.5)
BOUND = 3


def compare_forms():
    k = 2

    def constant(t):
        return 1 if float(t) > 2.5 else 0

    def local(t):
        return 1 if float(t) >= k else 0

    def attribute(t):
        return 1 if float(t) < LIMIT.high else 0

    def mirrored(t):
        return 1 if float(t) < BOUND else 0

    def stored(t):
        big = float(t) > 2.5
        return 1 if big else 0

    def of_item(t):
        return 1 if float(t.item()) > 2.5 else 0

    def symbolic(t):
        return 1 if 2 * t.item() - 1 > 4 else 0

    return [constant, local, attribute, mirrored, stored, of_item, symbolic]


@pytest.mark.parametrize("compare", compare_forms(), ids=lambda f: f.__name__)
@pytest.mark.parametrize("start", [0.0, 10.0])
def test_a_float_that_is_compared_at_once_guards_the_comparison(replay, compare, start):
    r = replay(lambda t: t + compare(t), torch.tensor(start))
    assert not [a for a in r.recording.assumptions if a.froze is Froze.VALUE]
    held = compare(torch.tensor(start))
    for v in (-3.0, 0.0, 1.0, 2.0, 2.5, 2.6, 3.0, 4.0):
        if compare(torch.tensor(v)) == held:
            r.agrees(torch.tensor(v))
        else:
            r.refuses(torch.tensor(v))


@pytest.mark.parametrize("op", ["<", "<=", ">", ">="])
@pytest.mark.parametrize("bound", [-2, 0, 3])
@pytest.mark.parametrize("start", [-7.5, 7.5])
def test_int_of_a_float_truncates_before_the_comparison(replay, op, bound, start):
    scope: dict[str, object] = {}
    exec(f"def f(t):\n    return t + 1 if int(t) {op} {bound} else t - 1\n", scope)
    f = scope["f"]
    r = replay(f, torch.tensor(start))
    held = f(torch.tensor(start)) > start
    for v in np.arange(-4, 5, 0.25):
        t = torch.tensor(float(v))
        if (f(t) > t) == held:
            r.agrees(t)
        else:
            r.refuses(t)


def test_int_of_an_integer_tensor(replay):
    r = replay(lambda t: t + 1 if int(t) > 3 else t, torch.tensor(5))
    r.agrees(torch.tensor(4))
    r.refuses(torch.tensor(3))


def test_a_float_that_goes_elsewhere_is_frozen_and_said_so(replay):
    def f(t):
        scale = float(t.sum())
        return t * scale

    r = replay(f, torch.ones(2))
    (value,) = [a for a in r.recording.assumptions if a.froze is Froze.VALUE]
    assert "`float(t.sum())` freezes the value 2.0" in value.text and value.checked
    assert "here it is another" in value.message and ".item()" in value.message
    assert r.recording.assumptions[0] is value
    r.agrees(torch.tensor([1.5, 0.5]))
    r.refuses(torch.tensor([1.5, 0.6]))


def test_a_call_that_only_looks_like_float_is_frozen(replay):
    def f(t):
        return t if max(map(float, t)) > 0 else -t

    r = replay(f, torch.ones(2))
    r.refuses(torch.tensor([1.0, 2.0]))


def test_an_item_may_be_computed_with(replay):
    def f(t):
        m = t.max().item()
        return t * m + m / 2, t.clamp(max=m), m

    r = replay(f, torch.tensor([1.0, 2.0]))
    assert not any(op.endswith("guard") for op in r.ops)
    got = r(torch.tensor([3.0, 5.0]))
    assert got[2] == 5.0
    torch.testing.assert_close(got[0], torch.tensor([17.5, 27.5]))


def test_truth_of_tensors(replay):
    def f(mask, x):
        if mask.any() and not mask.all().item():
            return x + 1
        return x

    r = replay(f, torch.tensor([True, False]), torch.ones(2))
    assert r.ops.count("prim::truth") == 2
    r.agrees(torch.tensor([False, True, True]), torch.ones(2))
    r.refuses(torch.tensor([True, True]), torch.ones(2))


def test_a_tensor_used_as_an_index_is_pinned(replay):
    r = replay(lambda x, i: x + [10, 20, 30][i], torch.ones(2), torch.tensor(1))
    r.agrees(torch.zeros(2), torch.tensor(1))
    r.refuses(torch.ones(2), torch.tensor(2))


def test_tolist_gives_symbols(replay):
    def f(x):
        a, b = x.tolist()
        return x * a + b

    r = replay(f, torch.tensor([1.0, 2.0]))
    r.agrees(torch.tensor([3.0, 4.0]))
    r.refuses(torch.tensor([3.0, 4.0, 5.0]))


def test_what_takes_values_out_is_refused():
    for take in (lambda x: x.numpy(), np.asarray, lambda x: x.untyped_storage(), lambda x: complex(x.sum())):
        with pytest.raises(Unsupported, match=r"test_values.py:\d+: .* out of the trace"):
            record(lambda x: (take(x), x)[1], (torch.ones(2),))  # noqa: B023


def test_strides_are_written_down():
    recording = record(lambda x: x + 1 if x.is_contiguous() else x, (torch.ones(2),))
    (layout,) = [a for a in recording.assumptions if a.froze is Froze.LAYOUT]
    assert "takes the branch `x.is_contiguous()`" in layout.text and layout.checked


def test_a_tensor_of_tensors_is_refused():
    with pytest.raises(Unsupported, match=r"torch.stack"):
        record(lambda x: torch.tensor([x[0], x[1]]), (torch.ones(2),))


def test_numbers_from_elsewhere_are_written_down():
    table = [1.0, 2.0]
    literal = record(lambda x: x + torch.tensor([1.0, 2.0]), (torch.ones(2),))
    assert not literal.assumptions
    given = record(lambda x: x + torch.tensor(table), (torch.ones(2),))
    assert [a.froze for a in given.assumptions] == [Froze.OUTSIDE]
