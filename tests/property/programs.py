"""Random PyTorch programs: modules with branches on data, views, in-place writes, state and sizes, as source text.

A program is written statement by statement while it runs on an example, so that each line is one that eager PyTorch
accepts there. The same random numbers give the same program.
"""

from __future__ import annotations

import linecache
import math
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

LARGEST = 1e3  # of an element: beyond, rounding would be all that a comparison sees
FLOATS = (torch.float32, torch.float32, torch.float32, torch.float64)
Sizes = dict[str, int]


@dataclass(frozen=True)
class Argument:
    """An input: its dims are letters, which stand for sizes, or numbers."""

    name: str
    dims: tuple[str | int, ...]
    dtype: torch.dtype


@dataclass(frozen=True)
class Program:
    """A module's source, its inputs, and the sizes of the example."""

    source: str
    arguments: tuple[Argument, ...]
    sizes: Sizes
    seed: int

    def make(self) -> nn.Module:
        """A new module in its first state."""
        name = f"program_{self.seed}.py"
        linecache.cache[name] = (len(self.source), None, self.source.splitlines(True), name)
        scope: dict[str, Any] = {"torch": torch, "math": math}
        exec(compile(self.source, name, "exec"), scope)
        made: nn.Module = scope["Program"]().eval()
        return made

    def inputs(self, seed: int, sizes: Sizes | None = None) -> tuple[torch.Tensor, ...]:
        """Tensors whose elements are quarters: sums of some of them are exact."""
        r = random.Random(seed)
        return tuple(_tensor(r, a, {**self.sizes, **(sizes or {})}) for a in self.arguments)


def _tensor(r: random.Random, argument: Argument, sizes: Sizes) -> torch.Tensor:
    shape = [sizes[d] if isinstance(d, str) else d for d in argument.dims]
    count = math.prod(shape)
    if argument.dtype is torch.bool:
        numbers: list[Any] = [r.random() < 0.5 for _ in range(count)]
    elif argument.dtype.is_floating_point:
        numbers = [r.randint(-8, 8) / 4 for _ in range(count)]
    else:
        numbers = [r.randint(-3, 3) for _ in range(count)]
    return torch.tensor(numbers, dtype=argument.dtype).reshape(shape)


def program(r: random.Random, seed: int = 0, longest: int = 7) -> Program:
    """A program from random numbers."""
    return _Writer(r, seed).write(r.randint(2, longest))


