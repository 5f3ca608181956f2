"""Random programs of torch.cond, while_loop and scan, nested in each other: traced once, right for every input.

Eager PyTorch hands these functions to its compiler, which takes a second a program; what is compared with says in
Python what they mean, on eager PyTorch's tensors.
"""

from __future__ import annotations

import linecache
import random

import pytest
import torch
from torch._higher_order_ops import scan as torch_scan

import unmoor
from unmoor import capture
from unmoor.reference import run_graph

UPDATES = (
    "{v} = {v} * 0.5 + 1",
    "{v} = {v} + {w}",
    "{v} = torch.tanh({w}) - {v}",
    "{v} = torch.where({w} > 0, {v}, -{w})",
    "{v} = {w} - {v}.mean()",
    "{v} = {v}.clone(); {v}[0] = {w}[-1]",
    "{v} = ({v} * 1); {v}.mul_(0.5)",
    "{v} = {v} * k",
    "{v} = {v} + {w}.sum().item() / 4",
    "{v} = {v} / max({v}.shape[0], 2)",
    "{v} = {w}.flip(0) + 0.25",
    "{v} = {w}",
)
CONDITIONS = ("{v}.sum() > {n}", "({v} > 0).all()", "{v}[0] > {w}[-1]", "x0[{k}] > 0", "x0[{k}] + x0[{l}] > {v}.mean()")


class Program:
    """Source text from a seed. Variables are a, b, c, vectors of one length, and k, a number without dims."""

    def __init__(self, seed: int) -> None:
        self.r, self.count = random.Random(seed), 0
        body = self.statements(1, 3)
        self.text = (
            f"def f(x):\n    x0, k = x, x[1]\n    a, b, c = x * 1, x + 1, -x\n{body}    return a + 2 * b + 3 * c, k\n"
        )

    def condition(self) -> str:
        r = self.r
        text = r.choice(CONDITIONS)
        return text.format(
            v=r.choice("abc"), w=r.choice("abc"), n=r.randint(-2, 2), k=r.randint(0, 2), l=r.randint(0, 2)
        )

    def statements(self, depth: int, budget: int) -> str:
        return "".join(self.statement(depth, budget) for _ in range(self.r.randint(1, 3)))

    def statement(self, depth: int, budget: int) -> str:
        r, pad = self.r, "    " * depth
        if not budget or r.random() < 0.45:
            return pad + r.choice(UPDATES).format(v=r.choice("abc"), w=r.choice("abc")) + "\n"
        self.count += 1
        n, kind = self.count, r.random()
        if kind < 0.55:
            return (
                f"{pad}def yes{n}(a, b, c=c, k=k):\n{self.statements(depth + 1, budget - 1)}{pad}    return a, b\n"
                f"{pad}def no{n}(a, b, c=c, k=k):\n{self.statements(depth + 1, budget - 1)}{pad}    return a, b\n"
                f"{pad}a, b = cond({self.condition()}, yes{n}, no{n}, (a, b))\n"
            )
        if kind < 0.85:
            return (
                f"{pad}def go{n}(t, a, b):\n{pad}    return (t < {r.randint(0, 4)}) & ({self.condition()})\n"
                f"{pad}def turn{n}(t, a, b, c=c):\n{pad}    k = t * 0.5\n{self.statements(depth + 1, budget - 1)}"
                f"{pad}    return t + 1, a * 1, b * 1\n"
                f"{pad}_, a, b = while_loop(go{n}, turn{n}, (torch.tensor(0), a, b))\n"
            )
        return (
            f"{pad}def step{n}(s, row, a=a, b=b, c=c, k=k):\n{pad}    k = row * 0.5 + s\n"
            f"{self.statements(depth + 1, budget - 1)}{pad}    return k.clone(), (a.mean() + k, b.sum() * 0.25)\n"
            f"{pad}k, (a, b) = scan(step{n}, k, c{r.choice(['', ', reverse=True'])})\n"
        )

    def make(self, **functions):
        name = f"control_{id(self)}.py"
        linecache.cache[name] = (len(self.text), None, self.text.splitlines(True), name)
        scope = {"torch": torch, **functions}
        exec(compile(self.text, name, "exec"), scope)
        return scope["f"]


def plain_cond(pred, yes, no, operands):
    return yes(*operands) if pred else no(*operands)


def plain_while_loop(go, turn, carried):
    while go(*carried):
        carried = turn(*carried)
    return carried


def plain_scan(step, carried, rows, reverse=False):
    made = []
    for row in rows.flip(0) if reverse else rows:
        carried, out = step(carried, row)
        made.append(out)
    made = made[::-1] if reverse else made
    return carried, tuple(torch.stack(column) for column in zip(*made, strict=True))


def check(seed):
    program = Program(seed)
    fn = program.make(cond=torch.cond, while_loop=torch.while_loop, scan=torch_scan)
    want = program.make(cond=plain_cond, while_loop=plain_while_loop, scan=plain_scan)
    r = random.Random(seed)
    inputs = [torch.tensor([r.randint(-8, 8) / 4 for _ in range(n)]) for n in (3, 3, 3, 4, 6)]
    recording = capture.record(fn, (inputs[0],))
    traced = unmoor.trace(fn, inputs[0])
    model = unmoor.load(traced.to_bytes(), trust=True)
    space: dict = {}
    exec(str(traced.code), space)
    for x in inputs:
        expected = want(x)
        interpreted = tuple(map(torch.as_tensor, run_graph(recording.graph, [x.numpy()])))
        for got in (interpreted, traced(x), model(x), space["f"](x)):
            torch.testing.assert_close(got, expected, rtol=1e-4, atol=1e-4, msg=lambda m: f"{m}\n{program.text}")


@pytest.mark.parametrize("seed", range(24))
def test_random_control_flow(seed):
    check(seed)
