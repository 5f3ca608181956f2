"""A call that breaks an assumption is refused in the same words in Python, on both command lines, and from C."""

from __future__ import annotations

import operator

import numpy as np
import pytest
import torch
from tests.c_host import NOT_TRACED, WRONG_INPUT, Host, Refused, um

import unmoor
from unmoor import runtime
from unmoor.cli.main import main


def by_value(x):
    return x * 2 if x.sum() > 0 else x


def by_size(x):
    return x * 2 if x.shape[0] < 3 else x


def by_equal_sizes(x):
    return x * 2 if x.shape[0] == x.shape[1] else x


def by_loop(x):
    for k in range(x.shape[0]):
        x = x + k
    return x


def by_sum_of_sizes(x):
    return x + float(operator.index(x.shape[0] + x.shape[1]))


def by_frozen_value(x):
    return x * float(x.sum())


CASES = [
    (by_value, "[1,1]", "[-1,1]", "took the branch `x.sum() > 0` in every example; here it is False"),
    (by_size, "[1,1]", "[1,1,1]", "took the branch `x.shape[0] < 3` in every example; here it is False"),
    (
        by_equal_sizes, "[[1,1],[1,1]]", "[[1,1]]",
        "took the branch `x.shape[0] == x.shape[1]` in every example; here it is False",
    ),
    (by_loop, "[1,1]", "[1,1,1]", "`range(x.shape[0])` looped by the size 2 in every example; here it is 3"),
    (
        by_sum_of_sizes, "[[1,1]]", "[[1,1,1]]",
        "`operator.index(x.shape[0] + x.shape[1])` used a size as the number 3 in every example; here it is 4",
    ),
    (
        by_frozen_value, "[1,1]", "[1,2.25]",
        "`float(x.sum())` froze the value 2.0, read from a tensor, in every example; here it is 3.25",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("fn", "seen", "unseen", "broken"), CASES, ids=[c[0].__name__ for c in CASES])
def test_every_host_names_the_line_what_held_what_holds_and_the_fix(
    fn, seen, unseen, broken, tmp_path, capsys, monkeypatch
) -> None:
    good, bad = (np.array(eval(text), np.float32) for text in (seen, unseen))
    traced = unmoor.trace(fn, torch.from_numpy(good))
    unmoor.save(traced, tmp_path / "f.unmoor")
    data = (tmp_path / "f.unmoor").read_bytes()
    with pytest.raises(unmoor.NotTraced) as raised:
        traced(torch.from_numpy(bad))
    told = str(raised.value)
    line, fix = told.split("\n")
    assert line.startswith("tests/differential/test_refusals_on_every_host.py:") and line.endswith(broken)
    assert fix.startswith("  fix: ")
    for model in (unmoor.load(data, trust=True), runtime.open(data, trust=True)):  # the second cannot compile
        with pytest.raises(unmoor.NotTraced) as raised:
            model(bad)
        assert str(raised.value) == told
    host = Host(data)
    np.testing.assert_allclose(host.run(good)[0], fn(torch.from_numpy(good)).numpy())
    with pytest.raises(Refused) as refused:
        host.run(bad)
    host.close()
    assert (refused.value.status, refused.value.message) == (NOT_TRACED, told)
    code, _, errors = um(tmp_path, "run", "--trust", "yes", "f.unmoor", unseen)
    assert (code, errors) == (1, f"um: {told}\n")
    monkeypatch.chdir(tmp_path)
    assert main(["run", "--trust", "yes", "f.unmoor", unseen]) == 1
    assert capsys.readouterr().err == f"unmoor run: {told}\n"


@pytest.mark.parametrize("fn", [c[0] for c in CASES], ids=lambda f: f.__name__)
def test_the_command_lines_show_assumptions_alike(fn, tmp_path, capsys) -> None:
    example = torch.ones(2) if fn not in (by_equal_sizes, by_sum_of_sizes) else torch.ones(2, 2)
    traced = unmoor.trace(fn, example)
    unmoor.save(traced, tmp_path / "f.unmoor")
    assert main(["info", "--assumptions", str(tmp_path / "f.unmoor")]) == 0
    shown = capsys.readouterr().out
    assert shown == f"method forward\n{traced.assumptions}\n"
    assert um(tmp_path, "info", "--assumptions", "f.unmoor") == (0, shown, "")


def test_a_branch_on_sizes_behind_another_is_not_told_for_sizes_that_do_not_come_there() -> None:
    def f(x):
        if x.shape[0] > 3:
            return x * 2 if x.shape[1] == 5 else x
        return x + 1

    traced = unmoor.trace(f, torch.ones(4, 5))
    traced.add_example(torch.ones(2, 5))
    data = traced.to_bytes()
    torch.testing.assert_close(unmoor.load(data, trust=True)(torch.ones(2, 7)), torch.ones(2, 7) + 1)
    host = Host(data)
    np.testing.assert_allclose(host.run(np.ones((3, 5), np.float32))[0], 2.0)
    with pytest.raises(Refused) as refused:
        host.run(np.ones((5, 6), np.float32))
    assert refused.value.status == WRONG_INPUT
    host.close()


def test_a_size_that_a_branch_on_data_refuses_is_that_of_the_call() -> None:
    def f(x):
        if x.sum() > 0:
            for _ in range(x.shape[0]):
                x = x + 1
            return x
        return x * 2

    traced = unmoor.trace(f, torch.ones(2))
    traced.add_example(-torch.ones(3))
    told = "`range(x.shape[0])` looped by the size 2 in every example that came here; here it is "
    data = traced.to_bytes()
    for size in (3, 5):  # one program, made where it was 3
        torch.testing.assert_close(traced(-torch.ones(size)), -torch.ones(size) * 2)
        with pytest.raises(unmoor.NotTraced) as raised:
            traced(torch.ones(size))
        assert f"{told}{size}\n" in str(raised.value)
        host = Host(data)
        with pytest.raises(Refused) as refused:
            host.run(np.ones(size, np.float32))
        assert f"{told}{size}\n" in refused.value.message
        host.close()


FLIP = torch.tensor([0.0, 1.0, 0.0])
FROZEN = [
    (lambda x: x * int(x.sum()), torch.ones(2, dtype=torch.int64), torch.tensor([1, 4]), "value 2", "5"),
    (lambda x: x * hash(tuple(x.tolist())), torch.ones(2), torch.tensor([1, 0.1]), "value 1.0", "0.10000000149011612"),
    (lambda x: [x + k for k in range(x.argmax().item())], FLIP, FLIP.roll(1), "value 1", "2"),
    (lambda x: x * float(x.sum()), torch.tensor([float("nan")]), torch.ones(1), "value nan", "1.0"),
    (lambda x: x * float(x.sum()), torch.ones(1), torch.tensor([-float("inf")]), "value 1.0", "-inf"),
]


@pytest.mark.parametrize(("fn", "example", "other", "frozen", "now"), FROZEN)
def test_a_frozen_value_is_told_with_the_value_that_is_met(fn, example, other, frozen, now) -> None:
    traced = unmoor.trace(fn, example)
    with pytest.raises(unmoor.NotTraced) as raised:
        traced(other)
    assert f"froze the {frozen}, read from a tensor, in every example; here it is {now}\n" in str(raised.value)
    host = Host(traced.to_bytes())
    with pytest.raises(Refused) as refused:
        host.run(other.numpy())
    assert refused.value.message == str(raised.value)
    host.close()


def test_after_examples_of_other_values_or_dtypes_the_last_path_tells_what_is_met() -> None:
    def by_dtype(x):
        return x + 1 if x.dtype == torch.float32 else x * 2

    for fn, examples, other, told in (
        (by_frozen_value, (torch.ones(2), torch.ones(2) * 2), torch.ones(2) * 4, "came here; here it is 8.0"),
        (by_dtype, (torch.ones(2), torch.ones(2).double()), torch.ones(2).half(), "came here; here it is float16"),
    ):
        traced = unmoor.trace(fn, examples[0])
        traced.add_example(examples[1])
        with pytest.raises(unmoor.NotTraced) as raised:
            traced(other)
        assert f"{told}\n" in str(raised.value)