class _Writer:
    def __init__(self, r: random.Random, seed: int) -> None:
        self.r, self.seed = r, seed
        self.sizes = {"a": r.randint(2, 4), "b": r.choice([2, 3, 5])}
        letters: tuple[str | int, ...] = ("a", "b", 3)
        self.arguments = tuple(
            Argument(
                "xyz"[k],
                tuple(r.choice(letters) for _ in range(r.choice([1, 2, 2, 2, 3]))),
                r.choice([*FLOATS, *FLOATS, torch.int64, torch.bool]) if k else r.choice(FLOATS),
            )
            for k in range(r.randint(1, 3))
        )
        self.scope: dict[str, Any] = {"torch": torch, "math": math, "self": nn.Module()}
        self.lines: list[str] = []
        self.tensors: list[str] = []
        self.numbers: list[str] = []
        self.buffers: list[tuple[str, str]] = []
        self.count = 0
        self.depth = 0

    def write(self, length: int) -> Program:
        made = Program("", self.arguments, self.sizes, self.seed)
        for argument, tensor in zip(self.arguments, made.inputs(self.seed), strict=True):
            self.scope[argument.name] = tensor
            self.tensors.append(argument.name)
        if self.r.random() < 0.35:
            self._buffer()
        for _ in range(length):
            self._statement()
        shown = [n for n in reversed(self.tensors) if not n.startswith("self.")][: self.r.randint(1, 3)]
        results = [*shown, *([self.r.choice(self.numbers)] if self.numbers and self.r.random() < 0.15 else [])]
        body = "".join(f"        {line}\n" for line in self.lines)
        init = "".join(f'        self.register_buffer("{name}", {value})\n' for name, value in self.buffers)
        names = ", ".join(a.name for a in self.arguments)
        source = (
            "class Program(torch.nn.Module):\n    def __init__(self):\n        super().__init__()\n"
            f"{init}\n    def forward(self, {names}):\n{body}"
            f"        return {', '.join(results)}\n"
        )
        return Program(source, self.arguments, self.sizes, self.seed)

    # -- parts --------------------------------------------------------------------------------
    def _buffer(self) -> None:
        name = f"s{len(self.buffers)}"
        value = self.r.choice(["torch.zeros(3)", "torch.ones(())", "torch.zeros((), dtype=torch.int64)"])
        self.buffers.append((name, value))
        self.scope["self"].register_buffer(name, eval(value))
        self.tensors.append(f"self.{name}")

    def get(self, name: str) -> torch.Tensor:
        found: torch.Tensor = eval(name, self.scope)
        return found

    def v(self, *, rank: int | None = None, least: int = 0, floats: bool = False) -> str:
        """A tensor; the later ones are likelier."""
        fits = []
        for name in self.tensors:
            t = self.get(name)
            if t.dim() >= least and (rank is None or t.dim() == rank) and (not floats or t.is_floating_point()):
                fits.append(name)
        if not fits:
            raise LookupError
        return self.r.choice(fits[-4:]) if self.r.random() < 0.7 else self.r.choice(fits)

    def n(self, name: str) -> int:
        return self.get(name).dim()

    def axis(self, name: str) -> int:
        rank = max(1, self.n(name))
        return self.r.randint(-rank, rank - 1)

    def c(self) -> str:
        return self.r.choice(["0.5", "2", "-1", "1.5", "3", "0.25"])

    def size(self) -> str:
        """An expression of sizes that is an int."""
        v = self.v(least=1)
        axis = self.axis(v)
        return self.r.choice(
            [
                f"{v}.shape[{axis}]",
                f"{v}.size({axis})",
                f"{v}.shape[{axis}] // 2",
                f"({v}.shape[{axis}] + 1) // 2",
                f"math.ceil({v}.shape[{axis}] / 2)",
                f"max({v}.shape[{axis}] - 1, 1)",
                f"min({v}.shape[{axis}], 3)",
                f"{v}.numel() // max({v}.shape[0], 1)",
                f"{v}.shape[0] * {v}.shape[-1] // 2",
                f"{v}.numel()",
            ]
        )

    def index(self, name: str) -> str:
        """An index expression for a tensor."""
        items = []
        rank = self.n(name)
        for _ in range(self.r.randint(1, rank)):
            items.append(
                self.r.choice(["0", "-1", ":", "1:", ":-1", "::2", "1", ":2", "-2:", f":{self.size()}", "None"])
            )
        if self.r.random() < 0.3:
            items.insert(0, "...")
        return ", ".join(items)

    def view(self, v: str) -> str:
        rank = self.n(v)
        d = self.axis(v)
        two = sorted(self.r.sample(range(rank), 2)) if rank > 1 else [0, 0]
        order = list(range(rank))
        self.r.shuffle(order)
        forms: list[Callable[[], str]] = [
            lambda: f"{v}.reshape(-1)",
            lambda: f"{v}.unsqueeze({self.axis(v)})",
            lambda: f"{v}.transpose({two[0]}, {two[1]})",
            lambda: f"{v}.permute({', '.join(map(str, order))})",
            lambda: f"{v}[{self.index(v)}]",
            lambda: f"{v}[{self.index(v)}]",
            lambda: f"{v}.select({d}, {self.r.choice([0, -1])})",
            lambda: f"{v}.narrow({d}, {self.r.choice([0, 1])}, 1)",
            lambda: f"{v}.flatten({two[0]}, {two[1]})",
            lambda: f"{v}.chunk(2, {d})[{self.r.choice([0, -1])}]",
            lambda: f"torch.split({v}, 2, {d})[0]",
            lambda: f"{v}.unbind({d})[{self.r.choice([0, -1])}]",
            lambda: f"{v}.view({v}.shape[0], -1)",
            lambda: f"{v}.view(-1)",
            lambda: f"{v}.unsqueeze(0).expand({self.r.choice(['2', self.size()])}, {', '.join(['-1'] * rank)})",
            lambda: f"{v}.movedim({two[0]}, {two[1]})",
            lambda: f"{v}.diagonal()",
            lambda: f"{v}.squeeze({d})",
            lambda: f"{v}.unfold({d}, 2, 1)",
            lambda: f"{v}.mT",
            lambda: f"{v}.reshape({v}.shape[-1], -1)",
            lambda: f"{v}.view_as({v})",
            lambda: f"{v}.detach()",
            lambda: f"{v}.contiguous()",
        ]
        return self.r.choice(forms)()

    def condition(self) -> str:
        v = self.v()
        c = self.r.choice(["0.37", "-0.4", "1.13", "0"])
        forms = [
            lambda: f"{v}.sum() > {c}",
            lambda: f"{v}.sum().item() > {c}",
            lambda: f"float({v}.sum()) > {c}",
            lambda: f"({v} > {c}).any()",
            lambda: f"({v} > {c}).all().item()",
            lambda: f"{v}.max() < {c}",
            lambda: f"{v}.sum() > 0.37 and {self.v()}.sum() < 3.1",
            lambda: f"not {v}.sum() > {c}",
            lambda: f"{self.size()} > 2",
            lambda: f"{self.v(least=1)}.shape[0] == {self.v(least=1)}.shape[-1]",
            lambda: f"{v}.reshape(-1)[0] > {self.v()}.reshape(-1)[-1]",
            lambda: f"int({v}.sum()) >= 1",
            lambda: f"{v}.dim() > 1",
        ]
        return self.r.choice(forms)()

    def expression(self) -> str:
        v = self.v()
        d = self.axis(v)
        kind = self.r.random()
        if kind < 0.28:
            return self.view(v)
        if kind < 0.40:
            return self.r.choice(
                [
                    f"torch.relu({v})",
                    f"torch.tanh({v})",
                    f"{v}.abs()",
                    f"-{v}",
                    f"torch.sigmoid({v})",
                    f"{v} * {self.c()}",
                    f"{v} + {self.c()}",
                    f"{v}.clamp(-1, 1)",
                    f"{v}.clone()",
                    f"{v} > 0.3",
                    f"{v}.float()",
                    f"{v}.to(torch.int64)",
                    f"{v}.exp().clamp(max=20)",
                    f"{v}.floor()",
                    f"{v} // 2",
                    f"{v} % 3",
                    f"({v} != 0)",
                    f"{v}.double()",
                    f"1.5 - {v}",
                    f"{v} / 2",
                    f"{v}.sign()",
                    f"{v} ** 2",
                ]
            )
        if kind < 0.58:
            w = self.v()
            return self.r.choice(
                [
                    f"{v} + {w}",
                    f"{v} - {w}",
                    f"{v} * {w}",
                    f"torch.maximum({v}, {w})",
                    f"torch.where({v} > 0, {v}, {w})",
                    f"torch.where({w} > 0, {v}, 0.5)",
                    f"{v}.masked_fill({w} > 0, 0.5)",
                    f"{v} < {w}",
                    f"torch.add({v}, {w}, alpha=2)",
                    f"{v}.expand_as({w})",
                    f"torch.broadcast_tensors({v}, {w})[0]",
                    f"{v} / ({w}.abs() + 1)",
                ]
            )
        if kind < 0.70:
            keep = self.r.choice(["", ", keepdim=True"])
            return self.r.choice(
                [
                    f"{v}.sum()",
                    f"{v}.sum({d}{keep})",
                    f"{v}.mean({d}{keep})",
                    f"{v}.amax({d}{keep})",
                    f"{v}.max({d})[0]",
                    f"{v}.argmax({d})",
                    f"{v}.cumsum({d})",
                    f"torch.softmax({v}, {d})",
                    f"{v}.var({d}, correction=0)",
                    f"{v}.prod({d})",
                    f"({v} > 0).any({d})",
                    f"{v}.min({d}).values",
                    f"{v}.flip({d})",
                    f"{v}.roll(1, {d})",
                    f"{v}.mean()",
                    f"{v}.sort({d})[0]",
                    f"{v}.norm()",
                ]
            )
        if kind < 0.77:
            v, w = self.v(least=1, floats=True), self.v(least=1, floats=True)
            return self.r.choice(
                [
                    f"{v} @ {w}",
                    f"{v} @ {w}.mT",
                    f"{v}.mT @ {w}",
                    f"{v} @ {v}.mT",
                    f"torch.einsum('i,j->ij', {v}, {w})",
                    f"torch.einsum('...i,...i->...', {v}, {w})",
                ]
            )
        if kind < 0.85:
            w = self.v(least=1)
            return self.r.choice(
                [
                    f"torch.cat([{v}, {w}], {d})",
                    f"torch.stack([{v}, {w}], {d})",
                    f"torch.cat([{v}, {v} * 2], {d})",
                    f"{v}.repeat({', '.join(['2'] * max(1, self.n(v)))})",
                    f"torch.stack([{v}, {v} + 1])",
                    f"{v}.index_select({d}, torch.arange({v}.shape[{d}] - 1, -1, -1))",
                    f"{v}[torch.arange({self.size()}) % {v}.shape[0]]",
                    f"{v}.gather({d}, {v}.argsort({d}))",
                    f"torch.nn.functional.pad({v}, (1, 1))",
                    f"{v}.tril()",
                ]
            )
        if kind < 0.95:
            n, m = self.size(), self.size()
            return self.r.choice(
                [
                    f"torch.zeros({n})",
                    f"torch.ones({v}.shape)",
                    f"torch.arange({n})",
                    f"torch.arange({n}, dtype=torch.float32) * 0.5",
                    f"torch.full(({n}, {m}), 0.5)",
                    f"torch.zeros_like({v})",
                    f"{v}.new_ones({n})",
                    f"torch.eye({n})",
                    f"{v} * {n}",
                    f"torch.arange({v}.shape[-1]) + {v}",
                    f"{v}.reshape({n}, -1)",
                    "torch.tensor([1.0, 2.0, 3.0])",
                    f"{v}.sum() / {n}",
                    f"torch.linspace(0, 1, {n})",
                ]
            )
        if self.numbers:
            return f"{v} * {self.r.choice(self.numbers)}"
        return f"{v} + {self.c()}"

    def write_in_place(self, target: str) -> str:
        w = self.v()
        forms = [
            lambda: f"{target}.add_({self.c()})",
            lambda: f"{target}.mul_({w})",
            lambda: f"{target} += {w}",
            lambda: f"{target}.sub_({w}.sum())",
            lambda: f"{target}.zero_()",
            lambda: f"{target}.copy_({w})",
            lambda: f"{target}.clamp_(-1, 1)",
            lambda: f"{target}[{self.index(target)}] = {self.r.choice([self.c(), w])}",
            lambda: f"{target}[{self.index(target)}] += {self.r.choice([self.c(), w])}",
            lambda: f"{target}[{self.index(target)}].mul_(2)",
            lambda: f"{target}[{target} > 0.5] = {self.c()}",
            lambda: f"{target}.masked_fill_({target} > 0.5, 0.25)",
            lambda: f"{target}.fill_({self.c()})",
            lambda: f"{target}.reshape(-1)[0] = {self.c()}",
            lambda: f"{target}.transpose(0, -1).add_(1)",
            lambda: f"{target}.relu_()",
            lambda: f"{target}.unsqueeze(0).mul_(2)",
        ]
        return self.r.choice(forms)()

    # -- statements ---------------------------------------------------------------------------
    def _statement(self) -> None:
        """One more statement, unless many tries give none that runs."""
        for _ in range(30):
            kind = self.r.random()
            try:
                if kind < 0.62:
                    lines, made = self._assignment()
                elif kind < 0.80:
                    target = self.v()
                    lines, made = [self.write_in_place(target)], {}
                elif kind < 0.84:
                    lines, made = self._number()
                elif self.depth == 0:
                    lines, made = self._branch()
                else:
                    continue
            except Exception:
                continue
            if self._runs(lines, made):
                self.lines += lines
                return

    def _assignment(self) -> tuple[list[str], dict[str, str]]:
        name = self.fresh("v") if self.r.random() < 0.8 else self.v()
        if name.startswith("self."):
            state = self.get(name)
            expression = self.expression()
            if eval(expression, dict(self.scope)).shape != state.shape:
                raise ValueError
            return [f"{name} = ({expression}).to({state.dtype})"], {}
        return [f"{name} = {self.expression()}"], {name: "tensor"}

    def _number(self) -> tuple[list[str], dict[str, str]]:
        name = self.fresh("n")
        value = self.r.choice([self.size(), f"{self.v()}.sum().item()", f"{self.size()} / 2", f"float({self.size()})"])
        return [f"{name} = {value}"], {name: "number"}

    def _branch(self) -> tuple[list[str], dict[str, str]]:
        form = self.r.random()
        target = self.v()
        if form < 0.2:
            count = self.r.choice(["2", f"{self.v(least=1)}.shape[0]", "3"])
            return [f"for i in range({count}):", f"    {target} = {target} * 0.5 + i"], {}
        if form < 0.3:
            return [f"while {target}.sum() < 2.3 and {target}.max() < 9:", f"    {target} = {target} + 1"], {}
        self.depth += 1
        try:
            bodies = [self._side(target), self._side(target)]
        finally:
            self.depth -= 1
        lines = [f"if {self.condition()}:", *(f"    {line}" for line in bodies[0])]
        if self.r.random() < 0.7:
            lines += ["else:", *(f"    {line}" for line in bodies[1])]
        return lines, {}

    def _side(self, target: str) -> list[str]:
        lines = []
        for _ in range(self.r.randint(1, 2)):
            if self.r.random() < 0.35:
                lines.append(self.write_in_place(target))
            elif target.startswith("self."):
                lines.append(f"{target} = {target} * 0.5")
            else:
                lines.append(f"{target} = {self.r.choice([self.expression(), f'{target} * 2', f'{target} - 1'])}")
        return lines

    def fresh(self, letter: str) -> str:
        self.count += 1
        return f"{letter}{self.count}"

    def _runs(self, lines: list[str], made: dict[str, str]) -> bool:
        """Runs the lines; False, with what they named forgotten, where eager PyTorch refuses or numbers grow."""
        before = dict(self.scope)
        try:
            with torch.no_grad():
                exec("\n".join(lines), self.scope)
            held = [self.get(n) for n in {*self.tensors, *(n for n, k in made.items() if k == "tensor")}]
            fine = all(
                isinstance(t, torch.Tensor)
                and t.numel() < 2000
                and str(t.dtype) in ("torch.float32", "torch.float64", "torch.int64", "torch.bool")
                and (t.numel() == 0 or bool(t.double().abs().max() < LARGEST))
                for t in held
            )
        except Exception:
            fine = False
        if not fine:
            self.scope.update(before)
            for name in made:
                if name not in before:
                    self.scope.pop(name, None)
            return False
        for name, kind in made.items():
            names = self.tensors if kind == "tensor" else self.numbers
            if name not in names:
                names.append(name)
        return True
