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
DTYPES = (*FLOATS, *FLOATS, torch.int64, torch.int64, torch.int32, torch.bool)
HELD = ("torch.float32", "torch.float64", "torch.int64", "torch.int32", "torch.bool")
STATES = (
    "torch.zeros(3)",
    "torch.ones(())",
    "torch.zeros((), dtype=torch.int64)",
    "torch.ones(2, 3, dtype=torch.float64)",
    "torch.tensor([True, False, True])",
)
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
    training: bool = False

    def make(self, training: bool | None = None) -> nn.Module:
        """A new module in its first state, in its own mode or in the one that is asked for."""
        name = f"program_{self.seed}.py"
        linecache.cache[name] = (len(self.source), None, self.source.splitlines(True), name)
        scope: dict[str, Any] = {"torch": torch, "math": math}
        exec(compile(self.source, name, "exec"), scope)
        made: nn.Module = scope["Program"]()
        return made.train(self.training if training is None else training)

    @property
    def has_modes(self) -> bool:
        """Whether it goes by its mode."""
        return "self.training" in self.source

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
        self.sizes = {"a": r.choice([2, 3, 4, 4, 3, 2, 1]), "b": r.choice([2, 3, 5, 2, 3, 5, 1, 0])}
        self.training = r.random() < 0.2
        letters: tuple[str | int, ...] = ("a", "b", 3)
        self.arguments = tuple(
            Argument(
                "xyz"[k],
                tuple(r.choice(letters) for _ in range(r.choice([1, 2, 2, 2, 3]))),
                r.choice(DTYPES) if k or r.random() < 0.2 else r.choice(FLOATS),
            )
            for k in range(r.randint(1, 3))
        )
        self.scope: dict[str, Any] = {"torch": torch, "math": math, "self": nn.Module().train(self.training)}
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
        for _ in range(self.r.choice([0, 0, 0, 1, 1, 2])):
            self._buffer()
        for _ in range(length):
            self._statement()
        if self.r.random() < 0.2:
            self._statement(self._alias)
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
        return Program(source, self.arguments, self.sizes, self.seed, self.training)

    # -- parts --------------------------------------------------------------------------------
    def _buffer(self) -> None:
        name = f"s{len(self.buffers)}"
        value = self.r.choice(STATES)
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
                f"int({v}.shape[{axis}] * 0.5)",
                f"int({v}.shape[{axis}] / 2) + 1",
                f"math.floor({v}.shape[{axis}] * 1.5)",
                f"round({v}.shape[{axis}] / 2)",
                f"-(-{v}.shape[{axis}] // 2)",
                f"{v}.shape[{axis}] % 2 + 1",
                f"abs({v}.shape[{axis}] - 3)",
                f"len({v})",
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
        cut = self.r.choice(["1", self.size(), f"{v}.shape[{d}] // 2"])
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
            lambda: f"torch.split({v}, [1, {v}.shape[{d}] - 1], {d})[{self.r.choice([0, 1])}]",
            lambda: f"{v}.split({cut}, dim={d})[{self.r.choice([0, -1])}]",
            lambda: f"{v}.tensor_split(2, {d})[1]",
            lambda: f"{v}[..., {self.r.choice(['-1', '0', '1:', ':-1', '-2:', 'None'])}]",
            lambda: f"{v}.T",
            lambda: f"{v}.swapaxes(0, -1)",
            lambda: f"{v}.unflatten({d}, (-1, 1))",
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
            lambda: "self.training",
            lambda: f"{v}.reshape(-1).tolist()[0] > {c}",
            lambda: f"{v}.argmax() == 0",
            lambda: f"{v}.dtype == torch.float32",
            lambda: f"{v}.mean(dtype=torch.float64).abs().item() <= {c}",
            lambda: f"{v}.isnan().any() or {v}.sum() > {c}",
            lambda: f"{self.size()} % 2 == 0",
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
                    f"{v}.to(torch.int32)",
                    f"{v}.bool()",
                    f"~({v} > 0)",
                    f"{v}.round()",
                    f"torch.nn.functional.gelu({v}.float())",
                    f"torch.nn.functional.dropout({v}, 0.5, training=False)",
                    f"{v}.nan_to_num()",
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
                    f"torch.minimum({v}, {w})",
                    f"({v} > 0) & ({w} > 0)",
                    f"torch.where({v} > {w}, {v}, {w})",
                    f"{v}.type_as({w})",
                    f"{v}.to({w}.dtype) + {w}",
                    f"torch.lerp({v}, {w}, 0.5)",
                    f"{v} + {w}.item()",
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
                    f"{v}.topk(1, {d})[0]",
                    f"{v}.count_nonzero({d})",
                    f"{v}.sum(({d}, {self.axis(v)}){keep})",
                    f"{v}.std({d})",
                    f"torch.nn.functional.layer_norm({v}, ({v}.shape[-1],))",
                    f"torch.logsumexp({v}, {d})",
                    f"{v}.cummax({d})[0]",
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
                    f"torch.einsum('ij,jk->ik', {v}, {w})",
                    f"torch.einsum('ij,kj->ik', {v}, {w})",
                    f"torch.einsum('...ij->...ji', {v})",
                    f"torch.einsum('bij,bjk->bik', {v}, {w})",
                    f"torch.einsum('ii->i', {v})",
                    f"torch.einsum('ij->', {v})",
                    f"torch.nn.functional.linear({v}, {w})",
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
                    f"{w}[{w} > 0]",
                    f"{v}[{v}.reshape(-1)[0].abs().long() % {v}.shape[0]]",
                    f"{v}.masked_select({w} > 0)",
                    f"{v}.scatter({d}, {v}.argsort({d}), 0.5)",
                    f"{v}.index_add({d}, torch.arange({v}.shape[{d}]), {v})",
                    f"torch.cat([{v}[:1], {v}, {v}[-1:]])",
                    f"torch.hstack([{v}, {w}])",
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
                    f"torch.arange({n}, 0, -1)",
                    f"torch.arange(0, {n}, 2, dtype=torch.float64)",
                    f"torch.zeros({n}, dtype=torch.int64)",
                    f"torch.tensor([{n}, {m}])",
                    f"torch.tensor({n}, dtype=torch.float32)",
                    f"{v}.new_full(({n},), {self.c()})",
                    f"{v}.repeat({n}, *[1] * ({v}.dim() - 1))",
                    f"torch.ones({n}, {m}).triu(1)",
                ]
            )
        if self.numbers:
            number = self.r.choice(self.numbers)
            return self.r.choice([f"{v} * {number}", f"{v} + {number}", f"torch.full_like({v}, {number})"])
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
            lambda: f"{target}[..., -1] = {self.r.choice([self.c(), w])}",
            lambda: f"{target}.view(-1)[1:] -= 1",
            lambda: f"{target}[:{self.size()}].add_({self.c()})",
            lambda: f"{target}.copy_({target}.flip(0))",
            lambda: f"{target}.chunk(2)[0].zero_()",
            lambda: f"{target}.diagonal().fill_(1)",
            lambda: f"{target}.index_fill_(0, torch.tensor([0]), {self.c()})",
            lambda: f"{target}.logical_not_()",
        ]
        return self.r.choice(forms)()

    # -- statements ---------------------------------------------------------------------------
    def _statement(self, form: Callable[[], tuple[list[str], dict[str, str]]] | None = None) -> None:
        """One more statement, of any form or of one, unless many tries give none that runs."""
        for _ in range(30):
            kind = self.r.random()
            try:
                if form is not None:
                    lines, made = form()
                elif kind < 0.62:
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
        value = self.r.choice(
            [
                self.size(),
                self.size(),
                f"{self.v()}.sum().item()",
                f"{self.size()} / 2",
                f"float({self.size()})",
                f"{self.v()}.reshape(-1)[0].item()",
                f"{self.v()}.reshape(-1).tolist()[-1]",
                f"sum({self.v()}.shape)",
                f"{self.size()} ** 0.5",
                f"int({self.v()}.sum().item()) + 1",
            ]
        )
        return [f"{name} = {value}"], {name: "number"}

    def _branch(self) -> tuple[list[str], dict[str, str]]:
        form = self.r.random()
        target = self.v()
        if form < 0.2:
            return self._loop(target), {}
        if form < 0.3:  # of few turns, whatever it begins with
            return [f"while {target}.sum() < 2.3 and {target}.max() < 9:", f"    {target} = {target}.abs() * 2 + 1"], {}
        return self._if(target), {}

    def _loop(self, target: str) -> list[str]:
        """A loop over sizes, rows, or as often as data say, that makes a tensor anew or writes in it."""
        head = self.r.choice(
            [
                "for i in range(2):",
                f"for i in range({self.v(least=1)}.shape[0]):",
                f"for i in range(min({self.size()}, 3)):",
                f"for i in range(int({self.v()}.sum().abs().clamp(max=3))):",
                f"for i in range({self.v()}.reshape(-1)[0].long().abs().item()):",
                f"for i, row in enumerate({target}):",
                f"for i, row in enumerate({target}.unbind(0)):",
            ]
        )
        if "row" in head:
            body = self.r.choice(["row.add_(1)", "row.mul_(2)", "row[..., 0] = i", f"{target}[i] = row * 2"])
        else:
            body = self.r.choice(
                [
                    f"{target} = {target} * 0.5 + i",
                    f"{target}[i % len({target})] += 1",
                    f"{target}.select(0, i % {target}.shape[0]).mul_(2)",
                    f"{target}[..., i:].add_({self.c()})",
                    f"{target}.add_(i)",
                ]
            )
        return [head, f"    {body}"]

    def _if(self, target: str) -> list[str]:
        self.depth += 1
        try:
            bodies = [self._side(target), self._side(target)]
        finally:
            self.depth -= 1
        lines = [f"if {self.condition()}:", *(f"    {line}" for line in bodies[0])]
        if self.r.random() < 0.7:
            lines += ["else:", *(f"    {line}" for line in bodies[1])]
        return lines

    def _alias(self) -> tuple[list[str], dict[str, str]]:
        """Another name, or a view, of a tensor: a result beside what it shares memory with."""
        name, v = self.fresh("v"), self.v()
        return [f"{name} = {self.r.choice([v, self.view(v)])}"], {name: "tensor"}

    def _side(self, target: str) -> list[str]:
        lines = []
        for _ in range(self.r.randint(1, 2)):
            if self.depth < 3 and self.r.random() < 0.12:
                lines += self._if(target)
            elif self.r.random() < 0.35:
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
                and str(t.dtype) in HELD
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
