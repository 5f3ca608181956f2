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
        by_frozen_value, "[1,1]", "[1,2]",
        "`float(x.sum())` froze the value 2.0, read from a tensor, in every example; here it is another",
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
