"""Random programs with branches: whatever examples were given, every input is right as eager decides, or NotTraced."""

from __future__ import annotations

import copy
import itertools
import linecache
import random

import pytest
import torch
from torch import nn

import unmoor
from unmoor.errors import NotTraced, Unsupported

NAMES = ("a", "b", "c")
UPDATES = (
    "{v} = {v} * 1.5",
    "{v} = {v} + {w}",
    "{v} = {w}",
    "{v} = x",
    "{v} = -{w} - 0.5",
    "{v} = torch.tanh({w})",
    "n = n + 1",
    "n = 0",
    "flag = not flag",
    "{v} = {v} * n",
    "items.append({w})",
    "{v} = items[-1]",
    "{v}, {w} = {w}, {v}",
    "{v} = {w}.clone()",
    "{v} = step({w})",
    "{v} = ({w} + 1) * (2 if {c} else 3)",
    "cache['{v}'] = {w}",
    "{v} = cache.get('{w}', x)",
    "m = {v}.sum().item()",
    "{v} = {v} + m",
)
WRITES = ("{v} += 1", "{v}.mul_(1.25)", "{v}[0] = {w}[1]", "self.total += 1", "{v} = {w}.view(-1)", "{v} = {w}[:]")
HEADER = "def forward(self, x):\n    a, b, c, n, m, flag, items, cache = x * 1, x + 1, x, 0, 1.0, False, [x], {}\n"


class Program:
    """Source text from a seed: conditions read the elements of x, one each, so that every combination can be asked."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.conditions = 0
        self.writes = seed % 3 == 0
        lines = self.block(1, 3)
        self.text = HEADER + "\n".join(lines) + "\n    return a + b * 2 + c * 3 + n + m\n"

    def condition(self) -> str:
        pick = self.random.random()
        if self.conditions < 5 and pick < 0.75:
            self.conditions += 1
            return f"x0[{self.conditions - 1}] > 0"
        v = self.random.choice(NAMES)
        return self.random.choice((f"{v}.sum() > 1", "flag", "n > 1", f"float({v}[0]) > 0.3", f"({v} > 0).all()"))

    def line(self) -> str:
        v, w = self.random.choice(NAMES), self.random.choice(NAMES)
        text = self.random.choice(UPDATES + WRITES * 2 if self.writes else UPDATES)
        return text.format(v=v, w=w, c=self.condition() if "{c}" in text else "")

    def block(self, depth: int, budget: int) -> list[str]:
        pad, lines = "    " * depth, []
        for _ in range(self.random.randint(1, 3)):
            pick = self.random.random()
            if pick < 0.45 and budget:
                lines.append(f"{pad}if {self.condition()}:")
                lines += self.block(depth + 1, budget - 1)
                if self.random.random() < 0.5:
                    lines += [f"{pad}else:", *self.block(depth + 1, budget - 1)]
            elif pick < 0.55 and budget:
                lines.append(f"{pad}for f in (torch.sin, torch.exp, torch.sin):")
                lines.append(f"{pad}    if {self.condition()}:")
                lines.append(f"{pad}        {self.random.choice(NAMES)} = f({self.random.choice(NAMES)})")
            elif pick < 0.62 and budget:
                v = self.random.choice(NAMES)
                lines.append(f"{pad}while {v}.sum() > 2 and n < 3:")
                lines += [f"{pad}    {v} = {v} - 1", f"{pad}    n += 1"]
            elif pick < 0.66 and depth > 1:
                lines.append(f"{pad}return a - b")
                break
            else:
                lines.append(pad + self.line())
        return lines

    def module(self, name: str) -> nn.Module:
        space = {"torch": torch, "step": _step}
        text = self.text.replace("    a, b", "    x0 = x\n    a, b", 1)
        linecache.cache[name] = (len(text), None, text.splitlines(keepends=True), name)
        exec(compile(text, name, "exec"), space)
        made = type("Made", (nn.Module,), {"forward": space["forward"]})()
        made.register_buffer("total", torch.zeros(()))
        return made


def _step(x):
    return x * 2 if x.mean() > 0.2 else x - 0.1


def combinations(count: int) -> list[torch.Tensor]:
    signs = list(itertools.product((1.0, -1.0), repeat=5))
    torch.manual_seed(count)
    return [torch.tensor(s) * (torch.rand(5) + 0.1) for s in signs]


def run_program(seed: int) -> tuple[int, int]:
    """How many inputs were right, and refused; AssertionError on any that is wrong."""
    program = Program(seed)
    net = program.module(f"<program {seed}>").eval()
    inputs = combinations(seed)
    examples = random.Random(seed).sample(inputs, 3)
    try:
        traced = unmoor.trace(copy.deepcopy(net), examples[0].clone())
        for example in examples[1:]:
            traced.add_example(example.clone())
    except Unsupported:
        return 0, len(inputs)
    right = refused = 0
    for x in inputs:
        eager, given = copy.deepcopy(net), x.clone()
        traced.reset_state()
        with torch.no_grad():
            want = eager(given)
        mine = x.clone()
        try:
            got = traced(mine)
        except NotTraced:
            refused += 1
            continue
        torch.testing.assert_close(got, want, rtol=1e-4, atol=1e-5, msg=lambda m: f"{m}\n{program.text}")
        torch.testing.assert_close(mine, given, msg=lambda m: f"{m}\n{program.text}")
        if "total" in traced.state():
            assert float(traced.state()["total"]) == float(eager.total), program.text
        right += 1
    for example in examples:  # what was shown is served
        traced.reset_state()
        traced(example.clone())
    return right, refused


@pytest.mark.parametrize("seed", [*range(40), 1122])  # 1122: examples with other state
def test_random_branches(seed):
    run_program(seed)
